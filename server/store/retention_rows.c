/* retention_rows.c: erasing by age. */
#include "server/store/retention_rows.h"

#include <stdio.h>

#include "core/base/clock.h"
#include "server/store/db_private.h"

/* The faces that go: up to ?3, the highest row id among the first `limit` that are old enough.  ?1 collection, ?2 moment. */
#define OLD "f.collection_id = ?1 AND f.created_ms < ?2"
#define THESE OLD " AND f.id <= ?3"

struct expiry {
    int64_t collection_id, before_ms;
    int limit;
    struct arena *mem;
    struct receipt receipt;
    struct receipt *ret;
    const struct after_commit *after;
};

/* What there is to do, asked on a reader: the writer is not held up when it is nothing. */
struct due {
    int64_t last_id; /* 0: no face */
    int64_t n_subjects;
};

static enum err due_read(sqlite3_stmt *statement, struct arena *mem, void *ret_row)
{
    struct due *due = ret_row;

    (void)mem;
    due->last_id = sqlite3_column_int64(statement, 0);
    due->n_subjects = sqlite3_column_int64(statement, 1);
    return ERR_NONE;
}

#define EMPTY                                                                                               \
    "subjects.collection_id = ?1 AND subjects.created_ms < ?2 AND NOT EXISTS (SELECT 1 FROM faces g WHERE " \
    "g.subject_id = subjects.id)"

static enum err due_find(struct db *db, const struct expiry *what, struct due *ret, struct err_note *note)
{
    return one_read_in(
        db,
        "SELECT (SELECT coalesce(max(id), 0) FROM (SELECT f.id FROM faces f WHERE " OLD " ORDER BY f.id LIMIT ?3)), "
        "(SELECT count(*) FROM subjects WHERE " EMPTY ")",
        (const struct db_value[]){db_int(what->collection_id), db_int(what->before_ms), db_int(what->limit), {0}},
        due_read, NULL, ret, "", note);
}

static enum err ids_read(struct db *db, struct expiry *what, const struct db_value *these, struct err_note *note)
{
    sqlite3_stmt *statement = NULL;
    int64_t n = 0;
    int64_t *ids = ARENA_ARRAY(what->mem, int64_t, what->limit);

    if (ids == NULL) {
        return arena_why(what->mem);
    }
    enum err err = db_start(db, "SELECT f.id FROM faces f WHERE " THESE " ORDER BY f.id", these, &statement, note);
    for (bool row = true; err == ERR_NONE && n < what->limit;) {
        err = db_step(db, statement, &row, note);
        if (err != ERR_NONE || !row) {
            break;
        }
        ids[n++] = sqlite3_column_int64(statement, 0);
    }
    if (statement != NULL) {
        db_done(statement);
    }
    what->receipt.face_ids = ids;
    what->receipt.n_faces = n;
    return err;
}

/*
 * As when a subject is deleted (erase.c): a part of an import that was refused has no face, by which the others are found, but its
 * folder has the subject's name.  Many subjects go at once, so each path is taken apart and its folders are looked up, instead of
 * each name being looked for in every path.
 */
static enum err names_forget(struct db *db, const struct expiry *what, struct err_note *note)
{
    return db_run(db,
                  "UPDATE import_items SET name = '', sentence = '', outcome = 'erased' WHERE id IN (WITH RECURSIVE "
                  "part (id, folder, rest) AS ("
                  "SELECT i.id, '', i.name FROM jobs j JOIN import_items i ON i.job_id = j.id "
                  "WHERE j.collection_id = ?1 AND i.face_id IS NULL AND i.name <> '' UNION ALL "
                  "SELECT id, substr(rest, 1, instr(rest, '/') - 1), substr(rest, instr(rest, '/') + 1) FROM part "
                  "WHERE instr(rest, '/') > 0) "
                  "SELECT part.id FROM part CROSS JOIN subjects ON subjects.name = part.folder AND " EMPTY ")",
                  (const struct db_value[]){db_int(what->collection_id), db_int(what->before_ms), {0}}, note);
}

static enum err subjects_delete(struct db *db, struct expiry *what, struct err_note *note)
{
    const struct db_value empty[] = {db_int(what->collection_id), db_int(what->before_ms), {0}};
    int64_t n = 0;

