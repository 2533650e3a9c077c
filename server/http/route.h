/*
 * route.h: every call of the API, one row each: method, address, who may, which parameters, what happens.
 *
 * Dispatch, 404, 405 with Allow, the check of parameters and /openapi.json are all derived from this table.
 */
#ifndef SERVER_HTTP_ROUTE_H
#define SERVER_HTTP_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

#include "server/http/reply.h"
#include "server/http/request.h"

struct call;

enum param_type {
    PARAM_TEXT,
    PARAM_WHOLE,  /* min .. max */
    PARAM_REAL,   /* min .. max */
    PARAM_SWITCH, /* true, false */
    PARAM_CHOICE, /* one of the words of choices */
    PARAM_TEXTS,  /* a JSON array of texts; elsewhere words separated by commas */
    PARAM_OBJECT, /* a JSON object; elsewhere its text */
    PARAM_VECTOR, /* a JSON array of numbers, or its text; not in the address */
    PARAM_PHOTO   /* bytes of a picture: the body itself, a multipart field, base64 in JSON; not in the address */
};

struct param_def {
    const char *name;
    enum param_type type;
    double min, max;
    const char *choices; /* "single|largest|all" */
    const char *help;
};

enum route_flag {
    ROUTE_OPEN = 1,     /* asks for no key */
    ROUTE_INLINE = 2,   /* answered on the network thread: quick, needs no worker, works when the queue is full */
    ROUTE_PHOTO = 4,    /* a body that is neither JSON nor multipart is the photo "image" */
    ROUTE_STOPPING = 8, /* answered while the daemon drains */
    ROUTE_UPLOAD =
        16, /* the body goes to a file (request->upload_path) as it arrives; parameters stand in the address */
    ROUTE_LOOKS = 32, /* a POST that changes nothing */
    ROUTE_SECRET = 64 /* a POST whose answer holds a secret, so that it is never kept */
};

#define ROUTE_MAX_ARGUMENTS 1
#define ROUTE_MAX_PARAMS 20

struct route {
    enum method method;
    const char *pattern; /* "/v1/subjects/{subject}" */
    void (*handle)(struct call *call);
    unsigned scope; /* enum scope bits of the store that the key must have; 0: any key */
    unsigned flags;
    const char *summary;
    int success;                                      /* status of the good answer */
    const char *answer;                               /* its schema in openapi.json */
    const struct param_def *params[ROUTE_MAX_PARAMS]; /* ends with NULL */
};

/* Whether its answers are kept for who sends an Idempotency-Key (once.h): every POST that changes something, unless it is secret. */
bool route_keeps(const struct route *route);

/* The table. */
const struct route *route_list(int *ret_count);

struct route_match {
    const struct route *route;
    int number; /* its row */
    const char *argument[ROUTE_MAX_ARGUMENTS];
};

/*
 * Finds the row for a request.  A method or address that is not there is told by the return: ERR_NOT_FOUND no such address;
 * ERR_UNSUPPORTED not with this method, allow then lists the others.  Texts point into the request.
 */
MUST_CHECK enum err route_find(const struct request *request, struct route_match *ret, char *ret_allow,
                               size_t allow_bytes);

#endif
