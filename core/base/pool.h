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
 * Threads: one caller at a time; a task must not call pool_run on the same pool.
 */
void pool_run(struct pool *pool, int count, void (*task)(void *context, int i), void *context);

#endif
