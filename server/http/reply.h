/*
 * reply.h: one answer, and how a failure becomes one (RFC 9457, application/problem+json).
 *
 * The only place that knows which status belongs to which error.
 */
#ifndef SERVER_HTTP_REPLY_H
#define SERVER_HTTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/err.h"
#include "server/gallery/gallery.h"

/* A body that is made while it is sent: long, and never whole in memory. */
struct reply_stream {
    void *context;
    /*
     * Gives the next piece, valid until the next call; *ret_bytes 0 is the end.  On the network's thread: it should take
     * milliseconds.  ERR_BUSY: nothing yet, it is asked again half a second later.  Any other error cuts the answer off, which the
     * client notices.
     */
    enum err (*next)(void *context, const char **ret, size_t *ret_bytes);
    void (*close)(void *context); /* once, sent or not */
};

struct reply {
    int status;       /* 0: not answered yet */
    const char *type; /* of the body; static text */
    unsigned char *body;
    size_t body_bytes;
    struct reply_stream stream; /* instead of a body; next NULL: none */
    char allow[64];             /* Allow, empty: none */
    char location[160];         /* Location */
    int retry_after_s;          /* 0: none */
    bool ask_for_key;           /* WWW-Authenticate */
    bool close;                 /* Connection: close */
    bool replayed;              /* Idempotent-Replayed */
    const char *code;           /* of a problem, for the log; NULL if it is none; static text */
};

/*
 * Copies the body (heap, wiped when released: it may hold embeddings).  Errors: ERR_NOMEM, the reply is then unchanged.
 */
MUST_CHECK enum err reply_set(struct reply *reply, int status, const char *type, const void *body, size_t body_bytes);

/* Answers with a stream, which is taken. */
void reply_set_stream(struct reply *reply, int status, const char *type, struct reply_stream take);
void reply_release(struct reply *reply);

/* One kind of failure as the API promises it; rows are static. */
struct problem {
    int status;
    const char *code;  /* stable word */
    const char *title; /* what this kind is, always the same sentence */
    const char *hint;  /* what the caller can do */
};

/*
 * Fills the reply with a problem document.  detail, one sentence about this very request, may be NULL or empty; what could be
 * a path or is not UTF-8 is not repeated.  Never fails: without memory the document is a static one.
 */
void reply_problem(struct reply *reply, const struct problem *problem, const char *detail, const char *request_id);

/* The problem that an error is when no handler knows better. */
const struct problem *problem_of(enum err err);

/* The problem that the gallery's exact reason is; NULL for GALLERY_REASON_NONE. */
const struct problem *problem_of_reason(enum gallery_reason reason);

/* Kinds that handlers and the network layer name themselves. */
extern const struct problem PROBLEM_NO_ROUTE, PROBLEM_METHOD, PROBLEM_NO_KEY, PROBLEM_BAD_KEY, PROBLEM_EXPIRED_KEY,
    PROBLEM_REVOKED_KEY, PROBLEM_SCOPE, PROBLEM_BODY_TOO_LARGE, PROBLEM_MEDIA_TYPE, PROBLEM_EMPTY_BODY,
    PROBLEM_BAD_TARGET, PROBLEM_BAD_JSON, PROBLEM_BAD_MULTIPART, PROBLEM_UNKNOWN_PARAMETER, PROBLEM_MISSING_PARAMETER,
    PROBLEM_BAD_PARAMETER, PROBLEM_QUEUE_FULL, PROBLEM_DEADLINE, PROBLEM_STOPPING, PROBLEM_CLIENT_GONE,
    PROBLEM_ONCE_KEY, PROBLEM_ONCE_SECRET, PROBLEM_ONCE_OTHER, PROBLEM_ONCE_UNDER_WAY, PROBLEM_ONCE_ERASED;

#endif
