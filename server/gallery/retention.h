/*
 * retention.h: a collection's faces are forgotten when they are older than its retention_days.
 *
 * Age counts from the moment of enrolling, also for faces that were imported with theirs.  Some hundred faces go at a time, each
 * time as forget.h does it: rows, then the index, then on.  The listener hears what went.
 */
#ifndef SERVER_GALLERY_RETENTION_H
#define SERVER_GALLERY_RETENTION_H

#include "server/gallery/gallery.h"

/*
 * Looks at every collection once.  now_ms: of clock_unix_ms.  *ret_faces counts what was erased, also when it fails midway.
 * Errors: ERR_CANCELLED (the worker's request); those of the rows.  The listener has heard of them too.
 */
enum err gallery_retention(struct gallery_worker *worker, int64_t now_ms, int64_t *ret_faces,
                           struct gallery_fault *fault);

#endif
