/* life.c: one thread in sigwait. */
#include "server/daemon/life.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

#include "core/base/mem.h"

struct life {
    /* immutable */
    pthread_t thread;
    sigset_t signals;
    void (*at_once)(int signal_number);

    /* guarded by lock */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool asked;
    bool ending;
    int signal_number;
};

static void *receive(void *argument)
{
    struct life *life = argument;

    for (;;) {
        int signal_number = 0;
        if (sigwait(&life->signals, &signal_number) != 0) {
            continue;
        }
        (void)pthread_mutex_lock(&life->lock);
        bool ending = life->ending;
        bool again = life->asked;
        if (!ending && !again) {
            life->asked = true;
            life->signal_number = signal_number;
            (void)pthread_cond_broadcast(&life->changed);
        }
        (void)pthread_mutex_unlock(&life->lock);
        if (ending) {
            return NULL;
        }
        if (again) {
            life->at_once(signal_number);
        }
    }
}

enum err life_begin(void (*at_once)(int signal_number), struct life **ret)
{
    struct life *life = MEM_NEW(struct life);

    if (life == NULL) {
        return ERR_NOMEM;
    }
    life->at_once = at_once;
    (void)pthread_mutex_init(&life->lock, NULL);
    (void)pthread_cond_init(&life->changed, NULL);
    (void)sigemptyset(&life->signals);
    (void)sigaddset(&life->signals, SIGTERM);
    (void)sigaddset(&life->signals, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, &life->signals, NULL);
    (void)sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    if (pthread_create(&life->thread, NULL, receive, life) != 0) {
        (void)pthread_cond_destroy(&life->changed);
        (void)pthread_mutex_destroy(&life->lock);
        mem_free(life);
        return ERR_LIMIT;
    }
    *ret = life;
    return ERR_NONE;
}

int life_wait(struct life *life)
{
    (void)pthread_mutex_lock(&life->lock);
    while (!life->asked) {
        (void)pthread_cond_wait(&life->changed, &life->lock);
    }
    int signal_number = life->signal_number;
    (void)pthread_mutex_unlock(&life->lock);
    return signal_number;
}

void life_ask(struct life *life)
{
    (void)pthread_mutex_lock(&life->lock);
    life->asked = true;
    (void)pthread_cond_broadcast(&life->changed);
    (void)pthread_mutex_unlock(&life->lock);
}

void life_end(struct life *life)
{
    if (life == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&life->lock);
    life->ending = true;
    (void)pthread_mutex_unlock(&life->lock);
    (void)pthread_kill(life->thread, SIGINT);
    (void)pthread_join(life->thread, NULL);
    (void)pthread_cond_destroy(&life->changed);
    (void)pthread_mutex_destroy(&life->lock);
    mem_free(life);
}
