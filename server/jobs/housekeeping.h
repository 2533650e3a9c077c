/*
 * housekeeping.h: what is to be done every hour whether anybody asks or not: faces that are too old are forgotten,
 * and answers that were kept for who asks again (replay_rows.h).
 *
 * A thread of its own, because a job that trains for hours would hold it up, and a promise to forget does not wait.
 */
#ifndef SERVER_JOBS_HOUSEKEEPING_H
#define SERVER_JOBS_HOUSEKEEPING_H

#include "server/gallery/gallery.h"

struct housekeeping;

/* Begins at once, and then again every period_s; answers are kept for replays_kept_s.  Errors: ERR_NOMEM; ERR_LIMIT the thread cannot be started. */
MUST_CHECK enum err housekeeping_start(struct gallery *gallery, int period_s, int64_t replays_kept_s,
                                       struct housekeeping **ret, struct err_note *note);

/* Ends it, within one small transaction; NULL does nothing. */
void housekeeping_stop(struct housekeeping *housekeeping);

#endif
