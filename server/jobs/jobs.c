/* jobs.c: the worker that runs queued jobs, oldest first. */
#include "server/jobs/jobs.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "server/daemon/metrics.h"

#define ARENA_BYTES ((size_t)256 << 20) /* the most that one job may carve */
#define RECOVERY_ARENA_BYTES ((size_t)16 << 20)
#define JOB_NICE 10 /* about a tenth of a processor that requests want too */
#define PROGRESS_EVERY_NS 250000000
#define RETRY_SECONDS 2 /* after the database refused (full disk, another process): the queue is not lost */
#define MOST_FAILURES 2 /* of the disk, after which a job is tried again */

static const char stopped_sentence[] = "the daemon stopped while the job was running";

struct job_run {
    struct jobs *jobs;
    const struct job_handler *handler; /* NULL: there is none for its kind */
    struct job_row row;
    struct cancel cancel;
    int64_t done, total;
    char unit[32];
    bool behind;        /* the row does not have the latest progress */
    int64_t written_ns; /* monotonic; when it last had */
};

struct jobs {
    /* immutable */
    struct store *store;
    const struct job_handler *handlers;
    int n_handlers;
    struct job_watcher watcher;
    pthread_t thread;

    /* guarded by lock */
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool waiting_work; /* a job was added since the worker last looked */
    bool stopping;
    struct job_run *running; /* what the worker is at, for cancelling */

    /* worker's own */
    struct arena *mem;
    int64_t failed_id; /* the job that the disk failed last, and how often in a row */
    int n_failures;
};

/* ---- For handlers ------------------------------------------------------------------------------------------------- */

const struct job_row *job_run_row(const struct job_run *run)
{
    return &run->row;
}

struct store *job_run_store(const struct job_run *run)
{
    return run->jobs->store;
}

struct cancel *job_run_cancel(struct job_run *run)
{
    return &run->cancel;
}

/* Writes the progress; a cancellation that came over the database (another process) is heard here. */
static enum err progress_write(struct job_run *run, const char *checkpoint, struct err_note *note)
{
    enum err err =
        store_job_progress(run->jobs->store, run->row.id, run->done, run->total, run->unit, checkpoint, note);

    if (err == ERR_CANCELLED) {
        cancel_ask(&run->cancel);
        err = ERR_NONE; /* it was written; the handler polls */
    }
    if (err == ERR_NONE) {
        run->behind = false;
        run->written_ns = clock_monotonic_ns();
    }
    return err;
}

void job_run_progress(struct job_run *run, int64_t done, int64_t total, const char *unit)
{
    run->done = done;
    run->total = total;
    (void)snprintf(run->unit, sizeof run->unit, "%s", unit);
    run->behind = true;
    metrics_job_progress(done, total);
    if (clock_monotonic_ns() - run->written_ns >= PROGRESS_EVERY_NS) {
        (void)progress_write(run, NULL, NULL); /* progress that cannot be written is no reason to fail */
    }
}

enum err job_run_checkpoint(struct job_run *run, const char *checkpoint, struct err_note *note)
{
    return progress_write(run, checkpoint, note);
}

/* ---- One job ------------------------------------------------------------------------------------------------------ */

static const struct job_handler *handler_find(const struct jobs *jobs, const char *kind)
{
    for (int i = 0; i < jobs->n_handlers; i++) {
        if (strcmp(jobs->handlers[i].kind, kind) == 0) {
            return &jobs->handlers[i];
        }
    }
    return NULL;
}

static bool is_stopping(struct jobs *jobs)
{
    (void)pthread_mutex_lock(&jobs->lock);
    bool stopping = jobs->stopping;
    (void)pthread_mutex_unlock(&jobs->lock);
    return stopping;
}

static void watcher_tell(const struct jobs *jobs, int64_t id)
{
    struct job_row row;

    if (jobs->watcher.changed != NULL && store_job_get(jobs->store, id, jobs->mem, &row, NULL) == ERR_NONE) {
        jobs->watcher.changed(jobs->watcher.context, &row);
    }
}

/* A person asked it to stop, and not the daemon, which stops itself: the row knows of persons. */
static bool is_final(const struct job_run *run)
{
    struct job_row row;

    return (store_job_get(run->jobs->store, run->row.id, run->jobs->mem, &row, NULL) == ERR_NONE &&
            row.cancel_requested) ||
           !is_stopping(run->jobs);
}