    enum err err = db_integer(db, "SELECT count(*) FROM subjects WHERE " EMPTY, empty, &n, note);
    if (err == ERR_NONE && n > 0) {
        err = names_forget(db, what, note);
    }
    if (err == ERR_NONE && n > 0) {
        err = db_run(db, "DELETE FROM subjects WHERE " EMPTY, empty, note);
    }
    what->receipt.n_subjects = n;
    return err;
}

static enum err rows_delete(struct db *db, struct expiry *what, const struct db_value *these, struct err_note *note)
{
    struct receipt *receipt = &what->receipt;

    enum err err = db_integer(db, "SELECT count(*) FROM faces f JOIN embeddings e ON e.face_id = f.id WHERE " THESE,
                              these, &receipt->n_embeddings, note);
    if (err == ERR_NONE) {
        err = db_integer(db, "SELECT count(*) FROM faces f JOIN crops c ON c.face_id = f.id WHERE " THESE, these,
                         &receipt->n_crops, note);
    }
    if (err == ERR_NONE) {
        err = db_run(db,
                     "DELETE FROM photos WHERE id IN (SELECT f.photo_id FROM faces f WHERE " THESE
                     " AND f.photo_id IS NOT NULL) AND NOT EXISTS (SELECT 1 FROM faces f WHERE f.photo_id = photos.id "
                     "AND NOT (" THESE "))",
                     these, note);
        receipt->n_photos = db_changed(db);
    }
    if (err == ERR_NONE) {
        err = db_run(db, "DELETE FROM faces AS f WHERE " THESE, these, note);
    }
    return err == ERR_NONE ? subjects_delete(db, what, note) : err;
}

static enum err expiry_apply(struct db *db, void *context, struct err_note *note)
{
    struct expiry *what = context;
    struct receipt *receipt = &what->receipt;
    struct due due = {0};
    char objects[256];

    *receipt = (struct receipt){.at_ms = clock_unix_ms()};
    enum err err = due_find(db, what, &due, note);
    const struct db_value these[] = {db_int(what->collection_id), db_int(what->before_ms), db_int(due.last_id), {0}};
    if (err == ERR_NONE) {
        err = ids_read(db, what, these, note);
    }
    if (err == ERR_NONE) {
        err = rows_delete(db, what, these, note);
    }
    (void)snprintf(objects, sizeof objects,
                   "{\"collection\":%lld,\"subjects\":%lld,\"faces\":%lld,\"embeddings\":%lld,\"crops\":%lld,"
                   "\"photos\":%lld}",
                   (long long)what->collection_id, (long long)receipt->n_subjects, (long long)receipt->n_faces,
                   (long long)receipt->n_embeddings, (long long)receipt->n_crops, (long long)receipt->n_photos);
    return err != ERR_NONE
               ? err
               : audit_append(db, "daemon", "retention.delete", objects, &receipt->audit_id, receipt->audit_hash, note);
}

/* The receipt is the caller's before the index is told. */
static void expiry_committed(void *context)
{
    const struct expiry *what = context;

    *what->ret = what->receipt;
    if (what->after != NULL) {
        what->after->call(what->after->context);
    }
}

static enum err due_ask(struct store *store, const struct expiry *what, struct due *ret, struct err_note *note)
{
    struct db *db = NULL;
    enum err err = db_lend(store, &db, note);

    if (err != ERR_NONE) {
        return err;
    }
    err = due_find(db, what, ret, note);
    db_return(store, db);
    return err;
}

enum err store_expire(struct store *store, int64_t collection_id, int64_t before_ms, int limit,
                      const struct after_commit *after, struct arena *mem, struct receipt *ret, struct err_note *note)
{
    struct expiry what = {
        .collection_id = collection_id, .before_ms = before_ms, .limit = limit, .mem = mem, .ret = ret, .after = after};
    struct due due = {0};
    bool scrubbed = false;

    if (limit < 1) {
        return ERR_SAY(note, ERR_MISUSE, "%d faces cannot be erased at once", limit);
    }
    enum err err = due_ask(store, &what, &due, note);
    if (err == ERR_NONE && due.last_id == 0 && due.n_subjects == 0) {
        *ret = (struct receipt){0};
        return ERR_NONE;
    }
    if (err == ERR_NONE) {
        err = db_erase(store, expiry_apply, &what, &(struct after_commit){expiry_committed, &what}, &scrubbed, note);
    }
    if (err == ERR_NONE) {
        ret->scrubbed = scrubbed;
    }
    return err;
}
