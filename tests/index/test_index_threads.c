/* test_index_threads.c: searches beside adding and removing; also run under ThreadSanitizer (tests/tsan.mk). */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <setjmp.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/random.h"
#include "index/index_private.h"

enum {
    DIM = 512, /* the least that has peaks and signs */
    READERS = 3,
    STABLE = 200,
    ROUNDS = 400,
    PAIRS = 16,
    FILLERS = 24,
    FIRST_FILLER = 100000,
    ASKED = 2 + 2 * ROUNDS
};

/*
 * Ids below STABLE stay.  The writer adds and removes pairs: two ids with one vector in one call.  A search for that
 * vector finds both or neither, whenever it runs, and whether it asks for all or for some ids with these two at the ends of the list.
 * Fillers come and go beside them, so that segments are grown, sealed and rewritten all the time; the last of each round stays, is moved
 * again and again, and is found all the while.
 */
struct scene {
    struct index *index;
    float stable[STABLE][DIM];
    float pair[PAIRS][DIM];
    atomic_bool done;
    atomic_int wrong;
    atomic_long searches;
    atomic_int rounds;   /* whose last filler is there */
    atomic_long covered; /* by FAISS, seen now and then */
};

/* Not along an axis: its cosine with a pair's vector is .8 at most. */
static void random_oblique(struct random *random, float *ret)
{
    size_t a = (size_t)random_below(random, DIM);
    size_t b = (a + 1 + (size_t)random_below(random, DIM - 1)) % DIM;

    memset(ret, 0, DIM * sizeof *ret);
    ret[a] = 0.6F;
    ret[b] = 0.8F;
}

static void axis(float *ret, int i, float sign)
{
    memset(ret, 0, DIM * sizeof *ret);
    ret[i] = sign;
}

static int64_t last_filler(int round)
{
    return FIRST_FILLER + (int64_t)round * FILLERS + FILLERS - 1;
}

/* One pair, and between the two of every round a filler that stays and one that does not. */
static void list_some(int pair, int64_t *ret)
{
    ret[0] = STABLE + 2 * pair;
    for (int round = 0; round < ROUNDS; round++) {
        ret[1 + 2 * round] = last_filler(round);
        ret[2 + 2 * round] = last_filler(round) - 1;
    }
    ret[ASKED - 1] = STABLE + 2 * pair + 1;
}

static bool finds_a_filler(struct scene *scene, int i)
{
    struct index_hit hit;
    int count = 0;
    const int rounds = atomic_load(&scene->rounds);
    const int64_t id = last_filler(rounds == 0 ? 0 : i % rounds);
    const struct index_ask ask = {.k = 1, .min_cosine = -1, .only = &id, .n_only = 1};

    return rounds == 0 || (index_search_many(scene->index, scene->pair[0], 1, &ask, &hit, &count, NULL) == ERR_NONE &&
                           count == 1 && hit.id == id);
}

static void *read_on(void *context)
{
    struct scene *scene = context;
    int64_t some[ASKED];
    struct index_hit hits[8];
    float vector[DIM];
    int count = 0;
    int i = 0;

    do {
        i++;
        int pair = i % PAIRS;
        struct index_ask ask = {.k = 8, .min_cosine = 0.999F, .way = (enum index_way)(i / PAIRS % 5)};
        if (i % 3 == 0) {
            list_some(pair, some);
            ask.only = some;
            ask.n_only = ASKED;
        }
        bool failed =
            index_search_many(scene->index, scene->pair[pair], 1, &ask, hits, &count, NULL) != ERR_NONE ||
            (count != 0 && (count != 2 || hits[0].id != STABLE + 2 * pair || hits[1].id != STABLE + 2 * pair + 1));
        int id = i % STABLE;
        failed = failed || !finds_a_filler(scene, i) ||
                 index_search(scene->index, scene->stable[id], 8, 0.999F, hits, &count, NULL) != ERR_NONE ||
                 count < 1 || hits[0].id > id || index_get(scene->index, id, vector, NULL) != ERR_NONE ||
                 memcmp(vector, scene->stable[id], sizeof vector) != 0 || index_count(scene->index) < STABLE;
        atomic_fetch_add(&scene->wrong, failed ? 1 : 0);
        atomic_fetch_add(&scene->searches, 1);
    } while (!atomic_load(&scene->done));
    return NULL;
}

