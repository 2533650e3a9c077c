/*
 * jobs.h: long work in the background, one job at a time, on a thread of its own.
 *
 * A job is a row (server/store/job_rows.h): adding one is store_job_add, then jobs_wake.  A kind of job is a handler in the
 * table given at start.  What a killed daemon left running goes on from its checkpoint if its kind can, and else fails in
 * words.  Nothing here logs: who wants to know hands in a watcher.
 * Threads: jobs_wake and jobs_cancel from any thread; handlers and the watcher run on the worker's.
 */
#ifndef SERVER_JOBS_JOBS_H
#define SERVER_JOBS_JOBS_H

#include "core/base/cancel.h"
#include "server/store/job_rows.h"

struct jobs;
struct job_run; /* one job while it runs */

struct job_handler {
    const char *kind;
    bool resumable;   /* can go on from the checkpoint of an earlier attempt, or may simply begin again */
    bool tries_again; /* and does so, twice at most, where the disk failed it (ERR_IO): it may be well again soon */
    void *context;

    /*
     * Does the work.  mem is emptied after it.  *ret_result (JSON object, carved from mem) may stay NULL.
     * Errors: ERR_CANCELLED it stopped because job_run_cancel said so; any other ends the job as failed with the note.
     */
    enum err (*run)(void *context, struct job_run *run, struct arena *mem, const char **ret_result,
                    struct err_note *note);
};

/* ---- For handlers ------------------------------------------------------------------------------------------------- */

/* The row as it was claimed: arguments, collection; attempts > 1 and its checkpoint say that it goes on. */
const struct job_row *job_run_row(const struct job_run *run);

struct store *job_run_store(const struct job_run *run);

/* To be polled, and handed down to whatever takes one.  It is also asked when the daemon stops. */
struct cancel *job_run_cancel(struct job_run *run);

/* Tells how far the work is.  Cheap: at most four a second reach the database, the last one always does. */
void job_run_progress(struct job_run *run, int64_t done, int64_t total, const char *unit);

/* Whether the job is queued again if it ends with this error now: then what the next attempt needs must stay. */
bool job_run_goes_on(struct job_run *run, enum err err);

/* Stores what the next attempt needs to go on from here, at once. */
MUST_CHECK enum err job_run_checkpoint(struct job_run *run, const char *checkpoint, struct err_note *note);

/* ---- Life --------------------------------------------------------------------------------------------------------- */

/* Hears of every job that begins and ends (the row's state says which); the row is valid during the call. */
struct job_watcher {
    void (*changed)(void *context, const struct job_row *row);
    void *context;
};

/*
 * Takes up what was left running and starts the worker.  handlers and store must outlive it; watcher may be NULL.
 * Errors: ERR_NOMEM, ERR_LIMIT no thread; as the store's.
 */
MUST_CHECK enum err jobs_start(struct store *store, const struct job_handler *handlers, int n_handlers,
                               const struct job_watcher *watcher, struct jobs **ret, struct err_note *note);

/* Says that a job was added.  A NULL jobs does nothing. */
void jobs_wake(struct jobs *jobs);

/* Cancels a job, queued or running.  Errors: as store_job_cancel. */
MUST_CHECK enum err jobs_cancel(struct jobs *jobs, int64_t id, const char *actor, const struct replay *replay,
                                enum job_state *ret, struct err_note *note);

/* Asks the running job to stop, and begins no other.  NULL does nothing. */
void jobs_ask_stop(struct jobs *jobs);

/*
 * Asks the running job to stop, waits until it has, and ends the worker.  A resumable job is queued again with its
 * checkpoint; another one fails in words.  NULL does nothing.
 */
void jobs_stop(struct jobs *jobs);

#endif
