/* line_face.c: the face that one line of an export is. */
#include "server/gallery/line_face.h"

#include <math.h>
#include <sodium.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/hash.h"
#include "server/gallery/gallery_private.h"
#include "server/gallery/pipeline.h"

#define PHOTO_SIDE_MOST 1000000

const char *line_text(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static enum err floats_of(const json_t *array, size_t n, float *ret)
{
    if (json_array_size(array) != n) {
        return ERR_FORMAT;
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *number = json_array_get(array, i);
        if (!json_is_number(number)) {
            return ERR_FORMAT;
        }
        ret[i] = (float)json_number_value(number);
    }
    return ERR_NONE;
}

/* A vector that has unit length but for the rounding of its decimals stays as it is, to the last bit. */
static enum err vector_of(const struct line_target *target, const json_t *face, struct enroll_face *ret,
                          struct gallery_fault *fault)
{
    size_t dim = (size_t)target->pair->model->dim;
    const json_t *array = json_object_get(face, "embedding");
    float *vector = ARENA_ARRAY(target->worker->mem, float, dim);
    double square = 0;

    if (vector == NULL) {
        return spent(target->worker->mem);
    }
    if (floats_of(array, dim, vector) != ERR_NONE) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_WRONG_DIMENSION, ERR_MISUSE),
                       "the embedding is no list of %zu numbers", dim);
    }
    for (size_t i = 0; i < dim; i++) {
        square += (double)vector[i] * (double)vector[i];
    }
    ret->embedding = vector;
    ret->norm = (float)json_number_value(json_object_get(face, "norm"));
    if (!(ret->norm >= 0) || !isfinite(ret->norm)) {
        ret->norm = 0;
    }
    if (fabs(sqrt(square) - 1) <= 1e-5) {
        return ERR_NONE;
    }
    const struct gallery_embedding sent = {.values = vector, .dim = (int)dim};
    return pipeline_vector(target->worker, &sent, (int)dim, &ret->embedding, &ret->norm, fault);
}

/* A crop is shown to people later: it must be a picture, of the side that this model takes. */
static enum err crop_of(const struct line_target *target, const json_t *face, struct enroll_face *ret,
                        struct gallery_fault *fault)
{
    struct arena *mem = target->worker->mem;
    const char *text = line_text(face, "crop");
    size_t text_bytes = text == NULL ? 0 : strlen(text);
    size_t n_bytes = 0;
    struct image image;

    if (text == NULL || target->collection->keep == KEEP_NONE) {
        return ERR_NONE;
    }
    unsigned char *bytes = arena_alloc(mem, text_bytes / 4 * 3 + 3, 1);
    if (bytes == NULL) {
        return spent(mem);
    }
    if (sodium_base642bin(bytes, text_bytes / 4 * 3 + 3, text, text_bytes, NULL, &n_bytes, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0 ||
        n_bytes < 12 || memcmp(bytes + 8, "WEBP", 4) != 0) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_NOT_AN_IMAGE, ERR_FORMAT),
                       "the crop is no WebP in base64");
    }
    enum err err = image_decode(bytes, n_bytes, &target->worker->gallery->limits, mem, &image, &fault->note);
    if (err != ERR_NONE) {
        return err == ERR_NOMEM ? err : gallery_fail(fault, GALLERY_DAMAGED_IMAGE, ERR_FORMAT);
    }
    if (image.width != target->pair->model->side || image.height != target->pair->model->side) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_WRONG_CROP_SIZE, ERR_CONFLICT),
                       "the crop has %d x %d pixels, the model takes %d", image.width, image.height,
                       target->pair->model->side);
    }
    ret->crop = bytes;
    ret->crop_bytes = n_bytes;
    ret->crop_side_px = image.width;
    return ERR_NONE;
}

/* What is known of the photo; all of it may be absent. */
static enum err place_of(const struct line_target *target, const json_t *face, struct enroll *what,
                         struct enroll_face *ret)
{
    const json_t *photo = json_object_get(face, "photo");
    const char *sha256 = line_text(photo, "sha256");
    const char *source = line_text(face, "source");
    const json_t *landmarks = json_object_get(face, "landmarks");
    float box[4];

