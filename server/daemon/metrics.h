/*
 * metrics.h: what the daemon counts about itself, and its text for Prometheus.
 *
 * One process-wide set, because there is one process; every counter is atomic.  No label ever holds a name, an id or a key.
 * Any thread.
 */
#ifndef SERVER_DAEMON_METRICS_H
#define SERVER_DAEMON_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/arena.h"
#include "core/base/err.h"

/* Parts of a request that take time. */
enum metrics_stage {
    METRICS_QUEUE, /* waiting for a worker */
    METRICS_DECODE,
    METRICS_DETECT,
    METRICS_ALIGN,
    METRICS_EMBED,
    METRICS_SEARCH,
    METRICS_STORE,
    METRICS_STAGES
};

/* Things that only grow. */
enum metrics_counter {
    METRICS_ENROLLED,         /* faces */
    METRICS_FORGOTTEN,        /* faces */
    METRICS_REFUSED_BUSY,     /* requests, because a queue or a memory budget was full */
    METRICS_TIMED_OUT,        /* requests, at their deadline */
    METRICS_CLIENTS_GONE,     /* requests dropped before they were begun */
    METRICS_SLOW_CLIENTS,     /* connections cut while sending a head or a body */
    METRICS_AUTH_REFUSED,     /* requests with no key or a bad one */
    METRICS_TRAINED_READY,    /* models that passed their gate */
    METRICS_TRAINED_REJECTED, /* models that did not */
    METRICS_COUNTERS
};

/* Things that rise and fall. */
enum metrics_gauge {
    METRICS_QUEUED,      /* requests waiting */
    METRICS_RUNNING,     /* requests in a worker */
    METRICS_CONNECTIONS, /* open */
    METRICS_BODY_BYTES,  /* held */
    METRICS_FACES,       /* in the gallery; refreshed when the text is asked for */
    METRICS_SUBJECTS,
    METRICS_COLLECTIONS,
    METRICS_MODELS,
    METRICS_INDEX_BYTES,
    METRICS_ACCELERATED_FACES,
    METRICS_ACCELERATOR_BYTES,
    METRICS_MODEL_BYTES,
    METRICS_GAUGES
};

#define METRICS_MAX_ROUTES 64
#define METRICS_MAX_JOB_KINDS 16

/* How a job ends. */
enum metrics_job_end {
    METRICS_JOB_SUCCEEDED,
    METRICS_JOB_FAILED,
    METRICS_JOB_CANCELLED,
    METRICS_JOB_PUT_BACK, /* the daemon stops: it goes on at the next start */
    METRICS_JOB_ENDS
};

/* Names route i, "POST /v1/enroll", before threads start; NULL takes the name away again before its text is freed. */
void metrics_name_route(int route, const char *name);

/* One answered request.  route < 0 is one that matched none. */
void metrics_request(int route, int status, int64_t ns);

void metrics_time(enum metrics_stage stage, int64_t ns);
void metrics_count(enum metrics_counter counter, int64_t n);
void metrics_add(enum metrics_gauge gauge, int64_t n);
void metrics_set(enum metrics_gauge gauge, int64_t value);

/* Names a kind of job, before threads start; the text must stay.  Kinds beyond METRICS_MAX_JOB_KINDS are not counted. */
void metrics_name_job(const char *kind);

/* A job of a kind begins, says how far it is, and ends.  One runs at a time. */
void metrics_job_begins(const char *kind);
void metrics_job_progress(int64_t done, int64_t total);
void metrics_job_ends(const char *kind, enum metrics_job_end end);

/* The present value of a gauge or counter, for tests and for /v1/info. */
int64_t metrics_gauge_value(enum metrics_gauge gauge);
int64_t metrics_counter_value(enum metrics_counter counter);

/*
 * Writes everything in Prometheus' text format 0.0.4.
 * Owns:   *ret is carved from mem, zero-terminated.
 * Errors: ERR_LIMIT, ERR_NOMEM mem.
 */
MUST_CHECK enum err metrics_text(struct arena *mem, const char **ret, size_t *ret_bytes);

#endif
