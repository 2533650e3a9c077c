/*
 * bench_filter.c: how long it takes to find the faces that a filter of metadata lets pass, when nothing is kept of it.
 *
 * bench_filter FOLDER [SUBJECTS [MOST_MS]]: subjects with four members of metadata and one face each; best of five, CPU time.  Fails if a
 * filter passes the wrong number of faces, or one that does not pass everybody takes more than MOST_MS.
 *
 * What was tried, 250,000 subjects, a filter of one member (2,500 pass), Sapphire Rapids at 2.1 GHz, other work beside it:
 *   1. nested json_each in SQL                                510 ms (1.8 s of wall time beside others)
 *   2. json_extract(metadata, '$.site') = ?                   119 ms for one member, and the SQL is no literal any more
 *   3. a function of our own over the text                     82 ms; 257 ms where everybody passes, most of it looks at faces
 * An index on (subject_id) of the faces that are searched, to save the look at each face's row: 227 → 197 ms where everybody
 * passes, nothing elsewhere; not worth its upkeep.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/clock.h"
#include "core/base/mem.h"
#include "server/store/collection_rows.h"
#include "server/store/enroll.h"
#include "server/store/filter_rows.h"
#include "server/store/model_rows.h"

enum {
    DIM = 8,
    AT_ONCE = 100,
    ROUNDS = 5
};

static struct err_note note;

static void must(enum err err)
{
    if (err != ERR_NONE) {
        (void)fprintf(stderr, "bench_filter: %s\n", note.text[0] == '\0' ? err_word(err) : note.text);
        exit(1);
    }
}

static void enroll_some(struct store *store, int64_t collection_id, int64_t model_id, size_t first, size_t n)
{
    static const float vector[DIM] = {1};
    const struct enroll_face face = {.source = FACE_FROM_EMBEDDING, .embedding = vector, .norm = 1};
    struct arena *mem = arena_new((size_t)16 << 20);
    struct enroll whats[AT_ONCE];
    struct enrolled enrolled[AT_ONCE];
    int to_blame = 0;

    must(mem == NULL ? ERR_NOMEM : ERR_NONE);
    for (size_t i = 0; i < n; i++) {
        const size_t who = first + i;
        whats[i] = (struct enroll){.collection_id = collection_id,
                                   .model_id = model_id,
                                   .actor = "bench",
                                   .faces = &face,
                                   .n_faces = 1,
                                   .subject_name = arena_format(mem, "person %zu", who)};
        whats[i].metadata = arena_format(
            mem, "{\"site\":\"s%zu\",\"floor\":%zu,\"department\":\"department %zu\",\"since\":\"2026-%02zu-%02zu\"}",
            who % 100, who % 7, who % 31, who % 12 + 1, who % 28 + 1);
    }
    must(store_enroll_many(store, whats, (int)n, NULL, mem, enrolled, &to_blame, &note));
    arena_free(mem);
}

/* The CPU time of the best of some rounds. */
static double time_filter(struct store *store, int64_t collection_id, const char *filter, size_t *ret_n)
{
    double best_ms = 0;

    for (int round = 0; round < ROUNDS; round++) {
        int64_t *ids = NULL;
        int64_t begin = clock_thread_cpu_ns();
        must(store_filter_faces(store, collection_id, filter, &ids, ret_n, &note));
        double ms = (double)(clock_thread_cpu_ns() - begin) * 1e-6;
        best_ms = round == 0 || ms < best_ms ? ms : best_ms;
        mem_free(ids);
    }
    return best_ms;
}

int main(int argc, char **argv)
{
    const size_t n = argc > 2 ? (size_t)strtoul(argv[2], NULL, 10) : 250000;
    const double most_ms = argc > 3 ? strtod(argv[3], NULL) : 1e9;
    const struct {
        const char *filter;
        size_t passing;
    } rows[] = {{"{\"site\":\"s5\"}", n / 100},
                {"{\"floor\":3.0,\"site\":[\"s1\",\"s2\",\"s3\"]}", 0},
                {"{\"since\":\"2025-01-01\"}", 0},
                {"{}", n}};
    struct store *store = NULL;
    struct collection_row collection = {0};
    struct model_row made = {0};
    struct model_row model = {.role = MODEL_RECOGNIZER,
                              .name = "m",
                              .file = "m.onnx",
                              .dim = DIM,
                              .side_px = 112,
                              .align_version = 1,
                              .preprocess = "{}"};
    char path[4096];
    int failed = 0;

    if (argc < 2) {
        (void)fprintf(stderr, "usage: bench_filter FOLDER [SUBJECTS [MOST_MS]]\n");
        return 2;
    }
    struct arena *mem = arena_new((size_t)1 << 20);
    (void)snprintf(path, sizeof path, "%s/arcfaced.db", argv[1]);
    must(mem == NULL ? ERR_NOMEM : store_open(path, NULL, &store, &note));
    memset(model.version, 'a', sizeof model.version - 1);
    memset(model.onnx_sha256, 'a', sizeof model.onnx_sha256 - 1);
    must(store_model_add(store, &model, "bench", NULL, mem, &made, &note));
    must(store_collection_add(store,
                              &(struct collection_new){.name = "default", .model_id = made.id, .keep = KEEP_NONE},
                              "bench", mem, &collection, &note));
    for (size_t first = 0; first < n; first += AT_ONCE) {
        enroll_some(store, collection.id, made.id, first, n - first < AT_ONCE ? n - first : AT_ONCE);
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t passing = 0;
        double ms = time_filter(store, collection.id, rows[i].filter, &passing);
        printf("%zu subjects, %zu pass %s: %.0f ms\n", n, passing, rows[i].filter, ms);
        failed |= (ms > most_ms && passing < n) || (rows[i].passing != 0 && passing != rows[i].passing);
    }
    arena_free(mem);
    must(store_close(store, &note));
    return failed;
}
