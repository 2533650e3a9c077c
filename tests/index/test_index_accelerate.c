/* test_index_accelerate.c: FAISS's kinds beside segments: made, asked, measured, dropped; and never believed in a score. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <setjmp.h>

#include <cmocka.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/random.h"
#include "index/index_private.h"
#include "tests/support/memory_support.h"

enum {
    DIM = 64,
    SEGMENT = 256,
    ROWS = 1000, /* three full segments and a tail */
    K = 5
};
#define LONG_NS INT64_C(1000000000000)

static float vectors[ROWS][DIM];

static int make_vectors(void **state)
{
    struct random random = random_seeded(12, 12);

    for (size_t i = 0; i < ROWS; i++) {
        double sum = 0;
        for (size_t j = 0; j < DIM; j++) { /* four of each person */
            vectors[i][j] = (float)random_normal(&random) + (i % 4 == 0 ? 0 : 1.4F * vectors[i / 4 * 4][j] * 8);
            sum += (double)vectors[i][j] * (double)vectors[i][j];
        }
        for (size_t j = 0; j < DIM; j++) {
            vectors[i][j] = (float)((double)vectors[i][j] / sqrt(sum));
        }
    }
    return 0;
}

static struct index *with_rows(size_t n)
{
    struct index *index = NULL;
    int64_t ids[ROWS];

    for (size_t i = 0; i < n; i++) {
        ids[i] = (int64_t)i;
    }
    assert_int_equal(index_new_with(DIM, SEGMENT, scan_best(), &index, NULL), ERR_NONE);
    assert_int_equal(index_add(index, ids, vectors[0], n, NULL), ERR_NONE);
    return index;
}

static struct index_acceleration state_of(struct index *index)
{
    struct index_acceleration is;

    index_acceleration(index, &is);
    return is;
}

static void build(struct index *index)
{
    int64_t wait_ns = -1;

    index_build(index, 0, &wait_ns);
    assert_int_equal(wait_ns, 0);
}

/* How many of the best K of every row are found, and that all that is found has the exact score. */
static size_t found_of(struct index *index, enum index_way way)
{
    const struct index_ask exactly = {.k = K, .min_cosine = -1, .way = INDEX_WAY_EXACT};
    const struct index_ask ask = {.k = K, .min_cosine = -1, .way = way};
    struct index_hit exact[K];
    struct index_hit hits[K];
    size_t found = 0;

    for (size_t i = 0; i < ROWS; i++) {
        int n_exact = 0;
        int n = 0;
        assert_int_equal(index_search_many(index, vectors[i], 1, &exactly, exact, &n_exact, NULL), ERR_NONE);
        assert_int_equal(index_search_many(index, vectors[i], 1, &ask, hits, &n, NULL), ERR_NONE);
        assert_int_equal(n_exact, K);
        for (int j = 0; j < n; j++) {
            float cosine = scan_best()->dot(vectors[i], vectors[hits[j].id], DIM);
            assert_memory_equal(&hits[j].cosine, &cosine, sizeof cosine);
            assert_true(j == 0 || hits[j].cosine <= hits[j - 1].cosine);
            for (int l = 0; l < K; l++) {
                found += hits[j].id == exact[l].id;
            }
        }
    }
    return found;
}

