/*
 * events.c: a job as server-sent events: how far it is, whenever that has changed, until it ends.
 *
 * No thread waits: the stream is asked again every half a second on the network's thread and reads one row.  The row, and not the worker,
 * is the source, so that any number may watch and a job that waits or was cancelled is told as well.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "server/http/answers.h"
#include "server/http/handlers.h"
#include "server/http/json.h"
#include "server/http/service_private.h"
#include "server/store/job_rows.h"

#define ARENA_BYTES ((size_t)4 << 20)
#define SILENT_TIMES 30 /* half seconds: then a comment, which finds out whether the client is still there */

struct events {
    struct service *service;
    int64_t job;
    struct arena *mem; /* of one event */
    bool told;         /* below is what was told last */
    enum job_state state;
    int64_t done, total;
    int silent;
};

static bool is_over(enum job_state state)
{
    return state != JOB_QUEUED && state != JOB_RUNNING;
}

static enum err event_text(struct events *events, const struct job_row *row, const char **ret)
{
    json_t *document = json_job(row);
    char *text = document == NULL ? NULL : json_dumps(document, JSON_WRITE_FLAGS);

    json_decref(document);
    if (text == NULL) {
        return ERR_NOMEM;
    }
    *ret = arena_format(events->mem, "event: %s\ndata: %s\n\n", is_over(row->state) ? "end" : "progress", text);
    free(text); /* foreign heap: jansson's */
    return *ret == NULL ? arena_why(events->mem) : ERR_NONE;
}

static enum err events_next(void *context, const char **ret, size_t *ret_bytes)
{
    struct events *events = context;
    struct job_row row = {0};
    const char *text = NULL;

    *ret_bytes = 0;
    if (atomic_load(&events->service->stopping) || (events->told && is_over(events->state))) {
        return ERR_NONE; /* the end */
    }
    arena_reset(events->mem);
    enum err err = store_job_get(events->service->parts.store, events->job, events->mem, &row, NULL);
    if (err != ERR_NONE) {
        return err;
    }
    bool same = events->told && row.state == events->state && row.done == events->done && row.total == events->total;
    if (same && ++events->silent < SILENT_TIMES) {
        return ERR_BUSY;
    }
    if (same) {
        text = ": nothing new\n\n";
    } else {
        err = event_text(events, &row, &text);
    }
    if (err != ERR_NONE) {
        return err;
    }
    events->told = true;
    events->silent = 0;
    events->state = row.state;
    events->done = row.done;
    events->total = row.total;
    *ret = text;
    *ret_bytes = strlen(text);
    return ERR_NONE;
}

static void events_close(void *context)
{
    struct events *events = context;

    arena_free(events->mem);
    mem_free(events);
}

void handle_job_events(struct call *call)
{
    struct gallery_fault fault = {0};
    struct job_row row;

    enum err err = store_job_get(call->store, call_job_number(call), call->mem, &row, &fault.note);
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    struct events *events = MEM_NEW(struct events);
    if (events == NULL || (events->mem = arena_new(ARENA_BYTES)) == NULL) {
        mem_free(events);
        call_fault(call, ERR_NOMEM, NULL);
        return;
    }
    events->service = call->service;
    events->job = row.id;
    reply_set_stream(call->reply, 200, "text/event-stream",
                     (struct reply_stream){.context = events, .next = events_next, .close = events_close});
}
