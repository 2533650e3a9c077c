/*
 * retention_rows.h: erasing by age.
 */
#ifndef SERVER_STORE_RETENTION_ROWS_H
#define SERVER_STORE_RETENTION_ROWS_H

#include "server/store/store.h"

/*
 * Erases the oldest faces of a collection that were enrolled before a moment, at most limit of them, in one transaction with one
 * entry of the audit log ("retention.delete"); and subjects of that age who have no face any more, because a name is personal
 * too, with their names in the lists of imports.  When there is nothing to erase, *ret is zeros and nothing is written.
 * Owns:   ret->face_ids is carved from mem.
 * Errors: ERR_MISUSE limit < 1.
 */
MUST_CHECK enum err store_expire(struct store *store, int64_t collection_id, int64_t before_ms, int limit,
                                 const struct after_commit *after, struct arena *mem, struct receipt *ret,
                                 struct err_note *note);

#endif
