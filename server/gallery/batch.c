/* batch.c: a queue of tickets; whoever stands first when a run may begin leads it, with a worker and session of its own. */
#include "server/gallery/batch.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "core/base/mem.h"

/* One request's crops; lives on its thread's stack while that waits. */
struct ticket {
    struct model *model;
    const struct image *crops;
    int n;
    float *ret, *ret_norms;

    /* guarded by the batcher's lock */
    pthread_cond_t news;
    bool leads, done;
    enum err err;
    struct err_note note;
    struct ticket *next; /* in the queue, or in the run */
};

struct batcher {
    struct batch_plan plan; /* immutable */

    pthread_mutex_t lock;
    /* guarded by lock */
    struct ticket *first;
    int running;
    int expected;             /* requests that will probably come */
    struct ticket *gathering; /* a leader that waits for them */
    struct batch_counts counts;
};

enum err batcher_new(const struct batch_plan *plan, struct batcher **ret)
{
    struct batcher *batcher = MEM_NEW(struct batcher);

    if (batcher == NULL) {
        return ERR_NOMEM;
    }
    batcher->plan = *plan;
    (void)pthread_mutex_init(&batcher->lock, NULL);
    *ret = batcher;
    return ERR_NONE;
}

void batcher_free(struct batcher *batcher)
{
    if (batcher != NULL) {
        (void)pthread_mutex_destroy(&batcher->lock);
        mem_free(batcher);
    }
}

/* ---- Who is on the way -------------------------------------------------------------------------------------------------- */

void batch_expect(struct gallery_worker *worker)
{
    struct batcher *batcher = worker->gallery->batcher;

    if (!worker->expected && batcher != NULL && batcher->plan.wait_ns > 0) {
        (void)pthread_mutex_lock(&batcher->lock);
        batcher->expected++;
        (void)pthread_mutex_unlock(&batcher->lock);
        worker->expected = true;
    }
}

/* With the lock held. */
static void come(struct batcher *batcher, struct gallery_worker *worker)
{
    if (worker->expected) {
        batcher->expected--;
        worker->expected = false;
    }
    if (batcher->gathering != NULL) {
        (void)pthread_cond_signal(&batcher->gathering->news);
    }
}

void batch_forget(struct gallery_worker *worker)
{
    if (worker->expected) {
        struct batcher *batcher = worker->gallery->batcher;
        assert(batcher != NULL); /* it has counted this one */
        (void)pthread_mutex_lock(&batcher->lock);
        come(batcher, worker);
        (void)pthread_mutex_unlock(&batcher->lock);
    }
}

/* ---- The queue; all with the lock held ---------------------------------------------------------------------------------- */

static void append(struct batcher *batcher, struct ticket *ticket)
{
    struct ticket **at = &batcher->first;

    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = ticket;
}

/* If a run may begin, the first in the queue leads it. */
static void elect(struct batcher *batcher)
{
    struct ticket *ticket = batcher->first;

    if (ticket != NULL && batcher->running < batcher->plan.runs) {
        batcher->first = ticket->next;
        ticket->next = NULL;
        ticket->leads = true;
        batcher->running++;
        (void)pthread_cond_signal(&ticket->news);
    }
}

static int waiting_crops(const struct batcher *batcher, const struct model *model)
{
    int n = 0;

    for (const struct ticket *t = batcher->first; t != NULL; t = t->next) {
        n += t->model == model ? t->n : 0;
    }
    return n;
}

/* Crops of one run: what was asked for, and not more than the model takes. */
static int room_of(const struct batcher *batcher, const struct model *model)
{
    const int most = recognizer_max_batch(model->recognizer);
    return most < batcher->plan.crops ? most : batcher->plan.crops;
}

/* Waits for those on their way, at most as long as the plan says and until a run is full. */
static void gather(struct batcher *batcher, struct ticket *leader)
{
    struct timespec until;

    if (batcher->gathering != NULL) {
        return; /* somebody else waits for them already */
    }
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += batcher->plan.wait_ns % 1000000000;
    until.tv_sec += batcher->plan.wait_ns / 1000000000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    batcher->gathering = leader;
    while (batcher->expected > 0 &&
           leader->n + waiting_crops(batcher, leader->model) < room_of(batcher, leader->model) &&
           pthread_cond_timedwait(&leader->news, &batcher->lock, &until) != ETIMEDOUT) {
    }
    batcher->gathering = NULL;
}

/* Takes from the queue whom the leader's run has room for; returns how many crops it has then. */
static int collect(struct batcher *batcher, struct ticket *leader)
{
    struct ticket *last = leader;
    int n = leader->n;

    for (struct ticket **at = &batcher->first; *at != NULL;) {
        struct ticket *ticket = *at;
        if (ticket->model != leader->model || n + ticket->n > room_of(batcher, leader->model)) {
            at = &ticket->next;
            continue;
        }
        *at = ticket->next;
        ticket->next = NULL;
        last->next = ticket;
        last = ticket;
        n += ticket->n;
    }
    batcher->counts.runs++;
    batcher->counts.crops += n;
    return n;
}

