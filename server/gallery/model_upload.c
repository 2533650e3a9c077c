/* model_upload.c: models come and go. */
#include "server/gallery/model_upload.h"

#include <math.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/random.h"
#include "server/gallery/gallery_private.h"
#include "server/gallery/pipeline.h"

#define TEST_CROPS 3
#define SAME_COSINE .9999F  /* one crop twice, or beside others */
#define OTHER_COSINE .9999F /* above, the network does not look at its input */

/* ---- The self-test -------------------------------------------------------------------------------------------------- */

/* Something with light, shade, edges and grain, different for every number: a head's oval before a background, two eyes. */
static enum err draw_crop(int side, int number, struct arena *mem, struct image *ret)
{
    struct random random = random_seeded(20, (uint64_t)number);
    enum err err = image_new(side, side, mem, ret);

    if (err != ERR_NONE) {
        return err;
    }
    double tone = 60 + 60.0 * number;
    for (int y = 0; y < side; y++) {
        for (int x = 0; x < side; x++) {
            double u = 2.0 * x / side - 1;
            double v = 2.0 * y / side - 1;
            bool face = u * u / .5 + v * v / .9 < 1;
            bool eye = hypot(fabs(u) - .34 - .03 * number, v + .1) < .1;
            double light = eye ? 30 : face ? tone + 50 * u * (number % 2 == 0 ? 1 : -1) : 200 - tone / 2 + 40 * v;
            for (int c = 0; c < 3; c++) {
                double value = light + 12.0 * c * (face ? -1 : 1) + (double)random_below(&random, 16);
                ret->rgb[3 * ((size_t)y * (size_t)side + (size_t)x) + (size_t)c] = (uint8_t)(value < 0     ? 0
                                                                                             : value > 255 ? 255
                                                                                                           : value);
            }
        }
    }
    return ERR_NONE;
}

static enum err bad_model(enum err err, struct gallery_fault *fault)
{
    if (err == ERR_NOMEM || err == ERR_IO || err == ERR_NO_SPACE || err == ERR_BUSY || err == ERR_DENIED) {
        return err;
    }
    return gallery_fail(fault, GALLERY_BAD_MODEL, ERR_UNSUPPORTED);
}

static enum err test_run(const struct model *model, struct session *session, const struct image *crops,
                         struct arena *mem, struct model_uploaded *ret, struct err_note *note)
{
    const size_t dim = (size_t)model->dim;
    int batch = recognizer_max_batch(model->recognizer);
    int together = batch < TEST_CROPS ? batch : TEST_CROPS;
    float *alone = ARENA_ARRAY(mem, float, TEST_CROPS *dim);
    float *again = ARENA_ARRAY(mem, float, TEST_CROPS *dim);
    enum err err = ERR_NONE;

    if (alone == NULL || again == NULL) {
        return spent(mem);
    }
    int64_t begin = clock_monotonic_ns();
    for (int i = 0; i < TEST_CROPS && err == ERR_NONE; i++) {
        err = recognizer_run(model->recognizer, session, &crops[i], 1, mem, alone + (size_t)i * dim, NULL, note);
    }
    ret->embed_ms = (double)(clock_monotonic_ns() - begin) / 1e6 / TEST_CROPS;
    if (err == ERR_NONE) {
        err = recognizer_run(model->recognizer, session, crops, together, mem, again, NULL, note);
    }
    if (err != ERR_NONE) {
        return err;
    }
    ret->batch = batch;
    ret->batch_cosine = 1;
    for (int i = 0; i < together; i++) {
        float cosine = pipeline_cosine(alone + (size_t)i * dim, again + (size_t)i * dim, model->dim);
        ret->batch_cosine = cosine < ret->batch_cosine ? cosine : ret->batch_cosine;
    }
    ret->others_cosine = -1;
    for (int i = 1; i < TEST_CROPS; i++) {
        float cosine = pipeline_cosine(alone, alone + (size_t)i * dim, model->dim);
        ret->others_cosine = cosine > ret->others_cosine ? cosine : ret->others_cosine;
    }
    if (!(ret->batch_cosine >= SAME_COSINE)) {
        return ERR_SAY(note, ERR_UNSUPPORTED,
                       "the same crop alone and in a batch gives different embeddings (cosine %.5f): the network mixes "
                       "the crops of a batch",
                       (double)ret->batch_cosine);
    }
    if (!(ret->others_cosine < OTHER_COSINE)) {
        return ERR_SAY(note, ERR_UNSUPPORTED,
                       "different crops give the same embedding (cosine %.6f): the network does not look at them",
                       (double)ret->others_cosine);
    }
    return ERR_NONE;
}

static enum err self_test(struct gallery_worker *worker, const struct model *model, struct model_uploaded *ret,
                          struct gallery_fault *fault)
{
    struct session_options options = {.memory_limit = worker->gallery->session_bytes};
    struct session *session = NULL;
    struct image crops[TEST_CROPS];
    enum err err = ERR_NONE;

    for (int i = 0; i < TEST_CROPS && err == ERR_NONE; i++) {
        err = draw_crop(model->side, i, worker->mem, &crops[i]);
    }
    if (err == ERR_NONE) {
        err = session_new(model_graph(model), &options, &session);
    }
    if (err == ERR_NONE) {
        err = test_run(model, session, crops, worker->mem, ret, &fault->note);
    }
    session_free(session);
    if (err != ERR_NONE) {
        err_prefix(&fault->note, "the self-test failed: ");
        return bad_model(err, fault);
    }
    return ERR_NONE;
}

/* ---- Uploading ------------------------------------------------------------------------------------------------------ */

