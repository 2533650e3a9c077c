/*
 * call.h: what a handler gets: the request, who asks, the checked parameters, the thread's worker, and the place for the answer.
 *
 * A handler is a function of one call: it reads params, calls one use case of server/gallery or one function of
 * server/store, and answers exactly once.  It belongs to one thread; texts and bytes live until the answer is given.
 */
#ifndef SERVER_HTTP_CALL_H
#define SERVER_HTTP_CALL_H

#include <jansson.h>

#include "server/daemon/config.h"
#include "server/gallery/gallery.h"
#include "server/http/auth.h"
#include "server/http/params.h"
#include "server/http/reply.h"
#include "server/http/request.h"
#include "server/http/route.h"

struct service;
struct once;
struct replay;

struct call {
    struct service *service;
    const struct config *config;
    struct store *store;
    struct gallery *gallery;
    struct gallery_worker *worker; /* NULL on ROUTE_INLINE */
    struct arena *mem;             /* gone after the answer */
    const struct request *request;
    const struct route *route;
    int route_number;
    const char *argument; /* of the address; NULL if the pattern has none */
    const struct caller *caller;
    struct params params;
    struct reply *reply;
    struct once *once; /* NULL: the answer is not kept */
};

/* Answers with a document, which is taken; NULL or one that cannot be written is answered with 500. */
void call_answer(struct call *call, int status, json_t *take);

/* Answers with a problem of a use case, or of a row. */
void call_fault(struct call *call, enum err err, const struct gallery_fault *fault);
void call_problem(struct call *call, const struct problem *problem, const char *detail);

/*
 * To be called before a POST changes anything (once.h): says how its answer is made from what the use case gives, so that it can
 * be kept in the change's own transaction.  Use cases of server/gallery find what is returned by themselves; functions of
 * server/store and server/jobs want it as their argument.  NULL: the request wants no answer kept.
 */
const struct replay *call_keep(const struct call *call, int status,
                               json_t *(*document)(const void *context, const void *result), const void *context);
/* The same for a call that queues a job, whose answer is call_job's. */
const struct replay *call_keep_job(const struct call *call);

/* The checked value of a parameter of this route; asserts that the route has it. */
const struct param_value *call_param(const struct call *call, const char *name);

/* Its text, or what stands for an absent one. */
const char *call_text(const struct call *call, const char *name, const char *absent);
int64_t call_whole(const struct call *call, const char *name, int64_t absent);
int call_choice(const struct call *call, const char *name, int absent);
bool call_switch(const struct call *call, const char *name);

/* The photo of a parameter, with what "aligned" says where the route has it. */
struct gallery_photo call_photo(const struct call *call, const char *name);
struct gallery_embedding call_embedding(const struct call *call, const char *name);

#endif
