/* activate.c: embed again, catch up, change over in one step. */
#include "server/gallery/activate.h"

#include <string.h>

#include "core/base/point.h"
#include "server/gallery/gallery_private.h"
#include "server/gallery/pipeline.h"
#include "server/store/face_rows.h"
#include "server/store/image_rows.h"
#include "server/store/reembed_rows.h"

#define BATCH 32        /* faces embedded and committed at once */
#define ROUNDS 1000     /* of catching up: each but the last found faces that were enrolled during the one before */
#define HISTORY_ROWS 64 /* entries looked at for a former model */

/* ---- What can be done ---------------------------------------------------------------------------------------------- */

static enum err find_model(struct gallery_worker *worker, const char *version, struct model_row *ret,
                           struct gallery_fault *fault)
{
    enum err err = store_model_find(worker->gallery->store, version, worker->mem, ret, &fault->note);

    if (err == ERR_NOT_FOUND || (err == ERR_NONE && ret->role != MODEL_RECOGNIZER)) {
        fault->note = (struct err_note){0};
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_NO_SUCH_MODEL, ERR_NOT_FOUND),
                       "there is no recogniser of this version");
    }
    return err;
}

static enum err check_crops(const struct missing_counts *counts, const struct collection_row *collection,
                            const struct model_row *model, struct gallery_fault *fault)
{
    if (counts->n_without_crop > 0) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_NO_CROPS, ERR_CONFLICT),
                       "%lld of the %lld faces of collection \"%s\" have no crop to embed again: enroll them again, or "
                       "delete them",
                       (long long)counts->n_without_crop, (long long)counts->n_faces, collection->name);
    }
    if (counts->n_other_side > 0) {
        return ERR_SAY(
            &fault->note, gallery_fail(fault, GALLERY_OTHER_CROPS, ERR_CONFLICT),
            "%lld of the %lld crops of collection \"%s\" have another size than the %d x %d pixels that this "
            "model takes",
            (long long)counts->n_other_side, (long long)counts->n_faces, collection->name, model->side_px,
            model->side_px);
    }
    return ERR_NONE;
}

/* Both rows and the counts, with every refusal. */
static enum err look(struct gallery_worker *worker, const char *version, const char *name,
                     struct collection_row *ret_collection, struct model_row *ret_model, struct missing_counts *ret,
                     struct gallery_fault *fault)
{
    enum err err = find_model(worker, version, ret_model, fault);

    if (err == ERR_NONE) {
        err = find_collection(worker, name, ret_collection, fault);
    }
    if (err == ERR_NONE) {
        err = store_missing_count(worker->gallery->store, ret_collection->id, ret_model->id, ret_model->side_px, ret,
                                  &fault->note);
    }
    return err == ERR_NONE ? check_crops(ret, ret_collection, ret_model, fault) : err;
}

enum err gallery_activation_plan(struct gallery_worker *worker, const char *version, const char *collection,
                                 enum activate_force force, struct activation_plan *ret, struct gallery_fault *fault)
{
    struct collection_row row = {0};
    struct model_row model = {0};
    struct missing_counts counts = {0};

    enum err err = look(worker, version, collection, &row, &model, &counts, fault);
    if (err == ERR_NONE && model.state != MODEL_READY && force != ACTIVATE_FORCED) {
        err = ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_NOT_PROVEN, ERR_CONFLICT),
                      "the model is %s: it was not shown to be better; say force=true to use it all the same",
                      model_state_word(model.state));
    }
    if (err == ERR_NONE) {
        *ret = (struct activation_plan){.collection_id = row.id,
                                        .n_faces = counts.n_faces,
                                        .n_missing = counts.n_missing,
                                        .is_active = row.model_id == model.id};
    }
    return err;
}

/* ---- Settings with the other model --------------------------------------------------------------------------------- */

