/* pipeline.c: the stages of a photo, timed. */
#include "server/gallery/pipeline.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/size.h"
#include "core/face/align.h"
#include "server/gallery/batch.h"

#define QUALITY_SIDE 112 /* what quality.h judges crops at */
#define BATCH 8          /* crops of one request in one run: beyond, activations grow and speed does not */

static enum err decode(struct gallery_worker *worker, const struct gallery_photo *photo, struct image *ret,
                       struct gallery_fault *fault)
{
    int64_t begin = clock_monotonic_ns();
    enum err err = image_decode(photo->bytes, photo->n_bytes, &worker->gallery->limits, worker->mem, ret, &fault->note);

    worker->times.decode_ns += clock_monotonic_ns() - begin;
    if (err == ERR_UNSUPPORTED) {
        fault->reason = GALLERY_NOT_AN_IMAGE;
    } else if (err == ERR_FORMAT) {
        fault->reason = GALLERY_DAMAGED_IMAGE;
    } else if (err == ERR_LIMIT) {
        fault->reason = GALLERY_IMAGE_TOO_LARGE;
    }
    return err;
}

static float area(const struct face *face)
{
    return (face->box[2] - face->box[0]) * (face->box[3] - face->box[1]);
}

/* Largest first; equal areas by score, then by place, so that the order never depends on the sort. */
static int by_size(const void *left, const void *right)
{
    const struct face *a = left;
    const struct face *b = right;

    if (area(a) != area(b)) {
        return area(a) > area(b) ? -1 : 1;
    }
    if (a->score != b->score) {
        return a->score > b->score ? -1 : 1;
    }
    return (a->box[0] > b->box[0]) - (a->box[0] < b->box[0]);
}

static enum err detect(struct gallery_worker *worker, struct pipeline_photo *photo, struct gallery_fault *fault)
{
    const struct gallery_policy *policy = &worker->gallery->policy;
    struct detect_options options = {
        .side = policy->detect_side, .min_score = policy->detect_score, .max_faces = policy->faces_max};
    struct session *session = NULL;
    struct face *found = NULL;
    int n = 0;

    enum err err = worker_detector_session(worker, &session, fault);
    if (err != ERR_NONE) {
        return err;
    }
    int64_t begin = clock_monotonic_ns();
    err = detector_run(worker->gallery->detector->detector, session, &photo->image, &options, worker->mem, &found, &n,
                       &fault->note);
    worker->times.detect_ns += clock_monotonic_ns() - begin;
    if (err != ERR_NONE) {
        fault->reason = err == ERR_LIMIT ? GALLERY_IMAGE_TOO_LARGE : GALLERY_REASON_NONE;
        return err;
    }
    if (n > 1) {
        qsort(found, (size_t)n, sizeof *found, by_size);
    }
    struct pipeline_face *faces = ARENA_ARRAY(worker->mem, struct pipeline_face, n);
    if (faces == NULL) {
        return gallery_fail(fault, GALLERY_IMAGE_TOO_LARGE, spent(worker->mem));
    }
    for (int i = 0; i < n; i++) {
        faces[i].where = found[i];
    }
    photo->faces = faces;
    photo->n_faces = n;
    return ERR_NONE;
}

/* The photo is the crop: nothing is detected, and there are no points to judge it by. */
static enum err take_aligned(struct gallery_worker *worker, const struct model *model, struct pipeline_photo *photo,
                             struct gallery_fault *fault)
{
    const struct image *image = &photo->image;

    if (image->width != model->side || image->height != model->side) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_WRONG_CROP_SIZE, ERR_CONFLICT),
                       "an aligned crop must have %d x %d pixels for this model; this one has %d x %d", model->side,
                       model->side, image->width, image->height);
    }
    struct pipeline_face *face = ARENA_NEW(worker->mem, struct pipeline_face);
    if (face == NULL) {
        return gallery_fail(fault, GALLERY_IMAGE_TOO_LARGE, spent(worker->mem));
    }
    *face = (struct pipeline_face){.aligned = true, .crop = *image, .quality = {.score = 1}};
    face->where = (struct face){.box = {0, 0, (float)image->width, (float)image->height}, .score = 1};
    photo->faces = face;
    photo->n_faces = 1;
    return ERR_NONE;
}

