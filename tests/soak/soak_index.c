/*
 * soak_index.c SECONDS: enrolling, deleting, searching every way with and without filters, rewriting and writing files, all at
 * once and for minutes.
 *
 * A face's vector is a function of its id, so every hit can be checked: its cosine is that of its id's vector; its removal had
 * not returned when the search began; and who was there before and after is found.  At the end the files hold what is there,
 * and nothing else.  Searches may wait for their lock for a millisecond once in a thousand times, and no oftener.
 */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/random.h"
#include "core/kernel/scan.h"
#include "index/index.h"

enum {
    DIM = 128,
    SEGMENT = 2048,
    READERS = 3,
    ALIVE = 60000, /* at a time, about */
    MOST_IDS = 40000000,
    MOST_ONLY = 30000, /* some milliseconds of looking up, while others wait to change what is looked up */
    K = 8
};

/* What has become of an id, by the writer's word. */
enum life {
    UNKNOWN,
    THERE,   /* its adding has returned */
    LEAVING, /* its removal has begun */
    GONE     /* its removal has returned */
};

static struct index *faces;
static atomic_uchar *lives; /* [MOST_IDS] */
static atomic_long newest;
static atomic_bool done;
static atomic_long wrong, searches, filtered, changes, saves;

static void complain(const char *what, int64_t id)
{
    if (atomic_fetch_add(&wrong, 1) < 10) {
        printf("  WRONG: %s, id %lld\n", what, (long long)id);
    }
}

static void vector_of(int64_t id, float *ret)
{
    struct random random = random_seeded(77, (uint64_t)id);
    double sum = 0;

    for (int i = 0; i < DIM; i++) {
        ret[i] = (float)random_normal(&random);
        sum += (double)ret[i] * (double)ret[i];
    }
    for (int i = 0; i < DIM; i++) {
        ret[i] = (float)((double)ret[i] / sqrt(sum));
    }
}

static enum life life_of(int64_t id)
{
    return (enum life)atomic_load(&lives[id]);
}

static void search_once(struct random *random)
{
    static _Thread_local unsigned char before[2 * ALIVE + 1024];
    static _Thread_local int64_t only[MOST_ONLY];
    struct index_hit hits[K];
    float query[DIM];
    float vector[DIM];
    int count = 0;
    struct index_ask ask = {
        .k = K, .min_cosine = random_below(random, 2) ? 0.25F : 0.45F, .way = (enum index_way)random_below(random, 5)};
    const int64_t last = atomic_load(&newest);
    const int64_t first = last > 2 * ALIVE ? last - 2 * ALIVE : 0;
    const int64_t target = first + (int64_t)random_below(random, (uint64_t)(last - first + 1));

    if (random_below(random, 4) == 0) { /* the target and some others: a handful to a third of all */
        const uint64_t stride = UINT64_C(4) << random_below(random, 10);
        ask.only = only;
        only[ask.n_only++] = target;
        for (int64_t id = first; id <= last && ask.n_only < MOST_ONLY;
             id += 1 + (int64_t)random_below(random, stride)) {
            if (id != target) {
                only[ask.n_only++] = id;
            }
        }
        atomic_fetch_add(&filtered, 1);
    }
    for (int64_t id = first; id <= last; id++) {
        before[id - first] = (unsigned char)life_of(id);
    }
    vector_of(target, query);
    if (index_search_many(faces, query, 1, &ask, hits, &count, NULL) != ERR_NONE) {
        complain("a search failed", target);
        return;
    }
    bool found = false;
    for (int i = 0; i < count; i++) {
        const int64_t id = hits[i].id;
        bool asked = ask.only == NULL;
        for (size_t j = 0; j < ask.n_only; j++) {
            asked = asked || only[j] == id;
        }
        vector_of(id, vector);
        if (id < 0 || id > atomic_load(&newest) + 1024 || !asked) {
            complain("an id that nobody asked for", id);
        } else if (id >= first && id <= last && before[id - first] == GONE) {
            complain("a hit that was removed before", id);
        } else if (hits[i].cosine != scan_best()->dot(query, vector, DIM)) {
            complain("a cosine that is not its vector's", id);
        }
        found = found || id == target;
    }
    /* At a cosine of 1 also the one-bit codes never miss, but by 1e-30. */
    if (!found && before[target - first] == THERE && life_of(target) == THERE) {
        complain("one that was there is not found", target);
    }
    atomic_fetch_add(&searches, 1);
}

static void *read_on(void *context)
{
    struct random random = random_seeded(11, (uint64_t)(uintptr_t)context);

    while (!atomic_load(&done)) {
        search_once(&random);
    }
    return NULL;
}

static void *tidy_on(void *context)
{
    while (!atomic_load(&done)) {
        index_tidy(faces);
        (void)usleep(20000);
    }
    return NULL;
}

static void *save_on(void *context)
{
    while (!atomic_load(&done)) {
        if (index_wants_saving(faces)) {
            if (index_save(faces, NULL) != ERR_NONE) {
                complain("a file cannot be written", 0);
            }
            atomic_fetch_add(&saves, 1);
        }
        (void)usleep(5000);
    }
    return NULL;
}

