/*
 * pool.h: the one owner of parallelism inside a computation.
 *
 * A pool runs one loop at a time over its threads and the caller's; OpenBLAS and OpenMP stay at one thread each inside
 * it.  It is not a queue of requests (server/jobs) and does not decide what to split.
 * Threads look for the next loop for some tens of microseconds, then sleep; spinning pools collapse on a busy machine.
 */
#ifndef CORE_BASE_POOL_H
#define CORE_BASE_POOL_H

#include "core/base/err.h"

struct pool;

/* Makes a pool for n_threads threads in all, the caller's included; 1 starts none. */
MUST_CHECK enum err pool_new(int n_threads, struct pool **ret);
void pool_free(struct pool *pool);

/* Threads in all; a NULL pool counts as 1. */
int pool_threads(const struct pool *pool);

/*
 * Calls task(context, i) once for every i in 0 .. count-1, spread over the threads in no order, and returns when all have
 * returned.  Of n threads each begins with an n-th of them, in order, the same one in every loop of as many tasks; so tasks
 * that read what others wrote before stand best at the same place of their loops.  A NULL pool runs them in order on the
 * caller's thread.
 * Threads: one caller at a time, or any number of guests; a task must not call pool_run on the same pool.
 */
void pool_run(struct pool *pool, int count, void (*task)(void *context, int i), void *context);

/*
 * A pool that several threads share: each is its guest while it is at work, with or without loops.  The loops of the only
 * guest are spread; where there are several, each runs its own in order on its own thread, because the others have the
 * processors.  That changes from one loop to the next, as guests come and go; nobody waits for anybody.
 * A NULL pool has no guests.
 */
void pool_enter(struct pool *pool);
void pool_leave(struct pool *pool);
int pool_guests(struct pool *pool);

#endif
