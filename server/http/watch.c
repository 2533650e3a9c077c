/*
 * watch.c: a list of deadlines and a thread that sleeps until the next.
 *
 * The list is not sorted: it is as long as there are connections, is read once per deadline that passes, and deadlines are
 * moved on every request; moving is what must be cheap.
 */
#include "server/http/watch.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "core/base/clock.h"
#include "core/base/mem.h"

#define NEVER INT64_MAX

struct watch {
    /* immutable */
    pthread_t thread;
    void (*late)(struct watched *watched);

    /* guarded by lock */
    pthread_mutex_t lock;
    pthread_cond_t sooner; /* a deadline before wake_ns, or closing */
    struct watched ring;   /* head of a circular list */
    int64_t wake_ns;       /* when the thread looks again */
    bool closing;
};

static void unlink_watched(struct watched *watched)
{
    watched->previous->next = watched->next;
    watched->next->previous = watched->previous;
    *watched = (struct watched){0};
}

/* Calls late for what is due at now_ns and returns the next deadline.  Each is taken out first: late is called once. */
static int64_t look(struct watch *watch, int64_t now_ns)
{
    int64_t next_ns = NEVER;

    for (struct watched *at = watch->ring.next, *next; at != &watch->ring; at = next) {
        next = at->next;
        if (at->deadline_ns <= now_ns) {
            unlink_watched(at);
            watch->late(at);
        } else if (at->deadline_ns < next_ns) {
            next_ns = at->deadline_ns;
        }
    }
    return next_ns;
}

static void *keep_watch(void *argument)
{
    struct watch *watch = argument;

    (void)pthread_mutex_lock(&watch->lock);
    while (!watch->closing) {
        watch->wake_ns = look(watch, clock_monotonic_ns());
        if (watch->wake_ns == NEVER) {
            (void)pthread_cond_wait(&watch->sooner, &watch->lock);
        } else {
            struct timespec until = {.tv_sec = (time_t)(watch->wake_ns / 1000000000),
                                     .tv_nsec = (long)(watch->wake_ns % 1000000000)};
            (void)pthread_cond_timedwait(&watch->sooner, &watch->lock, &until);
        }
    }
    (void)pthread_mutex_unlock(&watch->lock);
    return NULL;
}

enum err watch_new(void (*late)(struct watched *watched), struct watch **ret)
{
    struct watch *watch = MEM_NEW(struct watch);
    pthread_condattr_t attributes;

    if (watch == NULL) {
        return ERR_NOMEM;
    }
    watch->late = late;
    watch->ring.previous = watch->ring.next = &watch->ring;
    watch->wake_ns = NEVER;
    (void)pthread_mutex_init(&watch->lock, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&watch->sooner, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    if (pthread_create(&watch->thread, NULL, keep_watch, watch) != 0) {
        (void)pthread_cond_destroy(&watch->sooner);
        (void)pthread_mutex_destroy(&watch->lock);
        mem_free(watch);
        return ERR_LIMIT;
    }
    *ret = watch;
    return ERR_NONE;
}

void watch_free(struct watch *watch)
{
    if (watch == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&watch->lock);
    watch->closing = true;
    (void)pthread_cond_signal(&watch->sooner);
    (void)pthread_mutex_unlock(&watch->lock);
    (void)pthread_join(watch->thread, NULL);
    (void)pthread_cond_destroy(&watch->sooner);
    (void)pthread_mutex_destroy(&watch->lock);
    mem_free(watch);
}

void watch_set(struct watch *watch, struct watched *watched, int64_t deadline_ns)
{
    (void)pthread_mutex_lock(&watch->lock);
    if (watched->next == NULL) {
        watched->next = &watch->ring;
        watched->previous = watch->ring.previous;
        watched->previous->next = watched;
        watch->ring.previous = watched;
    }
    watched->deadline_ns = deadline_ns;
    if (deadline_ns < watch->wake_ns) {
        (void)pthread_cond_signal(&watch->sooner);
    }
    (void)pthread_mutex_unlock(&watch->lock);
}

void watch_remove(struct watch *watch, struct watched *watched)
{
    (void)pthread_mutex_lock(&watch->lock);
    if (watched->next != NULL) {
        unlink_watched(watched);
    }
    (void)pthread_mutex_unlock(&watch->lock);
}

void watch_expire_all(struct watch *watch)
{
    (void)pthread_mutex_lock(&watch->lock);
    (void)look(watch, NEVER);
    (void)pthread_mutex_unlock(&watch->lock);
}