bool job_run_goes_on(struct job_run *run, enum err err)
{
    const struct jobs *jobs = run->jobs;

    if (run->handler == NULL || !run->handler->resumable) {
        return false;
    }
    if (err == ERR_IO && run->handler->tries_again) {
        return jobs->failed_id != run->row.id || jobs->n_failures < MOST_FAILURES;
    }
    return err == ERR_CANCELLED && !is_final(run);
}

/* How a handler's return becomes the row's end. */
static struct job_end end_judge(struct job_run *run, enum err err, const char *result, const struct err_note *note)
{
    if (err == ERR_NONE) {
        return (struct job_end){.state = JOB_SUCCEEDED, .result = result};
    }
    if (job_run_goes_on(run, err)) {
        return (struct job_end){.state = JOB_QUEUED};
    }
    if (err != ERR_CANCELLED) {
        return (struct job_end){.state = JOB_FAILED, .error = err, .result = result, .sentence = note->text};
    }
    if (is_final(run)) {
        return (struct job_end){.state = JOB_CANCELLED, .result = result};
    }
    return (struct job_end){.state = JOB_FAILED, .error = ERR_CANCELLED, .sentence = stopped_sentence};
}

static void count_failure(struct jobs *jobs, int64_t id)
{
    jobs->n_failures = jobs->failed_id == id ? jobs->n_failures + 1 : 1;
    jobs->failed_id = id;
}

static void run_enter(struct jobs *jobs, struct job_run *run)
{
    (void)pthread_mutex_lock(&jobs->lock);
    jobs->running = run;
    if (jobs->stopping) {
        cancel_ask(&run->cancel);
    }
    (void)pthread_mutex_unlock(&jobs->lock);
}

static void run_leave(struct jobs *jobs)
{
    (void)pthread_mutex_lock(&jobs->lock);
    jobs->running = NULL;
    (void)pthread_mutex_unlock(&jobs->lock);
}

/* An error: the worker waits a while before it claims another. */
static enum err job_do(struct jobs *jobs, const struct job_row *row)
{
    const struct job_handler *handler = handler_find(jobs, row->kind);
    struct job_run run = {.jobs = jobs, .handler = handler, .row = *row, .done = row->done, .total = row->total};
    const char *result = NULL;
    struct err_note note = {0};
    enum err err;

    (void)snprintf(run.unit, sizeof run.unit, "%s", row->unit);
    run.written_ns = clock_monotonic_ns();
    run_enter(jobs, &run);
    watcher_tell(jobs, row->id);
    if (handler == NULL) {
        err = ERR_SAY(&note, ERR_UNSUPPORTED, "this arcfaced knows no job of kind '%s'", row->kind);
    } else {
        err = handler->run(handler->context, &run, jobs->mem, &result, &note);
    }
    run_leave(jobs);
    if (run.behind) {
        (void)progress_write(&run, NULL, NULL);
    }
    if (err != ERR_NONE && note.text[0] == '\0') {
        (void)ERR_SAY(&note, err, "the job ended with '%s'", err_word(err));
    }
    struct job_end end = end_judge(&run, err, result, &note);
    const bool waits = end.state == JOB_QUEUED && err == ERR_IO;
    if (waits) {
        count_failure(jobs, row->id);
    }
    err = store_job_end(jobs->store, row->id, &end, NULL);
    if (err == ERR_NONE) {
        watcher_tell(jobs, row->id);
    }
    return err == ERR_NONE && waits ? ERR_IO : err;
}

/* ---- The worker --------------------------------------------------------------------------------------------------- */

/* Waits for work; after a failure of the database for a while only.  False: the worker ends. */
static bool work_wait(struct jobs *jobs, bool retry)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += RETRY_SECONDS;
    (void)pthread_mutex_lock(&jobs->lock);
    while (!jobs->stopping && !jobs->waiting_work) {
        if (!retry) {
            (void)pthread_cond_wait(&jobs->woken, &jobs->lock);
        } else if (pthread_cond_timedwait(&jobs->woken, &jobs->lock, &until) != 0) {
            break;
        }
    }
    jobs->waiting_work = false;
    bool go_on = !jobs->stopping;
    (void)pthread_mutex_unlock(&jobs->lock);
    return go_on;
}

