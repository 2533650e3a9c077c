/*
 * moving_fixture.h: people with crops, and a second tiny recogniser, for tests of changing over.
 */
#ifndef TESTS_SERVER_GALLERY_MOVING_FIXTURE_H
#define TESTS_SERVER_GALLERY_MOVING_FIXTURE_H

#include "server/gallery/activate.h"
#include "server/gallery/model_upload.h"
#include "tests/server/gallery/fixture.h"

#define PEOPLE 5
#define FACES 8 /* of each */

/* Uploads the tiny recogniser for crops of that side, with squares of that many pixels; its version is copied out. */
static inline void upload_of(struct fixture *f, int64_t side, int64_t square, char ret_version[STORE_VERSION_TEXT])
{
    char path[PATH_MAX];
    unsigned char *bytes = NULL;
    struct model_upload what = {
        .name = "second", .manifest = "{\"color\":\"rgb\",\"mean\":[127.5,127.5,127.5],\"std\":[127.5,127.5,127.5]}"};
    struct model_uploaded answer;

    (void)fixture_path(path, f->folder, "second.onnx");
    tiny_recognizer_of(path, side, square);
    assert_int_equal(file_read(path, 1 << 20, &bytes, &what.n_bytes, NULL), ERR_NONE);
    what.onnx = bytes;
    GOOD(gallery_model_upload(f->worker, &what, &answer, &f->fault));
    memcpy(ret_version, answer.version, STORE_VERSION_TEXT);
    mem_free(bytes);
    gallery_worker_reset(f->worker);
}

static inline void upload(struct fixture *f, int64_t square, char ret_version[STORE_VERSION_TEXT])
{
    upload_of(f, 112, square, ret_version);
}

/* A crop of a person: their colours, and noise of this photo's own. */
static inline struct gallery_photo crop_of(struct fixture *f, struct gallery_worker *worker, int person, int photo)
{
    struct gallery_worker *own = f->worker;

    f->worker = worker;
    struct gallery_photo crop = noise_photo(f, 112, 112, (uint64_t)(1000 * person));
    struct random random = random_seeded(5, (uint64_t)(1000 * person + photo));
    struct image image;
    const struct image_limits limits = image_limits_default();
    unsigned char *bytes = NULL;
    assert_int_equal(image_decode(crop.bytes, crop.n_bytes, &limits, worker->mem, &image, NULL), ERR_NONE);
    for (int i = 0; i < 3 * 112 * 112; i++) {
        image.rgb[i] = (uint8_t)(image.rgb[i] + random_below(&random, 5));
    }
    assert_int_equal(image_encode(&image, IMAGE_PNG, 0, worker->mem, &bytes, &crop.n_bytes), ERR_NONE);
    crop.bytes = bytes;
    crop.aligned = true;
    f->worker = own;
    return crop;
}

static inline void enroll_crop(struct fixture *f, struct gallery_worker *worker, int person, int photo, char *ret_face)
{
    char name[16];
    struct enroll_answer answer;
    (void)snprintf(name, sizeof name, "person %d", person);
    const struct enroll_query query = {.subject = {.name = name}, .photo = crop_of(f, worker, person, photo)};

    GOOD(gallery_enroll(worker, &query, &answer, &f->fault));
    if (ret_face != NULL) {
        memcpy(ret_face, answer.faces[0].id, STORE_UUID_TEXT);
    }
    gallery_worker_reset(worker);
}

static inline void enroll_people(struct fixture *f)
{
    for (int i = 0; i < PEOPLE * FACES; i++) {
        enroll_crop(f, f->worker, i / FACES, i % FACES, NULL);
    }
}

#endif
