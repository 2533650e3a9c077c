/*
 * merge_rows.h: two subjects who are one person.
 *
 * The faces keep their ids, so the index need not hear of it.  The subject that goes leaves a record with its id, its name and
 * which faces were its own, from which undoing makes it again.  The record is erased with the subject that has the faces, and
 * a face that is erased leaves it: undoing brings back nothing that was erased.
 */
#ifndef SERVER_STORE_MERGE_ROWS_H
#define SERVER_STORE_MERGE_ROWS_H

#include "server/store/replay_rows.h"
#include "server/store/subject_rows.h"

/*
 * Gives the faces of one subject to another, *ret; the first is gone then.  Merges into the first, not undone, belong to the
 * other.  The answer to keep (NULL: none) is made from *ret's struct subject_row.
 * Owns:   texts of *ret are carved from mem.
 * Errors: ERR_NOT_FOUND one of them; ERR_CONFLICT they belong to different collections; ERR_MISUSE they are the same.
 */
MUST_CHECK enum err store_subject_merge(struct store *store, int64_t from_id, int64_t into_id, const char *actor,
                                        const struct replay *replay, struct arena *mem, struct subject_row *ret,
                                        struct err_note *note);

/*
 * Takes back the last merge into a subject: the other is there again under its id and name, with its faces that are still
 * there, and with the merges into it.  *ret is the one that came back; the answer to keep is made from it, too.
 * Owns:   texts of *ret are carved from mem.
 * Errors: ERR_NOT_FOUND there was none; ERR_EXISTS its name was given to somebody else meanwhile.
 */
MUST_CHECK enum err store_merge_undo(struct store *store, int64_t into_id, const char *actor,
                                     const struct replay *replay, struct arena *mem, struct subject_row *ret,
                                     struct err_note *note);

#endif