enum err pipeline_look(struct gallery_worker *worker, const struct gallery_photo *photo, const struct model *model,
                       struct pipeline_photo *ret, struct gallery_fault *fault)
{
    struct pipeline_photo look = {0};

    if (!photo->aligned && worker->gallery->detector == NULL) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_NO_MODEL, ERR_CONFLICT),
                       "no detector is loaded: send aligned crops or embeddings, or start with --detector FILE.onnx");
    }
    enum err err = worker_may_go_on(worker, fault);
    if (err == ERR_NONE) {
        batch_expect(worker);
        err = decode(worker, photo, &look.image, fault);
    }
    if (err == ERR_NONE) {
        err = worker_may_go_on(worker, fault);
    }
    if (err == ERR_NONE) {
        err = photo->aligned ? take_aligned(worker, model, &look, fault) : detect(worker, &look, fault);
    }
    if (err == ERR_NONE) {
        worker->times.faces += look.n_faces;
        *ret = look;
    }
    return err;
}

enum err pipeline_choose(struct pipeline_photo *photo, enum faces_wanted wanted, enum face_need need, const char *which,
                         struct gallery_fault *fault)
{
    if (photo->n_faces == 0 && (need == FACE_NEEDED || wanted == FACES_SINGLE)) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_NO_FACE, ERR_CONFLICT), "no face was found in %s",
                       which);
    }
    if (photo->n_faces > 1 && wanted == FACES_SINGLE) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_SEVERAL_FACES, ERR_CONFLICT),
                       "%d faces were found in %s, but one was asked for: crop it, or say faces=largest",
                       photo->n_faces, which);
    }
    if (photo->n_faces > 1 && wanted == FACES_LARGEST) {
        photo->n_faces = 1;
    }
    return ERR_NONE;
}

static enum err crop_one(struct gallery_worker *worker, struct pipeline_photo *photo, struct pipeline_face *face,
                         int side, enum quality_level level)
{
    struct image judged = {0};

    enum err err = align_face(&photo->image, &face->where, side, worker->mem, &face->crop);
    if (err != ERR_NONE) {
        return err;
    }
    judged = face->crop;
    if (side != QUALITY_SIDE) {
        err = align_face(&photo->image, &face->where, QUALITY_SIDE, worker->mem, &judged);
    }
    if (err == ERR_NONE) {
        quality_judge(&photo->image, &face->where, &judged, level, &face->quality);
    }
    return err;
}

enum err pipeline_crop(struct gallery_worker *worker, struct pipeline_photo *photo, const struct model *model,
                       enum quality_level level, struct gallery_fault *fault)
{
    int64_t begin = clock_monotonic_ns();
    int side = model == NULL ? QUALITY_SIDE : model->side;
    int kept = 0;
    enum err err = ERR_NONE;

    for (int i = 0; i < photo->n_faces && err == ERR_NONE; i++) {
        struct pipeline_face *face = &photo->faces[i];
        if (!face->aligned) {
            err = crop_one(worker, photo, face, side, level);
        }
        if (err == ERR_FORMAT) {
            err = ERR_NONE; /* its points coincide: what the detector saw there is no face */
            continue;
        }
        photo->faces[kept++] = *face;
    }
    worker->times.align_ns += clock_monotonic_ns() - begin;
    if (err != ERR_NONE) {
        return ERR_SAY(&fault->note,
                       gallery_fail(fault, err == ERR_LIMIT ? GALLERY_IMAGE_TOO_LARGE : GALLERY_REASON_NONE, err),
                       "the faces of this photo need more memory than one request may use");
    }
    photo->n_faces = kept;
    return ERR_NONE;
}

static enum err embed_batches(struct gallery_worker *worker, struct model *model, struct pipeline_face *faces, int n,
                              struct gallery_fault *fault)
{
    int batch = recognizer_max_batch(model->recognizer);
    size_t floats = 0;

