/*
 * exchange.h: one request on its way from connection to worker and back.
 *
 * It is shared by two: the connection, and (while it is queued or computed) a worker.  Whoever answers first wins: the worker
 * with the result, or the watch at the deadline; the connection is resumed exactly once, and a worker that comes too late
 * finds its body still there and its answer unwanted.
 */
#ifndef SERVER_HTTP_EXCHANGE_H
#define SERVER_HTTP_EXCHANGE_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/base/cancel.h"
#include "server/http/service.h"
#include "server/http/spool.h"

enum exchange_state {
    EXCHANGE_RECEIVING, /* head or body; the network thread alone has it */
    EXCHANGE_REFUSED,   /* the answer stands; what still arrives of the body is thrown away */
    EXCHANGE_WAITING,   /* suspended, in the queue */
    EXCHANGE_RUNNING,   /* suspended, in a worker */
    EXCHANGE_ANSWERED   /* the answer stands */
};

/* Bodies of all exchanges together; any thread. */
struct body_budget {
    size_t limit_bytes;
    atomic_size_t held_bytes;
};

struct exchange {
    /* one thread: the network thread until the exchange waits, then the worker */
    struct request request;
    struct admission admission;
    struct arena *mem; /* of the head's texts */
    char *target;
    int64_t began_ns;
    int64_t queued_ns;
    bool head_seen;
    size_t swallowed_bytes;
    unsigned char *body;
    size_t body_bytes, body_room;
    struct body_budget *budget;
    struct spool upload; /* instead of body, for ROUTE_UPLOAD */
    int64_t upload_told; /* of its bytes when the deadline was last put off */

    /* immutable from waiting on */
    int fd;
    void *connection;
    void (*resume)(void *connection);

    /* any thread (atomic) */
    struct cancel cancel;
    atomic_int references;

    /* guarded by lock */
    pthread_mutex_t lock;
    enum exchange_state state;
    struct reply reply;
};

/* target is copied.  Returns NULL when the heap is empty. */
struct exchange *exchange_new(const char *target, struct body_budget *budget);
void exchange_unref(struct exchange *exchange);

/* Puts the answer before the body is complete.  Network thread. */
void exchange_refuse(struct exchange *exchange, const struct problem *problem, const char *detail);

/*
 * Takes the next piece of the body, or refuses: over limit_bytes in all, or over the budget.  Network thread.
 * Returns false when a refused body has gone on for as long again and the connection should be cut.
 */
bool exchange_receive(struct exchange *exchange, const void *bytes, size_t n_bytes, size_t limit_bytes);

/* The body shall go to a file in the data folder, or is refused.  Network thread. */
void exchange_spool(struct exchange *exchange, const char *data);

/* The body is complete: it is handed to request, with the deadline. */
void exchange_complete(struct exchange *exchange, int64_t deadline_ns);

/* Begins the wait; takes a second reference, which the worker gives back.  The connection has been suspended. */
void exchange_wait(struct exchange *exchange);

/*
 * A worker begins.  Returns false if there is nothing to do any more: answered meanwhile, or the client has left (it is then
 * answered, for the books).  A client that has closed only its sending half counts as gone, as with other servers.
 */
bool exchange_begin(struct exchange *exchange);

/* Puts the answer, which is taken, and resumes the connection; too late, it is released.  Any thread. */
void exchange_answer(struct exchange *exchange, struct reply *take);

/* The same with a problem; the running use case is asked to stop. */
void exchange_give_up(struct exchange *exchange, const struct problem *problem);

#endif
