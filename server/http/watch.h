/*
 * watch.h: deadlines of connections, kept by one thread, because the HTTP library has none for a suspended connection and
 * none for a client that sends one byte now and then.
 *
 * Threads: any.  late is called on the watch's own thread (or on that of watch_expire_all) with the watch's lock held, so
 *          that nothing is removed and freed under its feet: it must be short and must not call the watch.
 */
#ifndef SERVER_HTTP_WATCH_H
#define SERVER_HTTP_WATCH_H

#include <stdint.h>

#include "core/base/err.h"

struct watch;

/* Embedded in what is watched; {0} is one that is not.  late may be called again only after another watch_set. */
struct watched {
    struct watched *previous, *next;
    int64_t deadline_ns; /* 0: not watched */
};

/* Errors: ERR_NOMEM; ERR_LIMIT no thread can be started. */
MUST_CHECK enum err watch_new(void (*late)(struct watched *watched), struct watch **ret);
void watch_free(struct watch *watch);

/* Sets or moves the deadline, on the monotonic clock. */
void watch_set(struct watch *watch, struct watched *watched, int64_t deadline_ns);

/* From the return on late is not running for it and will not. */
void watch_remove(struct watch *watch, struct watched *watched);

/* Makes every deadline pass now, and returns when late has been called for all. */
void watch_expire_all(struct watch *watch);

#endif
