/*
 * crew.c: a ring of items and a stack of idle threads under one mutex.
 *
 * The thread that became idle last is woken first: its memory is warm, and a service with little to do uses the memory of
 * one worker, not of all in turn.
 */
#include "server/http/crew.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/base/mem.h"
#include "server/daemon/metrics.h"

struct member {
    struct crew *crew;
    pthread_t thread;
    int number;

    /* guarded by the crew's lock */
    pthread_cond_t wake;
    struct member *idle_below; /* the one that became idle before */
};

struct crew {
    /* immutable */
    struct crew_plan plan;
    struct member *members;
    int n_members; /* started */

    /* guarded by lock */
    pthread_mutex_t lock;
    struct member *idle; /* top of the stack */
    void **ring;         /* plan.queue_length items from first on */
    int first;
    int count;
    bool closing;
};

/* Takes a member off the stack; whoever woke it has done so already, unless it woke by itself. */
static void leave_idle(struct crew *crew, const struct member *member)
{
    for (struct member **at = &crew->idle; *at != NULL; at = &(*at)->idle_below) {
        if (*at == member) {
            *at = member->idle_below;
            return;
        }
    }
}

static void *work_off(void *argument)
{
    struct member *member = argument;
    struct crew *crew = member->crew;

    (void)pthread_mutex_lock(&crew->lock);
    for (;;) {
        while (crew->count == 0 && !crew->closing) {
            member->idle_below = crew->idle;
            crew->idle = member;
            (void)pthread_cond_wait(&member->wake, &crew->lock);
            leave_idle(crew, member);
        }
        if (crew->count == 0) {
            break;
        }
        void *item = crew->ring[crew->first];
        crew->first = (crew->first + 1) % crew->plan.queue_length;
        crew->count--;
        metrics_add(METRICS_QUEUED, -1);
        (void)pthread_mutex_unlock(&crew->lock);
        metrics_add(METRICS_RUNNING, 1);
        crew->plan.work(crew->plan.context, member->number, item);
        metrics_add(METRICS_RUNNING, -1);
        (void)pthread_mutex_lock(&crew->lock);
    }
    (void)pthread_mutex_unlock(&crew->lock);
    return NULL;
}

enum err crew_new(const struct crew_plan *plan, struct crew **ret)
{
    struct crew *crew = MEM_NEW(struct crew);

    if (crew == NULL) {
        return ERR_NOMEM;
    }
    crew->plan = *plan;
    (void)pthread_mutex_init(&crew->lock, NULL);
    crew->ring = MEM_ARRAY(void *, (size_t)plan->queue_length);
    crew->members = MEM_ARRAY(struct member, (size_t)plan->n_threads);
    if (crew->ring == NULL || crew->members == NULL) {
        crew_free(crew);
        return ERR_NOMEM;
    }
    for (int i = 0; i < plan->n_threads; i++) {
        crew->members[i] = (struct member){.crew = crew, .number = i};
        (void)pthread_cond_init(&crew->members[i].wake, NULL);
        if (pthread_create(&crew->members[i].thread, NULL, work_off, &crew->members[i]) != 0) {
            (void)pthread_cond_destroy(&crew->members[i].wake);
            crew_free(crew);
            return ERR_LIMIT;
        }
        crew->n_members++;
    }
    *ret = crew;
    return ERR_NONE;
}

void crew_free(struct crew *crew)
{
    if (crew == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&crew->lock);
    crew->closing = true;
    for (int i = 0; i < crew->n_members; i++) {
        (void)pthread_cond_signal(&crew->members[i].wake);
    }
    (void)pthread_mutex_unlock(&crew->lock);
    for (int i = 0; i < crew->n_members; i++) {
        (void)pthread_join(crew->members[i].thread, NULL);
        (void)pthread_cond_destroy(&crew->members[i].wake);
    }
    (void)pthread_mutex_destroy(&crew->lock);
    mem_free(crew->members);
    mem_free(crew->ring);
    mem_free(crew);
}

enum err crew_push(struct crew *crew, void *take)
{
    enum err err = ERR_BUSY;

    (void)pthread_mutex_lock(&crew->lock);
    if (crew->count < crew->plan.queue_length) {
        crew->ring[(crew->first + crew->count) % crew->plan.queue_length] = take;
        crew->count++;
        metrics_add(METRICS_QUEUED, 1);
        if (crew->idle != NULL) {
            struct member *woken = crew->idle;
            crew->idle = woken->idle_below;
            (void)pthread_cond_signal(&woken->wake);
        }
        err = ERR_NONE;
    }
    (void)pthread_mutex_unlock(&crew->lock);
    return err;
}
