/* exchange.c: states and memory of one request. */
#include "server/http/exchange.h"

#include <poll.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "server/daemon/metrics.h"

/* The head is at most the library's connection memory; its decoded texts and the inline answers come from this. */
#define HEAD_ARENA_BYTES ((size_t)4 << 20)
#define FIRST_BODY_BYTES ((size_t)64 << 10)

struct exchange *exchange_new(const char *target, struct body_budget *budget)
{
    struct exchange *exchange = MEM_NEW(struct exchange);

    if (exchange == NULL) {
        return NULL;
    }
    exchange->budget = budget;
    exchange->began_ns = clock_monotonic_ns();
    exchange->mem = arena_new(HEAD_ARENA_BYTES);
    exchange->target = mem_copy_text(target);
    atomic_init(&exchange->references, 1);
    (void)pthread_mutex_init(&exchange->lock, NULL);
    if (exchange->mem == NULL || exchange->target == NULL) {
        exchange_unref(exchange);
        return NULL;
    }
    return exchange;
}

static void free_body(struct exchange *exchange)
{
    mem_free_wiped(exchange->body);
    (void)atomic_fetch_sub(&exchange->budget->held_bytes, exchange->body_room);
    metrics_add(METRICS_BODY_BYTES, -(int64_t)exchange->body_room);
    exchange->body = NULL;
    exchange->body_bytes = 0;
    exchange->body_room = 0;
}

void exchange_unref(struct exchange *exchange)
{
    if (exchange == NULL || atomic_fetch_sub(&exchange->references, 1) > 1) {
        return;
    }
    free_body(exchange);
    spool_drop(&exchange->upload);
    reply_release(&exchange->reply);
    (void)pthread_mutex_destroy(&exchange->lock);
    arena_free(exchange->mem);
    mem_free(exchange->target);
    mem_free(exchange);
}

void exchange_refuse(struct exchange *exchange, const struct problem *problem, const char *detail)
{
    (void)pthread_mutex_lock(&exchange->lock);
    reply_problem(&exchange->reply, problem, detail, exchange->request.id);
    exchange->state = EXCHANGE_REFUSED;
    (void)pthread_mutex_unlock(&exchange->lock);
    free_body(exchange);
    spool_drop(&exchange->upload);
}

void exchange_spool(struct exchange *exchange, const char *data)
{
    enum err err = spool_begin(&exchange->upload, data);

    if (err != ERR_NONE) {
        exchange_refuse(exchange, problem_of(err), NULL);
    } else if (exchange->request.idempotency_key != NULL) {
        spool_hash(&exchange->upload);
    }
}

/* The next piece into the file; a refused rest is swallowed like any other. */
static bool receive_upload(struct exchange *exchange, const void *bytes, size_t n_bytes, size_t limit_bytes)
{
    if (n_bytes > limit_bytes - (size_t)exchange->upload.bytes) {
        exchange_refuse(exchange, &PROBLEM_BODY_TOO_LARGE, NULL);
        return true;
    }
    enum err err = spool_write(&exchange->upload, bytes, n_bytes);
    if (err != ERR_NONE) {
        exchange_refuse(exchange, problem_of(err), NULL);
    }
    return true;
}

/* Room for more bytes, at least doubling, within the budget of all bodies. */
static bool grow(struct exchange *exchange, size_t wanted)
{
    size_t room = exchange->body_room == 0 ? FIRST_BODY_BYTES : 2 * exchange->body_room;
    int64_t announced = exchange->request.content_length;

    if (announced > 0 && (uint64_t)announced < room) {
        room = (size_t)announced;
    }
    if (room < wanted) {
        room = wanted;
    }
    size_t more = room - exchange->body_room;
    if (atomic_fetch_add(&exchange->budget->held_bytes, more) + more > exchange->budget->limit_bytes) {
        (void)atomic_fetch_sub(&exchange->budget->held_bytes, more);
        return false;
    }
    unsigned char *body = mem_resize(exchange->body, room, 1);
    if (body == NULL) {
        (void)atomic_fetch_sub(&exchange->budget->held_bytes, more);
        return false;
    }
    metrics_add(METRICS_BODY_BYTES, (int64_t)more);
    exchange->body = body;
    exchange->body_room = room;
    return true;
}