static enum err describe(struct gallery_worker *worker, const struct model *model, struct model_uploaded *ret)
{
    struct arena *mem = worker->mem;
    struct calibration calibration;

    models_calibration(worker->gallery->models, model, &calibration);
    memcpy(ret->version, model->version, sizeof ret->version);
    ret->dim = model->dim;
    ret->side = model->side;
    ret->flip = model->manifest.flip;
    ret->calibrated = calibration.n_points >= 2;
    ret->name = arena_copy_text(mem, model->name);
    ret->assumed = model->manifest.assumed == NULL ? NULL : arena_copy_text(mem, model->manifest.assumed);
    return ret->name == NULL || (model->manifest.assumed != NULL && ret->assumed == NULL) ? spent(mem) : ERR_NONE;
}

struct telling {
    const struct gallery_worker *worker;
    const struct model_uploaded *answer;
};

static enum err tell(void *context, const void *result, struct replay_answer *ret)
{
    const struct telling *telling = context;

    (void)result;
    return worker_answer(telling->worker, telling->answer, ret);
}

enum err gallery_model_upload(struct gallery_worker *worker, const struct model_upload *upload,
                              struct model_uploaded *ret, struct gallery_fault *fault)
{
    struct gallery *gallery = worker->gallery;
    const char *name = upload->name == NULL ? "uploaded" : upload->name;
    struct model *model = NULL;
    struct model *known = NULL;
    struct model_row row = {0};
    struct model_uploaded answer = {0};

    enum err err = store_name_check("the model's name", name, &fault->note);
    if (err != ERR_NONE) {
        return gallery_fail(fault, GALLERY_BAD_NAME, err);
    }
    err =
        model_load_bytes(name, upload->onnx, upload->n_bytes, upload->manifest, MODEL_RECOGNIZER, &model, &fault->note);
    if (err != ERR_NONE) {
        return bad_model(err, fault);
    }
    err = self_test(worker, model, &answer, fault);
    if (err == ERR_NONE) {
        err = describe(worker, model, &answer);
    }
    if (err == ERR_NONE) {
        struct err_note none = {0};
        err = store_model_find(gallery->store, model->version, worker->mem, &row, &none);
        answer.is_new = err == ERR_NOT_FOUND;
        fault->note = err == ERR_NONE || answer.is_new ? fault->note : none;
        err = answer.is_new ? ERR_NONE : err;
    }
    if (err != ERR_NONE) {
        model_free(model);
        return err;
    }
    struct telling telling = {.worker = worker, .answer = &answer};
    struct replay room;
    err = models_take_bytes(gallery->models, model, upload->onnx, upload->n_bytes,
                            worker_replay(worker, tell, &telling, &room), worker->mem, &known, &fault->note);
    if (err == ERR_NONE) {
        models_unref(gallery->models, known);
        *ret = answer;
    }
    return err;
}

/* ---- What is known --------------------------------------------------------------------------------------------------- */

enum err gallery_known_models(struct gallery_worker *worker, const char *page_token, int limit,
                              struct known_model **ret, int *ret_count, const char **ret_next,
                              struct gallery_fault *fault)
{
    struct gallery *gallery = worker->gallery;
    struct store_page page = {.limit = limit, .token = page_token};
    struct model_row *rows = NULL;
    const char *next = NULL;
    int n = 0;

    enum err err = store_model_list(gallery->store, &page, worker->mem, &rows, &n, &next, &fault->note);
    if (err != ERR_NONE) {
        return page_fault(err, fault);
    }
    struct known_model *known = ARENA_ARRAY(worker->mem, struct known_model, n);
    if (known == NULL) {
        return spent(worker->mem);
    }
    for (int i = 0; i < n && err == ERR_NONE; i++) {
        struct model_row parent = {0};
        known[i] = (struct known_model){.row = rows[i],
                                        .calibrated = rows[i].calibration != NULL,
                                        .is_default = gallery->default_model != NULL &&
                                                      gallery->default_model->row_id == rows[i].id};
        err = store_model_users(gallery->store, rows[i].id, worker->mem, &known[i].used_by, &known[i].n_used_by,
                                &fault->note);
        if (err == ERR_NONE && rows[i].parent_id != 0) {
            err = store_model_get(gallery->store, rows[i].parent_id, worker->mem, &parent, &fault->note);
            known[i].parent = err == ERR_NONE ? arena_copy_text(worker->mem, parent.version) : NULL;
        }
    }
    if (err == ERR_NONE) {
        *ret = known;
        *ret_count = n;
        *ret_next = next;
    }
    return err;
}

enum err gallery_model_delete(struct gallery_worker *worker, const char *version, struct gallery_fault *fault)
{
    struct gallery *gallery = worker->gallery;
    struct model_row row = {0};

    enum err err = store_model_find(gallery->store, version, worker->mem, &row, &fault->note);
    if (err == ERR_NOT_FOUND) {
        fault->note = (struct err_note){0};
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_NO_SUCH_MODEL, err),
                       "there is no model of this version");
    }
    if (err == ERR_NONE && gallery->default_model != NULL && gallery->default_model->row_id == row.id) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_MODEL_IN_USE, ERR_CONFLICT),
                       "the model is the one for new collections: start with another --recognizer first");
    }
    if (err == ERR_NONE) {
        err = store_model_delete(gallery->store, row.id, worker_actor(worker), &fault->note);
        if (err == ERR_CONFLICT) {
            return gallery_fail(fault, GALLERY_MODEL_IN_USE, err);
        }
    }
    /* Whoever still has it in memory (a worker's session) does not need its file.  A file that cannot be removed is litter, not a failure. */
    if (err == ERR_NONE) {
        (void)models_remove_files(gallery->models, row.file, NULL);
    }
    return err;
}
