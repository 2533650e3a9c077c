/*
 * once.h: a POST that carries an Idempotency-Key is carried out once, and answered alike each time it comes.
 *
 * The promise, for every POST that writes: its answer is a row of the transaction that makes the change (replay_rows.h), so a
 * client that saw no answer, for whatever reason, sends the same again and gets the first answer, byte for byte.  That holds for jobs
 * too: what is kept is the answer that queued the job, in the transaction that queued it.  Not kept is what changed nothing:
 * failures, a dry run, a change that was in force already; sent again, it is judged anew.
 *
 * A key belongs to the API key that sends it.  Under way is known to this process only, which is the only one that writes.
 */
#ifndef SERVER_HTTP_ONCE_H
#define SERVER_HTTP_ONCE_H

#include "server/http/call.h"
#include "server/store/replay_rows.h"

/* How the answer of a use case is made from what it gives. */
struct once_plan {
    int status;
    json_t *(*document)(const void *context, const void *result);
    const void *context;
    bool is_job; /* the result is a struct job_row: Location */
};

/* One request on its way; {0} before once_begin.  The worker's thread. */
struct once {
    struct call *call;
    struct replay_request request;
    struct replay replay;
    struct once_plan plan;
    struct replay_answer answer; /* as it was made last; carved from call->mem */
    bool is_made;

    /* guarded by the service's once_lock */
    bool is_under_way;
    struct once *next;
};

/* Whether the head can be taken, as far as its Idempotency-Key goes; else it has been answered. */
bool once_admits(const struct route *route, const struct request *request, struct reply *reply);

/*
 * Begins a request, whose parameters have been read.  Returns false if there is nothing to do any more: it was answered as it
 * was the first time, or with the reason why it cannot be.
 */
bool once_begin(struct once *once, struct call *call);

/* Ends it, answered: what was kept is what is sent. */
void once_end(struct once *once);

#endif
