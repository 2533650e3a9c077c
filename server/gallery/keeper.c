/* keeper.c: one thread, one flag. */
#include "server/gallery/keeper.h"

#include <pthread.h>
#include <stdbool.h>

#include "core/base/mem.h"

struct keeper {
    /* immutable */
    void (*work)(void *context);
    void *context;
    pthread_t thread;

    /* guarded by lock */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool woken, stopping;
};

static void *keep(void *argument)
{
    struct keeper *keeper = argument;

    (void)pthread_mutex_lock(&keeper->lock);
    while (!keeper->stopping) {
        if (!keeper->woken) {
            (void)pthread_cond_wait(&keeper->changed, &keeper->lock);
            continue;
        }
        keeper->woken = false;
        (void)pthread_mutex_unlock(&keeper->lock);
        keeper->work(keeper->context);
        (void)pthread_mutex_lock(&keeper->lock);
    }
    (void)pthread_mutex_unlock(&keeper->lock);
    return NULL;
}

enum err keeper_start(void (*work)(void *context), void *context, struct keeper **ret, struct err_note *note)
{
    struct keeper *keeper = MEM_NEW(struct keeper);

    if (keeper == NULL) {
        return ERR_SAY(note, ERR_NOMEM, "no memory for a thread");
    }
    keeper->work = work;
    keeper->context = context;
    (void)pthread_mutex_init(&keeper->lock, NULL);
    (void)pthread_cond_init(&keeper->changed, NULL);
    if (pthread_create(&keeper->thread, NULL, keep, keeper) != 0) {
        (void)pthread_cond_destroy(&keeper->changed);
        (void)pthread_mutex_destroy(&keeper->lock);
        mem_free(keeper);
        return ERR_SAY(note, ERR_LIMIT, "the system gives no thread to keep the index's files");
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
