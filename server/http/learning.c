/* learning.c: /v1/admin/purify and /v1/admin/evaluate, and what a job found. */
#include "server/gallery/calibrate.h"
#include "server/gallery/people.h"
#include "server/gallery/review.h"
#include "server/http/answers.h"
#include "server/http/handlers.h"
#include "server/http/service_private.h"
#include "server/jobs/gallery_jobs.h"
#include "server/store/collection_rows.h"
#include "server/store/finding_rows.h"

/* The collection that the call names, or an answer that there is none. */
static bool find_named(struct call *call, const char *name, struct collection_row *ret)
{
    struct gallery_fault fault = {0};
    enum err err = store_collection_find(call->store, name, call->mem, ret, &fault.note);

    if (err == ERR_NOT_FOUND) {
        fault.reason = GALLERY_NO_SUCH_COLLECTION;
    }
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
    }
    return err == ERR_NONE;
}

/* What was done with the faces that a job found. */
struct applied {
    int64_t job;
    const char *word;
};

static json_t *applied_json(const void *context, const void *result)
{
    const struct applied *applied = context;
    const int64_t *n_faces = result;

    return json_pack("{s:I, s:I}", "job", (json_int_t)applied->job, applied->word, (json_int_t)*n_faces);
}

/* The second step: the faces that a job found are set aside, or brought back. */
static void apply_found(struct call *call, int64_t job, const char *word,
                        enum err (*step)(struct gallery_worker *worker, int64_t job_id, int64_t *ret_faces,
                                         struct gallery_fault *fault))
{
    const struct applied applied = {.job = job, .word = word};
    struct gallery_fault fault = {0};
    int64_t faces = 0;

    (void)call_keep(call, 200, applied_json, &applied);
    enum err err = step(call->worker, job, &faces, &fault);
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    call_answer(call, 200, applied_json(&applied, &faces));
}

void handle_purify(struct call *call)
{
    const struct param_value *degrees = call_param(call, "max_degrees");
    const struct param_value *rule = call_param(call, "rule");
    const struct review_wish wish = {.rule = review_rule_named(call_text(call, "rule", NULL)),
                                     .degrees = degrees->given ? degrees->real : 0};
    int64_t apply = call_whole(call, "apply", 0);
    int64_t undo = call_whole(call, "undo", 0);
    const char *name = call_text(call, "collection", "default");
    struct gallery_fault fault = {0};
    struct collection_row row;
    int64_t job = 0;

    if ((apply != 0) + (undo != 0) + (call_param(call, "collection")->given || degrees->given || rule->given) > 1) {
        call_problem(call, &PROBLEM_BAD_PARAMETER, "say either which collection to judge, or the job to apply or undo");
        return;
    }
    if (apply != 0 || undo != 0) {
        apply_found(call, apply != 0 ? apply : undo, apply != 0 ? "set_aside" : "brought_back",
                    apply != 0 ? gallery_set_aside : gallery_bring_back);
        return;
    }
    if (!find_named(call, name, &row)) {
        return;
    }
    enum err err = purify_job_add(call->store, name, row.id, &wish, auth_actor(call->caller), call_keep_job(call), &job,
                                  &fault.note);
    call_job(call, err, job, &fault);
}

/* The job's number, and the model that decides by other thresholds now. */
static json_t *calibrated_json(const void *context, const void *result)
{
    const int64_t *job = context;
    const struct calibrated_model *model = result;

    return json_pack("{s:I, s:s, s:b, s:i}", "job", (json_int_t)*job, "model", model->model, "calibrated",
                     model->n_points > 0, "points", model->n_points);
}

/* The second step: the model decides by the thresholds that a job proposed, or no longer. */
static void apply_thresholds(struct call *call, int64_t job,
                             enum err (*step)(struct gallery_worker *worker, int64_t job_id,
                                              struct calibrated_model *ret, struct gallery_fault *fault))
{
    struct calibrated_model model = {.n_points = 0};
    struct gallery_fault fault = {0};

    (void)call_keep(call, 200, calibrated_json, &job);
    enum err err = step(call->worker, job, &model, &fault);
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    call_answer(call, 200, calibrated_json(&job, &model));
}

void handle_evaluate(struct call *call)
{
    int64_t apply = call_whole(call, "apply", 0);
    int64_t undo = call_whole(call, "undo", 0);
    bool measures = call_param(call, "collection")->given || call_param(call, "most_faces")->given ||
                    call_param(call, "rounds")->given;
    const char *name = call_text(call, "collection", "default");
    struct gallery_fault fault = {0};
    struct collection_row row;
    int64_t job = 0;

    if ((apply != 0) + (undo != 0) + measures > 1) {
        call_problem(call, &PROBLEM_BAD_PARAMETER,
                     "say either which collection to measure, or the job to apply or undo");
        return;
    }
    if (apply != 0 || undo != 0) {
        apply_thresholds(call, apply != 0 ? apply : undo, apply != 0 ? gallery_calibrate : gallery_calibrate_back);
        return;
    }
    if (!find_named(call, name, &row)) {
        return;
    }
    enum err err =
        evaluate_job_add(call->store, name, row.id, call_whole(call, "most_faces", 0), call_whole(call, "rounds", 0),
                         auth_actor(call->caller), call_keep_job(call), &job, &fault.note);
    call_job(call, err, job, &fault);
}

static json_t *finding_json(const struct finding_row *row)
{
    return json_pack("{s:s, s:o, s:i, s:f, s:o, s:o, s:b}", "face_id", row->face_uuid, "subject",
                     json_subject(row->subject_uuid, row->subject_name), "subcenter", row->subcenter, "degrees",
                     decimal_of(row->degrees), "likely",
                     row->likely_uuid == NULL ? json_null() : json_subject(row->likely_uuid, row->likely_name),
                     "likely_degrees",
                     row->likely_uuid == NULL ? json_null() : json_real(decimal_of(row->likely_degrees)), "set_aside",
                     (int)row->set_aside);
}

void handle_job_findings(struct call *call)
{
    const struct store_page page = {.limit = call_limit(call), .token = call_text(call, "page_token", NULL)};
    struct gallery_fault fault = {0};
    struct finding_row *list = NULL;
    struct job_row job;
    const char *next = NULL;
    int count = 0;

    enum err err = store_job_get(call->store, call_job_number(call), call->mem, &job, &fault.note);
    if (err == ERR_NONE) {
        err = store_finding_list(call->store, job.id, &page, call->mem, &list, &count, &next, &fault.note);
    }
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    json_t *items = json_array();
    for (int i = 0; i < count; i++) {
        if (json_array_append_new(items, finding_json(&list[i])) != 0) {
            json_decref(items);
            items = NULL;
            break;
        }
    }
    call_answer(call, 200, json_page("findings", items, next));
}
