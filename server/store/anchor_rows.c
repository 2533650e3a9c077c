/* anchor_rows.c: the history's end, and the ids that a copy should hold. */
#include "server/store/anchor_rows.h"

#include <string.h>

#include "core/base/mem.h"
#include "server/store/db_private.h"
#include "server/store/id_list_private.h"

static enum err anchor_read(sqlite3_stmt *statement, struct arena *mem, void *ret_row)
{
    struct store_anchor *anchor = ret_row;
    const void *hash = sqlite3_column_blob(statement, 1);

    (void)mem;
    if (hash == NULL || sqlite3_column_bytes(statement, 1) != HASH_SHA256_BYTES) {
        return ERR_CORRUPT;
    }
    anchor->audit_id = sqlite3_column_int64(statement, 0);
    memcpy(anchor->hash, hash, HASH_SHA256_BYTES);
    return ERR_NONE;
}

enum err store_anchor_now(struct store *store, struct store_anchor *ret, struct err_note *note)
{
    struct store_anchor anchor = {0};
    enum err err = one_read(store, "SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1", NULL, anchor_read, NULL,
                            &anchor, "", NULL);

    if (err == ERR_NONE || err == ERR_NOT_FOUND) {
        *ret = anchor;
        return ERR_NONE;
    }
    return ERR_SAY(note, err, "the end of the audit log cannot be read: %s", err_word(err));
}

enum err store_anchor_holds(struct store *store, const struct store_anchor *anchor, bool *ret, struct err_note *note)
{
    struct store_anchor there = {0};

    if (anchor->audit_id == 0) {
        *ret = true;
        return ERR_NONE;
    }
    enum err err =
        one_read(store, "SELECT id, hash FROM audit WHERE id = ?1",
                 (const struct db_value[]){db_int(anchor->audit_id), {0}}, anchor_read, NULL, &there, "", NULL);
    if (err != ERR_NONE && err != ERR_NOT_FOUND) {
        return ERR_SAY(note, err, "an entry of the audit log cannot be read: %s", err_word(err));
    }
    *ret = err == ERR_NONE && memcmp(there.hash, anchor->hash, sizeof there.hash) == 0;
    return ERR_NONE;
}

static enum err database_id_read(sqlite3_stmt *statement, struct arena *mem, void *ret_row)
{
    (void)mem;
    return db_column_id(statement, 0, ret_row, STORE_DATABASE_ID_TEXT);
}

enum err store_database_id(struct store *store, char ret[STORE_DATABASE_ID_TEXT], struct err_note *note)
{
    return one_read(store, "SELECT value FROM meta WHERE name = 'database_id'", NULL, database_id_read, NULL, ret,
                    "the database has no id", note);
}

/* ---- Ids ---------------------------------------------------------------------------------------------------------- */

/* From indexes alone, so that a million take half a second: no row of a face or a vector is read. */
static enum err collect(struct db *db, int64_t collection_id, int64_t model_id, struct id_list *list,
                        struct err_note *note)
{
    sqlite3_stmt *statement = NULL;
    bool row = true;
    enum err err = db_start(db,
                            "SELECT f.id FROM faces f INDEXED BY faces_by_collection WHERE f.collection_id = ?1 "
                            "AND EXISTS (SELECT 1 FROM embeddings e WHERE e.face_id = f.id AND e.model_id = ?2) "
                            "AND f.id NOT IN (SELECT a.id FROM faces a WHERE a.set_aside_by <> 0) ORDER BY f.id",
                            (const struct db_value[]){db_int(collection_id), db_int(model_id), {0}}, &statement, note);

    if (err != ERR_NONE) {
        return err;
    }
    while (err == ERR_NONE && row) {
        err = db_step(db, statement, &row, note);
        if (err == ERR_NONE && row && !id_list_append(list, sqlite3_column_int64(statement, 0))) {
            err = ERR_SAY(note, ERR_NOMEM, "no memory for the ids of %zu faces", list->n);
        }
    }
    db_done(statement);
    return err;
}

enum err store_embedding_ids(struct store *store, int64_t collection_id, int64_t model_id, int64_t **ret,
                             size_t *ret_count, struct err_note *note)
{
    struct db *db = NULL;
    struct id_list list = {0};
    enum err err = db_lend(store, &db, note);

    if (err != ERR_NONE) {
        return err;
    }
    err = collect(db, collection_id, model_id, &list, note);
    db_return(store, db);
    if (err != ERR_NONE) {
        mem_free(list.ids);
        return err;
    }
    *ret = list.ids;
    *ret_count = list.n;
    return ERR_NONE;
}
