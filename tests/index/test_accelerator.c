/* test_accelerator.c: which descriptions are understood, what FAISS says of them, and what it leaves behind. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <setjmp.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/random.h"
#include "index/accelerator.h"
#include "index/faiss_index.h"
#include "tests/support/memory_support.h"

enum {
    DIM = 64,
    ROWS = 700
};

static float vectors[ROWS][DIM];

static int make_vectors(void **state)
{
    struct random random = random_seeded(11, 11);

    for (size_t i = 0; i < ROWS; i++) {
        double sum = 0;
        for (size_t j = 0; j < DIM; j++) {
            vectors[i][j] = (float)random_normal(&random);
            sum += (double)vectors[i][j] * (double)vectors[i][j];
        }
        for (size_t j = 0; j < DIM; j++) {
            vectors[i][j] = (float)((double)vectors[i][j] / sqrt(sum));
        }
    }
    return 0;
}

/* ---- Descriptions ------------------------------------------------------------------------------------------------- */

static const struct {
    const char *text;
    int dim;
    enum err err;
    const char *words;      /* of the refusal */
    const char *parameters; /* else */
    size_t least_rows;
} descriptions[] = {
    {"Flat", 128, ERR_NONE, NULL, "", 0},
    {"SQfp16", 128, ERR_NONE, NULL, "", 0},
    {"SQ8", 128, ERR_NONE, NULL, "", 0},
    {"SQ6", 128, ERR_NONE, NULL, "", 0},
    {"SQ4", 128, ERR_NONE, NULL, "", 0},
    {"SQ4", 5, ERR_NONE, NULL, "", 0},
    {"SQ6", 5, ERR_NONE, NULL, "", 0},
    {"Flat", 1, ERR_NONE, NULL, "", 0},
    {"HNSW32", 1, ERR_NONE, NULL, "", 0},
    {"IVF2,Flat", 128, ERR_NONE, NULL, "nprobe=2", 78},
    {"IVF16,Flat", 128, ERR_NONE, NULL, "nprobe=8", 624},
    {"IVF16,SQ8", 128, ERR_NONE, NULL, "nprobe=8", 624},
    {"IVF256,SQ8", 512, ERR_NONE, NULL, "nprobe=16", 9984},
    {"IVF1024,SQfp16", 512, ERR_NONE, NULL, "nprobe=64", 39936},
    {"IVF256,SQ8 nprobe=256", 512, ERR_NONE, NULL, "nprobe=256", 9984},
    {"IVF64_HNSW32,Flat", 128, ERR_NONE, NULL, "nprobe=8", 2496},
    {"PQ16", 128, ERR_NONE, NULL, "", 9984},
    {"PQ16np", 128, ERR_NONE, NULL, "", 9984},
    {"HNSW8,PQ16", 128, ERR_NONE, NULL, "", 9984},
    {"PQ16x4", 128, ERR_NONE, NULL, "", 624},
    {"PQ16x10", 128, ERR_NONE, NULL, "", 39936},
    {"IVF64,PQ16", 128, ERR_NONE, NULL, "nprobe=8", 9984},
    {"HNSW32", 512, ERR_NONE, NULL, "", 0},
    {"HNSW32,Flat", 128, ERR_NONE, NULL, "", 0},
    {"HNSW32,SQ8", 128, ERR_NONE, NULL, "", 0},
    {"HNSW4", 128, ERR_NONE, NULL, "", 0},
    {"HNSW128", 128, ERR_NONE, NULL, "", 0},
    {"HNSW32 efSearch=64,efConstruction=80", 128, ERR_NONE, NULL, "efSearch=64,efConstruction=80", 0},
    {"IVF64,PQ16x8", 128, ERR_NONE, NULL, "nprobe=8", 9984},
    {"IVF4,PQ16x4", 128, ERR_NONE, NULL, "nprobe=4", 624},
    /* what FAISS would refuse, on stderr */
    {"PQ7", 128, ERR_UNSUPPORTED, "128 numbers are not cut into 7 equal parts", NULL, 0},
    {"IVF16,PQ7", 128, ERR_UNSUPPORTED, "128 numbers are not cut into 7 equal parts", NULL, 0},
    {"HNSW8,PQ7", 128, ERR_UNSUPPORTED, "128 numbers are not cut into 7 equal parts", NULL, 0},
    {"PQ200", 128, ERR_UNSUPPORTED, "128 numbers are not cut into 200 equal parts", NULL, 0},
    {"IVF16,PQ16x9", 128, ERR_UNSUPPORTED, "\"9\"", NULL, 0},
    {"IVF16,PQ16x10", 128, ERR_UNSUPPORTED, "in IVF to x8", NULL, 0},
    {"HNSW8,PQ16x4", 128, ERR_UNSUPPORTED, "\"x4\"", NULL, 0},
    {"HNSW8,PQ16x10", 128, ERR_UNSUPPORTED, "\"x10\"", NULL, 0},
    /* more than a segment has */
    {"IVF1024,Flat", 128, ERR_NONE, NULL, "nprobe=64", 39936},
    /* ours */
    {"", 128, ERR_UNSUPPORTED, "known are Flat", NULL, 0},
    {" Flat", 128, ERR_UNSUPPORTED, "known are Flat", NULL, 0},
    {"Flat ", 128, ERR_UNSUPPORTED, "known are Flat", NULL, 0},
    {"flat", 128, ERR_UNSUPPORTED, "\"flat\"", NULL, 0},
    {"Foo", 128, ERR_UNSUPPORTED, "\"Foo\"", NULL, 0},
    {"Flat,RFlat", 128, ERR_UNSUPPORTED, "\",RFlat\"", NULL, 0},
    {"IVF16", 128, ERR_UNSUPPORTED, "known are", NULL, 0},
    {"IVF0,Flat", 128, ERR_UNSUPPORTED, "\"0,Flat\"", NULL, 0},
    {"IVF1,Flat", 128, ERR_UNSUPPORTED, "known are", NULL, 0},
    {"IVF-4,Flat", 128, ERR_UNSUPPORTED, "known are", NULL, 0},
    {"IVF016,Flat", 128, ERR_UNSUPPORTED, "known are", NULL, 0},
    {"IVF1025,Flat", 128, ERR_UNSUPPORTED, "to 1024", NULL, 0},
    {"IVF1000000000,Flat", 128, ERR_UNSUPPORTED, "to 1024", NULL, 0},
    {"IVF99999999999999999999,Flat", 128, ERR_UNSUPPORTED, "to 1024", NULL, 0},
    {"IVF16,IVF16,Flat", 128, ERR_UNSUPPORTED, "known are", NULL, 0},
    {"IVF16,HNSW32", 128, ERR_UNSUPPORTED, "known are", NULL, 0},
    {"IVF16,PQ16x4fs", 128, ERR_UNSUPPORTED, "\"fs\"", NULL, 0},
    {"PQ16x4fs", 128, ERR_UNSUPPORTED, "\"fs\"", NULL, 0},
    {"PQ0", 128, ERR_UNSUPPORTED, "known are", NULL, 0},
    {"PQ16x25", 128, ERR_UNSUPPORTED, "known are", NULL, 0},
    {"HNSW0", 128, ERR_UNSUPPORTED, "known are", NULL, 0}, /* crashes FAISS */
    {"HNSW1", 128, ERR_UNSUPPORTED, "known are", NULL, 0},
    {"HNSW65536", 128, ERR_UNSUPPORTED, "known are", NULL, 0},
    {"IMI2x8,Flat", 128, ERR_UNSUPPORTED, "known are", NULL, 0},
    {"PCA64,Flat", 128, ERR_UNSUPPORTED, "known are", NULL, 0},
    {"IDMap,Flat", 128, ERR_UNSUPPORTED, "known are", NULL, 0},
    {"LSH", 128, ERR_UNSUPPORTED, "known are", NULL, 0},
    {"Flat nprobe=4", 128, ERR_UNSUPPORTED, "nprobe", NULL, 0},
    {"IVF16,Flat nprobe=0", 128, ERR_UNSUPPORTED, "\"0\"", NULL, 0},
    {"IVF16,Flat nprobe=17", 128, ERR_UNSUPPORTED, "\"17\"", NULL, 0},
    {"IVF16,Flat nprobe=", 128, ERR_UNSUPPORTED, "known are", NULL, 0},
    {"IVF16,Flat nprobe=4,", 128, ERR_UNSUPPORTED, "known are", NULL, 0},
    {"IVF16,Flat  nprobe=4", 128, ERR_UNSUPPORTED, "known are", NULL, 0},
    {"IVF16,Flat verbose=1", 128, ERR_UNSUPPORTED, "\"verbose=1\"", NULL, 0},
    {"Flat\n", 128, ERR_UNSUPPORTED, "known are", NULL, 0},
    {"Flat\xc3\xa4", 128, ERR_UNSUPPORTED, "known are", NULL, 0},
};