static void test_made_asked_measured(void **state)
{
    struct index *index = with_rows(ROWS);
    const size_t bytes = index_bytes(index);

    assert_int_equal(state_of(index).state, INDEX_NOT_ACCELERATED);
    build(index);
    assert_int_equal(state_of(index).state, INDEX_NOT_ACCELERATED);
    assert_int_equal(index_accelerate(index, "IVF4,Flat nprobe=4", NULL), ERR_NONE);
    assert_int_equal(state_of(index).state, INDEX_ACCELERATION_BUILDS);
    assert_int_equal(state_of(index).n_covered, 0);
    assert_int_equal(state_of(index).recall.n_queries, 0);
    assert_int_equal(found_of(index, INDEX_WAY_PLANNED), ROWS * K); /* nothing is made yet: the scan answers */
    build(index);
    struct index_acceleration is = state_of(index);
    assert_int_equal(is.state, INDEX_ACCELERATION_STANDS);
    assert_string_equal(is.description, "IVF4,Flat nprobe=4");
    assert_int_equal(is.n_covered, 3 * SEGMENT);
    assert_true(is.bytes >= 3L * SEGMENT * DIM * 4 && is.bytes < 3L * SEGMENT * DIM * 12);
    assert_int_equal(index_bytes(index), bytes + is.bytes);
    /* It looks into all of its lists, so it misses nobody. */
    assert_int_equal(is.recall.n_queries, 128);
    assert_true(is.recall.at_1 == 1.0 && is.recall.at_10 == 1.0);
    assert_int_equal(found_of(index, INDEX_WAY_PLANNED), ROWS * K);
    index_free(index);
    assert_int_equal(mem_live_blocks(), 0);
}

static void test_what_is_missed_is_told(void **state)
{
    struct index *index = with_rows(ROWS);

    assert_int_equal(index_accelerate(index, "IVF6,SQ4 nprobe=1", NULL), ERR_NONE);
    build(index);
    struct index_acceleration is = state_of(index);
    assert_int_equal(is.state, INDEX_ACCELERATION_STANDS);
    assert_true(is.recall.at_10 > 0.2 && is.recall.at_10 < 0.95);
    assert_true(is.recall.at_1 >= is.recall.at_10 && is.recall.at_1 <= 1);
    size_t found = found_of(index, INDEX_WAY_PLANNED);
    assert_true(found > ROWS * K / 5 && found < ROWS * K * 99 / 100);
    /* All other ways are what they were. */
    assert_int_equal(found_of(index, INDEX_WAY_EXACT), ROWS * K);
    assert_int_equal(found_of(index, INDEX_WAY_FLOATS), ROWS * K);
    assert_int_equal(found_of(index, INDEX_WAY_BYTES), ROWS * K);
    index_free(index);
}

static bool any(void *context, int64_t id)
{
    return true;
}

static void test_filters_are_scanned(void **state)
{
    struct index *index = with_rows(ROWS);
    int64_t ids[ROWS];

    for (size_t i = 0; i < ROWS; i++) {
        ids[i] = (int64_t)i;
    }
    assert_int_equal(index_accelerate(index, "IVF6,SQ4 nprobe=1", NULL), ERR_NONE);
    build(index);
    const struct index_ask exactly = {.k = K, .min_cosine = -1, .way = INDEX_WAY_EXACT};
    const struct index_ask asks[] = {{.k = K, .min_cosine = -1, .allow = any},
                                     {.k = K, .min_cosine = -1, .only = ids, .n_only = ROWS}};
    for (size_t ask = 0; ask < 2; ask++) {
        for (size_t i = 0; i < ROWS; i += 16) {
            struct index_hit exact[16][K];
            struct index_hit hits[16][K];
            int n[16];
            const size_t some = ROWS - i < 16 ? ROWS - i : 16;
            assert_int_equal(index_search_many(index, vectors[i], some, &exactly, exact[0], n, NULL), ERR_NONE);
            assert_int_equal(index_search_many(index, vectors[i], some, &asks[ask], hits[0], n, NULL), ERR_NONE);
            for (size_t j = 0; j < some * K; j++) {
                assert_int_equal(exact[j / K][j % K].id, hits[j / K][j % K].id);
                assert_true(exact[j / K][j % K].cosine == hits[j / K][j % K].cosine);
            }
        }
    }
    index_free(index);
}

