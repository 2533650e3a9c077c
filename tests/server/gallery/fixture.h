/*
 * fixture.h: a gallery over a temporary folder with real rows, real indexes and tiny networks.
 */
#ifndef TESTS_SERVER_GALLERY_FIXTURE_H
#define TESTS_SERVER_GALLERY_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/random.h"
#include "core/image/encode.h"
#include "server/gallery/enroll.h"
#include "server/gallery/forget.h"
#include "server/gallery/gallery_private.h"
#include "server/gallery/identify.h"
#include "server/gallery/look.h"
#include "server/gallery/people.h"
#include "server/gallery/verify.h"
#include "server/store/audit_rows.h"
#include "tests/server/gallery/tiny_model.h"

#define DIM 12 /* of the recogniser with squares of 56 pixels */

struct fixture {
    char folder[64];
    char data[PATH_MAX];
    char recognizer[PATH_MAX]; /* the file; squares of 56 */
    char detector[PATH_MAX];   /* the file, or "" */
    struct store *store;
    struct gallery *gallery;
    struct gallery_worker *worker;
    char said[4096]; /* what the listener heard */
    struct gallery_fault fault;
    size_t blocks_before;
};

/* Joins a folder and a name; ret has room for PATH_MAX bytes. */
static inline char *fixture_path(char *ret, const char *folder, const char *name)
{
    assert_true(snprintf(ret, PATH_MAX, "%s/%s", folder, name) < PATH_MAX);
    return ret;
}

static inline void fixture_said(void *context, enum gallery_severity severity, const char *event, const char *sentence)
{
    struct fixture *f = context;
    size_t used = strlen(f->said);

    (void)snprintf(f->said + used, sizeof f->said - used, "%d %s: %s\n", (int)severity, event, sentence);
}

static inline void fixture_start(struct fixture *f)
{
    struct gallery_options options = {.data = f->data,
                                      .recognizer = f->recognizer,
                                      .detector = f->detector[0] == '\0' ? NULL : f->detector,
                                      .policy = gallery_policy_default(),
                                      .segment_rows = 64, /* so that a few faces make a file */
                                      .listener = {.say = fixture_said, .context = f}};
    struct err_note note = {0};
    char path[PATH_MAX];

    f->said[0] = '\0';
    (void)fixture_path(path, f->data, "arcfaced.db");
    if (store_open(path, NULL, &f->store, &note) != ERR_NONE) {
        fail_msg("%s", note.text);
    }
    options.store = f->store;
    if (gallery_open(&options, &f->gallery, &note) != ERR_NONE) {
        fail_msg("%s", note.text);
    }
    assert_int_equal(gallery_worker_new(f->gallery, (size_t)64 << 20, &f->worker), ERR_NONE);
}

static inline void fixture_stop(struct fixture *f)
{
    gallery_worker_free(f->worker);
    gallery_close(f->gallery);
    assert_int_equal(store_close(f->store, NULL), ERR_NONE);
}

