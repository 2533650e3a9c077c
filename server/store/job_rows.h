/*
 * job_rows.h: long work as rows, so that it survives a restart.  server/jobs runs it; callers add, watch and cancel.
 *
 *     queued ──▶ running ──▶ succeeded | failed | cancelled
 *       ▲           │
 *       └───────────┘ the daemon stopped and the kind can go on from its checkpoint
 */
#ifndef SERVER_STORE_JOB_ROWS_H
#define SERVER_STORE_JOB_ROWS_H

#include "server/store/replay_rows.h"

enum job_state {
    JOB_QUEUED,
    JOB_RUNNING,
    JOB_SUCCEEDED,
    JOB_FAILED,
    JOB_CANCELLED
};

const char *job_state_word(enum job_state state); /* "queued" … */

struct job_row {
    int64_t id;
    const char *kind;
    enum job_state state;
    int64_t collection_id;  /* 0: none */
    const char *arguments;  /* JSON object */
    int64_t done, total;    /* total 0: not known */
    const char *unit;       /* "faces", "steps"; "" before the first report */
    const char *result;     /* JSON object; NULL until there is one */
    const char *error;      /* err_word; NULL unless failed */
    const char *sentence;   /* what failed, for a person; NULL unless failed */
    const char *checkpoint; /* the kind's own text; NULL: none */
    bool cancel_requested;
    int attempts;                                /* times it was begun */
    int64_t created_ms, started_ms, finished_ms; /* 0: not yet */
};

/* Queues a job.  The answer to keep (NULL: none) is made from its struct job_row.
 * Errors: ERR_NOT_FOUND the collection; ERR_MISUSE the kind is empty or longer than 64 bytes; as store_json_check. */
MUST_CHECK enum err store_job_add(struct store *store, const char *kind, int64_t collection_id, const char *arguments,
                                  const char *actor, const struct replay *replay, int64_t *ret_id,
                                  struct err_note *note);

/* Errors: ERR_NOT_FOUND. */
MUST_CHECK enum err store_job_get(struct store *store, int64_t id, struct arena *mem, struct job_row *ret,
                                  struct err_note *note);

/* Those of a kind that wait or run, oldest first; at most STORE_PAGE_LIMIT. */
MUST_CHECK enum err store_job_list_open(struct store *store, const char *kind, struct arena *mem, struct job_row **ret,
                                        int *ret_count, struct err_note *note);

/* Newest first; *ret_next is NULL at the end of the list. */
MUST_CHECK enum err store_job_list(struct store *store, const struct store_page *page, struct arena *mem,
                                   struct job_row **ret, int *ret_count, const char **ret_next, struct err_note *note);

/* A queued job is cancelled at once; a running one is marked, and its worker stops it.  The answer to keep (NULL: none) is made
 * from the enum job_state.
 * Errors: ERR_NOT_FOUND; ERR_CONFLICT it has ended. */
MUST_CHECK enum err store_job_cancel(struct store *store, int64_t id, const char *actor, const struct replay *replay,
                                     enum job_state *ret, struct err_note *note);

/* ---- For the worker ----------------------------------------------------------------------------------------------- */

/* Makes the oldest queued job running, one attempt more.  Errors: ERR_NOT_FOUND nothing waits. */
MUST_CHECK enum err store_job_claim(struct store *store, struct arena *mem, struct job_row *ret, struct err_note *note);

/* Writes how far a running job is, and its checkpoint unless that is NULL.
 * Errors: ERR_CANCELLED someone has asked to cancel it (the progress is written); ERR_CONFLICT it is not running. */
MUST_CHECK enum err store_job_progress(struct store *store, int64_t id, int64_t done, int64_t total, const char *unit,
                                       const char *checkpoint, struct err_note *note);

struct job_end {
    enum job_state state; /* one of the three ends, or JOB_QUEUED: to go on after a restart */
    const char *result;   /* JSON object; NULL: none */
    enum err error;       /* for JOB_FAILED */
    const char *sentence; /* for JOB_FAILED */
};

/* Ends a running job.  Errors: ERR_CONFLICT it is not running. */
MUST_CHECK enum err store_job_end(struct store *store, int64_t id, const struct job_end *end, struct err_note *note);

/* The jobs that a killed daemon left running, oldest first; at start, before any claim. */
MUST_CHECK enum err store_job_list_running(struct store *store, struct arena *mem, struct job_row **ret, int *ret_count,
                                           struct err_note *note);

#endif
