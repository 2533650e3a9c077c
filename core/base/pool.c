/* pool.c: a loop over threads, with a mutex and two conditions. */
#include "core/base/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "core/base/mem.h"

struct pool {
    /* immutable after pool_new */
    int n_threads;
    pthread_t *threads; /* n_threads - 1 of them */

    /* guarded by lock */
    pthread_mutex_t lock;
    pthread_cond_t work;     /* a new round, or closing */
    pthread_cond_t finished; /* active fell to 0 */
    unsigned long round;
    int active; /* helpers that have not finished this round */
    bool closing;

    /* written before a round starts, read-only during it */
    void (*task)(void *context, int i);
    void *context;
    int count;

    /* any thread */
    atomic_int next;
};

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

static void *helper(void *argument)
{
    struct pool *pool = argument;
    unsigned long seen = 0;

    (void)pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (pool->round == seen && !pool->closing) {
            (void)pthread_cond_wait(&pool->work, &pool->lock);
        }
        if (pool->closing) {
            break;
        }
        seen = pool->round;
        (void)pthread_mutex_unlock(&pool->lock);
        take_tasks(pool);
        (void)pthread_mutex_lock(&pool->lock);
        if (--pool->active == 0) {
            (void)pthread_cond_signal(&pool->finished);
        }
    }
    (void)pthread_mutex_unlock(&pool->lock);
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
    (void)pthread_mutex_lock(&pool->lock);
    pool->closing = true;
    (void)pthread_cond_broadcast(&pool->work);
    (void)pthread_mutex_unlock(&pool->lock);
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

void pool_run(struct pool *pool, int count, void (*task)(void *context, int i), void *context)
{
    if (pool == NULL || pool->n_threads == 1 || count <= 1) {
        for (int i = 0; i < count; i++) {
            task(context, i);
        }
        return;
    }
    (void)pthread_mutex_lock(&pool->lock);
    pool->task = task;
    pool->context = context;
    pool->count = count;
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    pool->active = pool->n_threads - 1;
    pool->round++;
    (void)pthread_cond_broadcast(&pool->work);
    (void)pthread_mutex_unlock(&pool->lock);
    take_tasks(pool);
    (void)pthread_mutex_lock(&pool->lock);
    while (pool->active > 0) {
        (void)pthread_cond_wait(&pool->finished, &pool->lock);
    }
    (void)pthread_mutex_unlock(&pool->lock);
}