static void test_descriptions(void **state)
{
    for (size_t i = 0; i < sizeof(descriptions) / sizeof(descriptions[0]); i++) {
        struct acceleration what = {0};
        struct err_note note = {0};
        enum err err = index_check_acceleration(descriptions[i].dim, SIZE_MAX, descriptions[i].text, &note);
        if (err != descriptions[i].err || (err != ERR_NONE && strstr(note.text, descriptions[i].words) == NULL)) {
            fail_msg("row %zu: \"%s\": %s, %s", i, descriptions[i].text, err_word(err), note.text);
        }
        if (err == ERR_NONE) {
            assert_int_equal(acceleration_parse(descriptions[i].text, &what, NULL), ERR_NONE);
            if (strcmp(what.parameters, descriptions[i].parameters) != 0 ||
                what.least_rows != descriptions[i].least_rows || strcmp(what.text, descriptions[i].text) != 0) {
                fail_msg("row %zu: \"%s\": \"%s\", %zu", i, descriptions[i].text, what.parameters, what.least_rows);
            }
        }
    }
    assert_int_equal(mem_live_blocks(), 0);
}

static void test_long_ones(void **state)
{
    static char text[10 << 10];
    struct err_note note = {0};

    memset(text, 'F', sizeof text - 1);
    assert_int_equal(index_check_acceleration(128, 65536, text, &note), ERR_UNSUPPORTED);
    assert_non_null(strstr(note.text, "at most 63 characters"));
    memset(text, '9', sizeof text - 1);
    memcpy(text, "IVF", 3);
    assert_int_equal(index_check_acceleration(128, 65536, text, NULL), ERR_UNSUPPORTED);
    text[INDEX_ACCELERATION_CHARS - 1] = '\0'; /* the longest that is read */
    assert_int_equal(index_check_acceleration(128, 65536, text, NULL), ERR_UNSUPPORTED);
}

