/* test_manifest.c: what manifests say, what is assumed, and what is refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "server/gallery/manifest.h"

#define GOOD "\"color\":\"bgr\",\"mean\":[1,2,3],\"std\":[4,5,6]"

static enum err read_it(const char *text, enum model_role role, bool itself, struct arena *mem, struct manifest *ret,
                        struct err_note *note)
{
    return manifest_read(text, text == NULL ? 0 : strlen(text), role, itself, mem, ret, note);
}

static void test_wrong_manifests(void **state)
{
    static const struct {
        const char *text;
        const char *named; /* stands in the sentence */
        enum err err;
    } rows[] = {
        {"", "not JSON", ERR_FORMAT},
        {"{", "not JSON", ERR_FORMAT},
        {"[]", "object", ERR_FORMAT},
        {"{\"role\":3}", "role", ERR_FORMAT},
        {"{\"role\":\"classifier\"}", "role", ERR_FORMAT},
        {"{\"role\":\"detector\"}", "role", ERR_CONFLICT},
        {"{\"color\":\"grey\"}", "color", ERR_FORMAT},
        {"{\"color\":1}", "color", ERR_FORMAT},
        {"{\"mean\":[1,2,3]}", "std", ERR_FORMAT},
        {"{\"std\":[1,2,3]}", "mean", ERR_FORMAT},
        {"{\"mean\":[1,2],\"std\":[1,1,1]}", "mean", ERR_FORMAT},
        {"{\"mean\":[1,2,\"x\"],\"std\":[1,1,1]}", "mean", ERR_FORMAT},
        {"{\"mean\":[1,2,1e300],\"std\":[1,1,1]}", "mean", ERR_FORMAT},
        {"{\"mean\":[1,2,3],\"std\":[1,0,1]}", "std", ERR_FORMAT},
        {"{\"mean\":[1,2,3],\"std\":[1,-2,1]}", "std", ERR_FORMAT},
        {"{\"mean\":[1,2,3],\"std\":[1,1e-300,1]}", "std", ERR_FORMAT},
        {"{\"flip\":\"yes\"}", "flip", ERR_FORMAT},
        {"{\"source\":5}", "source", ERR_FORMAT},
        {"{\"licence\":[]}", "licence", ERR_FORMAT},
        {"{\"calibration\":[]}", "calibration", ERR_FORMAT},
        {"{\"calibration\":{\"points\":[{\"fmr\":0.1,\"cosine\":0.2}]}}", "calibration", ERR_FORMAT},
        {"{\"calibration\":{\"points\":[{\"fmr\":0.1,\"cosine\":0.2},{\"fmr\":0.2,\"cosine\":0.3}]}}", "fall",
         ERR_FORMAT},
        {"{\"calibration\":{\"points\":[{\"fmr\":0.1,\"cosine\":0.2},{\"fmr\":0.01,\"cosine\":0.2}]}}", "rise",
         ERR_FORMAT},
        {"{\"calibration\":{\"points\":[{\"fmr\":1.5,\"cosine\":0.2},{\"fmr\":0.01,\"cosine\":0.3}]}}", "fmr",
         ERR_FORMAT},
        {"{\"calibration\":{\"points\":[{\"fmr\":0.5,\"cosine\":0.2},{\"fmr\":0.01,\"cosine\":3}]}}", "cosine",
         ERR_FORMAT},
        {"{\"color\":\"rgb\",\"color\":\"bgr\"}", "not JSON", ERR_FORMAT},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena *mem = arena_new(1 << 20);
        struct err_note note = {0};
        struct manifest manifest = {.flip = true};
        enum err err = read_it(rows[i].text, MODEL_RECOGNIZER, false, mem, &manifest, &note);
        if (err != rows[i].err || strstr(note.text, rows[i].named) == NULL || !manifest.flip) {
            fail_msg("row %zu: %s: %s, \"%s\"", i, rows[i].text, err_word(err), note.text);
        }
        arena_free(mem);
    }
    assert_int_equal(mem_live_blocks(), 0);
}

static void test_assumptions(void **state)
{
    static const struct {
        const char *text;
        enum model_role role;
        bool itself;
        float mean, std;
        bool assumed;
    } rows[] = {
        {NULL, MODEL_RECOGNIZER, false, 127.5F, 127.5F, true},
        {NULL, MODEL_RECOGNIZER, true, 0, 1, true},
        {NULL, MODEL_DETECTOR, false, 127.5F, 128, true},
        {"{}", MODEL_DETECTOR, false, 127.5F, 128, true},
        {"{\"color\":\"rgb\",\"mean\":[0,0,0],\"std\":[1,1,1]}", MODEL_RECOGNIZER, false, 0, 1, false},
        {"{\"mean\":[0,0,0],\"std\":[2,2,2]}", MODEL_RECOGNIZER, true, 0, 2, true}, /* the colour is */
        {"{\"color\":null,\"mean\":null,\"std\":null}", MODEL_RECOGNIZER, true, 0, 1, true},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena *mem = arena_new(1 << 20);
        struct err_note note = {0};
        struct manifest m = {0};
        enum err err = read_it(rows[i].text, rows[i].role, rows[i].itself, mem, &m, &note);
        if (err != ERR_NONE || m.how.mean[2] != rows[i].mean || m.how.std[2] != rows[i].std ||
            (m.assumed != NULL) != rows[i].assumed) {
            fail_msg("row %zu: %s \"%s\", mean %g std %g, assumed: %s", i, err_word(err), note.text,
                     (double)m.how.mean[2], (double)m.how.std[2], m.assumed == NULL ? "-" : m.assumed);
        }
        arena_free(mem);
    }
}

