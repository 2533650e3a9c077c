/* test_model.c: the models inside the program are the files of core/models, and they run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/models/built_in.h"
#include "server/gallery/model.h"

static const struct row {
    enum built_in which;
    enum model_role role;
    const char *file;
} rows[] = {{BUILT_IN_DETECTOR, MODEL_DETECTOR, "core/models/detector.onnx"},
            {BUILT_IN_RECOGNIZER, MODEL_RECOGNIZER, "core/models/recognizer.onnx"}};
#define N_ROWS ((int)(sizeof rows / sizeof rows[0]))

/* A file that is not in the folder is not in the program; what is, is in it byte by byte. */
static void bytes_are_the_files(void **state)
{
    for (int i = 0; i < N_ROWS; i++) {
        struct built_in_model inside = {.name = NULL};
        char manifest_path[64];
        unsigned char *bytes;
        size_t n_bytes;
        bool found = built_in_find(rows[i].which, &inside);

        assert_int_equal(found, file_exists(rows[i].file));
        if (!found) {
            continue;
        }
        assert_int_equal(file_read(rows[i].file, (size_t)64 << 20, &bytes, &n_bytes, NULL), ERR_NONE);
        assert_int_equal(n_bytes, inside.onnx_bytes);
        assert_memory_equal(bytes, inside.onnx, n_bytes);
        mem_free(bytes);
        (void)snprintf(manifest_path, sizeof manifest_path, "%s.json", rows[i].file);
        assert_int_equal(file_read(manifest_path, (size_t)1 << 20, &bytes, &n_bytes, NULL), ERR_NONE);
        assert_int_equal(n_bytes, strlen(inside.manifest));
        assert_memory_equal(bytes, inside.manifest, n_bytes);
        mem_free(bytes);
    }
}

/* By their word they load, with their manifest: nothing is assumed; the same version as the file has. */
static void they_load(void **state)
{
    for (int i = 0; i < N_ROWS; i++) {
        struct model *inside = NULL;
        struct model *file = NULL;
        struct model_bytes bytes = {.bytes = NULL};
        struct err_note note = {0};

        if (!file_exists(rows[i].file)) {
            assert_int_equal(model_load(MODEL_BUILT_IN, rows[i].role, &inside, &note), ERR_NOT_FOUND);
            assert_non_null(strstr(note.text, "without"));
            assert_int_equal(model_bytes_open(MODEL_BUILT_IN, rows[i].role, &bytes, NULL), ERR_NOT_FOUND);
            continue;
        }
        if (model_load(MODEL_BUILT_IN, rows[i].role, &inside, &note) != ERR_NONE) {
            fail_msg("%s: %s", rows[i].file, note.text);
        }
        assert_null(inside->manifest.assumed);
        assert_int_equal(model_load(rows[i].file, rows[i].role, &file, &note), ERR_NONE);
        assert_string_equal(inside->version, file->version);
        model_free(file);
        model_free(inside);

        assert_int_equal(model_bytes_open(MODEL_BUILT_IN, rows[i].role, &bytes, NULL), ERR_NONE);
        assert_false(bytes.mapped);
        model_bytes_close(&bytes);
        assert_int_equal(model_bytes_open(rows[i].file, rows[i].role, &bytes, NULL), ERR_NONE);
        assert_true(bytes.mapped);
        model_bytes_close(&bytes);
        assert_null(bytes.bytes);
    }
    assert_int_equal(mem_live_blocks(), 0);
}

static void a_file_that_is_not_there(void **state)
{
    struct model *model = NULL;
    struct err_note note = {0};

    assert_int_equal(model_load("/nowhere/detector.onnx", MODEL_DETECTOR, &model, &note), ERR_NOT_FOUND);
    assert_int_equal(strncmp(note.text, "detector.onnx: ", 15), 0);
    assert_null(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bytes_are_the_files), cmocka_unit_test(they_load),
                                       cmocka_unit_test(a_file_that_is_not_there)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
