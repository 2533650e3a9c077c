/*
 * anchor_rows.h: what a copy of the vectors outside of the database is compared with, before it is believed.
 *
 * An anchor names a moment in the history of this database: the last entry of the audit log and its hash, which covers all
 * entries before it.  Every change leaves an entry; so a database that holds the anchor's entry with its hash has lived through
 * the same history up to there, and one that was put back to an earlier day, and then went another way, has not.
 */
#ifndef SERVER_STORE_ANCHOR_ROWS_H
#define SERVER_STORE_ANCHOR_ROWS_H

#include "core/base/hash.h"
#include "server/store/store.h"

struct store_anchor {
    int64_t audit_id; /* 0: before the first entry */
    unsigned char hash[HASH_SHA256_BYTES];
};

/* The present moment: everything that has been committed. */
MUST_CHECK enum err store_anchor_now(struct store *store, struct store_anchor *ret, struct err_note *note);

/* Whether this database has lived through that moment. */
MUST_CHECK enum err store_anchor_holds(struct store *store, const struct store_anchor *anchor, bool *ret,
                                       struct err_note *note);

#define STORE_DATABASE_ID_TEXT 33
/* What tells this database from every other one, copies of it aside. */
MUST_CHECK enum err store_database_id(struct store *store, char ret[STORE_DATABASE_ID_TEXT], struct err_note *note);

/*
 * The faces that store_embedding_each would visit, without their vectors, ascending.
 * Owns: *ret belongs to the caller (mem_free).
 */
MUST_CHECK enum err store_embedding_ids(struct store *store, int64_t collection_id, int64_t model_id, int64_t **ret,
                                        size_t *ret_count, struct err_note *note);

#endif