    batch = batch < BATCH ? batch : BATCH;
    if (!size_mul((size_t)n, (size_t)model->dim, &floats)) {
        return ERR_LIMIT;
    }
    float *vectors = ARENA_ARRAY(worker->mem, float, floats);
    float *norms = ARENA_ARRAY(worker->mem, float, n);
    struct image *crops = ARENA_ARRAY(worker->mem, struct image, n);
    if (vectors == NULL || norms == NULL || crops == NULL) {
        return gallery_fail(fault, GALLERY_IMAGE_TOO_LARGE, spent(worker->mem));
    }
    for (int i = 0; i < n; i++) {
        crops[i] = faces[i].crop;
    }
    for (int i = 0; i < n; i += batch) {
        int here = n - i < batch ? n - i : batch;
        enum err err = worker_may_go_on(worker, fault);
        if (err == ERR_NONE) {
            err =
                batch_embed(worker, model, crops + i, here, vectors + (size_t)i * (size_t)model->dim, norms + i, fault);
        }
        if (err != ERR_NONE) {
            return err;
        }
    }
    for (int i = 0; i < n; i++) {
        faces[i].embedding = vectors + (size_t)i * (size_t)model->dim;
        faces[i].norm = norms[i];
    }
    return ERR_NONE;
}

enum err pipeline_embed(struct gallery_worker *worker, struct model *model, struct pipeline_face *faces, int n,
                        struct gallery_fault *fault)
{
    if (n == 0) {
        return ERR_NONE;
    }
    int64_t begin = clock_monotonic_ns();
    enum err err = embed_batches(worker, model, faces, n, fault);
    worker->times.embed_ns += clock_monotonic_ns() - begin;
    return err;
}

enum err pipeline_vector(struct gallery_worker *worker, const struct gallery_embedding *sent, int dim,
                         const float **ret, float *ret_norm, struct gallery_fault *fault)
{
    double square = 0;

    if (sent->dim != dim) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_WRONG_DIMENSION, ERR_MISUSE),
                       "the embedding has %d numbers, this collection's model makes %d", sent->dim, dim);
    }
    for (int i = 0; i < dim; i++) {
        square += (double)sent->values[i] * (double)sent->values[i];
    }
    /* NaN and infinity arrive in the sum; a float's square never overflows a double. */
    double norm = sqrt(square);
    if (!isfinite(norm) || norm < 1e-12) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_BAD_EMBEDDING, ERR_MISUSE), "the embedding %s",
                       isfinite(norm) ? "is all zeros: it has no direction" : "holds a number that is not finite");
    }
    float *unit = ARENA_ARRAY(worker->mem, float, dim);
    if (unit == NULL) {
        return spent(worker->mem);
    }
    for (int i = 0; i < dim; i++) {
        unit[i] = (float)((double)sent->values[i] / norm);
    }
    *ret = unit;
    *ret_norm = norm <= (double)FLT_MAX ? (float)norm : 0; /* 0: unknown */
    return ERR_NONE;
}

float pipeline_cosine(const float *a, const float *b, int dim)
{
    double sum = 0;

    for (int i = 0; i < dim; i++) {
        sum += (double)a[i] * (double)b[i];
    }
    return (float)sum;
}

struct photo_size pipeline_size(const struct pipeline_photo *photo)
{
    return (struct photo_size){.width = photo->image.width, .height = photo->image.height};
}

struct seen_face pipeline_seen(const struct pipeline_face *face)
{
    const float *box = face->where.box;
    struct seen_face seen = {.box = {box[0], box[1], box[2] - box[0], box[3] - box[1]},
                             .score = face->where.score,
                             .quality = face->quality.score};

    memcpy(seen.landmarks, face->where.point, sizeof seen.landmarks);
    for (unsigned bit = QUALITY_TOO_SMALL; bit <= QUALITY_UNSURE; bit <<= 1) {
        if ((face->quality.reasons & bit) != 0 && seen.n_reasons < SEEN_FACE_MAX_REASONS) {
            seen.reasons[seen.n_reasons++] = quality_reason_word((enum quality_reason)bit);
        }
    }
    return seen;
}
