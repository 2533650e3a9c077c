/* once.c: keys, requests under way, answers given again. */
#include "server/http/once.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "server/http/answers.h"
#include "server/http/json.h"
#include "server/http/service_private.h"
#include "server/http/spool.h"
#include "server/store/job_rows.h"

_Static_assert(REPLAY_HASH_BYTES == HASH_SHA256_BYTES, "the key is hashed by SHA-256");

bool once_admits(const struct route *route, const struct request *request, struct reply *reply)
{
    struct err_note note = {0};

    if (request->idempotency_key == NULL) {
        return true;
    }
    if ((route->flags & ROUTE_SECRET) != 0) {
        reply_problem(reply, &PROBLEM_ONCE_SECRET, NULL, request->id);
        return false;
    }
    if (route_keeps(route) && store_name_check("the Idempotency-Key", request->idempotency_key, &note) != ERR_NONE) {
        reply_problem(reply, &PROBLEM_ONCE_KEY, note.text, request->id);
        return false;
    }
    return true;
}

/* ---- What is asked ------------------------------------------------------------------------------------------------- */

typedef crypto_generichash_state hash_state;

/* With its length, so that no two lists of pieces are the same bytes. */
static void feed(hash_state *state, const void *bytes, size_t n_bytes)
{
    static const unsigned char nothing[1];
    uint64_t length = n_bytes;

    (void)crypto_generichash_update(state, (const unsigned char *)&length, sizeof length);
    (void)crypto_generichash_update(state, n_bytes == 0 ? nothing : bytes, n_bytes);
}

static void feed_text(hash_state *state, const char *text)
{
    feed(state, text, text == NULL ? 0 : strlen(text));
}

static void feed_value(hash_state *state, const struct param_value *value)
{
    const unsigned char kind[] = {value->given, value->is_null, value->on};

    feed(state, kind, sizeof kind);
    feed_text(state, value->text);
    feed(state, &value->whole, sizeof value->whole);
    feed(state, &value->real, sizeof value->real);
    for (int i = 0; value->texts != NULL && i < value->count; i++) {
        feed_text(state, value->texts[i]);
    }
    feed(state, value->vector, value->vector == NULL ? 0 : (size_t)value->count * sizeof *value->vector);
    feed(state, value->bytes, value->bytes == NULL ? 0 : value->n_bytes);
}

/*
 * The address and the values of all parameters, not the bytes of the body: a client that builds a multipart body again gives its
 * parts another boundary.  Only what goes to a file as it arrives counts as it is.
 */
static void hash_asked(const struct call *call, unsigned char ret[REPLAY_HASH_BYTES])
{
    const struct request *request = call->request;
    hash_state state;

    (void)crypto_generichash_init(&state, NULL, 0, REPLAY_HASH_BYTES);
    feed_text(&state, request->idempotency_key);
    for (int i = 0; i < request->n_segments; i++) {
        feed_text(&state, request->segments[i]);
    }
    for (int i = 0; i < ROUTE_MAX_PARAMS && call->route->params[i] != NULL; i++) {
        feed_value(&state, &call->params.values[i]);
    }
    feed(&state, request->upload_hash, request->upload_hash == NULL ? 0 : SPOOL_HASH_BYTES);
    (void)crypto_generichash_final(&state, ret, REPLAY_HASH_BYTES);
}

/* ---- Making the answer --------------------------------------------------------------------------------------------- */

/* Inside the transaction, perhaps on another thread; the worker, whose memory this is, waits meanwhile. */
static enum err make(void *context, const void *result, struct replay_answer *ret)
{
    struct once *once = context;
    struct arena *mem = once->call->mem;
    json_t *document = once->plan.document(once->plan.context, result);
    char *text = document == NULL ? NULL : json_dumps(document, JSON_WRITE_FLAGS);

    json_decref(document);
    if (text == NULL) {
        return ERR_NOMEM;
    }
    ret->status = once->plan.status;
    ret->n_bytes = strlen(text);
    ret->body = arena_copy_text(mem, text);
    mem_wipe(text, ret->n_bytes);
    free(text); /* foreign heap: jansson's */
    ret->location = "";
    if (once->plan.is_job) {
        ret->location = arena_format(mem, JOB_ADDRESS, (long long)((const struct job_row *)result)->id);
    }
    if (ret->body == NULL || ret->location == NULL) {
        return arena_why(mem);
    }
    once->answer = *ret;
    once->is_made = true;
    return ERR_NONE;
}

