/*
 * replay_rows.h: answers that are kept, so that a request which is sent again (its sender never saw the answer) is not carried out
 * again.
 *
 * The answer is a row of the same transaction as the change that it tells of: after a crash both are there or neither.  So it is
 * made inside that transaction, from the change's result, by whoever asked for the change: functions that take a struct replay
 * say what result they hand to it.  An answer goes when a face or a subject is erased of whom it tells; the row that says "this was
 * done" stays for its time.
 */
#ifndef SERVER_STORE_REPLAY_ROWS_H
#define SERVER_STORE_REPLAY_ROWS_H

#include "server/store/store.h"

#define REPLAY_HASH_BYTES 32

/* Which request. */
struct replay_request {
    const char *actor;                         /* id of the API key that asks */
    unsigned char key_hash[REPLAY_HASH_BYTES]; /* of its Idempotency-Key */
    const char *route;                         /* "POST /v1/enroll" */
    unsigned char asked_hash
        [REPLAY_HASH_BYTES]; /* of the key's text and all that is asked, so that it tells nothing without it */
};

struct replay_answer {
    int status;
    const char *location; /* "": none */
    const void *body;     /* JSON */
    size_t n_bytes;

    /* Of whom it tells, by row ids. */
    int64_t subject_id; /* 0: nobody, or by their faces */
    const int64_t *face_ids;
    int n_faces;
};

/* An answer that shall be kept with a change. */
struct replay {
    const struct replay_request *request;
    /*
     * Makes the answer from the change's result.  It runs once the rows are written and before they are committed, perhaps on
     * another thread while the one that asked waits; again if the transaction has to be tried again.  It must not use the store.
     */
    enum err (*make)(void *context, const void *result, struct replay_answer *ret);
    void *context;
};

struct replay_row {
    bool is_same; /* this very request */
    bool erased;  /* the answer went with somebody of whom it told; whether it was this request is not known any more */
    int status;
    const char *location, *route;
    const unsigned char *body;
    size_t n_bytes;
};

/* What was answered under the key.  Errors: ERR_NOT_FOUND nothing was, without a note. */
MUST_CHECK enum err store_replay_find(struct store *store, const struct replay_request *request, struct arena *mem,
                                      struct replay_row *ret, struct err_note *note);

/* Forgets what was answered before a moment; says how many rows went.  What fails now goes the next time. */
enum err store_replay_forget(struct store *store, int64_t before_ms, int64_t *ret_count, struct err_note *note);

#endif
