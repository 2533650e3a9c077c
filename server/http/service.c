/* service.c: admission, dispatch, and the calls that handlers make for their answers. */
#include "server/http/service.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "server/daemon/log.h"
#include "server/daemon/metrics.h"
#include "server/http/call.h"
#include "server/http/json.h"
#include "server/http/once.h"
#include "server/http/service_private.h"

enum err service_new(const struct service_parts *parts, struct service **ret)
{
    struct service *service = MEM_NEW(struct service);
    int n_routes = 0;

    if (service == NULL) {
        return ERR_NOMEM;
    }
    mem_return_large();
    service->parts = *parts;
    service->started_ms = clock_unix_ms();
    atomic_init(&service->stopping, false);
    (void)pthread_mutex_init(&service->once_lock, NULL);
    const struct route *routes = route_list(&n_routes);
    service->route_names = MEM_ARRAY(char *, (size_t)n_routes);
    if (service->route_names == NULL) {
        service_free(service);
        return ERR_NOMEM;
    }
    service->n_routes = n_routes;
    for (int i = 0; i < n_routes; i++) {
        size_t room = strlen(routes[i].pattern) + sizeof("DELETE ");
        service->route_names[i] = mem_new(room, 1);
        if (service->route_names[i] == NULL) {
            service_free(service);
            return ERR_NOMEM;
        }
        (void)snprintf(service->route_names[i], room, "%s %s", method_text(routes[i].method), routes[i].pattern);
        metrics_name_route(i, service->route_names[i]);
    }
    *ret = service;
    return ERR_NONE;
}

void service_free(struct service *service)
{
    if (service == NULL) {
        return;
    }
    for (int i = 0; i < service->n_routes; i++) {
        metrics_name_route(i, NULL);
        mem_free(service->route_names[i]);
    }
    (void)pthread_mutex_destroy(&service->once_lock);
    mem_free(service->route_names);
    mem_free(service);
}

void service_stop_admitting(struct service *service)
{
    atomic_store(&service->stopping, true);
}

bool service_admit(struct service *service, const struct request *request, struct arena *mem, struct admission *ret,
                   struct reply *reply)
{
    const struct problem *problem = NULL;
    struct err_note note = {0};

    *ret = (struct admission){.match = {.number = -1}};
    enum err err = route_find(request, &ret->match, reply->allow, sizeof(reply->allow));
    if (err != ERR_NONE) {
        reply_problem(reply, err == ERR_NOT_FOUND ? &PROBLEM_NO_ROUTE : &PROBLEM_METHOD, NULL, request->id);
        return false;
    }
    const struct route *route = ret->match.route;
    if (atomic_load(&service->stopping) && (route->flags & ROUTE_STOPPING) == 0) {
        reply_problem(reply, &PROBLEM_STOPPING, NULL, request->id);
        reply->close = true;
        return false;
    }
    if ((route->flags & ROUTE_OPEN) == 0 && !service->parts.config->no_auth) {
        err = auth_check(service->parts.store, request, route->scope, mem, &ret->caller, &problem, &note);
        if (err != ERR_NONE) {
            metrics_count(METRICS_AUTH_REFUSED, 1);
            reply_problem(reply, problem, note.text, request->id);
            return false;
        }
    }
    if (!once_admits(route, request, reply)) {
        return false;
    }
    bool upload = (route->flags & ROUTE_UPLOAD) != 0;
    if (request->content_length > (upload ? service->parts.config->upload_bytes : service->parts.config->body_bytes)) {
        reply_problem(reply, &PROBLEM_BODY_TOO_LARGE, NULL, request->id);
        return false;
    }
    return true;
}

/* Per-stage times of the request in hand, for the histograms. */
static void count_stages(const struct gallery_times *times)
{
    const struct {
        enum metrics_stage stage;
        int64_t ns;
    } stages[] = {
        {METRICS_DECODE, times->decode_ns}, {METRICS_DETECT, times->detect_ns}, {METRICS_ALIGN, times->align_ns},
        {METRICS_EMBED, times->embed_ns},   {METRICS_SEARCH, times->search_ns}, {METRICS_STORE, times->rows_ns},
    };
    for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); i++) {
        if (stages[i].ns > 0) {
            metrics_time(stages[i].stage, stages[i].ns);
        }
    }
}

