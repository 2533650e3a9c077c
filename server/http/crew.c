/* crew.c: a ring of items under one mutex. */
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
};

struct crew {
    /* immutable */
    struct crew_plan plan;
    struct member *members;
    int n_members; /* started */

    /* guarded by lock */
    pthread_mutex_t lock;
    pthread_cond_t more;
    void **ring; /* plan.queue_length items from first on */
    int first;
    int count;
    bool closing;
};

static void *work_off(void *argument)
{
    struct member *member = argument;
    struct crew *crew = member->crew;

    (void)pthread_mutex_lock(&crew->lock);
    for (;;) {
        while (crew->count == 0 && !crew->closing) {
            (void)pthread_cond_wait(&crew->more, &crew->lock);
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
    (void)pthread_cond_init(&crew->more, NULL);
    crew->ring = MEM_ARRAY(void *, (size_t)plan->queue_length);
    crew->members = MEM_ARRAY(struct member, (size_t)plan->n_threads);
    if (crew->ring == NULL || crew->members == NULL) {
        crew_free(crew);
        return ERR_NOMEM;
    }
    for (int i = 0; i < plan->n_threads; i++) {
        crew->members[i] = (struct member){.crew = crew, .number = i};
        if (pthread_create(&crew->members[i].thread, NULL, work_off, &crew->members[i]) != 0) {
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
    (void)pthread_cond_broadcast(&crew->more);
    (void)pthread_mutex_unlock(&crew->lock);
    for (int i = 0; i < crew->n_members; i++) {
        (void)pthread_join(crew->members[i].thread, NULL);
    }
    (void)pthread_cond_destroy(&crew->more);
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
        (void)pthread_cond_signal(&crew->more);
        err = ERR_NONE;
    }
    (void)pthread_mutex_unlock(&crew->lock);
    return err;
}