static json_t *job_document(const void *context, const void *result)
{
    (void)context;
    return json_job(result);
}

const struct replay *call_keep(const struct call *call, int status,
                               json_t *(*document)(const void *context, const void *result), const void *context)
{
    struct once *once = call->once;

    if (once == NULL) {
        return NULL;
    }
    once->plan = (struct once_plan){.status = status, .document = document, .context = context};
    gallery_worker_keep(call->worker, &once->replay);
    return &once->replay;
}

const struct replay *call_keep_job(const struct call *call)
{
    const struct replay *replay = call_keep(call, 202, job_document, NULL);

    if (replay != NULL) {
        call->once->plan.is_job = true;
    }
    return replay;
}

/* ---- One request --------------------------------------------------------------------------------------------------- */

static bool is_same_key(const struct replay_request *a, const struct replay_request *b)
{
    return strcmp(a->actor, b->actor) == 0 && memcmp(a->key_hash, b->key_hash, sizeof a->key_hash) == 0;
}

/* Takes its place among those under way; false: one with its key is there. */
static bool enter(struct service *service, struct once *once)
{
    (void)pthread_mutex_lock(&service->once_lock);
    const struct once *other = service->once_first;
    while (other != NULL && !is_same_key(&other->request, &once->request)) {
        other = other->next;
    }
    if (other == NULL) {
        once->next = service->once_first;
        service->once_first = once;
        once->is_under_way = true;
    }
    (void)pthread_mutex_unlock(&service->once_lock);
    return other == NULL;
}

static void leave(struct service *service, struct once *once)
{
    (void)pthread_mutex_lock(&service->once_lock);
    for (struct once **at = &service->once_first; *at != NULL; at = &(*at)->next) {
        if (*at == once) {
            *at = once->next;
            break;
        }
    }
    once->is_under_way = false;
    (void)pthread_mutex_unlock(&service->once_lock);
}

static enum err reply_kept(struct reply *reply, int status, const char *location, const void *body, size_t n_bytes)
{
    (void)snprintf(reply->location, sizeof reply->location, "%s", location);
    return reply_set(reply, status, "application/json", body, n_bytes);
}

/* Answers from what was answered under the key, if anything was. */
static bool answer_again(const struct once *once, struct call *call)
{
    struct replay_row row = {0};
    struct gallery_fault fault = {0};
    enum err err = store_replay_find(call->store, &once->request, call->mem, &row, &fault.note);

    if (err == ERR_NOT_FOUND) {
        return false;
    }
    if (err == ERR_NONE && row.erased) {
        call_problem(call, &PROBLEM_ONCE_ERASED, NULL);
    } else if (err == ERR_NONE && !row.is_same) {
        (void)ERR_SAY(&fault.note, ERR_CONFLICT, "the key was used for another request, %s", row.route);
        call_problem(call, &PROBLEM_ONCE_OTHER, fault.note.text);
    } else if (err == ERR_NONE) {
        err = reply_kept(call->reply, row.status, row.location, row.body, row.n_bytes);
        call->reply->replayed = err == ERR_NONE;
    }
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
    }
    return true;
}

bool once_begin(struct once *once, struct call *call)
{
    const char *key = call->request->idempotency_key;

    *once = (struct once){.call = call};
    if (key == NULL || !route_keeps(call->route)) {
        return true;
    }
    once->request.actor = auth_actor(call->caller);
    once->request.route = call->service->route_names[call->route_number];
    hash_sha256(key, strlen(key), once->request.key_hash);
    hash_asked(call, once->request.asked_hash);
    once->replay = (struct replay){.request = &once->request, .make = make, .context = once};
    if (!enter(call->service, once)) {
        call_problem(call, &PROBLEM_ONCE_UNDER_WAY, NULL);
        return false;
    }
    if (answer_again(once, call)) {
        leave(call->service, once);
        return false;
    }
    call->once = once;
    return true;
}

void once_end(struct once *once)
{
    struct reply *reply = once->call->reply;

    if (!once->is_under_way) {
        return;
    }
    /* A job has perhaps begun since its row was written: the first answer is the kept one all the same. */
    if (once->is_made && reply->status >= 200 && reply->status < 300) {
        const struct replay_answer *kept = &once->answer;
        if (reply_kept(reply, kept->status, kept->location, kept->body, kept->n_bytes) != ERR_NONE) {
            call_fault(once->call, ERR_NOMEM, NULL);
        }
    }
    leave(once->call->service, once);
}
