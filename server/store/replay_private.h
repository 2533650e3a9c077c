/*
 * replay_private.h: the last step of a change whose answer is kept.
 */
#ifndef SERVER_STORE_REPLAY_PRIVATE_H
#define SERVER_STORE_REPLAY_PRIVATE_H

#include "server/store/db_private.h"
#include "server/store/replay_rows.h"

/* Inside a change, when its rows are written: makes the answer and writes its row.  replay NULL does nothing.
 * Errors: the maker's; ERR_EXISTS there is an answer under this key. */
MUST_CHECK enum err replay_keep(struct db *db, const struct replay *replay, const void *result, struct err_note *note);

#endif
