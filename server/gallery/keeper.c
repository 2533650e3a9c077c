/* keeper.c: one thread, one flag, one alarm. */
#include "server/gallery/keeper.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <time.h>

#include "core/base/clock.h"
#include "core/base/mem.h"

#define SECOND_NS INT64_C(1000000000)

struct keeper {
    /* immutable */
    int64_t (*work)(void *context);
    void *context;
    int nice;
    pthread_t thread;

    /* guarded by lock */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool woken, stopping;
};

/* With the lock held: until somebody wakes it, or until then (0: for ever). */
static void sleep_until(struct keeper *keeper, int64_t then_ns)
{
    const struct timespec then = {.tv_sec = then_ns / SECOND_NS, .tv_nsec = then_ns % SECOND_NS};

    if (then_ns == 0) {
        (void)pthread_cond_wait(&keeper->changed, &keeper->lock);
    } else {
        (void)pthread_cond_timedwait(&keeper->changed, &keeper->lock, &then);
    }
}

static void *keep(void *argument)
{
    struct keeper *keeper = argument;
    int64_t then_ns = 0;

    if (keeper->nice != 0) {
        (void)setpriority(PRIO_PROCESS, 0, keeper->nice); /* Linux takes 0 for this thread */
    }
    (void)pthread_mutex_lock(&keeper->lock);
    while (!keeper->stopping) {
        if (!keeper->woken && (then_ns == 0 || clock_monotonic_ns() < then_ns)) {
            sleep_until(keeper, then_ns);
            continue;
        }
        keeper->woken = false;
        (void)pthread_mutex_unlock(&keeper->lock);
        const int64_t wait_ns = keeper->work(keeper->context);
        then_ns = wait_ns == 0 ? 0 : clock_monotonic_ns() + wait_ns;
        (void)pthread_mutex_lock(&keeper->lock);
    }
    (void)pthread_mutex_unlock(&keeper->lock);
    return NULL;
}

enum err keeper_start(int64_t (*work)(void *context), void *context, int nice, struct keeper **ret,
                      struct err_note *note)
{
    struct keeper *keeper = MEM_NEW(struct keeper);

    if (keeper == NULL) {
        return ERR_SAY(note, ERR_NOMEM, "no memory for a thread");
    }
    keeper->work = work;
    keeper->context = context;
    keeper->nice = nice;
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&keeper->lock, NULL);
    (void)pthread_cond_init(&keeper->changed, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    if (pthread_create(&keeper->thread, NULL, keep, keeper) != 0) {
        (void)pthread_cond_destroy(&keeper->changed);
        (void)pthread_mutex_destroy(&keeper->lock);
        mem_free(keeper);
        return ERR_SAY(note, ERR_LIMIT, "the system gives no thread to work behind the index");
    }
    *ret = keeper;
    return ERR_NONE;
}

void keeper_wake(struct keeper *keeper)
{
    if (keeper == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&keeper->lock);
    keeper->woken = true;
    (void)pthread_cond_signal(&keeper->changed);
    (void)pthread_mutex_unlock(&keeper->lock);
}

void keeper_stop(struct keeper *keeper)
{
    if (keeper == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&keeper->lock);
    keeper->stopping = true;
    (void)pthread_cond_signal(&keeper->changed);
    (void)pthread_mutex_unlock(&keeper->lock);
    (void)pthread_join(keeper->thread, NULL);
    (void)pthread_cond_destroy(&keeper->changed);
    (void)pthread_mutex_destroy(&keeper->lock);
    mem_free(keeper);
}
