/* test_onnx_save_cases.c: the standard's own networks, saved and loaded, compute the same to the bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <glob.h>
#include <stdio.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/graph/session.h"
#include "core/onnx/onnx.h"
#include "core/onnx/onnx_save.h"
#include "core/op/op_list.h"

#define CASES "/usr/share/libonnx-testdata/data/*/*/model.onnx"
#define MOST_INPUTS 8

static bool read_input(const char *model_path, int i, struct arena *mem, struct tensor *ret)
{
    char path[512];
    unsigned char *bytes;
    size_t n_bytes;
    const char *name;

    (void)snprintf(path, sizeof path, "%.*stest_data_set_0/input_%d.pb",
                   (int)(strlen(model_path) - strlen("model.onnx")), model_path, i);
    if (file_read(path, 1 << 24, &bytes, &n_bytes, NULL) != ERR_NONE) {
        return false;
    }
    enum err err = onnx_load_tensor(bytes, n_bytes, mem, ret, &name, NULL);
    mem_free(bytes);
    return err == ERR_NONE;
}

/* What was saved, loaded; saved once more it has the same bytes. */
static struct graph *load_again(const unsigned char *bytes, size_t n_bytes, const char *path)
{
    struct err_note note = {0};
    struct graph *graph;
    unsigned char *again;
    size_t n_again;

    if (onnx_load(bytes, n_bytes, ONNX_AS_WRITTEN, &graph, NULL, &note) != ERR_NONE) {
        fail_msg("%s: %s", path, note.text);
    }
    graph_seal(graph);
    assert_int_equal(onnx_save(graph, NULL, &again, &n_again, &note), ERR_NONE);
    if (n_again != n_bytes || memcmp(bytes, again, n_bytes) != 0) {
        fail_msg("%s: saving what was saved gives other bytes", path);
    }
    mem_free(again);
    return graph;
}

/* Runs a graph on the case's inputs; NULL if the case cannot run. */
static struct session *run_case(const struct graph *graph, const struct tensor *inputs, int n_inputs,
                                struct tensor ret[OP_MAX_OUTPUTS])
{
    struct session *session;

    assert_int_equal(session_new(graph, NULL, &session), ERR_NONE);
    if (session_run(session, inputs, n_inputs, ret, graph_output_count(graph), NULL) != ERR_NONE) {
        session_free(session);
        return NULL;
    }
    return session;
}

static void compare_case(const char *path, const struct graph *graph, const struct graph *loaded, int *compared)
{
    struct arena *mem = arena_new((size_t)1 << 26);
    struct tensor inputs[MOST_INPUTS];
    struct tensor before[OP_MAX_OUTPUTS];
    struct tensor after[OP_MAX_OUTPUTS];
    int n_inputs = graph_input_count(graph);
    bool whole = n_inputs <= MOST_INPUTS && graph_output_count(graph) <= OP_MAX_OUTPUTS;

    for (int i = 0; whole && i < n_inputs; i++) {
        whole = read_input(path, i, mem, &inputs[i]);
    }
    struct session *first = whole ? run_case(graph, inputs, n_inputs, before) : NULL;
    if (first != NULL) {
        struct session *second = run_case(loaded, inputs, n_inputs, after);
        if (second == NULL) {
            fail_msg("%s: does not run after saving", path);
        }
        for (int i = 0; i < graph_output_count(graph); i++) {
            if (!shape_equal(&before[i].shape, &after[i].shape) || before[i].type != after[i].type ||
                memcmp(before[i].data, after[i].data, tensor_bytes(&before[i])) != 0) {
                fail_msg("%s: output %d differs after saving", path, i);
            }
        }
        ++*compared;
        session_free(second);
    }
    session_free(first);
    arena_free(mem);
}

static void test_standard_cases(void **state)
{
    size_t blocks = mem_live_blocks();
    glob_t cases = {0};
    int saved = 0;
    int refused = 0;
    int compared = 0;

    if (glob(CASES, 0, NULL, &cases) != 0) {
        globfree(&cases);
        print_message("libonnx-testdata is not installed\n");
        skip();
    }
    for (size_t i = 0; i < cases.gl_pathc; i++) {
        unsigned char *bytes = NULL;
        size_t n_bytes;
        struct graph *graph;
        struct err_note note = {0};
        assert_int_equal(file_read(cases.gl_pathv[i], 1 << 24, &bytes, &n_bytes, NULL), ERR_NONE);
        enum err err = onnx_load(bytes, n_bytes, ONNX_AS_WRITTEN, &graph, NULL, NULL);
        mem_free(bytes);
        if (err != ERR_NONE) {
            continue;
        }
        graph_seal(graph);
        err = onnx_save(graph, NULL, &bytes, &n_bytes, &note);
        if (err == ERR_NONE) {
            struct graph *loaded = load_again(bytes, n_bytes, cases.gl_pathv[i]);
            mem_free(bytes);
            compare_case(cases.gl_pathv[i], graph, loaded, &compared);
            graph_free(loaded);
            saved++;
        } else {
            assert_int_equal(err, ERR_UNSUPPORTED);
            assert_string_not_equal(note.text, "");
            refused++;
        }
        graph_free(graph);
    }
    globfree(&cases);
    print_message("%d cases saved, %d of them compared to the bit, %d refused in words\n", saved, compared, refused);
    assert_true(compared > 100);
    assert_int_equal(mem_live_blocks(), blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_standard_cases)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
