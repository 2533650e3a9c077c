/*
 * keeper.h: a thread that does what may wait, so that nobody who enrolls does: one writes the files of indexes, one makes what
 * accelerates them.
 * Any thread may wake it.
 */
#ifndef SERVER_GALLERY_KEEPER_H
#define SERVER_GALLERY_KEEPER_H

#include <stdint.h>

#include "core/base/err.h"

struct keeper;

/* work is called on the thread, at nice of the system's, once after every time that it was woken, and when as many nanoseconds have passed as it
 * returned last (0: it waits until it is woken); it may wake again.  Errors: ERR_NOMEM, ERR_LIMIT. */
MUST_CHECK enum err keeper_start(int64_t (*work)(void *context), void *context, int nice, struct keeper **ret,
                                 struct err_note *note);
void keeper_wake(struct keeper *keeper); /* NULL does nothing */

/* Lets work end, and does not begin it again.  NULL does nothing. */
void keeper_stop(struct keeper *keeper);

#endif