/* Deals with what an earlier process left running, before anything is claimed. */
static enum err recover(struct store *store, const struct jobs *jobs, struct arena *mem, struct err_note *note)
{
    for (;;) {
        struct job_row *rows;
        int count;
        enum err err = store_job_list_running(store, mem, &rows, &count, note);

        if (err != ERR_NONE || count == 0) {
            return err;
        }
        for (int i = 0; i < count; i++) {
            const struct job_handler *handler = handler_find(jobs, rows[i].kind);
            struct job_end end = {.state = JOB_FAILED, .error = ERR_CANCELLED, .sentence = stopped_sentence};
            if (rows[i].cancel_requested) {
                end = (struct job_end){.state = JOB_CANCELLED};
            } else if (handler != NULL && handler->resumable) {
                end = (struct job_end){.state = JOB_QUEUED};
            }
            err = store_job_end(store, rows[i].id, &end, note);
            if (err != ERR_NONE) {
                return err;
            }
        }
        arena_reset(mem);
    }
}

static void *worker(void *argument)
{
    struct jobs *jobs = argument;
    bool retry = false;

    /* Requests go first.  On Linux this is the thread's own priority, not the process's; elsewhere the call is not made. */
#ifdef __linux__
    (void)setpriority(PRIO_PROCESS, 0, JOB_NICE);
#endif
    while (work_wait(jobs, retry)) {
        enum err err = ERR_NONE;
        while (err == ERR_NONE && !is_stopping(jobs)) {
            struct job_row row;
            err = store_job_claim(jobs->store, jobs->mem, &row, NULL);
            if (err == ERR_NONE) {
                err = job_do(jobs, &row);
            }
            arena_reset_wiped(jobs->mem);
        }
        retry = err != ERR_NONE && err != ERR_NOT_FOUND;
        if (retry) {
            /* A job whose end could not be written is still running in its row. */
            (void)recover(jobs->store, jobs, jobs->mem, NULL);
            arena_reset_wiped(jobs->mem);
        }
    }
    return NULL;
}

/* ---- Life --------------------------------------------------------------------------------------------------------- */

static void jobs_destroy(struct jobs *jobs)
{
    (void)pthread_cond_destroy(&jobs->woken);
    (void)pthread_mutex_destroy(&jobs->lock);
    arena_free(jobs->mem);
    mem_free(jobs);
}

enum err jobs_start(struct store *store, const struct job_handler *handlers, int n_handlers,
                    const struct job_watcher *watcher, struct jobs **ret, struct err_note *note)
{
    pthread_condattr_t monotonic;
    struct jobs *jobs = MEM_NEW(struct jobs);

    if (jobs == NULL) {
        return ERR_NOMEM;
    }
    jobs->store = store;
    jobs->handlers = handlers;
    jobs->n_handlers = n_handlers;
    jobs->waiting_work = true; /* what was queued before */
    if (watcher != NULL) {
        jobs->watcher = *watcher;
    }
    (void)pthread_mutex_init(&jobs->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&jobs->woken, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    jobs->mem = arena_new(ARENA_BYTES);
    enum err err = jobs->mem == NULL ? ERR_NOMEM : recover(store, jobs, jobs->mem, note);
    if (err == ERR_NONE && pthread_create(&jobs->thread, NULL, worker, jobs) != 0) {
        err = ERR_SAY(note, ERR_LIMIT, "the system gives no thread for background jobs");
    }
    if (err != ERR_NONE) {
        jobs_destroy(jobs);
        return err;
    }
    *ret = jobs;
    return ERR_NONE;
}

void jobs_wake(struct jobs *jobs)
{
    if (jobs == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&jobs->lock);
    jobs->waiting_work = true;
    (void)pthread_cond_signal(&jobs->woken);
    (void)pthread_mutex_unlock(&jobs->lock);
}

enum err jobs_cancel(struct jobs *jobs, int64_t id, const char *actor, const struct replay *replay, enum job_state *ret,
                     struct err_note *note)
{
    enum err err = store_job_cancel(jobs->store, id, actor, replay, ret, note);

    if (err != ERR_NONE) {
        return err;
    }
    (void)pthread_mutex_lock(&jobs->lock);
    if (jobs->running != NULL && jobs->running->row.id == id) {
        cancel_ask(&jobs->running->cancel);
    }
    (void)pthread_mutex_unlock(&jobs->lock);
    return ERR_NONE;
}

void jobs_ask_stop(struct jobs *jobs)
{
    if (jobs == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&jobs->lock);
    jobs->stopping = true;
    if (jobs->running != NULL) {
        cancel_ask(&jobs->running->cancel);
    }
    (void)pthread_cond_signal(&jobs->woken);
    (void)pthread_mutex_unlock(&jobs->lock);
}

void jobs_stop(struct jobs *jobs)
{
    if (jobs == NULL) {
        return;
    }
    jobs_ask_stop(jobs);
    (void)pthread_join(jobs->thread, NULL);
    jobs_destroy(jobs);
}
