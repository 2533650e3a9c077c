/*
 * fixture.h: a store in a folder of its own, and the rows that most tests need.
 */
#ifndef TESTS_SERVER_STORE_FIXTURE_H
#define TESTS_SERVER_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/random.h"
#include "server/store/audit_rows.h"
#include "server/store/collection_rows.h"
#include "server/store/embedding_rows.h"
#include "server/store/enroll.h"
#include "server/store/finding_rows.h"
#include "server/store/image_rows.h"
#include "server/store/job_rows.h"
#include "server/store/key_rows.h"
#include "server/store/model_rows.h"
#include "server/store/reembed_rows.h"
#include "server/store/subject_rows.h"

#define DIM 16
#define SHA_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define SHA_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

struct fixture {
    char folder[64];
    char path[96];
    struct store *store;
    struct arena *mem;
    int64_t model_id;
    int64_t collection_id;
    size_t live_blocks;
};

/* Fails the test with the note's words. */
#define GOOD(call)                                                        \
    do {                                                                  \
        struct err_note note = {0};                                       \
        enum err good_err = (call);                                       \
        if (good_err != ERR_NONE) {                                       \
            fail_msg("%s: %s: %s", #call, err_word(good_err), note.text); \
        }                                                                 \
    } while (0)

#define FAILS(expected, call)                                                                         \
    do {                                                                                              \
        struct err_note note = {0};                                                                   \
        enum err bad_err = (call);                                                                    \
        if (bad_err != (expected)) {                                                                  \
            fail_msg("%s: %s (%s), not %s", #call, err_word(bad_err), note.text, err_word(expected)); \
        }                                                                                             \
        assert_string_not_equal(note.text, "");                                                       \
    } while (0)

static inline struct model_row model_sample(const char *version, int dim)
{
    struct model_row row = {.role = MODEL_RECOGNIZER,
                            .name = "mobile.onnx",
                            .file = "mobile.onnx",
                            .dim = dim,
                            .side_px = 112,
                            .align_version = 1,
                            .preprocess = "{\"color\":\"rgb\"}"};
    memcpy(row.version, version, sizeof row.version);
    memcpy(row.onnx_sha256, version, sizeof row.onnx_sha256);
    return row;
}

static inline void fixture_folder(struct fixture *f)
{
    *f = (struct fixture){.live_blocks = mem_live_blocks()};
    (void)snprintf(f->folder, sizeof f->folder, "%s/arcfaced-store-XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(f->folder));
    (void)snprintf(f->path, sizeof f->path, "%s/store.db", f->folder);
    f->mem = arena_new((size_t)64 << 20);
    assert_non_null(f->mem);
}

static inline void fixture_rows(struct fixture *f, int dim)
{
    struct model_row model = model_sample(SHA_A, dim);
    struct collection_row collection;

    GOOD(store_model_add(f->store, &model, AUDIT_DAEMON, NULL, f->mem, &model, &note));
    f->model_id = model.id;
    const struct collection_new new = {.name = "default", .model_id = model.id, .keep = KEEP_CROP};
    GOOD(store_collection_add(f->store, &new, "key1", f->mem, &collection, &note));
    f->collection_id = collection.id;
}

static inline void fixture_open(struct fixture *f)
{
    fixture_folder(f);
    GOOD(store_open(f->path, NULL, &f->store, &note));
    fixture_rows(f, DIM);
}

static inline void fixture_close(struct fixture *f)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    char path[128];

    GOOD(store_close(f->store, &note));
    arena_free(f->mem);
    for (int i = 0; i < 3; i++) {
        (void)snprintf(path, sizeof path, "%s%s", f->path, ends[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(f->folder), 0);
    assert_int_equal(mem_live_blocks(), f->live_blocks);
}

/* The same vector for the same seed. */
static inline void vector_sample(uint64_t seed, int dim, float *ret)
{
    struct random random = random_seeded(seed, 7);
    double sum = 0;

    for (int i = 0; i < dim; i++) {
        ret[i] = (float)random_normal(&random);
        sum += (double)ret[i] * (double)ret[i];
    }
    for (int i = 0; i < dim; i++) {
        ret[i] = (float)((double)ret[i] / sqrt(sum));
    }
}

/* Enrolls one face with a crop under a name; its vector is vector_sample(seed). */
static inline enum err enroll_sample(struct fixture *f, const char *name, uint64_t seed, struct arena *mem,
                                     struct enrolled *ret, struct err_note *note)
{
    float vector[512];
    unsigned char sha[32];
    char crop[64];

    vector_sample(seed, DIM, vector);
    memset(sha, (int)(seed & 0xFF), sizeof sha);
    (void)snprintf(crop, sizeof crop, "crop %llu of somebody", (unsigned long long)seed);
    const struct enroll_face face = {.box = {1, 2, 3.5F, 4},
                                     .point = {{1, 2}, {3, 4}, {5, 6}, {7, 8}, {9, -10}},
                                     .score = .75F,
                                     .quality = "{\"score\":1}",
                                     .embedding = vector,
                                     .norm = 12.5F,
                                     .crop = crop,
                                     .crop_bytes = strlen(crop),
                                     .crop_side_px = 112};
    const struct enroll what = {.collection_id = f->collection_id,
                                .model_id = f->model_id,
                                .subject_name = name,
                                .faces = &face,
                                .n_faces = 1,
                                .photo = {.width_px = 640, .height_px = 480, .sha256 = sha},
                                .actor = "key1"};
    return store_enroll(f->store, &what, NULL, mem, ret, note);
}

/* Runs SQL behind the store's back. */
static inline void raw_sql(const char *path, const char *sql)
{
    sqlite3 *db;
    char *words = NULL;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    (void)sqlite3_busy_timeout(db, 5000);
    if (sqlite3_exec(db, sql, NULL, NULL, &words) != SQLITE_OK) {
        fail_msg("%s: %s", sql, words);
    }
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

#endif