static void test_short_segments(void **state)
{
    struct err_note note = {0};

    assert_int_equal(index_check_acceleration(64, 9983, "IVF256,SQ8", &note), ERR_UNSUPPORTED);
    assert_non_null(strstr(note.text, "9984"));
    assert_non_null(strstr(note.text, "9983"));
    assert_int_equal(index_check_acceleration(64, 9984, "IVF256,SQ8", NULL), ERR_NONE);
}

static void test_without_memory(void **state)
{
    for (long at = 0;; at++) {
        mem_fail_at(at);
        enum err err = index_check_acceleration(64, 65536, "SQ8", NULL);
        mem_fail_at(-1);
        assert_int_equal(mem_live_blocks(), 0);
        if (err == ERR_NONE) {
            assert_true(at >= 3);
            break;
        }
        assert_int_equal(err, ERR_NOMEM);
    }
}

/* ---- Filled ------------------------------------------------------------------------------------------------------- */

static struct accelerator *filled(const char *text)
{
    struct accelerator *accelerator = NULL;
    struct acceleration what = {0};
    uint16_t rows[ROWS];

    for (size_t i = 0; i < ROWS; i++) {
        rows[i] = (uint16_t)(60000 - i);
    }
    assert_int_equal(acceleration_parse(text, &what, NULL), ERR_NONE);
    assert_int_equal(accelerator_new(&what, DIM, ROWS, NULL, &accelerator, NULL), ERR_NONE);
    size_t sample = accelerator_sample(accelerator, &what, ROWS);
    if (sample > 0) {
        assert_int_equal(accelerator_train(accelerator, vectors[0], sample, NULL), ERR_NONE);
    }
    for (size_t i = 0; i < ROWS; i += 100) {
        assert_int_equal(accelerator_add(accelerator, rows + i, vectors[i], 100, NULL), ERR_NONE);
    }
    return accelerator;
}