    ret->source = FACE_FROM_EMBEDDING;
    if (source != NULL && strcmp(source, face_source_word(FACE_FROM_CROP)) == 0) {
        ret->source = FACE_FROM_CROP;
    }
    int64_t width = json_integer_value(json_object_get(photo, "width"));
    int64_t height = json_integer_value(json_object_get(photo, "height"));
    if (width > 0 && width <= PHOTO_SIDE_MOST && height > 0 && height <= PHOTO_SIDE_MOST) {
        what->photo.width_px = (int)width;
        what->photo.height_px = (int)height;
    }
    if (sha256 != NULL && strlen(sha256) == 2 * HASH_SHA256_BYTES) {
        unsigned char *digest = arena_alloc(target->worker->mem, HASH_SHA256_BYTES, 1);
        size_t n_bytes = 0;
        if (digest == NULL) {
            return spent(target->worker->mem);
        }
        if (sodium_hex2bin(digest, HASH_SHA256_BYTES, sha256, 2 * (size_t)HASH_SHA256_BYTES, NULL, &n_bytes, NULL) ==
                0 &&
            n_bytes == HASH_SHA256_BYTES) {
            what->photo.sha256 = digest;
        }
    }
    bool placed = floats_of(json_object_get(face, "box"), 4, box) == ERR_NONE && json_array_size(landmarks) == 5;
    for (size_t i = 0; placed && i < 5; i++) {
        placed = floats_of(json_array_get(landmarks, i), 2, ret->point[i]) == ERR_NONE;
    }
    for (int i = 0; placed && i < 4; i++) {
        placed = isfinite(box[i]);
    }
    for (int i = 0; placed && i < 10; i++) {
        placed = isfinite((&ret->point[0][0])[i]);
    }
    if (placed) {
        const float corners[4] = {box[0], box[1], box[0] + box[2], box[1] + box[3]};
        memcpy(ret->box, corners, sizeof corners);
        ret->source = FACE_FROM_PHOTO;
    } else {
        memset(ret->point, 0, sizeof ret->point);
    }
    double score = json_number_value(json_object_get(face, "score"));
    ret->score = isfinite(score) && score >= 0 && score <= 1 ? (float)score : 0;
    return ERR_NONE;
}

/* An object's text in the arena; NULL if it is none. */
static enum err object_of(const struct line_target *target, const json_t *object, const char **ret)
{
    *ret = NULL;
    if (!json_is_object(object)) {
        return ERR_NONE;
    }
    size_t n_bytes = json_dumpb(object, NULL, 0, JSON_COMPACT);
    char *text = arena_alloc(target->worker->mem, n_bytes + 1, 1);
    if (text == NULL) {
        return spent(target->worker->mem);
    }
    (void)json_dumpb(object, text, n_bytes, JSON_COMPACT);
    *ret = text;
    return ERR_NONE;
}

/*
 * When the face was first enrolled, so that retention counts from then; absent: now.  What cannot be read must not become now:
 * the face would be kept for longer than its collection promises.
 */
static enum err time_of(const json_t *face, int64_t *ret_ms, struct gallery_fault *fault)
{
    const json_t *text = json_object_get(face, "enrolled_at");

    *ret_ms = 0;
    if (text == NULL || json_is_null(text)) {
        return ERR_NONE;
    }
    if (!json_is_string(text) || !clock_read(json_string_value(text), ret_ms)) {
        return ERR_SAY(&fault->note, ERR_FORMAT, "enrolled_at is no time like 2026-01-31T12:34:56.789Z");
    }
    return ERR_NONE;
}

static enum err details_of(const struct line_target *target, const json_t *face, const json_t *subject,
                           struct enroll *what, struct enroll_face *row, struct gallery_fault *fault)
{
    struct arena *mem = target->worker->mem;
    const char *name = line_text(subject, "name");
    const char *external_id = line_text(subject, "external_id");

    if (name == NULL || store_name_check("the subject's name", name, &fault->note) != ERR_NONE ||
        (external_id != NULL && store_name_check("external_id", external_id, &fault->note) != ERR_NONE)) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_BAD_NAME, ERR_MISUSE), "the subject has no name");
    }
    what->subject_name = arena_copy_text(mem, name);
    what->external_id = external_id == NULL ? NULL : arena_copy_text(mem, external_id);
    if (what->subject_name == NULL || (external_id != NULL && what->external_id == NULL)) {
        return spent(mem);
    }
    const json_t *metadata = json_object_get(subject, "metadata");
    if (metadata != NULL && !json_is_null(metadata) && !json_is_object(metadata)) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_BAD_METADATA, ERR_MISUSE),
                       "the subject's metadata is no object");
    }
    enum err err = time_of(face, &what->at_ms, fault);
    if (err == ERR_NONE) {
        err = object_of(target, metadata, &what->metadata);
    }
    if (err == ERR_NONE) {
        err = object_of(target, json_object_get(face, "quality"), &row->quality);
    }
    if (err == ERR_NONE && ((what->metadata != NULL && store_json_check("metadata", what->metadata, &fault->note)) ||
                            (row->quality != NULL && store_json_check("quality", row->quality, &fault->note)))) {
        return gallery_fail(fault, GALLERY_BAD_METADATA, ERR_MISUSE);
    }
    return err;
}

enum err line_face_read(const struct line_target *target, const json_t *face, struct enroll *ret,
                        struct gallery_fault *fault)
{
    struct enroll_face *row = ARENA_NEW(target->worker->mem, struct enroll_face);
    struct enroll what = {.collection_id = target->collection->id,
                          .model_id = target->pair->model->row_id,
                          .faces = row,
                          .n_faces = 1,
                          .refuse_duplicates = target->refuse_duplicates,
                          .actor = worker_actor(target->worker)};

    if (row == NULL) {
        return spent(target->worker->mem);
    }
    enum err err = details_of(target, face, json_object_get(face, "subject"), &what, row, fault);
    if (err == ERR_NONE) {
        err = vector_of(target, face, row, fault);
    }
    if (err == ERR_NONE) {
        err = place_of(target, face, &what, row);
    }
    if (err == ERR_NONE) {
        err = crop_of(target, face, row, fault);
    }
    if (err == ERR_NONE) {
        *ret = what;
    }
    return err;
}