static enum err settings_for(struct gallery_worker *worker, const struct collection_row *row, const struct model *model,
                             const char **ret, struct activated *done, struct gallery_fault *fault)
{
    struct past_model *past = NULL;
    struct collection_settings settings = {0};
    int n = 0;

    enum err err = settings_read(row, &settings, fault);
    if (err == ERR_NONE) {
        err = store_collection_history(worker->gallery->store, row->id, HISTORY_ROWS, worker->mem, &past, &n,
                                       &fault->note);
    }
    if (err != ERR_NONE) {
        return err;
    }
    done->threshold_dropped = done->max_fmr_dropped = false;
    for (int i = 0; i < n; i++) {
        if (past[i].model_id == model->row_id && past[i].settings != NULL) {
            struct collection_row then = *row;
            struct collection_settings former = {0};
            then.settings = past[i].settings;
            err = settings_read(&then, &former, fault);
            settings.threshold = former.threshold; /* how long faces are kept is no matter of the model */
            return err == ERR_NONE ? settings_write(&settings, worker->mem, ret, fault) : err;
        }
    }
    struct gallery_fault passed = {0};
    struct calibration calibration;
    models_calibration(worker->gallery->models, model, &calibration);
    done->threshold_dropped = settings.threshold.has_threshold;
    settings.threshold.has_threshold = false;
    if (decision_check_wish(&settings.threshold, &calibration, &passed) != ERR_NONE) {
        done->max_fmr_dropped = settings.threshold.has_max_fmr;
        settings.threshold.has_max_fmr = false;
    }
    return settings_write(&settings, worker->mem, ret, fault);
}

/* ---- Embedding again ----------------------------------------------------------------------------------------------- */

struct moving {
    struct gallery_worker *worker;
    const struct long_work *work;
    struct gallery_request request;
    const struct replay *replay;
    int64_t collection_id;
    struct model *model;
    struct coming *coming; /* NULL until the index is built */
    int64_t done, total;
    struct activated activated;
};

/* The worker as new for the next batch: nothing of the last one is needed. */
static void renew(struct moving *m)
{
    gallery_worker_reset(m->worker);
    gallery_worker_begin(m->worker, &m->request);
    gallery_worker_keep(m->worker, m->replay);
}

/* The crop of a face, which may have been deleted since it was listed (*ret_there false). */
static enum err read_crop(struct moving *m, int64_t face_id, struct image *ret, bool *ret_there,
                          struct gallery_fault *fault)
{
    struct gallery_worker *worker = m->worker;
    struct image_limits limits = image_limits_default();
    struct stored_image stored = {0};
    struct face_row face = {0};

    *ret_there = false;
    enum err err = store_crop_get(worker->gallery->store, face_id, worker->mem, &stored, &fault->note);
    if (err == ERR_NOT_FOUND) {
        fault->note = (struct err_note){0};
        err = store_face_get(worker->gallery->store, face_id, worker->mem, &face, &fault->note);
        if (err == ERR_NONE) {
            return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_NO_CROPS, ERR_CONFLICT),
                           "a face was enrolled meanwhile of which no crop is kept: it cannot be embedded again");
        }
        fault->note = (struct err_note){0};
        return err == ERR_NOT_FOUND ? ERR_NONE : err;
    }
    if (err == ERR_NONE) {
        err = image_decode(stored.bytes, stored.n_bytes, &limits, worker->mem, ret, &fault->note);
    }
    if (err == ERR_NONE && (ret->width != m->model->side || ret->height != m->model->side)) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_OTHER_CROPS, ERR_CONFLICT),
                       "a crop has %d x %d pixels, the model takes %d x %d", ret->width, ret->height, m->model->side,
                       m->model->side);
    }
    *ret_there = err == ERR_NONE;
    return err;
}

/* Faces of the new index: those that are searched. */
static enum err tell_index(struct moving *m, const struct embedding_new *rows, int n, struct gallery_fault *fault)
{
    enum err err = ERR_NONE;

    for (int i = 0; i < n && err == ERR_NONE; i++) {
        struct face_row face = {0};
        err = store_face_get(m->worker->gallery->store, rows[i].face_id, m->worker->mem, &face, &fault->note);
        if (err == ERR_NONE && !face.set_aside) {
            err = coming_add(m->coming, &rows[i].face_id, rows[i].vector, 1, &fault->note);
        } else if (err == ERR_NOT_FOUND) {
            fault->note = (struct err_note){0};
            err = ERR_NONE;
        }
    }
    return err;
}

