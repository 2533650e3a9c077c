/*
 * service.h: from a request to its answer, without a socket.
 *
 * Two steps, because they run on two threads: the network thread admits by what the head says (address, method, key), a
 * compute worker reads the body and runs the handler.  Tests call both in a row.
 */
#ifndef SERVER_HTTP_SERVICE_H
#define SERVER_HTTP_SERVICE_H

#include "server/daemon/config.h"
#include "server/gallery/gallery.h"
#include "server/http/auth.h"
#include "server/http/route.h"
#include "server/jobs/jobs.h"

struct service;

/* What main knows about the program and says in /v1/info; static texts. */
struct service_facts {
    const char *version;
    const char *compiler;
    const char *kernels;         /* the highest level of kernels that may be used: "vnni" */
    const char *kernel_variants; /* "family:variant family:variant ..." */
    const char *openblas;        /* which core OpenBLAS runs on */
};

struct service_parts {
    const struct config *config; /* all four lent until service_free */
    struct gallery *gallery;
    struct store *store;
    struct jobs *jobs; /* may be NULL */
    struct service_facts facts;
};

MUST_CHECK enum err service_new(const struct service_parts *parts, struct service **ret);
void service_free(struct service *service);

/* From here on only ROUTE_STOPPING is admitted and /readyz says no. */
void service_stop_admitting(struct service *service);

struct admission {
    struct route_match match; /* match.route NULL: no row */
    struct caller caller;
};

/*
 * Looks at the head of a request.  Returns false after writing the refusal into reply.  mem must live as long as ret.
 * Any thread.
 */
bool service_admit(struct service *service, const struct request *request, struct arena *mem, struct admission *ret,
                   struct reply *reply);

/*
 * Reads the body, runs the handler, fills the reply; the worker is then reset.  worker is NULL for ROUTE_INLINE, which then
 * uses mem; else mem is not used.
 */
void service_run(struct service *service, struct gallery_worker *worker, struct arena *mem,
                 const struct request *request, const struct admission *admission, struct reply *reply);

#endif