static void test_removing_drops_and_it_is_made_again(void **state)
{
    struct index *index = with_rows(ROWS);
    int64_t wait_ns = 0;
    size_t removed = 0;

    assert_int_equal(index_accelerate(index, "HNSW8", NULL), ERR_NONE);
    build(index);
    const size_t bytes = state_of(index).bytes;
    assert_int_equal(index_remove(index, &(int64_t){300}, 1, &removed, NULL), ERR_NONE);
    assert_int_equal(removed, 1);
    struct index_acceleration is = state_of(index);
    assert_int_equal(is.state, INDEX_ACCELERATION_BUILDS);
    assert_int_equal(is.n_covered, 2 * SEGMENT);
    assert_true(is.bytes < bytes);
    index_build(index, LONG_NS, &wait_ns); /* not so soon */
    assert_true(wait_ns > LONG_NS / 2 && wait_ns <= LONG_NS);
    assert_int_equal(state_of(index).n_covered, 2 * SEGMENT);
    build(index);
    assert_int_equal(state_of(index).n_covered, 3 * SEGMENT - 1);
    assert_int_equal(state_of(index).state, INDEX_ACCELERATION_STANDS);
    struct index_hit hits[K];
    int n = 0;
    assert_int_equal(index_search(index, vectors[300], K, -1, hits, &n, NULL), ERR_NONE);
    assert_int_equal(n, K);
    for (int i = 0; i < n; i++) {
        assert_int_not_equal(hits[i].id, 300);
    }
    /* Of the tail, it drops nothing; of nobody, neither. */
    assert_int_equal(index_remove(index, &(int64_t){999}, 1, &removed, NULL), ERR_NONE);
    assert_int_equal(index_remove(index, &(int64_t){12345}, 1, &removed, NULL), ERR_NONE);
    assert_int_equal(state_of(index).n_covered, 3 * SEGMENT - 1);
    index_free(index);
}

static void test_rewriting_takes_it_along(void **state)
{
    struct index *index = with_rows(ROWS);

    assert_int_equal(index_accelerate(index, "Flat", NULL), ERR_NONE);
    build(index);
    for (int64_t id = 0; id < SEGMENT; id += 2) {
        assert_int_equal(index_remove(index, &id, 1, NULL, NULL), ERR_NONE);
    }
    index_tidy(index);
    build(index);
    assert_int_equal(state_of(index).state, INDEX_ACCELERATION_STANDS);
    assert_int_equal(state_of(index).n_covered, 3 * SEGMENT - SEGMENT / 2);
    struct index_hit hits[K];
    int n = 0;
    for (int64_t id = 1; id < SEGMENT; id += 2) {
        assert_int_equal(index_search(index, vectors[id], K, 0.99F, hits, &n, NULL), ERR_NONE);
        assert_true(n >= 1 && hits[0].id == id);
    }
    index_free(index);
    assert_int_equal(mem_live_blocks(), 0);
}

static void test_changing_and_clearing(void **state)
{
    struct index *index = with_rows(ROWS);
    struct err_note note = {0};

    assert_int_equal(index_accelerate(index, "SQ8", NULL), ERR_NONE);
    build(index);
    assert_int_equal(index_accelerate(index, "SQ8", NULL), ERR_NONE); /* nothing changes */
    assert_int_equal(state_of(index).n_covered, 3 * SEGMENT);
    assert_int_equal(index_accelerate(index, "nonsense", &note), ERR_UNSUPPORTED);
    assert_int_equal(state_of(index).n_covered, 3 * SEGMENT);
    assert_int_equal(index_accelerate(index, "SQfp16", NULL), ERR_NONE);
    assert_int_equal(state_of(index).n_covered, 0);
    assert_int_equal(state_of(index).recall.n_queries, 0);
    assert_int_equal(state_of(index).bytes, 0);
    build(index);
    assert_int_equal(state_of(index).n_covered, 3 * SEGMENT);
    assert_int_equal(index_accelerate(index, "", NULL), ERR_NONE);
    assert_int_equal(state_of(index).state, INDEX_NOT_ACCELERATED);
    assert_int_equal(state_of(index).bytes, 0);
    build(index);
    assert_int_equal(state_of(index).bytes, 0);
    index_free(index);
    assert_int_equal(mem_live_blocks(), 0);
}

static void test_before_anything_is_there(void **state)
{
    struct index *index = NULL;

    (void)state;
    assert_int_equal(index_new(DIM, &index, NULL), ERR_NONE);
    assert_int_equal(index_accelerate(index, "Flat", NULL), ERR_NONE);
    assert_int_equal(index_accelerate(index, "", NULL), ERR_NONE);
    index_stop_accelerating(index);
    index_free(index);
    assert_int_equal(mem_live_blocks(), 0);
}

