/*
 * params.h: the parameters of a call, wherever they stand: in the address, in a multipart body, in JSON.
 *
 * What is not in the route's table is refused by name; what is given twice, of the wrong kind or out of range as well.  So a
 * handler finds only values that it can use.
 */
#ifndef SERVER_HTTP_PARAMS_H
#define SERVER_HTTP_PARAMS_H

#include <jansson.h>

#include "core/base/arena.h"
#include "server/http/route.h"

struct param_value {
    bool given;
    bool is_null;     /* a JSON null: for parameters whose absence and removal differ */
    const char *text; /* PARAM_TEXT, PARAM_CHOICE; PARAM_OBJECT as JSON text */
    int64_t whole;
    double real;
    bool on;
    int choice; /* which word of choices, 0 is the first */
    const char **texts;
    const float *vector;
    int count; /* of texts or vector */
    const unsigned char *bytes;
    size_t n_bytes;
};

struct params {
    struct param_value values[ROUTE_MAX_PARAMS]; /* as route->params */
    json_t *document;                            /* NULL unless the body was JSON; texts may point into it */
};

struct params_limits {
    int json_depth;
    int vector_length;
};

/*
 * Reads all parameters of a request.
 * Owns:   *ret until params_release; bytes and vectors are carved from mem or point into the request.
 * Errors: *ret_problem names the kind, the note the parameter; *ret is then empty.
 */
MUST_CHECK enum err params_read(const struct route *route, const struct request *request,
                                const struct params_limits *limits, struct arena *mem, struct params *ret,
                                const struct problem **ret_problem, struct err_note *note);
void params_release(struct params *params);

#endif