/* Adds by many until enough are there, then mostly by ones; removes the old and the new, so that segments die at different speeds. */
static void *write_on(void *context)
{
    struct random random = random_seeded(12, 1);
    static float vectors[512 * DIM];
    int64_t ids[512];
    int64_t next = 0;
    int64_t oldest = 0;
    int64_t alive = 0;

    while (!atomic_load(&done) && next < MOST_IDS - 512) {
        size_t n = next < ALIVE || random_below(&random, 20) == 0 ? 1 + (size_t)random_below(&random, 511) : 1;
        for (size_t i = 0; i < n; i++) {
            ids[i] = next + (int64_t)i;
            vector_of(ids[i], vectors + i * DIM);
        }
        if (index_add(faces, ids, vectors, n, NULL) != ERR_NONE) {
            complain("an adding failed", next);
        }
        for (size_t i = 0; i < n; i++) {
            atomic_store(&lives[ids[i]], THERE);
        }
        next += (int64_t)n;
        alive += (int64_t)n;
        atomic_store(&newest, next - 1);
        while (alive > ALIVE) {
            size_t removed = 0;
            size_t wanted = 0;
            n = 1 + (size_t)random_below(&random, 40);
            for (size_t i = 0; i < n; i++) {
                int64_t id =
                    random_below(&random, 3) == 0 ? next - 1 - (int64_t)random_below(&random, ALIVE / 2) : oldest++;
                if (id >= 0 && life_of(id) == THERE) {
                    atomic_store(&lives[id], LEAVING);
                    ids[wanted++] = id;
                }
            }
            if (index_remove(faces, ids, wanted, &removed, NULL) != ERR_NONE || removed != wanted) {
                complain("a removal failed", oldest);
            }
            for (size_t i = 0; i < wanted; i++) {
                atomic_store(&lives[ids[i]], GONE);
            }
            alive -= (int64_t)wanted;
        }
        atomic_fetch_add(&changes, 1);
    }
    return NULL;
}

/* ---- Files ------------------------------------------------------------------------------------------------------- */

static bool accept(void *context, const struct index_moment *of)
{
    return true;
}

static enum err now(void *context, struct index_moment *ret, struct err_note *note)
{
    *ret = (struct index_moment){{0}};
    return ERR_NONE;
}

static void check_files(const struct index_files *files)
{
    struct index_load_report report = {0};
    struct index *loaded = NULL;
    float vector[DIM];
    float there[DIM];
    int64_t in_both = 0;

    if (index_save(faces, NULL) != ERR_NONE) {
        complain("a file cannot be written", 0);
    }
    index_close_files(faces, false);
    if (index_new_segmented(DIM, SEGMENT, &loaded, NULL) != ERR_NONE ||
        index_load(loaded, files, &report, NULL) != ERR_NONE || report.n_refused > 0 ||
        index_check_codes(loaded, NULL) != ERR_NONE) {
        complain(report.reason[0] == '\0' ? "the files are not taken" : report.reason, 0);
    }
    for (int64_t id = 0; id <= atomic_load(&newest) && loaded != NULL; id++) {
        if (index_get(loaded, id, vector, NULL) == ERR_NONE) {
            vector_of(id, there);
            if (life_of(id) != THERE || memcmp(vector, there, sizeof there) != 0) {
                complain("a file holds what is not there", id);
            }
            in_both++;
        }
    }
    if (in_both != report.n_vectors) {
        complain("the files hold too much", in_both);
    }
    printf("  %zu files at the end, with %lld of %lld vectors\n", report.n_taken, (long long)report.n_vectors,
           (long long)index_count(faces));
    index_free(loaded);
}

int main(int argc, char **argv)
{
    const long seconds = argc > 1 ? strtol(argv[1], NULL, 10) : 60;
    char folder[] = "/tmp/soak_index.XXXXXX";
    const struct index_files files = {.folder = folder, .accept = accept, .now = now};
    struct index_load_report report;
    struct index_waits waits = {0};
    pthread_t threads[READERS + 3];
    void *(*const others[])(void *) = {write_on, tidy_on, save_on};

    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    lives = mem_new(MOST_IDS, sizeof *lives);
    if (lives == NULL || mkdtemp(folder) == NULL || index_new_segmented(DIM, SEGMENT, &faces, NULL) != ERR_NONE ||
        index_load(faces, &files, &report, NULL) != ERR_NONE) {
        return 1;
    }
    for (uintptr_t i = 0; i < READERS + 3; i++) {
        if (pthread_create(&threads[i], NULL, i < READERS ? read_on : others[i - READERS], (void *)i) != 0) {
            return 1;
        }
    }
    int64_t end = clock_monotonic_ns() + seconds * 1000000000LL;
    while (clock_monotonic_ns() < end && atomic_load(&wrong) == 0) {
        (void)usleep(50000);
    }
    atomic_store(&done, true);
    for (int i = 0; i < READERS + 3; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    index_waits(faces, &waits);
    printf("index, %ld s: %ld searches (%ld filtered) beside %ld changes and %ld savings; %lld faces enrolled\n",
           seconds, atomic_load(&searches), atomic_load(&filtered), atomic_load(&changes), atomic_load(&saves),
           (long long)atomic_load(&newest) + 1);
    printf("  locks: %llu taken, %llu waited over 10 us, %llu over 100 us, %llu over 1 ms (%llu allowed); longest %.2f "
           "ms\n",
           (unsigned long long)waits.taken, (unsigned long long)waits.over_10us, (unsigned long long)waits.over_100us,
           (unsigned long long)waits.over_1ms, (unsigned long long)(waits.taken / 1000),
           (double)waits.longest_ns * 1e-6);
    check_files(&files);
    index_free(faces);
    bool fine = index_files_destroy(folder, NULL) == ERR_NONE && atomic_load(&wrong) == 0 &&
                waits.over_1ms <= waits.taken / 1000 && atomic_load(&searches) > 100;
    mem_free((void *)lives);
    printf("index: %s\n", fine && mem_live_blocks() == 0 ? "no answer was wrong" : "FAILED");
    return fine && mem_live_blocks() == 0 ? 0 : 1;
}