static void test_too_few(void **state)
{
    struct index *index = with_rows(SEGMENT - 1);

    assert_int_equal(index_accelerate(index, "Flat", NULL), ERR_NONE);
    build(index);
    assert_int_equal(state_of(index).state, INDEX_ACCELERATION_WAITS);
    assert_int_equal(index_add(index, &(int64_t){ROWS}, vectors[ROWS - 1], 1, NULL), ERR_NONE);
    assert_int_equal(state_of(index).state, INDEX_ACCELERATION_BUILDS); /* the last one is full */
    build(index);
    assert_int_equal(state_of(index).n_covered, SEGMENT);
    /* As many as IVF6 must learn from are there, and then one less. */
    assert_int_equal(index_accelerate(index, "IVF6,Flat", NULL), ERR_NONE);
    for (int64_t id = 0; id < SEGMENT - 39 * 6; id++) {
        assert_int_equal(index_remove(index, &id, 1, NULL, NULL), ERR_NONE);
    }
    build(index);
    assert_int_equal(state_of(index).n_covered, 39 * 6);
    assert_int_equal(index_remove(index, &(int64_t){100}, 1, NULL, NULL), ERR_NONE);
    build(index);
    assert_int_equal(state_of(index).state, INDEX_ACCELERATION_WAITS);
    assert_int_equal(state_of(index).n_covered, 0);
    index_free(index);
}

/* A collection changes over to a model of another dimension, say. */
static void test_failing_is_told(void **state)
{
    struct index *index = with_rows(ROWS);

    assert_int_equal(index_accelerate(index, "IVF2,PQ7x4", NULL), ERR_NONE);
    index->acceleration.least_rows = 2; /* a segment here is too short to cluster sixteen centres */
    build(index);
    struct index_acceleration is = state_of(index);
    assert_int_equal(is.state, INDEX_ACCELERATION_FAILED);
    assert_non_null(strstr(is.reason, "not cut into 7 equal parts"));
    assert_int_equal(found_of(index, INDEX_WAY_PLANNED), ROWS * K);
    assert_int_equal(index_accelerate(index, "Flat", NULL), ERR_NONE);
    build(index);
    assert_int_equal(state_of(index).state, INDEX_ACCELERATION_STANDS);
    assert_string_equal(state_of(index).reason, "");
    index_free(index);
}

/* FAISS may have no memory for a search.  Here it has no list to look into, which it refuses too. */
static void test_a_search_that_faiss_refuses_is_answered(void **state)
{
    struct index *index = with_rows(ROWS);

    assert_int_equal(index_accelerate(index, "IVF4,Flat", NULL), ERR_NONE);
    (void)snprintf(index->acceleration.parameters, sizeof index->acceleration.parameters, "nprobe=0");
    build(index);
    assert_int_equal(state_of(index).state, INDEX_ACCELERATION_STANDS);
    assert_int_equal(state_of(index).n_covered, 3 * SEGMENT);
    assert_int_equal(found_of(index, INDEX_WAY_PLANNED), ROWS * K);
    index_free(index);
}

/* Whatever fails, searches are answered, and a later call does what was left undone. */
static void test_without_memory(void **state)
{
    for (long at = 0;; at++) {
        struct index *index = with_rows(ROWS);
        int64_t wait_ns = 0;
        mem_fail_at(at);
        enum err err = index_accelerate(index, "SQ8", NULL);
        if (err == ERR_NONE) {
            index_build(index, 0, &wait_ns);
        }
        mem_fail_at(-1);
        assert_true(err == ERR_NONE || (err == ERR_NOMEM && state_of(index).state == INDEX_NOT_ACCELERATED));
        struct index_acceleration is = state_of(index);
        const bool whole = is.state == INDEX_ACCELERATION_STANDS && is.recall.n_queries > 0;
        struct index_hit hits[K];
        int n = 0;
        assert_int_equal(index_search(index, vectors[7], K, 0.99F, hits, &n, NULL), ERR_NONE);
        assert_true(n >= 1 && hits[0].id == 7);
        index_free(index);
        assert_int_equal(mem_live_blocks(), 0);
        if (whole) {
            assert_true(at > 5);
            break;
        }
    }
}

