/* admin.c: /v1/admin/jobs and /v1/admin/audit. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "server/http/answers.h"
#include "server/http/handlers.h"
#include "server/http/service_private.h"
#include "server/jobs/jobs.h"
#include "server/jobs/training_job.h"
#include "server/store/audit_rows.h"

/* Seconds that are left if it goes on as it went since it was begun; null when that cannot be said. */
static json_t *eta_json(const struct job_row *row)
{
    if (row->state != JOB_RUNNING || row->done <= 0 || row->total < row->done) {
        return json_null();
    }
    double spent_s = (double)(clock_unix_ms() - row->started_ms) / 1000;
    return json_integer((json_int_t)(spent_s * (double)(row->total - row->done) / (double)row->done));
}

json_t *json_job(const struct job_row *row)
{
    json_t *progress = json_pack("{s:I, s:I, s:s?, s:o}", "done", (json_int_t)row->done, "total",
                                 (json_int_t)row->total, "unit", row->unit, "eta_s", eta_json(row));
    json_t *error =
        row->error == NULL ? json_null() : json_pack("{s:s, s:s?}", "code", row->error, "sentence", row->sentence);

    bool tells = row->state == JOB_RUNNING && strcmp(row->kind, TRAINING_KIND) == 0 && row->checkpoint != NULL;
    json_t *now = tells ? json_object_text(row->checkpoint) : json_null();

    return json_pack("{s:I, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:b, s:i, s:o, s:o, s:o}", "id", (json_int_t)row->id,
                     "kind", row->kind, "state", job_state_word(row->state), "progress", progress, "now", now,
                     "arguments", json_object_text(row->arguments), "result",
                     row->result == NULL ? json_null() : json_object_text(row->result), "error", error,
                     "cancel_requested", (int)row->cancel_requested, "attempts", row->attempts, "created_at",
                     json_time(row->created_ms), "started_at", json_time(row->started_ms), "finished_at",
                     json_time(row->finished_ms));
}

/* The number in the address; 0, which no job has, if it is none. */
static int64_t job_number(const char *text)
{
    char *end = NULL;

    errno = 0;
    long long number = strtoll(text, &end, 10);
    return errno != 0 || end == text || *end != '\0' ? 0 : number;
}

int64_t call_job_number(const struct call *call)
{
    return job_number(call->argument);
}

void call_job(struct call *call, enum err err, int64_t id, const struct gallery_fault *fault)
{
    struct gallery_fault other = {0};
    struct job_row row;

    if (err != ERR_NONE) {
        call_fault(call, err, fault);
        return;
    }
    err = store_job_get(call->store, id, call->mem, &row, &other.note); /* queued, not yet anything else */
    jobs_wake(call->service->parts.jobs);
    if (err != ERR_NONE) {
        call_fault(call, err, &other);
        return;
    }
    (void)snprintf(call->reply->location, sizeof call->reply->location, JOB_ADDRESS, (long long)id);
    call_answer(call, 202, json_job(&row));
}

void handle_jobs_list(struct call *call)
{
    const struct store_page page = {.limit = call_limit(call), .token = call_text(call, "page_token", NULL)};
    struct job_row *list = NULL;
    const char *next = NULL;
    int count = 0;
    struct gallery_fault fault = {0};

    enum err err = store_job_list(call->store, &page, call->mem, &list, &count, &next, &fault.note);
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    json_t *items = json_array();
    for (int i = 0; i < count; i++) {
        if (json_array_append_new(items, json_job(&list[i])) != 0) {
            json_decref(items);
            items = NULL;
            break;
        }
    }
    call_answer(call, 200, json_page("jobs", items, next));
}

void handle_job_get(struct call *call)
{
    struct job_row row;
    struct gallery_fault fault = {0};

    enum err err = store_job_get(call->store, job_number(call->argument), call->mem, &row, &fault.note);
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    call_answer(call, 200, json_job(&row));
}

/* A job's id, and the state it is in now. */
static json_t *cancelled_json(const void *context, const void *result)
{
    const int64_t *id = context;
    const enum job_state *state = result;

    return json_pack("{s:I, s:s}", "id", (json_int_t)*id, "state", job_state_word(*state));
}

void handle_job_cancel(struct call *call)
{
    struct jobs *jobs = call->service->parts.jobs;
    const char *actor = auth_actor(call->caller);
    int64_t id = job_number(call->argument);
    enum job_state state = JOB_QUEUED;
    struct gallery_fault fault = {0};

    const struct replay *replay = call_keep(call, 200, cancelled_json, &id);
    enum err err = jobs == NULL ? store_job_cancel(call->store, id, actor, replay, &state, &fault.note)
                                : jobs_cancel(jobs, id, actor, replay, &state, &fault.note);
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    call_answer(call, 200, cancelled_json(&id, &state));
}

static json_t *audit_json(const struct audit_row *row)
{
    return json_pack("{s:I, s:o, s:s, s:s, s:o, s:s}", "id", (json_int_t)row->id, "at", json_time(row->at_ms), "actor",
                     row->actor, "action", row->action, "objects", json_object_text(row->objects), "hash", row->hash);
}

void handle_audit_list(struct call *call)
{
    const struct store_page page = {.limit = call_limit(call), .token = call_text(call, "page_token", NULL)};
    struct audit_row *list = NULL;
    const char *next = NULL;
    int count = 0;
    struct gallery_fault fault = {0};

    enum err err = store_audit_list(call->store, &page, call->mem, &list, &count, &next, &fault.note);
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    json_t *items = json_array();
    for (int i = 0; i < count; i++) {
        if (json_array_append_new(items, audit_json(&list[i])) != 0) {
            json_decref(items);
            items = NULL;
            break;
        }
    }
    call_answer(call, 200, json_page("entries", items, next));
}