/* faces < 0: without a detector; else one that always sees so many. */
static inline void fixture_open(struct fixture *f, int faces)
{
    *f = (struct fixture){.blocks_before = mem_live_blocks()};
    (void)snprintf(f->folder, sizeof f->folder, "/tmp/arcfaced-gallery-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    (void)fixture_path(f->data, f->folder, "data");
    (void)fixture_path(f->recognizer, f->folder, "tiny56.onnx");
    assert_int_equal(folder_make(f->data, NULL), ERR_NONE);
    tiny_recognizer(f->recognizer, 56);
    if (faces >= 0) {
        (void)fixture_path(f->detector, f->folder, "sees.onnx");
        tiny_detector(f->detector, faces);
    }
    fixture_start(f);
}

static inline void fixture_remove(const char *folder)
{
    DIR *dir = opendir(folder);
    char path[PATH_MAX];

    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            (void)fixture_path(path, folder, entry->d_name);
            if (unlink(path) != 0) {
                fixture_remove(path);
            }
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    (void)rmdir(folder);
}

static inline void fixture_close(struct fixture *f)
{
    fixture_stop(f);
    fixture_remove(f->folder);
    assert_int_equal(mem_live_blocks(), f->blocks_before);
}

static inline void fixture_restart(struct fixture *f)
{
    fixture_stop(f);
    fixture_start(f);
}

/* ---- Vectors: persons are axes, and a vector leans from one axis towards another ------------------------------------ */

/* cosine with axis a is c, with axis b it is sqrt(1 - c²). */
static inline void leaning(int dim, int a, int b, double c, float *ret)
{
    memset(ret, 0, (size_t)dim * sizeof *ret);
    ret[b] = (float)sqrt(1 - c * c);
    ret[a] += (float)c;
}

/* ---- Calls that must work, or fail as they should ------------------------------------------------------------------- */

#define GOOD(call)                                                                                 \
    do {                                                                                           \
        f->fault = (struct gallery_fault){0};                                                      \
        enum err good_err = (call);                                                                \
        if (good_err != ERR_NONE) {                                                                \
            fail_msg("%s:%d: %s, %s", __FILE__, __LINE__, err_word(good_err), f->fault.note.text); \
        }                                                                                          \
    } while (0)

#define BAD(call, want_err, want_reason)                                                                          \
    do {                                                                                                          \
        f->fault = (struct gallery_fault){0};                                                                     \
        enum err bad_err = (call);                                                                                \
        if (bad_err != (want_err) || f->fault.reason != (want_reason) || f->fault.note.text[0] == '\0') {         \
            fail_msg("%s:%d: %s, reason %d, \"%s\"", __FILE__, __LINE__, err_word(bad_err), (int)f->fault.reason, \
                     f->fault.note.text);                                                                         \
        }                                                                                                         \
    } while (0)

/* Enrolls a vector; the face's id is copied to ret_face (37 bytes, may be NULL). */
static inline void enroll_vector(struct fixture *f, const char *collection, const char *name, const float *vector,
                                 int dim, char *ret_face)
{
    const struct enroll_query query = {
        .collection = collection, .subject = {.name = name}, .embedding = {.values = vector, .dim = dim}};
    struct enroll_answer answer;

    GOOD(gallery_enroll(f->worker, &query, &answer, &f->fault));
    assert_int_equal(answer.n_faces, 1);
    if (ret_face != NULL) {
        memcpy(ret_face, answer.faces[0].id, 37);
    }
    gallery_worker_reset(f->worker);
}

/* Who is nearest: the first candidate's name, or "" (copied), with the decision. */
static inline enum decision who(struct fixture *f, const char *collection, const float *vector, int dim, char *ret_name)
{
    const struct identify_query query = {.collection = collection, .embedding = {.values = vector, .dim = dim}};
    struct identify_answer answer;

    GOOD(gallery_identify(f->worker, &query, &answer, &f->fault));
    assert_int_equal(answer.n_faces, 1);
    (void)snprintf(ret_name, 64, "%s",
                   answer.faces[0].n_candidates == 0 ? "" : answer.faces[0].candidates[0].subject_name);
    enum decision decision = answer.faces[0].decision;
    gallery_worker_reset(f->worker);
    return decision;
}

/* Coloured noise as a PNG, carved from the worker's arena: a photo that is sharp everywhere. */
static inline struct gallery_photo noise_photo(struct fixture *f, int width, int height, uint64_t seed)
{
    struct random random = random_seeded(seed, 0);
    struct image image;
    struct gallery_photo photo = {0};
    unsigned char *bytes = NULL;
    uint8_t tint[4][3];

    for (int i = 0; i < 12; i++) {
        tint[i / 3][i % 3] = (uint8_t)random_below(&random, 200);
    }
    assert_int_equal(image_new(width, height, f->worker->mem, &image), ERR_NONE);
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            int quarter = 2 * (2 * y / height) + 2 * x / width;
            for (int c = 0; c < 3; c++) {
                image.rgb[3 * (y * width + x) + c] = (uint8_t)(tint[quarter][c] + random_below(&random, 50));
            }
        }
    }
    assert_int_equal(image_encode(&image, IMAGE_PNG, 0, f->worker->mem, &bytes, &photo.n_bytes), ERR_NONE);
    photo.bytes = bytes;
    return photo;
}

#endif
