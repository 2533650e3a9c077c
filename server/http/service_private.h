/* service_private.h: what the handlers of this folder may see of the service. */
#ifndef SERVER_HTTP_SERVICE_PRIVATE_H
#define SERVER_HTTP_SERVICE_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "server/http/service.h"

struct service {
    /* immutable */
    struct service_parts parts;
    int64_t started_ms;
    char **route_names; /* "POST /v1/enroll" */
    int n_routes;

    /* any thread (atomic) */
    atomic_bool stopping;

    /* guarded by once_lock */
    pthread_mutex_t once_lock;
    struct once *once_first; /* requests under way that carry an Idempotency-Key (once.h) */
};

#endif
