/*
 * crew.h: a bounded queue and the threads that work it off.
 *
 * Full means ERR_BUSY at once: a caller who is told to come back later is better served than one who waits for a timeout.
 * Not a pool for one computation (core/base/pool.h) and not the durable queue of long jobs (server/jobs).
 */
#ifndef SERVER_HTTP_CREW_H
#define SERVER_HTTP_CREW_H

#include "core/base/err.h"

struct crew;

struct crew_plan {
    int n_threads;
    int queue_length;                                    /* items that wait; those being worked on are not counted */
    void (*work)(void *context, int thread, void *item); /* thread is 0 .. n_threads-1 */
    void *context;
};

/* Errors: ERR_NOMEM; ERR_LIMIT a thread cannot be started. */
MUST_CHECK enum err crew_new(const struct crew_plan *plan, struct crew **ret);

/* Works off what is queued, ends the threads, frees; NULL does nothing. */
void crew_free(struct crew *crew);

/* Any thread.  Errors: ERR_BUSY the queue is full; the item is then still the caller's. */
MUST_CHECK enum err crew_push(struct crew *crew, void *take);

#endif
