/*
 * bench_commits.c: how many enrolments a second are on the disk, by how many threads enroll at once.
 *
 * bench_commits FOLDER [SECONDS]: the folder's disk is what is measured; a file system in memory says little.  Each enrolment is one
 * face with 512 numbers and a crop of 12 KB, answered when it is durable.
 */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/arena.h"
#include "core/base/clock.h"
#include "core/base/random.h"
#include "server/store/collection_rows.h"
#include "server/store/enroll.h"
#include "server/store/model_rows.h"

#define DIM 512
#define CROP_BYTES 12800
#define THREADS_MOST 128

struct bench {
    struct store *store;
    int64_t model_id, collection_id;
    int64_t end_ns;
    atomic_llong n;
    atomic_llong wait_ns;
    atomic_int failed;
};

struct worker {
    struct bench *bench;
    int number;
};

static void *worker_run(void *context)
{
    const struct worker *worker = context;
    struct bench *bench = worker->bench;
    struct arena *mem = arena_new((size_t)1 << 20);
    unsigned char crop[CROP_BYTES];
    float vector[DIM];
    char name[32];

    random_bytes(crop, sizeof crop);
    (void)snprintf(name, sizeof name, "person %d", worker->number);
    for (int i = 0; mem != NULL && clock_monotonic_ns() < bench->end_ns; i++) {
        struct enrolled enrolled;
        double sum = 0;
        for (int j = 0; j < DIM; j++) {
            vector[j] = sinf((float)(i * DIM + j + worker->number));
            sum += (double)vector[j] * (double)vector[j];
        }
        for (int j = 0; j < DIM; j++) {
            vector[j] /= (float)sqrt(sum);
        }
        struct enroll_face face = {.source = FACE_FROM_CROP,
                                   .embedding = vector,
                                   .norm = 20,
                                   .crop = crop,
                                   .crop_bytes = sizeof crop,
                                   .crop_side_px = 112};
        struct enroll what = {.collection_id = bench->collection_id,
                              .model_id = bench->model_id,
                              .subject_name = name,
                              .faces = &face,
                              .n_faces = 1,
                              .actor = "bench"};
        int64_t begin = clock_monotonic_ns();
        if (store_enroll(bench->store, &what, NULL, mem, &enrolled, NULL) != ERR_NONE) {
            atomic_fetch_add(&bench->failed, 1);
            break;
        }
        atomic_fetch_add(&bench->wait_ns, clock_monotonic_ns() - begin);
        atomic_fetch_add(&bench->n, 1);
        arena_reset(mem);
    }
    arena_free(mem);
    return NULL;
}

static int measure(struct bench *bench, int n_threads, double seconds)
{
    pthread_t threads[THREADS_MOST];
    struct worker workers[THREADS_MOST];

    atomic_store(&bench->n, 0);
    atomic_store(&bench->wait_ns, 0);
    int64_t begin = clock_monotonic_ns();
    bench->end_ns = begin + (int64_t)(seconds * 1e9);
    for (int i = 0; i < n_threads; i++) {
        workers[i] = (struct worker){.bench = bench, .number = i};
        if (pthread_create(&threads[i], NULL, worker_run, &workers[i]) != 0) {
            return 1;
        }
    }
    for (int i = 0; i < n_threads; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    double took = (double)(clock_monotonic_ns() - begin) / 1e9;
    double n = (double)atomic_load(&bench->n);
    printf("%4d at once: %8.0f enrolments/s, each answered after %7.2f ms\n", n_threads, n / took,
           n > 0 ? (double)atomic_load(&bench->wait_ns) / n / 1e6 : 0);
    (void)fflush(stdout);
    return atomic_load(&bench->failed);
}

/* What a bare synchronous append costs here, to read the rest against. */
static void print_disk(const char *folder)
{
    char path[PATH_MAX];
    char page[16384] = {0};

    (void)snprintf(path, sizeof path, "%s/sync", folder);
    FILE *file = fopen(path, "w");
    if (file == NULL) {
        return;
    }
    int64_t begin = clock_monotonic_ns();
    for (int i = 0; i < 50; i++) {
        if (write(fileno(file), page, sizeof page) != (ssize_t)sizeof page || fdatasync(fileno(file)) != 0) {
            break;
        }
    }
    printf("one append of 16 KB with fdatasync: %.2f ms\n", (double)(clock_monotonic_ns() - begin) / 50e6);
    (void)fclose(file);
    (void)unlink(path);
}

int main(int argc, char **argv)
{
    static const int counts[] = {1, 2, 4, 16, 64, 128};
    struct bench bench = {0};
    struct err_note note = {0};
    char path[PATH_MAX];
    struct model_row model = {.role = MODEL_RECOGNIZER,
                              .name = "m",
                              .file = "m.onnx",
                              .dim = DIM,
                              .side_px = 112,
                              .align_version = 1,
                              .preprocess = "{}"};
    struct model_row made;
    struct collection_row collection;
    struct arena *mem = arena_new((size_t)1 << 20);

    if (argc < 2 || mem == NULL) {
        (void)fprintf(stderr, "usage: bench_commits FOLDER [SECONDS]\n");
        return 2;
    }
    double seconds = argc > 2 ? atof(argv[2]) : 3;
    memset(model.version, 'a', sizeof model.version - 1);
    memset(model.onnx_sha256, 'a', sizeof model.onnx_sha256 - 1);
    (void)snprintf(path, sizeof path, "%s/commits.db", argv[1]);
    print_disk(argv[1]);
    enum err err = store_open(path, NULL, &bench.store, &note);
    if (err == ERR_NONE) {
        err = store_model_add(bench.store, &model, "bench", NULL, mem, &made, &note);
    }
    if (err == ERR_NONE) {
        bench.model_id = made.id;
        err = store_collection_add(bench.store,
                                   &(struct collection_new){.name = "default", .model_id = made.id, .keep = KEEP_CROP},
                                   "bench", mem, &collection, &note);
    }
    if (err != ERR_NONE) {
        (void)fprintf(stderr, "%s: %s\n", err_word(err), note.text);
        return 1;
    }
    bench.collection_id = collection.id;
    int failed = 0;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        failed += measure(&bench, counts[i], seconds);
    }
    err = store_close(bench.store, &note);
    arena_free(mem);
    return failed == 0 && err == ERR_NONE ? 0 : 1;
}