static enum err embed_batch(struct moving *m, const int64_t *ids, int n, struct gallery_fault *fault)
{
    struct arena *mem = m->worker->mem;
    struct pipeline_face *faces = ARENA_ARRAY(mem, struct pipeline_face, n);
    struct embedding_new *rows = ARENA_ARRAY(mem, struct embedding_new, n);
    int there = 0;

    if (faces == NULL || rows == NULL) {
        return spent(mem);
    }
    for (int i = 0; i < n; i++) {
        bool is_there = false;
        enum err err = read_crop(m, ids[i], &faces[there].crop, &is_there, fault);
        if (err != ERR_NONE) {
            return err;
        }
        if (is_there) {
            rows[there++].face_id = ids[i];
        }
    }
    enum err err = pipeline_embed(m->worker, m->model, faces, there, fault);
    for (int i = 0; i < there && err == ERR_NONE; i++) {
        rows[i].vector = faces[i].embedding;
        rows[i].norm = faces[i].norm;
    }
    if (err == ERR_NONE && there > 0) {
        err = store_embedding_add(m->worker->gallery->store, m->model->row_id, rows, there, &fault->note);
    }
    if (err == ERR_NONE && m->coming != NULL) {
        err = tell_index(m, rows, there, fault);
    }
    point_reached("reembed.batch");
    m->activated.n_embedded += err == ERR_NONE ? there : 0;
    return err;
}

/* Embeds every face that lacks it now. */
static enum err catch_up(struct moving *m, struct gallery_fault *fault)
{
    int64_t after = 0;

    for (;;) {
        int64_t *ids = NULL;
        int n = 0;
        renew(m);
        enum err err = worker_may_go_on(m->worker, fault);
        if (err == ERR_NONE) {
            err = store_missing_list(m->worker->gallery->store, m->collection_id, m->model->row_id, after, BATCH,
                                     m->worker->mem, &ids, &n, &fault->note);
        }
        if (err == ERR_NONE && n > 0) {
            err = embed_batch(m, ids, n, fault);
        }
        if (err != ERR_NONE || n == 0) {
            return err;
        }
        after = ids[n - 1];
        m->done += n;
        m->total = m->done > m->total ? m->done : m->total;
        long_work_progress(m->work, m->done, m->total, "faces");
    }
}

/* ---- Changing over ------------------------------------------------------------------------------------------------- */

static void go_live(void *context)
{
    struct moving *m = context;

    point_reached("switch.committed");
    coming_live(m->coming);
    m->coming = NULL;
}

static enum err tell(void *context, const void *result, struct replay_answer *ret)
{
    const struct moving *m = context;

    (void)result;
    return worker_answer(m->worker, &m->activated, ret);
}

/* One attempt of the last step; *ret_again: faces or settings came in between. */
static enum err change_over(struct moving *m, int64_t from_id, bool *ret_again, struct gallery_fault *fault)
{
    struct gallery_worker *worker = m->worker;
    struct collection_row row = {0};
    enum switch_outcome outcome = SWITCH_MOVED;
    struct model_switch what = {.collection_id = m->collection_id, .to_model_id = m->model->row_id};
    struct replay room;

    renew(m);
    enum err err = store_collection_get(worker->gallery->store, m->collection_id, worker->mem, &row, &fault->note);
    if (err == ERR_NONE && row.model_id != from_id) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_MOVED, ERR_CONFLICT),
                       "collection \"%s\" has changed over to another model meanwhile", row.name);
    }
    if (err == ERR_NONE) {
        err = settings_for(worker, &row, m->model, &what.settings, &m->activated, fault);
    }
    if (err == ERR_NONE) {
        what.from_model_id = row.model_id;
        what.from_settings = row.settings;
        what.actor = m->work->actor;
        what.replay = worker_replay(worker, tell, m, &room);
        point_reached("switch.ready");
        err = store_collection_switch(worker->gallery->store, &what, &(struct after_commit){go_live, m}, &outcome,
                                      &fault->note);
    }
    *ret_again = outcome != SWITCH_DONE;
    return err;
}