/* What has returned is seen by the next search: this thread's own proves it for every one that comes after. */
static int hits_for(struct scene *scene, int pair)
{
    struct index_hit hits[8];
    int count = -1;

    if (index_search(scene->index, scene->pair[pair], 8, 0.999F, hits, &count, NULL) != ERR_NONE) {
        return -1;
    }
    return count;
}

static void *tidy_on(void *context)
{
    struct scene *scene = context;

    do {
        index_tidy(scene->index);
    } while (!atomic_load(&scene->done));
    return NULL;
}

/* What is written while rows die in it must be as good as what was written in peace. */
static void *save_on(void *context)
{
    struct scene *scene = context;

    do {
        atomic_fetch_add(&scene->wrong, index_save(scene->index, NULL) == ERR_NONE ? 0 : 1);
    } while (!atomic_load(&scene->done));
    return NULL;
}

/* None of these misses anybody here; what is being made is dropped and changed all the time. */
static void *accelerate_on(void *context)
{
    static const char *const kinds[] = {"Flat", "IVF2,Flat nprobe=2", "SQfp16", ""};
    struct scene *scene = context;
    struct index_acceleration is;
    int64_t wait_ns = 0;

    for (size_t i = 0; !atomic_load(&scene->done); i++) {
        atomic_fetch_add(&scene->wrong, index_accelerate(scene->index, kinds[i % 4], NULL) == ERR_NONE ? 0 : 1);
        for (int j = 0; j < 8; j++) {
            index_build(scene->index, 0, &wait_ns);
            index_acceleration(scene->index, &is);
            atomic_fetch_add(&scene->wrong, is.state == INDEX_ACCELERATION_FAILED);
            atomic_fetch_add(&scene->covered, is.n_covered);
        }
    }
    return NULL;
}

static bool accept(void *context, const struct index_moment *of)
{
    return true;
}

static enum err now(void *context, struct index_moment *ret, struct err_note *note)
{
    *ret = (struct index_moment){{0}};
    return ERR_NONE;
}

/* The files, and nothing else, hold no vector but those that are there, and those rightly. */
static void files_are_right(struct scene *scene, const struct index_files *files, size_t segment_rows)
{
    struct index_load_report report = {0};
    struct index *loaded = NULL;
    float there[DIM];
    float in_file[DIM];
    int64_t in_both = 0;

    assert_int_equal(index_new_with(DIM, segment_rows, scan_best(), &loaded, NULL), ERR_NONE);
    assert_int_equal(index_load(loaded, files, &report, NULL), ERR_NONE);
    assert_int_equal(report.n_refused, 0);
    assert_int_equal(index_check_codes(loaded, NULL), ERR_NONE);
    for (int64_t id = 0; id < FIRST_FILLER + ROUNDS * FILLERS; id++) {
        if (index_get(loaded, id, in_file, NULL) == ERR_NONE) {
            assert_int_equal(index_get(scene->index, id, there, NULL), ERR_NONE);
            assert_memory_equal(in_file, there, sizeof there);
            in_both++;
        }
    }
    assert_int_equal(in_both, report.n_vectors);
    assert_true(report.n_taken > 0 || segment_rows == SEGMENT_MAX_ROWS);
    index_free(loaded);
}