static void test_whole_manifest_is_kept_and_read_again(void **state)
{
    static const char text[] =
        "{\"role\":\"recognizer\"," GOOD ",\"flip\":true,\"source\":\"here\",\"licence\":\"MIT\",\"shoe_size\":44,"
        "\"calibration\":{\"points\":[{\"fmr\":0.01,\"cosine\":0.2},{\"fmr\":0.0001,\"cosine\":0.4}],\"evidence\":9}}";
    struct arena *mem = arena_new(1 << 20);
    struct manifest first = {0}, again = {0};
    struct calibration calibration = {0};

    assert_int_equal(read_it(text, MODEL_RECOGNIZER, false, mem, &first, NULL), ERR_NONE);
    assert_int_equal(read_it(first.json, MODEL_RECOGNIZER, false, mem, &again, NULL), ERR_NONE);
    assert_non_null(strstr(first.json, "\"shoe_size\":44"));
    assert_string_equal(first.json, again.json);
    assert_int_equal(again.how.color, COLOR_BGR);
    assert_true(again.how.mean[1] == 2 && again.how.std[2] == 6 && again.flip);
    assert_string_equal(again.source, "here");
    assert_int_equal(manifest_read_calibration(first.calibration_json, &calibration, NULL), ERR_NONE);
    assert_int_equal(calibration.n_points, 2);
    assert_true(calibration.points[1].cosine == .4F);
    arena_free(mem);
}

/* Whoever copies a manifest from core/models/production.md gets what stands beside it. */
static void test_the_manifests_of_the_documentation(void **state)
{
    static const char begin[] = "```json\n";
    static const struct {
        enum model_role role;
        float mean, std;
    } rows[] = {{MODEL_RECOGNIZER, 127.5F, 127.5F}, {MODEL_DETECTOR, 127.5F, 128}, {MODEL_RECOGNIZER, 0, 1}};
    const size_t n_rows = sizeof rows / sizeof rows[0];
    unsigned char *page = NULL;
    size_t n_bytes = 0;
    size_t n = 0;

    assert_int_equal(file_read("core/models/production.md", 1 << 20, &page, &n_bytes, NULL), ERR_NONE);
    for (const char *at = strstr((const char *)page, begin); at != NULL; at = strstr(at, begin)) {
        struct arena *mem = arena_new(1 << 20);
        struct err_note note = {0};
        struct manifest m = {0};
        at += strlen(begin);
        const char *end = strstr(at, "```");
        assert_true(end != NULL && n < n_rows);
        enum err err = manifest_read(at, (size_t)(end - at), rows[n].role, false, mem, &m, &note);
        if (err != ERR_NONE || m.assumed != NULL || m.source == NULL || m.licence == NULL || m.how.color != COLOR_RGB) {
            fail_msg("block %zu: %s \"%s\", assumed: %s", n, err_word(err), note.text,
                     m.assumed == NULL ? "-" : m.assumed);
        }
        for (int i = 0; i < 3; i++) {
            assert_true(m.how.mean[i] == rows[n].mean && m.how.std[i] == rows[n].std);
        }
        arena_free(mem);
        n++;
    }
    assert_int_equal(n, n_rows);
    mem_free(page);
    assert_int_equal(mem_live_blocks(), 0);
}

static void version_of(const char *text, enum model_role role, unsigned char first_byte, char ret[STORE_VERSION_TEXT])
{
    struct arena *mem = arena_new(1 << 20);
    struct manifest manifest = {0};
    unsigned char digest[32] = {first_byte};

    assert_int_equal(read_it(text, role, false, mem, &manifest, NULL), ERR_NONE);
    manifest_version(digest, &manifest, ret);
    arena_free(mem);
}

static void test_version_names_what_makes_the_numbers(void **state)
{
    static const struct {
        const char *text;
        unsigned char byte;
        bool same;
    } rows[] = {
        {"{" GOOD "}", 1, true},
        {"{" GOOD ",\"source\":\"elsewhere\",\"new\":1}", 1, true},
        {"{" GOOD ",\"calibration\":{\"points\":[{\"fmr\":0.1,\"cosine\":0.2},{\"fmr\":0.01,\"cosine\":0.3}]}}", 1,
         true},
        {"{" GOOD "}", 2, false},
        {"{" GOOD ",\"flip\":true}", 1, false},
        {"{\"color\":\"rgb\",\"mean\":[1,2,3],\"std\":[4,5,6]}", 1, false},
        {"{\"color\":\"bgr\",\"mean\":[1,2,3.000001],\"std\":[4,5,6]}", 1, false},
        {"{\"color\":\"bgr\",\"mean\":[1,2,3],\"std\":[4,5,6.000001]}", 1, false},
    };
    char first[STORE_VERSION_TEXT];

    version_of(rows[0].text, MODEL_RECOGNIZER, 1, first);
    assert_int_equal(strlen(first), 64);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char version[STORE_VERSION_TEXT];
        version_of(rows[i].text, MODEL_RECOGNIZER, rows[i].byte, version);
        if ((strcmp(version, first) == 0) != rows[i].same) {
            fail_msg("row %zu: %s", i, rows[i].text);
        }
    }
    assert_int_equal(mem_live_blocks(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_manifests),
        cmocka_unit_test(test_assumptions),
        cmocka_unit_test(test_whole_manifest_is_kept_and_read_again),
        cmocka_unit_test(test_the_manifests_of_the_documentation),
        cmocka_unit_test(test_version_names_what_makes_the_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
