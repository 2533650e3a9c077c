/*
 * keeper.h: a thread that writes the files of indexes, so that nobody who enrolls waits for a disk.
 * Any thread may wake it.
 */
#ifndef SERVER_GALLERY_KEEPER_H
#define SERVER_GALLERY_KEEPER_H

#include "core/base/err.h"

struct keeper;

/* work is called on the thread, once after every time that it was woken; it may wake again.  Errors: ERR_NOMEM, ERR_LIMIT. */
MUST_CHECK enum err keeper_start(void (*work)(void *context), void *context, struct keeper **ret,
                                 struct err_note *note);
void keeper_wake(struct keeper *keeper); /* NULL does nothing */

/* Lets work end, and does not begin it again.  NULL does nothing. */
void keeper_stop(struct keeper *keeper);

#endif