static void write_on(struct scene *scene)
{
    struct random random = random_seeded(6, 6);
    float filler[FILLERS][DIM];
    int64_t filler_ids[FILLERS];

    for (int round = 0; round < ROUNDS; round++) {
        int pair = round % PAIRS;
        const int64_t ids[2] = {STABLE + 2 * pair, STABLE + 2 * pair + 1};
        float both[2][DIM];
        size_t removed = 0;

        for (int i = 0; i < FILLERS; i++) {
            random_oblique(&random, filler[i]);
            filler_ids[i] = FIRST_FILLER + round * FILLERS + i;
        }
        assert_int_equal(index_add(scene->index, filler_ids, filler[0], FILLERS, NULL), ERR_NONE);
        memcpy(both[0], scene->pair[pair], sizeof both[0]);
        memcpy(both[1], scene->pair[pair], sizeof both[1]);
        assert_int_equal(index_add(scene->index, ids, both[0], 2, NULL), ERR_NONE);
        assert_int_equal(hits_for(scene, pair), 2);
        assert_int_equal(index_remove(scene->index, ids, 2, &removed, NULL), ERR_NONE);
        assert_int_equal(removed, 2);
        assert_int_equal(hits_for(scene, pair), 0);
        assert_int_equal(index_remove(scene->index, filler_ids, FILLERS - 1, &removed, NULL), ERR_NONE);
        assert_int_equal(removed, FILLERS - 1);
        atomic_store(&scene->rounds, round + 1);
    }
}

static void searches_beside_changes(size_t segment_rows, bool accelerated)
{
    static struct scene scene;
    struct random random = random_seeded(5, 5);
    pthread_t readers[READERS];
    pthread_t tidier;
    pthread_t saver;
    pthread_t accelerator;
    int64_t ids[STABLE];
    char folder[64];
    struct index_load_report report;

    /* In memory where that is possible: it is the race that is tested, and not the disk. */
    (void)snprintf(folder, sizeof folder, "%s/test_index_threads.XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(folder));
    const struct index_files files = {
        .folder = folder, .accept = accept, .now = now, .map_saved = segment_rows < SEGMENT_MAX_ROWS};

    atomic_store(&scene.done, false);
    atomic_store(&scene.rounds, 0);
    for (int i = 0; i < PAIRS; i++) {
        axis(scene.pair[i], i, 1);
    }
    for (int i = 0; i < STABLE; i++) {
        random_oblique(&random, scene.stable[i]);
        ids[i] = i;
    }
    assert_int_equal(index_new_with(DIM, segment_rows, scan_best(), &scene.index, NULL), ERR_NONE);
    assert_int_equal(index_load(scene.index, &files, &report, NULL), ERR_NONE);
    assert_int_equal(index_add(scene.index, ids, scene.stable[0], STABLE, NULL), ERR_NONE);
    for (int i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&readers[i], NULL, read_on, &scene), 0);
    }
    assert_int_equal(pthread_create(&tidier, NULL, tidy_on, &scene), 0);
    assert_int_equal(pthread_create(&saver, NULL, save_on, &scene), 0);
    if (accelerated) {
        assert_int_equal(pthread_create(&accelerator, NULL, accelerate_on, &scene), 0);
    }
    /* That this ends at all while the readers never pause shows that a writer does not starve. */
    write_on(&scene);
    atomic_store(&scene.done, true);
    for (int i = 0; i < READERS; i++) {
        assert_int_equal(pthread_join(readers[i], NULL), 0);
    }
    assert_int_equal(pthread_join(tidier, NULL), 0);
    assert_int_equal(pthread_join(saver, NULL), 0);
    if (accelerated) {
        assert_int_equal(pthread_join(accelerator, NULL), 0);
        assert_true(atomic_load(&scene.covered) > 0);
    }
    assert_int_equal(atomic_load(&scene.wrong), 0);
    assert_true(atomic_load(&scene.searches) >= READERS);
    assert_int_equal(index_count(scene.index), STABLE + ROUNDS);
    assert_int_equal(index_save(scene.index, NULL), ERR_NONE);
    index_close_files(scene.index, false);
    files_are_right(&scene, &files, segment_rows);
    index_free(scene.index);
    assert_int_equal(index_files_destroy(folder, NULL), ERR_NONE);
    assert_int_equal(mem_live_blocks(), 0);
}

static void test_one_segment(void **state)
{
    searches_beside_changes(SEGMENT_MAX_ROWS, false);
}

static void test_many_segments(void **state)
{
    searches_beside_changes(64, false);
}

static void test_segments_that_faiss_answers_for(void **state)
{
    searches_beside_changes(256, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_one_segment), cmocka_unit_test(test_many_segments),
                                       cmocka_unit_test(test_segments_that_faiss_answers_for)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
