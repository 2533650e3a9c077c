/*
 * request.h: one HTTP request as the rest of the service sees it.
 *
 * The seam between the network and the handlers: listen.c fills it from a connection, tests fill it by hand.  Everything in
 * it is untrusted, but its form has been checked: texts are UTF-8 without zero bytes, lists are bounded.
 */
#ifndef SERVER_HTTP_REQUEST_H
#define SERVER_HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/arena.h"
#include "core/base/cancel.h"
#include "core/base/err.h"

enum method {
    METHOD_OTHER = 0,
    METHOD_GET, /* HEAD too: the network layer leaves out the body */
    METHOD_POST,
    METHOD_PUT,
    METHOD_PATCH,
    METHOD_DELETE,
    METHOD_COUNT
};

enum method method_parse(const char *text);
const char *method_text(enum method method); /* "GET" */

struct query_pair {
    const char *name;
    const char *value;
};

#define REQUEST_MAX_SEGMENTS 8
#define REQUEST_MAX_PAIRS 64
#define REQUEST_ID_BYTES 65

struct request {
    enum method method;
    const char *segments[REQUEST_MAX_SEGMENTS]; /* of the path, decoded: {"v1", "subjects", "..."} */
    int n_segments;
    struct query_pair query[REQUEST_MAX_PAIRS];
    int n_query;

    /* headers; NULL where absent */
    const char *content_type;
    const char *authorization;
    const char *api_key;
    const char *idempotency_key;
    bool expects_continue;  /* Expect: 100-continue */
    bool chunked;           /* Transfer-Encoding */
    int64_t content_length; /* -1: none given */

    char id[REQUEST_ID_BYTES]; /* X-Request-Id as sent if it is sane, else made here */

    const unsigned char *body;
    size_t body_bytes;

    /* ROUTE_UPLOAD: the body's file, NULL elsewhere.  A handler that wants to keep it renames it; else it goes with the request. */
    const char *upload_path;
    int64_t upload_bytes;
    const unsigned char *upload_hash; /* SPOOL_HASH_BYTES, when there is an Idempotency-Key */

    int64_t deadline_ns;   /* monotonic; set when the body is complete; 0: none */
    struct cancel *cancel; /* NULL: nobody can ask */
};

/*
 * Splits and decodes the target of the request line, "/v1/subjects?limit=2", into segments and query.
 * Owns:   all texts are carved from mem.
 * Errors: ERR_FORMAT it does not begin with a slash, an escape is not two hexadecimal digits, a text is not UTF-8 or
 *         holds a zero byte; ERR_LIMIT too many segments or parameters, or mem is spent; ERR_NOMEM.
 */
MUST_CHECK enum err request_parse_target(const char *target, struct arena *mem, struct request *ret,
                                         struct err_note *note);

/* Decodes "a=1&b=2" into pairs, as request_parse_target does behind the question mark. */
MUST_CHECK enum err request_parse_pairs(const char *text, size_t n_bytes, struct arena *mem, struct query_pair *ret,
                                        int *ret_count, struct err_note *note);

/* Takes sent if it is 1 to 64 characters of A-Z a-z 0-9 . _ : - and else makes an id. */
void request_set_id(struct request *request, const char *sent);

/* The lower-case 8-4-4-4-12 form.  Upper case is accepted. */
bool text_is_uuid(const char *text);

#endif
