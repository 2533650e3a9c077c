/* retrain.c: a trained model becomes a row. */
#include "server/gallery/retrain.h"

#include <string.h>

#include "core/base/cpu.h"
#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/train/cost.h"
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
                                      .freeze = .4,
                                      .purify_deg = (double)course.purify_degrees,
                                      .holdout = .2,
                                      .gate = .5,
                                      .seed = (int64_t)course.train.seed};
}

const char *gallery_model_path(struct gallery_worker *worker, const char *data, const struct model_row *row)
{
    return arena_format(worker->mem, "%s/" MODELS_FOLDER "/%s", data, row->file);
}

enum err gallery_training_cost(struct gallery_worker *worker, const char *data, const struct model_row *row,
                               const struct training_defaults *wanted, int64_t n_people, int64_t n_photos,
                               struct training_cost *ret, struct gallery_fault *fault)
{
    const char *path = gallery_model_path(worker, data, row);
    struct course_options course = course_default();
    double choosing = n_people * (1 - wanted->holdout) * PARTS_CHOOSING >= PARTS_LEAST_CHOOSING ? PARTS_CHOOSING : 0;
    struct cost_question question = {.learn = 1 - wanted->freeze,
                                     .side = row->side_px,
                                     .photos = (long)n_photos,
                                     .taught = (long)((double)n_photos * (1 - wanted->holdout) * (1 - choosing)),
                                     .threads = cpu_count(),
                                     .course = &course};
    struct model_bytes file = {.bytes = NULL};
    struct graph *graph = NULL;
    struct cost cost = {0};

    course.train.epochs = wanted->epochs;
    enum err err = path == NULL ? spent(worker->mem) : model_bytes_open(path, MODEL_RECOGNIZER, &file, &fault->note);
    if (err != ERR_NONE) {
        return err;
    }
    err = student_load(file.bytes, file.n_bytes, &graph, &fault->note);
    if (err == ERR_NONE) {
        err = cost_estimate(graph, &question, &cost, &fault->note);
    }
    if (err == ERR_NONE) { /* the model itself: mapped, as it learns, and twice when it is measured */
        *ret = (struct training_cost){
            .seconds = cost.seconds, .bytes = (int64_t)cost.bytes + 4 * (int64_t)file.n_bytes, .steps = cost.steps};
    }
    model_bytes_close(&file);
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
    return store_model_add(worker->gallery->store, &row, worker_actor(worker), NULL, worker->mem, &added, &fault->note);
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