/* ---- Erased means erased ------------------------------------------------------------------------------------------ */

static void *build_on(void *context)
{
    int64_t wait_ns = 0;

    index_build(context, 0, &wait_ns);
    return NULL;
}

static void is_nowhere(const char *kind, size_t i)
{
    long copies = memory_copies(vectors[i], 32, vectors, sizeof vectors);

    if (copies != 0) {
        fail_msg("%s: vector %zu stands in %ld places", kind, i, copies);
    }
}

static void test_nothing_is_left(void **state)
{
    static const char *const kinds[] = {"Flat", "HNSW8", "IVF4,Flat"};

    for (size_t kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++) {
        struct index *index = with_rows(ROWS);
        assert_int_equal(index_accelerate(index, kinds[kind], NULL), ERR_NONE);
        build(index);
        assert_true(memory_copies(vectors[100], 32, vectors, sizeof vectors) >= 2); /* the index's own, and FAISS's */
        assert_int_equal(index_remove(index, &(int64_t){100}, 1, NULL, NULL), ERR_NONE);
        is_nowhere(kinds[kind], 100);
        index_free(index);
        is_nowhere(kinds[kind], 101);
    }
}

/* Removed while FAISS is being given them: index_remove waits until it has let go. */
static void test_nothing_is_left_in_the_making(void **state)
{
    static const char *const kinds[] = {"HNSW128 efConstruction=4000", "PQ16x4", "IVF6,Flat"};
    int stopped = 0;

    for (size_t round = 0; round < 12; round++) {
        const char *kind = kinds[round % 3];
        struct index *index = with_rows(ROWS);
        pthread_t builder;
        bool begun = false;
        assert_int_equal(index_accelerate(index, kind, NULL), ERR_NONE);
        index->acceleration.least_rows = 2;
        assert_int_equal(pthread_create(&builder, NULL, build_on, index), 0);
        while (!begun) { /* it begins, or it has ended already */
            index_lock_changing(index);
            begun = index->building != NULL || index->recall.n_queries > 0;
            index_unlock_changing(index);
            (void)sched_yield();
        }
        /* Whichever of the three is being made. */
        const int64_t ids[3] = {(int64_t)(round % 20 * 12), (int64_t)(256 + round % 20 * 12),
                                (int64_t)(512 + round % 20 * 12)};
        assert_int_equal(index_remove(index, ids, 3, NULL, NULL), ERR_NONE);
        index_lock_changing(index);
        stopped += index->recall.n_queries == 0;
        index_unlock_changing(index);
        for (size_t i = 0; i < 3; i++) {
            is_nowhere(kind, (size_t)ids[i]);
        }
        assert_int_equal(pthread_join(builder, NULL), 0);
        build(index);
        assert_int_equal(state_of(index).n_covered, 3 * SEGMENT - 3);
        index_free(index);
        assert_int_equal(mem_live_blocks(), 0);
    }
    assert_true(stopped > 2); /* at a graph at least it comes in time */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_made_asked_measured),
        cmocka_unit_test(test_what_is_missed_is_told),
        cmocka_unit_test(test_filters_are_scanned),
        cmocka_unit_test(test_removing_drops_and_it_is_made_again),
        cmocka_unit_test(test_rewriting_takes_it_along),
        cmocka_unit_test(test_changing_and_clearing),
        cmocka_unit_test(test_before_anything_is_there),
        cmocka_unit_test(test_too_few),
        cmocka_unit_test(test_failing_is_told),
        cmocka_unit_test(test_a_search_that_faiss_refuses_is_answered),
        cmocka_unit_test(test_without_memory),
        cmocka_unit_test(test_nothing_is_left),
        cmocka_unit_test(test_nothing_is_left_in_the_making),
    };
    return cmocka_run_group_tests(tests, make_vectors, NULL);
}