static void test_every_kind_finds_itself(void **state)
{
    static const struct {
        const char *text;
        size_t bytes_a_row; /* at least */
    } kinds[] = {{"Flat", 4 * DIM},
                 {"SQfp16", 2 * DIM},
                 {"SQ8", DIM},
                 {"SQ6", DIM * 3 / 4},
                 {"SQ4", DIM / 2},
                 {"IVF16,Flat", 4 * DIM},
                 {"IVF16,SQ8", DIM},
                 {"IVF4_HNSW8,SQfp16", 2 * DIM},
                 {"PQ16x4", 8},
                 {"IVF4,PQ16x4", 8},
                 {"HNSW16", 4 * DIM + 128},
                 {"HNSW16,SQ8", DIM + 128}};

    for (size_t kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++) {
        struct accelerator *accelerator = filled(kinds[kind].text);
        size_t found = 0;
        for (size_t i = 0; i < ROWS; i++) {
            uint16_t rows[20];
            size_t count = 0;
            assert_int_equal(accelerator_search(accelerator, vectors[i], 20, rows, &count), ERR_NONE);
            for (size_t j = 0; j < count; j++) {
                found += rows[j] == 60000 - i;
            }
        }
        if (found < ROWS * 98 / 100 || accelerator_bytes(accelerator) < ROWS * kinds[kind].bytes_a_row ||
            accelerator_bytes(accelerator) > ROWS * (12 * DIM + 1024)) {
            fail_msg("%s: %zu of %d, %zu bytes", kinds[kind].text, found, ROWS, accelerator_bytes(accelerator));
        }
        accelerator_free(accelerator);
    }
    accelerator_free(NULL);
    assert_int_equal(mem_live_blocks(), 0);
}

static void test_too_much_memory(void **state)
{
    struct accelerator *accelerator = NULL;
    struct acceleration what = {0};
    struct err_note note = {0};
    uint16_t rows[ROWS] = {0};

    assert_int_equal(acceleration_parse("Flat", &what, NULL), ERR_NONE);
    assert_int_equal(accelerator_new(&what, DIM, ROWS, NULL, &accelerator, NULL), ERR_NONE);
    accelerator->allowance.most = 100 * DIM * 4 + 1000; /* room for a hundred */
    assert_int_equal(accelerator_add(accelerator, rows, vectors[0], 100, NULL), ERR_NONE);
    assert_int_equal(accelerator_add(accelerator, rows, vectors[100], 100, &note), ERR_LIMIT);
    assert_non_null(strstr(note.text, "memory"));
    assert_int_equal(accelerator->n, 100);
    accelerator_free(accelerator);
}

/* Somebody removes a row while FAISS learns from it. */
static void test_stopping(void **state)
{
    static const char *const kinds[] = {"IVF16,SQ8", "PQ16x4", "HNSW16", "Flat"};

    for (size_t kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++) {
        struct accelerator *accelerator = NULL;
        struct acceleration what = {0};
        atomic_bool stop = false;
        uint16_t rows[ROWS] = {0};
        assert_int_equal(acceleration_parse(kinds[kind], &what, NULL), ERR_NONE);
        assert_int_equal(accelerator_new(&what, DIM, ROWS, &stop, &accelerator, NULL), ERR_NONE);
        size_t sample = accelerator_sample(accelerator, &what, ROWS);
        atomic_store(&stop, true);
        if (sample > 0) {
            assert_int_equal(accelerator_train(accelerator, vectors[0], sample, NULL), ERR_CANCELLED);
        } else {
            assert_int_equal(accelerator_add(accelerator, rows, vectors[0], ROWS, NULL), ERR_CANCELLED);
        }
        accelerator_free(accelerator);
        accelerator = NULL;
        assert_int_equal(accelerator_new(&what, DIM, ROWS, &stop, &accelerator, NULL), ERR_CANCELLED);
        assert_null(accelerator);
    }
    assert_int_equal(mem_live_blocks(), 0);
}

/* ---- Forgotten ---------------------------------------------------------------------------------------------------- */

static void test_nothing_is_left(void **state)
{
    static const char *const kinds[] = {"Flat", "HNSW16", "IVF4,Flat"};

    for (size_t kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++) {
        struct accelerator *accelerator = filled(kinds[kind]); /* IVF keeps the rows as they are too */
        for (size_t i = 0; i < ROWS; i += 233) {
            if (memory_copies(vectors[i], 32, vectors, sizeof vectors) == 0) {
                fail_msg("%s: the test does not see what FAISS holds", kinds[kind]);
            }
        }
        accelerator_free(accelerator);
        for (size_t i = 0; i < ROWS; i += 233) {
            size_t copies = memory_copies(vectors[i], 32, vectors, sizeof vectors);
            if (copies > 0) {
                fail_msg("%s: vector %zu stands in %zu places after it was freed", kinds[kind], i, copies);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_descriptions),
        cmocka_unit_test(test_long_ones),
        cmocka_unit_test(test_short_segments),
        cmocka_unit_test(test_without_memory),
        cmocka_unit_test(test_every_kind_finds_itself),
        cmocka_unit_test(test_too_much_memory),
        cmocka_unit_test(test_stopping),
        cmocka_unit_test(test_nothing_is_left),
    };
    return cmocka_run_group_tests(tests, make_vectors, NULL);
}
