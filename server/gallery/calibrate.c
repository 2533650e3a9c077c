/* calibrate.c: from a job's result into the model's row, and to whoever decides by it. */
#include "server/gallery/calibrate.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "server/gallery/gallery_private.h"
#include "server/gallery/manifest.h"
#include "server/store/calibration_rows.h"
#include "server/store/job_rows.h"

struct proposal {
    int64_t job_id;
    struct model_row model;
    const char *json; /* NULL: the job proposes nothing */
};

static enum err read_result(struct gallery_worker *worker, const json_t *result, struct proposal *ret,
                            struct gallery_fault *fault)
{
    const char *version = json_string_value(json_object_get(result, "model"));
    const json_t *calibration = json_object_get(result, "calibration");

    if (version == NULL) {
        return ERR_SAY(&fault->note, ERR_CORRUPT, "the result of job %lld names no model", (long long)ret->job_id);
    }
    if (json_is_object(calibration)) {
        char *text = json_dumps(calibration, JSON_COMPACT | JSON_REAL_PRECISION(9));
        ret->json = text == NULL ? NULL : arena_copy_text(worker->mem, text);
        free(text); /* foreign heap: jansson's */
        if (ret->json == NULL) {
            return spent(worker->mem);
        }
    }
    enum err err = store_model_find(worker->gallery->store, version, worker->mem, &ret->model, &fault->note);
    return err == ERR_NOT_FOUND ? gallery_fail(fault, GALLERY_NO_SUCH_MODEL, err) : err;
}

static enum err find_proposal(struct gallery_worker *worker, int64_t job_id, struct proposal *ret,
                              struct gallery_fault *fault)
{
    static const char *const kinds[] = {EVALUATION_KIND, NULL};
    struct job_row job = {0};

    *ret = (struct proposal){.job_id = job_id};
    enum err err = find_done_job(worker, job_id, kinds, &job, fault);
    if (err != ERR_NONE) {
        return err;
    }
    json_t *result = json_loads(job.result == NULL ? "{}" : job.result, 0, NULL);
    err = read_result(worker, result, ret, fault);
    json_decref(result);
    return err;
}

struct following {
    struct gallery *gallery;
    int64_t model_id;
    struct calibration calibration; /* to be put in force */
    const char *former;             /* to be put back: known when the rows are */
};

static void follow(void *context)
{
    struct following *f = context;

    models_calibrate(f->gallery->models, f->model_id, &f->calibration);
}

/* The rows hold what was read once already. */
static void read_stored(const char *former, struct calibration *ret)
{
    struct err_note unsaid = {0};

    *ret = (struct calibration){0};
    if (former != NULL && manifest_read_calibration(former, ret, &unsaid) != ERR_NONE) {
        *ret = (struct calibration){0};
    }
}

static void follow_back(void *context)
{
    struct following *f = context;

    read_stored(f->former, &f->calibration);
    models_calibrate(f->gallery->models, f->model_id, &f->calibration);
}

static void tell(const struct proposal *proposal, const struct calibration *calibration, struct calibrated_model *ret)
{
    memcpy(ret->model, proposal->model.version, sizeof ret->model);
    ret->n_points = calibration->n_points;
}

struct keeping {
    const struct gallery_worker *worker;
    const struct proposal *proposal;
};

/* In both directions the change's result is the text of what is in force from here on. */
static enum err keep(void *context, const void *result, struct replay_answer *ret)
{
    const struct keeping *keeping = context;
    struct calibrated_model model = {.n_points = 0};
    struct calibration calibration;

    read_stored(result, &calibration);
    tell(keeping->proposal, &calibration, &model);
    return worker_answer(keeping->worker, &model, ret);
}

enum err gallery_calibrate(struct gallery_worker *worker, int64_t job_id, struct calibrated_model *ret,
                           struct gallery_fault *fault)
{
    struct following following = {.gallery = worker->gallery};
    struct proposal proposal;
    struct keeping keeping = {.worker = worker, .proposal = &proposal};
    struct replay room;

    enum err err = find_proposal(worker, job_id, &proposal, fault);
    if (err == ERR_NONE && proposal.json == NULL) {
        err = ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_OTHER_JOB, ERR_CONFLICT),
                      "job %lld proposes no thresholds: its result says why", (long long)job_id);
    }
    if (err == ERR_NONE) {
        err = manifest_read_calibration(proposal.json, &following.calibration, &fault->note);
    }
    if (err == ERR_NONE) {
        following.model_id = proposal.model.id;
        err = store_calibration_apply(worker->gallery->store, proposal.model.id, job_id, proposal.json,
                                      worker_actor(worker), worker_replay(worker, keep, &keeping, &room),
                                      &(struct after_commit){follow, &following}, &fault->note);
    }
    if (err == ERR_NONE) {
        tell(&proposal, &following.calibration, ret);
    }
    return err;
}

enum err gallery_calibrate_back(struct gallery_worker *worker, int64_t job_id, struct calibrated_model *ret,
                                struct gallery_fault *fault)
{
    struct following following = {.gallery = worker->gallery};
    struct proposal proposal;
    struct keeping keeping = {.worker = worker, .proposal = &proposal};
    struct replay room;

    enum err err = find_proposal(worker, job_id, &proposal, fault);
    if (err == ERR_NONE) {
        following.model_id = proposal.model.id;
        err = store_calibration_undo(worker->gallery->store, proposal.model.id, job_id, worker_actor(worker),
                                     worker_replay(worker, keep, &keeping, &room),
                                     &(struct after_commit){follow_back, &following}, worker->mem, &following.former,
                                     &fault->note);
    }
    if (err == ERR_CONFLICT) {
        return gallery_fail(fault, GALLERY_OTHER_JOB, err);
    }
    if (err == ERR_NONE) {
        tell(&proposal, &following.calibration, ret);
    }
    return err;
}
