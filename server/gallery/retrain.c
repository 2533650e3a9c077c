/* retrain.c: a trained model becomes a row. */
#include "server/gallery/retrain.h"

#include <string.h>

#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/train/course.h"
#include "server/gallery/gallery_private.h"
#include "server/gallery/model_upload.h"

#define MODELS_FOLDER "models"

struct training_defaults gallery_training_defaults(void)
{
    const struct course_options course = course_default();

    return (struct training_defaults){.epochs = course.train.epochs,
                                      .rate = (double)course.train.schedule.rate,
                                      .distill = (double)course.train.objective.distill_l2,
                                      .kl = (double)course.train.objective.distill_kl,
                                      .freeze = .7,
                                      .purify_deg = (double)course.purify_degrees,
                                      .holdout = .2,
                                      .gate = .5,
                                      .seed = (int64_t)course.train.seed};
}

const char *gallery_model_path(struct gallery_worker *worker, const char *data, const struct model_row *row)
{
    return arena_format(worker->mem, "%s/" MODELS_FOLDER "/%s", data, row->file);
}

enum err gallery_embed_ms(struct gallery_worker *worker, const struct model_row *row, double *ret,
                          struct gallery_fault *fault)
{
    struct models *models = worker->gallery->models;
    struct model *model = NULL;
    struct session *session = NULL;
    struct image crop = {0};

    enum err err = models_get(models, row->id, worker->mem, &model, &fault->note);
    if (err != ERR_NONE) {
        return err;
    }
    float *u = ARENA_ARRAY(worker->mem, float, model->dim);
    err = u == NULL ? spent(worker->mem) : image_new(model->side, model->side, worker->mem, &crop);
    if (err == ERR_NONE) {
        err = worker_session(worker, model, &session, fault);
    }
    if (err == ERR_NONE) { /* once to warm up */
        err = recognizer_run(model->recognizer, session, &crop, 1, worker->mem, u, NULL, &fault->note);
    }
    int64_t begin = clock_monotonic_ns();
    if (err == ERR_NONE) {
        err = recognizer_run(model->recognizer, session, &crop, 1, worker->mem, u, NULL, &fault->note);
    }
    if (err == ERR_NONE) {
        *ret = (double)(clock_monotonic_ns() - begin) / 1e6;
    }
    models_unref(models, model);
    return err;
}

/* The row goes first, because it says more than an upload's would: the one of a version that is there is left as it is. */
static enum err add_row(struct gallery_worker *worker, const struct trained_model *trained, const struct model *model,
                        const struct model_row *parent, struct gallery_fault *fault)
{
    const struct manifest *manifest = &model->manifest;
    struct model_row added = {0};
    struct model_row row = {.role = MODEL_RECOGNIZER,
                            .state = trained->proven ? MODEL_READY : MODEL_REJECTED,
                            .name = trained->name,
                            .file = arena_format(worker->mem, "%s.onnx", model->version),
                            .dim = model->dim,
                            .side_px = model->side,
                            .flip = manifest->flip,
                            .align_version = ALIGN_VERSION,
                            .preprocess = manifest->preprocess_json,
                            .calibration = manifest->calibration_json,
                            .source = manifest->source,
                            .licence = manifest->licence,
                            .parent_id = parent->id,
                            .report = trained->report};

    if (row.file == NULL) {
        return spent(worker->mem);
    }
    memcpy(row.version, model->version, sizeof row.version);
    memcpy(row.onnx_sha256, model->onnx_sha256, sizeof row.onnx_sha256);
    return store_model_add(worker->gallery->store, &row, worker_actor(worker), worker->mem, &added, &fault->note);
}

static enum err take(struct gallery_worker *worker, const struct trained_model *trained, const struct model_row *parent,
                     const void *onnx, size_t n_bytes, const char *manifest, char ret_version[STORE_VERSION_TEXT],
                     struct gallery_fault *fault)
{
    const struct model_upload upload = {.onnx = onnx, .n_bytes = n_bytes, .manifest = manifest, .name = trained->name};
    struct model_uploaded uploaded = {0};
    struct model *model = NULL;

    enum err err = model_load_bytes(trained->name, onnx, n_bytes, manifest, MODEL_RECOGNIZER, &model, &fault->note);
    if (err == ERR_NONE) {
        err = add_row(worker, trained, model, parent, fault);
        model_free(model);
    }
    if (err == ERR_NONE) {
        err = gallery_model_upload(worker, &upload, &uploaded, fault);
    }
    if (err == ERR_NONE) {
        memcpy(ret_version, uploaded.version, sizeof uploaded.version);
    }
    return err;
}

enum err gallery_take_trained(struct gallery_worker *worker, const struct trained_model *trained,
                              char ret_version[STORE_VERSION_TEXT], struct gallery_fault *fault)
{
    const char *beside = arena_format(worker->mem, "%s.json", trained->file);
    struct model_row parent = {0};
    const unsigned char *onnx = NULL;
    unsigned char *manifest = NULL;
    size_t n_bytes = 0;
    size_t n_manifest = 0;

    if (beside == NULL) {
        return spent(worker->mem);
    }
    enum err err = store_model_find(worker->gallery->store, trained->from, worker->mem, &parent, &fault->note);
    if (err == ERR_NOT_FOUND) {
        return gallery_fail(fault, GALLERY_NO_SUCH_MODEL, err);
    }
    if (err == ERR_NONE) {
        err = file_map(trained->file, MODEL_LIMIT_BYTES, &onnx, &n_bytes, &fault->note);
    }
    if (err != ERR_NONE) {
        return err;
    }
    err = file_read(beside, MANIFEST_LIMIT_BYTES, &manifest, &n_manifest, &fault->note);
    if (err == ERR_NONE) {
        err = take(worker, trained, &parent, onnx, n_bytes, (const char *)manifest, ret_version, fault);
    }
    mem_free(manifest);
    file_unmap(onnx, n_bytes);
    return err;
}
