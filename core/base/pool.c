/*
 * pool.c: a loop over threads.
 *
 * A layer of a network is a few hundred microseconds of work between two loops: too short to put threads to sleep and wake
 * them each time.  So a helper that has nothing to do looks for the next loop for some tens of microseconds, then sleeps.
 * Not longer: on a busy machine a thread that spins takes the processor from one that works.
 *
 * For the same reason nobody waits for a helper that has not come: a round is open while there are tasks; whoever enters
 * it is waited for, a helper that wakes up too late finds it closed and goes on waiting for the next.
 *
 * Each member begins with a share of the tasks that is its own, the same in every loop of as many tasks: what it wrote in
 * one loop it finds in its cache in the next.  Whoever is done goes on with the others' shares.
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

struct member {
    _Alignas(64) atomic_int taken; /* tasks of its share, by whomever */
    struct pool *pool;
    pthread_t thread; /* of a helper */
};

struct pool {
    /* immutable after pool_new */
    int n_threads, n_started; /* the caller counts */
    int spins;
    struct member *members; /* n_threads: the caller, then the helpers */

    /* any thread */
    _Atomic uint64_t state;
    atomic_int sleepers; /* helpers that wait for work, or are about to */
    atomic_bool waiting; /* the caller waits for finished, or is about to */
    atomic_bool closing;
    atomic_int guests;

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

/* The first task of a member's share. */
static int share_start(const struct pool *pool, int64_t member)
{
    return (int)(member * pool->count / pool->n_threads);
}

static void take_share(struct pool *pool, int member)
{
    int start = share_start(pool, member);
    int size = share_start(pool, member + 1) - start;
    atomic_int *taken = &pool->members[member].taken;

    /* It is asked first, so that the counter of an empty share stays small. */
    while (atomic_load_explicit(taken, memory_order_relaxed) < size) {
        int i = atomic_fetch_add_explicit(taken, 1, memory_order_relaxed);
        if (i < size) {
            pool->task(pool->context, start + i);
        }
    }
}

static void take_tasks(struct pool *pool, int self)
{
    for (int i = 0; i < pool->n_threads; i++) {
        take_share(pool, (self + i) % pool->n_threads);
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
    struct member *self = argument;
    struct pool *pool = self->pool;
    uint32_t seen = 0;

    while (enter(pool, &seen)) {
        take_tasks(pool, (int)(self - pool->members));
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
    pool->spins = n_threads <= cpu_count() ? SPINS : 0;
    pool->members = MEM_ARRAY(struct member, (size_t)n_threads);
    if (pool->members == NULL) {
        pool_free(pool);
        return ERR_NOMEM;
    }
    pool->n_threads = n_threads;
    for (pool->n_started = 1; pool->n_started < n_threads; pool->n_started++) {
        struct member *member = &pool->members[pool->n_started];
        member->pool = pool;
        if (pthread_create(&member->thread, NULL, helper, member) != 0) {
            pool_free(pool);
            return ERR_LIMIT;
        }
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
    for (int i = 1; i < pool->n_started; i++) {
        (void)pthread_join(pool->members[i].thread, NULL);
    }
    (void)pthread_cond_destroy(&pool->finished);
    (void)pthread_cond_destroy(&pool->work);
    (void)pthread_mutex_destroy(&pool->lock);
    mem_free(pool->members);
    mem_free(pool);
}

int pool_threads(const struct pool *pool)
{
    return pool == NULL ? 1 : pool->n_threads;
}

/*
 * A round of a guest is over before it leaves, and it begins one only where it is the only one: so a second guest, who counts
 * before it asks, never begins one beside it.
 */
void pool_enter(struct pool *pool)
{
    if (pool != NULL) {
        atomic_fetch_add(&pool->guests, 1);
    }
}

void pool_leave(struct pool *pool)
{
    if (pool != NULL) {
        atomic_fetch_sub(&pool->guests, 1);
    }
}

int pool_guests(struct pool *pool)
{
    return pool == NULL ? 0 : atomic_load(&pool->guests);
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
    (void)atomic_exchange(&pool->waiting, true); /* a store and the load below change places in QEMU's arm64 */
    while (INSIDE(atomic_load(&pool->state)) != 0) {
        (void)pthread_cond_wait(&pool->finished, &pool->lock);
    }
    atomic_store(&pool->waiting, false);
    (void)pthread_mutex_unlock(&pool->lock);
}

void pool_run(struct pool *pool, int count, void (*task)(void *context, int i), void *context)
{
    if (pool == NULL || pool->n_threads == 1 || count <= 1 || pool_guests(pool) > 1) {
        for (int i = 0; i < count; i++) {
            task(context, i);
        }
        return;
    }
    pool->task = task;
    pool->context = context;
    pool->count = count;
    for (int i = 0; i < pool->n_threads; i++) {
        atomic_store_explicit(&pool->members[i].taken, 0, memory_order_relaxed);
    }
    atomic_fetch_add(&pool->state, ONE_ROUND);
    if (atomic_load(&pool->sleepers) > 0) {
        signal_under_lock(pool, &pool->work);
    }
    take_tasks(pool, 0);
    atomic_fetch_add(&pool->state, ONE_ROUND);
    wait_empty(pool);
}