bool exchange_receive(struct exchange *exchange, const void *bytes, size_t n_bytes, size_t limit_bytes)
{
    if (exchange->state == EXCHANGE_RECEIVING && exchange->upload.begun) {
        return receive_upload(exchange, bytes, n_bytes, limit_bytes);
    }
    if (exchange->state == EXCHANGE_RECEIVING) {
        if (n_bytes > limit_bytes - exchange->body_bytes) {
            exchange->swallowed_bytes = exchange->body_bytes;
            exchange_refuse(exchange, &PROBLEM_BODY_TOO_LARGE, NULL);
        } else if (exchange->body_bytes + n_bytes > exchange->body_room &&
                   !grow(exchange, exchange->body_bytes + n_bytes)) {
            metrics_count(METRICS_REFUSED_BUSY, 1);
            exchange->swallowed_bytes = exchange->body_bytes;
            exchange_refuse(exchange, &PROBLEM_QUEUE_FULL, "the bodies of other requests fill the memory set aside");
        }
    }
    if (exchange->state != EXCHANGE_RECEIVING || exchange->body == NULL) {
        exchange->swallowed_bytes += n_bytes;
        return exchange->swallowed_bytes <= 2 * limit_bytes;
    }
    memcpy(exchange->body + exchange->body_bytes, bytes, n_bytes);
    exchange->body_bytes += n_bytes;
    return true;
}

void exchange_complete(struct exchange *exchange, int64_t deadline_ns)
{
    exchange->request.body = exchange->body;
    exchange->request.body_bytes = exchange->body_bytes;
    if (exchange->upload.begun) {
        exchange->request.upload_path = exchange->upload.path;
        exchange->request.upload_bytes = exchange->upload.bytes;
        exchange->request.upload_hash = exchange->upload.hashes ? exchange->upload.hash : NULL;
    }
    exchange->request.deadline_ns = deadline_ns;
    exchange->request.cancel = &exchange->cancel;
}

void exchange_wait(struct exchange *exchange)
{
    (void)pthread_mutex_lock(&exchange->lock);
    (void)atomic_fetch_add(&exchange->references, 1);
    exchange->queued_ns = clock_monotonic_ns();
    exchange->state = EXCHANGE_WAITING;
    (void)pthread_mutex_unlock(&exchange->lock);
}

/* While the connection is suspended nobody else reads its socket or closes it, so the descriptor is the right one. */
static bool client_has_left(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLRDHUP};

    return poll(&poll_fd, 1, 0) > 0 && (poll_fd.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

/* With the lock held. */
static void put_answer(struct exchange *exchange)
{
    exchange->state = EXCHANGE_ANSWERED;
    exchange->resume(exchange->connection);
}

bool exchange_begin(struct exchange *exchange)
{
    bool begin = false;

    (void)pthread_mutex_lock(&exchange->lock);
    if (exchange->state == EXCHANGE_WAITING) {
        metrics_time(METRICS_QUEUE, clock_monotonic_ns() - exchange->queued_ns);
        if (client_has_left(exchange->fd)) {
            metrics_count(METRICS_CLIENTS_GONE, 1);
            reply_problem(&exchange->reply, &PROBLEM_CLIENT_GONE, NULL, exchange->request.id);
            put_answer(exchange);
        } else {
            exchange->state = EXCHANGE_RUNNING;
            begin = true;
        }
    }
    (void)pthread_mutex_unlock(&exchange->lock);
    return begin;
}

void exchange_answer(struct exchange *exchange, struct reply *take)
{
    (void)pthread_mutex_lock(&exchange->lock);
    if (exchange->state == EXCHANGE_WAITING || exchange->state == EXCHANGE_RUNNING) {
        exchange->reply = *take;
        *take = (struct reply){0};
        put_answer(exchange);
    }
    (void)pthread_mutex_unlock(&exchange->lock);
    reply_release(take);
}

void exchange_give_up(struct exchange *exchange, const struct problem *problem)
{
    struct reply reply = {0};

    cancel_ask(&exchange->cancel);
    reply_problem(&reply, problem, NULL, exchange->request.id);
    exchange_answer(exchange, &reply);
}
