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

static void end_sessions(struct worker_sessions *sessions)
{
    session_free(sessions->own);
    session_free(sessions->lone);
}

static void empty_slot(struct gallery_worker *worker, struct worker_slot *slot)
{
    end_sessions(&slot->sessions);
    models_unref(worker->gallery->models, slot->model);
    *slot = (struct worker_slot){0};
}

void gallery_worker_free(struct gallery_worker *worker)
{
    if (worker == NULL) {
        return;
    }
    for (int i = 0; i < WORKER_SESSIONS; i++) {
        empty_slot(worker, &worker->slots[i]);
    }
    end_sessions(&worker->detector);
    gallery_worker_reset(worker);
    arena_free(worker->mem);
    mem_free(worker);
}

void gallery_worker_reset(struct gallery_worker *worker)
{
    batch_forget(worker);
    worker_at_work(worker, false);
    arena_reset_wiped(worker->mem); /* it held faces */
    worker->times = (struct gallery_times){0};
    worker->request = (struct gallery_request){0};
}

void gallery_worker_begin(struct gallery_worker *worker, const struct gallery_request *request)
{
    worker->request = *request;
    worker->replay = NULL;
    worker_at_work(worker, true);
}

void gallery_worker_keep(struct gallery_worker *worker, const struct replay *replay)
{
    worker->replay = replay;
}

const struct replay *worker_replay(const struct gallery_worker *worker,
                                   enum err (*make)(void *context, const void *result, struct replay_answer *ret),
                                   void *context, struct replay *room)
{
    if (worker->replay == NULL) {
        return NULL;
    }
    *room = (struct replay){.request = worker->replay->request, .make = make, .context = context};
    return room;
}

enum err worker_answer(const struct gallery_worker *worker, const void *use_case_ret, struct replay_answer *ret)
{
    return worker->replay->make(worker->replay->context, use_case_ret, ret);
}

void worker_at_work(struct gallery_worker *worker, bool at_work)
{
    if (at_work && !worker->at_work) {
        pool_enter(worker->gallery->lone);
    } else if (!at_work && worker->at_work) {
        pool_leave(worker->gallery->lone);
    }
    worker->at_work = at_work;
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

/* Of a network's two sessions, the one that suits how many are at work. */
static enum err pick_session(struct gallery_worker *worker, const struct model *model, struct worker_sessions *sessions,
                             struct session **ret, struct gallery_fault *fault)
{
    struct gallery *gallery = worker->gallery;
    struct session_options options = {.memory_limit = gallery->session_bytes};
    struct session **session = &sessions->own;
    enum err err = ERR_NONE;

    worker_at_work(worker, true);
    if (pool_guests(gallery->lone) == 1) {
        session = &sessions->lone;
        options.pool = gallery->lone;
    }
    if (*session == NULL) {
        err = session_new(model_graph(model), &options, session);
    }
    if (err != ERR_NONE) {
        return ERR_SAY(&fault->note, err, "no memory to run the network %s", model->name);
    }
    *ret = *session;
    return ERR_NONE;
}

enum err worker_detector_session(struct gallery_worker *worker, struct session **ret, struct gallery_fault *fault)
{
    return pick_session(worker, worker->gallery->detector, &worker->detector, ret, fault);
}

enum err worker_session(struct gallery_worker *worker, struct model *model, struct session **ret,
                        struct gallery_fault *fault)
{
    struct worker_slot *slot = &worker->slots[0];

    for (int i = 0; i < WORKER_SESSIONS && slot->model != model; i++) {
        struct worker_slot *seen = &worker->slots[i];
        if (seen->model == model || seen->used < slot->used) {
            slot = seen;
        }
    }
    if (slot->model != model) {
        empty_slot(worker, slot);
        slot->model = models_ref(worker->gallery->models, model);
    }
    slot->used = ++worker->uses;
    return pick_session(worker, model, &slot->sessions, ret, fault);
}
