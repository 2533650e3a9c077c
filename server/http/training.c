/* training.c: POST /v1/admin/training: what a training would be, or the job that does it. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "server/gallery/freeze.h"
#include "server/gallery/retrain.h"
#include "server/http/answers.h"
#include "server/http/handlers.h"
#include "server/jobs/training_job.h"

static double real_or(const struct call *call, const char *name, double absent)
{
    const struct param_value *value = call_param(call, name);

    return value->given ? value->real : absent;
}

static struct training_wish read_wish(const struct call *call)
{
    struct training_wish wish = training_wish_default(call_text(call, "collection", "default"));
    const struct param_value *activate = call_param(call, "activate");

    wish.subcenters = (int)call_whole(call, "subcenters", wish.subcenters);
    wish.epochs = (int)call_whole(call, "epochs", wish.epochs);
    wish.seed = call_whole(call, "seed", wish.seed);
    wish.filter = call_text(call, "filter", NULL);
    wish.guard = call_text(call, "guard", NULL);
    wish.loss = call_text(call, "loss", wish.loss);
    wish.rule = call_text(call, "rule", wish.rule);
    wish.rate = real_or(call, "rate", wish.rate);
    wish.distill = real_or(call, "distill", wish.distill);
    wish.kl = real_or(call, "kl", wish.kl);
    wish.margin = real_or(call, "margin", wish.margin);
    wish.scale = real_or(call, "scale", wish.scale);
    wish.freeze = real_or(call, "freeze", wish.freeze);
    wish.purify_deg = real_or(call, "purify_deg", wish.purify_deg);
    wish.holdout = real_or(call, "holdout", wish.holdout);
    wish.gate = real_or(call, "gate", wish.gate);
    wish.activate = activate->given ? call_switch(call, "activate") : wish.activate;
    return wish;
}

static void answer_plan(struct call *call, const struct training_wish *wish, const struct freezable *found)
{
    const struct training_defaults wanted = {.epochs = wish->epochs, .freeze = wish->freeze, .holdout = wish->holdout};
    struct gallery_fault fault = {0};
    struct training_cost cost = {0};

    enum err err = gallery_training_cost(call->worker, call->config->data, &found->model, &wanted, found->n_people,
                                         found->n_photos, &cost, &fault);
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    call_answer(call, 200,
                json_pack("{s:b, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:I, s:I}", "dry_run", 1, "collection",
                          found->collection, "model", found->model.version, "people", (json_int_t)found->n_people,
                          "photos", (json_int_t)found->n_photos, "median_photos", (json_int_t)found->median_photos,
                          "without_crop", (json_int_t)found->n_without_crop, "other_size",
                          (json_int_t)found->n_other_side, "steps", (json_int_t)cost.steps, "estimated_s",
                          decimal_of(cost.seconds), "estimated_bytes", (json_int_t)cost.bytes, "memory_bytes_max",
                          (json_int_t)call->config->training_bytes));
}

/* Whether the guard could be measured by the model that is to be trained; else it has been answered. */
static bool guard_fits(struct call *call, const char *guard, const struct freezable *trained)
{
    struct gallery_fault fault = {0};
    struct freezable found = {0};

    if (guard == NULL) {
        return true;
    }
    if (strcmp(guard, trained->collection) == 0) {
        call_problem(call, &PROBLEM_BAD_PARAMETER,
                     "the guard must be another collection than the one that is trained on");
        return false;
    }
    enum err err = gallery_freezable(call->worker, guard, NULL, &found, &fault);
    if (err == ERR_NONE && found.model.side_px != trained->model.side_px) {
        fault.reason = GALLERY_OTHER_CROPS;
        err = ERR_SAY(&fault.note, ERR_CONFLICT,
                      "the crops of the guard \"%s\" are %d pixels a side, the model to be trained takes %d",
                      found.collection, found.model.side_px, trained->model.side_px);
    }
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
    }
    return err == ERR_NONE;
}

void handle_training(struct call *call)
{
    const struct training_wish wish = read_wish(call);
    struct gallery_fault fault = {0};
    struct freezable found = {0};
    int64_t job = 0;

    enum err err = gallery_freezable(call->worker, wish.collection, wish.filter, &found, &fault);
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    if (!guard_fits(call, wish.guard, &found)) {
        return;
    }
    if (call_switch(call, "dry_run")) {
        answer_plan(call, &wish, &found);
        return;
    }
    err = training_job_add(call->store, &wish, found.collection_id, auth_actor(call->caller), call_keep_job(call), &job,
                           &fault.note);
    call_job(call, err, job, &fault);
}

void handle_job_log(struct call *call)
{
    struct gallery_fault fault = {0};
    struct job_row row;
    char path[PATH_MAX];
    unsigned char *text = NULL;
    size_t n_bytes = 0;

    enum err err = store_job_get(call->store, call_job_number(call), call->mem, &row, &fault.note);
    if (err == ERR_NONE) {
        (void)snprintf(path, sizeof path, "%s/jobs/%lld/" TRAINING_LOG, call->config->data, (long long)row.id);
        err = file_read(path, 2 * (size_t)TRAINING_LOG_BYTES, &text, &n_bytes, &fault.note);
        if (err == ERR_NOT_FOUND) { /* it has not said anything yet, or is no training */
            err = ERR_NONE;
        }
    }
    if (err == ERR_NONE) {
        err = reply_set(call->reply, 200, "application/x-ndjson", text == NULL ? (const void *)"" : text, n_bytes);
    }
    mem_free(text);
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
    }
}
