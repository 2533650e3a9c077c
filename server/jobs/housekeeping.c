/* housekeeping.c: a thread that wakes every hour. */
#include "server/jobs/housekeeping.h"

#include <pthread.h>
#include <time.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "server/gallery/retention.h"
#include "server/store/audit_rows.h"
#include "server/store/replay_rows.h"

#define WORKER_BYTES ((size_t)32 << 20) /* rows of collections; no photo is looked at */

struct housekeeping {
    /* immutable */
    struct gallery_worker *worker;
    struct store *store;
    int period_s;
    int64_t replays_kept_s;
    pthread_t thread;

    /* any thread (atomic) */
    struct cancel cancel;

    /* guarded by lock */
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool stopping;
};

/* Waits for the next time; false: it is over. */
static bool rest(struct housekeeping *housekeeping)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += housekeeping->period_s;
    (void)pthread_mutex_lock(&housekeeping->lock);
    int rc = 0;
    while (!housekeeping->stopping && rc == 0) {
        rc = pthread_cond_timedwait(&housekeeping->woken, &housekeeping->lock, &until);
    }
    bool go_on = !housekeeping->stopping;
    (void)pthread_mutex_unlock(&housekeeping->lock);
    return go_on;
}

static void *keep_house(void *argument)
{
    struct housekeeping *housekeeping = argument;

    do {
        struct gallery_fault fault = {0};
        int64_t n_faces = 0;
        int64_t n_replays = 0;
        gallery_worker_begin(housekeeping->worker,
                             &(struct gallery_request){.actor = AUDIT_DAEMON, .cancel = &housekeeping->cancel});
        /* What fails now (a full disk, a damaged collection) is tried again the next time, and the listener of the gallery
         * hears of what went. */
        (void)gallery_retention(housekeeping->worker, clock_unix_ms(), &n_faces, &fault);
        gallery_worker_reset(housekeeping->worker);
        (void)store_replay_forget(housekeeping->store, clock_unix_ms() - housekeeping->replays_kept_s * 1000,
                                  &n_replays, NULL);
    } while (rest(housekeeping));
    return NULL;
}

static void destroy(struct housekeeping *housekeeping)
{
    gallery_worker_free(housekeeping->worker);
    (void)pthread_cond_destroy(&housekeeping->woken);
    (void)pthread_mutex_destroy(&housekeeping->lock);
    mem_free(housekeeping);
}

enum err housekeeping_start(struct gallery *gallery, int period_s, int64_t replays_kept_s, struct housekeeping **ret,
                            struct err_note *note)
{
    struct housekeeping *housekeeping = MEM_NEW(struct housekeeping);
    pthread_condattr_t monotonic;

    if (housekeeping == NULL) {
        return ERR_NOMEM;
    }
    housekeeping->store = gallery_store(gallery);
    housekeeping->period_s = period_s;
    housekeeping->replays_kept_s = replays_kept_s;
    (void)pthread_mutex_init(&housekeeping->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&housekeeping->woken, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    enum err err = gallery_worker_new(gallery, WORKER_BYTES, &housekeeping->worker);
    if (err == ERR_NONE && pthread_create(&housekeeping->thread, NULL, keep_house, housekeeping) != 0) {
        err = ERR_SAY(note, ERR_LIMIT, "the system gives no thread for housekeeping");
    }
    if (err != ERR_NONE) {
        destroy(housekeeping);
        return err;
    }
    *ret = housekeeping;
    return ERR_NONE;
}

void housekeeping_stop(struct housekeeping *housekeeping)
{
    if (housekeeping == NULL) {
        return;
    }
    cancel_ask(&housekeeping->cancel);
    (void)pthread_mutex_lock(&housekeeping->lock);
    housekeeping->stopping = true;
    (void)pthread_cond_signal(&housekeeping->woken);
    (void)pthread_mutex_unlock(&housekeeping->lock);
    (void)pthread_join(housekeeping->thread, NULL);
    destroy(housekeeping);
}