static enum err move(struct moving *m, int64_t from_id, struct gallery_fault *fault)
{
    struct gallery *gallery = m->worker->gallery;
    bool again = true;

    long_work_stage(m->work, "embedding");
    enum err err = catch_up(m, fault);
    if (err == ERR_NONE) {
        long_work_stage(m->work, "indexing");
        err = live_prepare(gallery->live, m->collection_id, models_ref(gallery->models, m->model), &m->coming,
                           &fault->note);
    }
    for (int round = 0; err == ERR_NONE && again; round++) {
        if (round == ROUNDS) {
            err = ERR_SAY(&fault->note, ERR_BUSY,
                          "faces are enrolled faster than they can be embedded again: try when it is quieter");
            break;
        }
        err = catch_up(m, fault);
        if (err == ERR_NONE) {
            long_work_stage(m->work, "switching");
            err = change_over(m, from_id, &again, fault);
        }
    }
    coming_drop(m->coming);
    m->coming = NULL;
    if (err == ERR_NONE) {
        long_work_stage(m->work, "switched");
        /* The collection has changed over: what cannot be tidied up now goes with the next change. */
        enum err tidy = store_collection_forget_models(gallery->store, m->collection_id, gallery->policy.models_kept,
                                                       m->work->actor, &m->activated.n_forgotten, NULL);
        m->activated.n_forgotten = tidy == ERR_NONE ? m->activated.n_forgotten : 0;
    }
    return err;
}

enum err gallery_activate(struct gallery_worker *worker, const char *version, const char *collection,
                          const struct long_work *work, struct activated *ret, struct gallery_fault *fault)
{
    struct collection_row row = {0};
    struct model_row model = {0};
    struct missing_counts counts = {0};
    struct moving m = {.worker = worker, .work = work, .request = worker->request, .replay = worker->replay};

    if (work->cancel != NULL) {
        m.request.cancel = work->cancel;
    }
    enum err err = look(worker, version, collection, &row, &model, &counts, fault);
    if (err != ERR_NONE) {
        return err;
    }
    memcpy(m.activated.to, model.version, sizeof m.activated.to);
    memcpy(m.activated.from, row.model, sizeof m.activated.from);
    m.activated.n_faces = counts.n_faces;
    m.collection_id = row.id;
    m.total = counts.n_missing;
    int64_t from_id = row.model_id;
    if (from_id != model.id) {
        err = models_get(worker->gallery->models, model.id, worker->mem, &m.model, &fault->note);
        if (err == ERR_NONE) {
            err = move(&m, from_id, fault);
            models_unref(worker->gallery->models, m.model);
        }
    }
    if (err == ERR_NONE) {
        *ret = m.activated;
    }
    return err;
}

/* ---- Going back ---------------------------------------------------------------------------------------------------- */

enum err gallery_former_model(struct gallery_worker *worker, const char *collection,
                              char ret_version[STORE_VERSION_TEXT], int64_t *ret_missing, struct gallery_fault *fault)
{
    struct collection_row row = {0};
    struct past_model *past = NULL;
    struct missing_counts counts = {0};
    int n = 0;

    enum err err = find_collection(worker, collection, &row, fault);
    if (err == ERR_NONE) {
        err = store_collection_history(worker->gallery->store, row.id, HISTORY_ROWS, worker->mem, &past, &n,
                                       &fault->note);
    }
    if (err != ERR_NONE) {
        return err;
    }
    int at = 0;
    while (at < n && past[at].model_id == row.model_id) {
        at++;
    }
    if (at == n) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_NO_FORMER_MODEL, ERR_CONFLICT),
                       "collection \"%s\" has no former model to go back to", row.name);
    }
    err = store_missing_count(worker->gallery->store, row.id, past[at].model_id, 0, &counts, &fault->note);
    if (err == ERR_NONE) {
        memcpy(ret_version, past[at].model, STORE_VERSION_TEXT);
        *ret_missing = counts.n_missing;
    }
    return err;
}
