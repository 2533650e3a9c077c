/*
 * pool.c: a loop over threads.
 *
 * A layer of a network is a few hundred microseconds of work between two loops: too short to put threads to sleep and wake
 * them each time.  So a helper that has nothing to do looks for the next loop for some tens of microseconds, then sleeps.
 * Not longer: on a busy machine a thread that spins takes the processor from one that works.
 *
 * For the same reason nobody waits for a helper that has not come: a round is open while there are tasks; whoever enters
 * it is waited for, a helper that wakes up too late finds it closed and goes on waiting for the next.
 */
#include "core/base/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/cpu.h"
#include "core/base/mem.h"

#define SPINS 800 /* a pause takes 40 to 140 cycles: some tens of microseconds */

/* The state: below, how many helpers are inside; above, the number of the round, odd while it is open. */
#define ONE_ROUND ((uint64_t)1 << 32)
#define INSIDE(state) ((uint32_t)(state))
#define ROUND(state) ((uint32_t)((state) >> 32))

struct pool {
    /* immutable after pool_new */
    int n_threads;
    int spins;
    pthread_t *threads; /* n_threads - 1 of them */

    /* any thread */
    _Atomic uint64_t state;
    atomic_int next;     /* task that nobody has taken */
    atomic_int sleepers; /* helpers that wait for work, or are about to */
    atomic_bool waiting; /* the caller waits for finished, or is about to */
    atomic_bool closing;

    pthread_mutex_t lock; /* guards nothing but the two conditions */
    pthread_cond_t work, finished;

    /* written before a round opens, read by who is inside */
    void (*task)(void *context, int i);
    void *context;
    int count;
};

static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

static void take_tasks(struct pool *pool)
{
    for (;;) {
        int i = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
        if (i >= pool->count) {
            return;
        }
        pool->task(pool->context, i);
    }
}

/* A round is open that this helper has not seen. */
static bool is_new(uint64_t state, uint32_t seen)
{
    return ROUND(state) % 2 == 1 && ROUND(state) != seen;
}

/* Waits for a new round and enters it; false: the pool is closing. */
static bool enter(struct pool *pool, uint32_t *seen)
{
    for (;;) {
        uint64_t state = atomic_load(&pool->state);
        for (int i = 0; i < pool->spins && !is_new(state, *seen); i++) {
            relax();
            state = atomic_load(&pool->state);
        }
        if (is_new(state, *seen)) {
            if (atomic_compare_exchange_strong(&pool->state, &state, state + 1)) {
                *seen = ROUND(state);
                return true;
            }
            continue;
        }
        (void)pthread_mutex_lock(&pool->lock);
        atomic_fetch_add(&pool->sleepers, 1);
        while (!is_new(atomic_load(&pool->state), *seen) && !atomic_load(&pool->closing)) {
            (void)pthread_cond_wait(&pool->work, &pool->lock);
        }
        atomic_fetch_sub(&pool->sleepers, 1);
        (void)pthread_mutex_unlock(&pool->lock);
        if (atomic_load(&pool->closing)) {
            return false;
        }
    }
}

static void signal_under_lock(struct pool *pool, pthread_cond_t *condition)
{
    (void)pthread_mutex_lock(&pool->lock);
    (void)pthread_cond_broadcast(condition);
    (void)pthread_mutex_unlock(&pool->lock);
}

static void *helper(void *argument)
{
    struct pool *pool = argument;
    uint32_t seen = 0;

    while (enter(pool, &seen)) {
        take_tasks(pool);
        uint64_t state = atomic_fetch_sub(&pool->state, 1) - 1;
        if (INSIDE(state) == 0 && ROUND(state) % 2 == 0 && atomic_load(&pool->waiting)) {
            signal_under_lock(pool, &pool->finished);
        }
    }
    return NULL;
}

enum err pool_new(int n_threads, struct pool **ret)
{
    if (n_threads < 1) {
        return ERR_MISUSE;
    }
    struct pool *pool = MEM_NEW(struct pool);
    if (pool == NULL) {
        return ERR_NOMEM;
    }
    (void)pthread_mutex_init(&pool->lock, NULL);
    (void)pthread_cond_init(&pool->work, NULL);
    (void)pthread_cond_init(&pool->finished, NULL);
    pool->n_threads = 1;
    pool->spins = n_threads <= cpu_count() ? SPINS : 0;
    pool->threads = MEM_ARRAY(pthread_t, (size_t)n_threads);
    if (pool->threads == NULL) {
        pool_free(pool);
        return ERR_NOMEM;
    }
    for (int i = 0; i < n_threads - 1; i++) {
        if (pthread_create(&pool->threads[i], NULL, helper, pool) != 0) {
            pool_free(pool);
            return ERR_LIMIT;
        }
        pool->n_threads++;
    }
    *ret = pool;
    return ERR_NONE;
}

void pool_free(struct pool *pool)
{
    if (pool == NULL) {
        return;
    }
    atomic_store(&pool->closing, true);
    signal_under_lock(pool, &pool->work);
    for (int i = 0; i < pool->n_threads - 1; i++) {
        (void)pthread_join(pool->threads[i], NULL);
    }
    (void)pthread_cond_destroy(&pool->finished);
    (void)pthread_cond_destroy(&pool->work);
    (void)pthread_mutex_destroy(&pool->lock);
    mem_free(pool->threads);
    mem_free(pool);
}

int pool_threads(const struct pool *pool)
{
    return pool == NULL ? 1 : pool->n_threads;
}

/* Until everybody who entered the closed round has left it. */
static void wait_empty(struct pool *pool)
{
    for (int i = 0; i < pool->spins; i++) {
        if (INSIDE(atomic_load(&pool->state)) == 0) {
            return;
        }
        relax();
    }
    (void)pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->waiting, true);
    while (INSIDE(atomic_load(&pool->state)) != 0) {
        (void)pthread_cond_wait(&pool->finished, &pool->lock);
    }
    atomic_store(&pool->waiting, false);
    (void)pthread_mutex_unlock(&pool->lock);
}

void pool_run(struct pool *pool, int count, void (*task)(void *context, int i), void *context)
{
    if (pool == NULL || pool->n_threads == 1 || count <= 1) {
        for (int i = 0; i < count; i++) {
            task(context, i);
        }
        return;
    }
    pool->task = task;
    pool->context = context;
    pool->count = count;
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    atomic_fetch_add(&pool->state, ONE_ROUND);
    if (atomic_load(&pool->sleepers) > 0) {
        signal_under_lock(pool, &pool->work);
    }
    take_tasks(pool);
    atomic_fetch_add(&pool->state, ONE_ROUND);
    wait_empty(pool);
}
