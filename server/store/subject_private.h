/*
 * subject_private.h: a subject as a change sees it.
 */
#ifndef SERVER_STORE_SUBJECT_PRIVATE_H
#define SERVER_STORE_SUBJECT_PRIVATE_H

#include "server/store/db_private.h"
#include "server/store/subject_rows.h"

/* Errors: ERR_NOT_FOUND. */
MUST_CHECK enum err subject_get_in(struct db *db, int64_t id, struct arena *mem, struct subject_row *ret,
                                   struct err_note *note);

#endif