void service_run(struct service *service, struct gallery_worker *worker, struct arena *mem,
                 const struct request *request, const struct admission *admission, struct reply *reply)
{
    const struct config *config = service->parts.config;
    const struct problem *problem = NULL;
    struct err_note note = {0};
    struct call call = {.service = service,
                        .config = config,
                        .store = service->parts.store,
                        .gallery = service->parts.gallery,
                        .worker = worker,
                        .mem = worker == NULL ? mem : gallery_worker_arena(worker),
                        .request = request,
                        .route = admission->match.route,
                        .route_number = admission->match.number,
                        .argument = admission->match.argument[0],
                        .caller = &admission->caller,
                        .reply = reply};
    const struct params_limits limits = {.json_depth = (int)config->json_depth, .vector_length = 4096};

    if (worker != NULL) {
        const struct gallery_request about = {.actor =
                                                  admission->caller.key.id[0] == '\0' ? NULL : admission->caller.key.id,
                                              .deadline_ns = request->deadline_ns,
                                              .cancel = request->cancel};
        gallery_worker_begin(worker, &about);
        if (admission->caller.key.id[0] != '\0') {
            /* When a key was last used is a convenience: a full disk must not keep anybody from searching. */
            enum err err = store_key_touch(call.store, &admission->caller.key, clock_unix_ms(), &note);
            if (err != ERR_NONE) {
                log_event(LOG_LEVEL_WARN, "key_touch_failed", "request_id=%s error=%s", request->id, err_word(err));
            }
            note = (struct err_note){0};
        }
    }
    enum err err = params_read(call.route, request, &limits, call.mem, &call.params, &problem, &note);
    if (err != ERR_NONE) {
        reply_problem(reply, problem, note.text, request->id);
    } else {
        struct once once;
        if (once_begin(&once, &call)) {
            call.route->handle(&call);
            once_end(&once);
        }
        params_release(&call.params);
    }
    assert(reply->status != 0);
    if (worker != NULL) {
        count_stages(gallery_worker_times(worker));
        gallery_worker_reset(worker);
    }
}

/* ---- For handlers ------------------------------------------------------------------------------------------------ */

void call_answer(struct call *call, int status, json_t *take)
{
    char *text = take == NULL ? NULL : json_dumps(take, JSON_WRITE_FLAGS);
    json_decref(take);
    if (text == NULL) {
        call_fault(call, ERR_NOMEM, NULL);
        return;
    }
    size_t n_bytes = strlen(text);
    if (reply_set(call->reply, status, "application/json", text, n_bytes) != ERR_NONE) {
        call_fault(call, ERR_NOMEM, NULL);
    }
    mem_wipe(text, n_bytes);
    free(text); /* foreign heap: jansson's */
}

void call_problem(struct call *call, const struct problem *problem, const char *detail)
{
    reply_problem(call->reply, problem, detail, call->request->id);
}

void call_fault(struct call *call, enum err err, const struct gallery_fault *fault)
{
    const struct problem *problem = problem_of_reason(fault == NULL ? GALLERY_REASON_NONE : fault->reason);
    const char *detail = fault == NULL ? NULL : fault->note.text;

    if (problem == NULL) {
        problem = problem_of(err);
    }
    if (problem->status >= 500) {
        log_event(LOG_LEVEL_ERROR, "request_failed", "request_id=%s error=%s sentence=%s", call->request->id,
                  err_word(err), detail);
    }
    call_problem(call, problem, detail);
}

const struct param_value *call_param(const struct call *call, const char *name)
{
    for (int i = 0; i < ROUTE_MAX_PARAMS && call->route->params[i] != NULL; i++) {
        if (strcmp(call->route->params[i]->name, name) == 0) {
            return &call->params.values[i];
        }
    }
    assert(!"the route has this parameter");
    return NULL;
}

const char *call_text(const struct call *call, const char *name, const char *absent)
{
    const struct param_value *value = call_param(call, name);
    return value->given ? value->text : absent;
}

int64_t call_whole(const struct call *call, const char *name, int64_t absent)
{
    const struct param_value *value = call_param(call, name);
    return value->given ? value->whole : absent;
}

int call_choice(const struct call *call, const char *name, int absent)
{
    const struct param_value *value = call_param(call, name);
    return value->given ? value->choice : absent;
}

bool call_switch(const struct call *call, const char *name)
{
    const struct param_value *value = call_param(call, name);
    return value->given && value->on;
}

struct gallery_photo call_photo(const struct call *call, const char *name)
{
    const struct param_value *value = call_param(call, name);
    return (struct gallery_photo){.bytes = value->given ? value->bytes : NULL, .n_bytes = value->n_bytes};
}

struct gallery_embedding call_embedding(const struct call *call, const char *name)
{
    const struct param_value *value = call_param(call, name);
    return (struct gallery_embedding){.values = value->given ? value->vector : NULL, .dim = value->count};
}