/* ---- A run ------------------------------------------------------------------------------------------------------------------ */

static enum err run_one(struct gallery_worker *worker, struct session *session, struct ticket *ticket,
                        struct err_note *note)
{
    return recognizer_run(ticket->model->recognizer, session, ticket->crops, ticket->n, worker->mem, ticket->ret,
                          ticket->ret_norms, note);
}

/* All tickets at once; false if that failed: whose crop it was, is then found out one by one. */
static bool run_together(struct gallery_worker *worker, struct session *session, struct ticket *leader, int n)
{
    size_t dim = (size_t)leader->model->dim;
    struct image *crops = ARENA_ARRAY(worker->mem, struct image, n);
    float *vectors = ARENA_ARRAY(worker->mem, float, (size_t)n *dim);
    float *norms = ARENA_ARRAY(worker->mem, float, n);
    int at = 0;

    if (crops == NULL || vectors == NULL || norms == NULL) {
        return false;
    }
    for (const struct ticket *t = leader; t != NULL; t = t->next) {
        memcpy(crops + at, t->crops, (size_t)t->n * sizeof *crops);
        at += t->n;
    }
    if (recognizer_run(leader->model->recognizer, session, crops, n, worker->mem, vectors, norms, NULL) != ERR_NONE) {
        return false;
    }
    at = 0;
    for (struct ticket *t = leader; t != NULL; t = t->next) {
        memcpy(t->ret, vectors + (size_t)at * dim, (size_t)t->n * dim * sizeof *vectors);
        memcpy(t->ret_norms, norms + at, (size_t)t->n * sizeof *norms);
        at += t->n;
    }
    return true;
}

static void run_all(struct gallery_worker *worker, struct ticket *leader, int n)
{
    struct session *session = NULL;
    struct gallery_fault fault = {0};

    enum err err = worker_session(worker, leader->model, &session, &fault);
    bool together = err == ERR_NONE && leader->next != NULL && run_together(worker, session, leader, n);
    for (struct ticket *t = leader; t != NULL && !together; t = t->next) {
        t->note = fault.note;
        t->err = err != ERR_NONE ? err : run_one(worker, session, t, &t->note);
    }
}

static void lead(struct gallery_worker *worker, struct ticket *leader)
{
    struct batcher *batcher = worker->gallery->batcher;

    if (batcher->plan.wait_ns > 0) {
        gather(batcher, leader);
    }
    int n = collect(batcher, leader);
    elect(batcher); /* another model's requests may begin beside */
    (void)pthread_mutex_unlock(&batcher->lock);
    run_all(worker, leader, n);
    (void)pthread_mutex_lock(&batcher->lock);
    batcher->running--;
    for (struct ticket *t = leader->next; t != NULL;) {
        struct ticket *next = t->next; /* t is gone as soon as its thread sees it */
        t->done = true;
        (void)pthread_cond_signal(&t->news);
        t = next;
    }
    elect(batcher);
}

/* NOLINTBEGIN(readability-non-const-parameter): ret and ret_norms are written through the ticket */
enum err batch_embed(struct gallery_worker *worker, struct model *model, const struct image *crops, int n, float *ret,
                     float *ret_norms, struct gallery_fault *fault)
/* NOLINTEND(readability-non-const-parameter) */
{
    struct batcher *batcher = worker->gallery->batcher;
    struct ticket ticket = {.model = model, .crops = crops, .n = n, .ret = ret, .ret_norms = ret_norms};

    if (batcher == NULL || room_of(batcher, model) <= n) {
        struct session *session = NULL;
        batch_forget(worker);
        enum err err = worker_session(worker, model, &session, fault);
        return err != ERR_NONE ? err : run_one(worker, session, &ticket, &fault->note);
    }
    (void)pthread_cond_init(&ticket.news, NULL);
    (void)pthread_mutex_lock(&batcher->lock);
    append(batcher, &ticket);
    come(batcher, worker);
    elect(batcher);
    while (!ticket.leads && !ticket.done) {
        worker_at_work(worker, false); /* its processor is free for the run that takes its crops */
        (void)pthread_cond_wait(&ticket.news, &batcher->lock);
    }
    worker_at_work(worker, true);
    if (ticket.leads) {
        lead(worker, &ticket);
    }
    (void)pthread_mutex_unlock(&batcher->lock);
    (void)pthread_cond_destroy(&ticket.news);
    if (ticket.err != ERR_NONE) {
        fault->note = ticket.note;
    }
    return ticket.err;
}

struct batch_counts batch_counts(struct batcher *batcher)
{
    (void)pthread_mutex_lock(&batcher->lock);
    struct batch_counts counts = batcher->counts;
    (void)pthread_mutex_unlock(&batcher->lock);
    return counts;
}
