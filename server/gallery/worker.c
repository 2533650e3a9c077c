/* worker.c: one thread's arena and sessions. */
#include <stddef.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "server/gallery/batch.h"
#include "server/store/audit_rows.h"

enum err gallery_worker_new(struct gallery *gallery, size_t arena_bytes, struct gallery_worker **ret)
{
    struct gallery_worker *worker = MEM_NEW(struct gallery_worker);

    if (worker == NULL) {
        return ERR_NOMEM;
    }
    worker->gallery = gallery;
    worker->mem = arena_new(arena_bytes);
    if (worker->mem == NULL) {
        mem_free(worker);
        return ERR_NOMEM;
    }
    *ret = worker;
    return ERR_NONE;
}

static void end_session(struct gallery_worker *worker, struct worker_session *slot)
{
    session_free(slot->session);
    models_unref(worker->gallery->models, slot->model);
    *slot = (struct worker_session){0};
}

void gallery_worker_free(struct gallery_worker *worker)
{
    if (worker == NULL) {
        return;
    }
    for (int i = 0; i < WORKER_SESSIONS; i++) {
        end_session(worker, &worker->sessions[i]);
    }
    session_free(worker->detector_session);
    gallery_worker_reset(worker);
    arena_free(worker->mem);
    mem_free(worker);
}

void gallery_worker_reset(struct gallery_worker *worker)
{
    batch_forget(worker);
    arena_reset_wiped(worker->mem); /* it held faces */
    worker->times = (struct gallery_times){0};
    worker->request = (struct gallery_request){0};
}

void gallery_worker_begin(struct gallery_worker *worker, const struct gallery_request *request)
{
    worker->request = *request;
}

struct arena *gallery_worker_arena(struct gallery_worker *worker)
{
    return worker->mem;
}

struct gallery *gallery_worker_gallery(struct gallery_worker *worker)
{
    return worker->gallery;
}

const struct gallery_times *gallery_worker_times(const struct gallery_worker *worker)
{
    return &worker->times;
}

enum err worker_may_go_on(const struct gallery_worker *worker, struct gallery_fault *fault)
{
    const struct gallery_request *request = &worker->request;

    if (cancel_asked(request->cancel)) {
        return ERR_SAY(&fault->note, ERR_CANCELLED, "the request was cancelled");
    }
    if (request->deadline_ns != 0 && clock_monotonic_ns() > request->deadline_ns) {
        return ERR_SAY(&fault->note, ERR_TIMEOUT, "the request took longer than its deadline");
    }
    return ERR_NONE;
}

const char *worker_actor(const struct gallery_worker *worker)
{
    return worker->request.actor != NULL ? worker->request.actor : "nobody";
}

static enum err make_session(struct gallery_worker *worker, const struct model *model, struct session **ret,
                             struct gallery_fault *fault)
{
    /* One thread: parallelism comes from the requests beside each other. */
    struct session_options options = {.memory_limit = worker->gallery->session_bytes};
    enum err err = session_new(model_graph(model), &options, ret);

    return err == ERR_NONE ? err : ERR_SAY(&fault->note, err, "no memory to run the network %s", model->name);
}

enum err worker_detector_session(struct gallery_worker *worker, struct session **ret, struct gallery_fault *fault)
{
    enum err err = ERR_NONE;

    if (worker->detector_session == NULL) {
        err = make_session(worker, worker->gallery->detector, &worker->detector_session, fault);
    }
    if (err == ERR_NONE) {
        *ret = worker->detector_session;
    }
    return err;
}

enum err worker_session(struct gallery_worker *worker, struct model *model, struct session **ret,
                        struct gallery_fault *fault)
{
    struct worker_session *slot = &worker->sessions[0];
    struct session *session = NULL;

    for (int i = 0; i < WORKER_SESSIONS; i++) {
        struct worker_session *seen = &worker->sessions[i];
        if (seen->model == model) {
            seen->used = ++worker->uses;
            *ret = seen->session;
            return ERR_NONE;
        }
        if (seen->used < slot->used) {
            slot = seen;
        }
    }
    enum err err = make_session(worker, model, &session, fault);
    if (err != ERR_NONE) {
        return err;
    }
    end_session(worker, slot);
    *slot = (struct worker_session){
        .model = models_ref(worker->gallery->models, model), .session = session, .used = ++worker->uses};
    *ret = session;
    return ERR_NONE;
}
