/* subject_rows.c: the people of a collection. */
#include "server/store/subject_rows.h"

#include "core/base/clock.h"
#include "server/store/erase_private.h"
#include "server/store/subject_private.h"

#define COLUMNS                                                                                             \
    "SELECT s.id, s.uuid, s.collection_id, s.name, s.external_id, s.metadata, s.created_ms, s.updated_ms, " \
    "(SELECT count(*) FROM faces f WHERE f.subject_id = s.id) FROM subjects s "

static enum err subject_read(sqlite3_stmt *statement, struct arena *mem, void *ret_row)
{
    struct subject_row *row = ret_row;

    row->id = sqlite3_column_int64(statement, 0);
    row->collection_id = sqlite3_column_int64(statement, 2);
    row->created_ms = sqlite3_column_int64(statement, 6);
    row->updated_ms = sqlite3_column_int64(statement, 7);
    row->n_faces = sqlite3_column_int64(statement, 8);
    enum err err = db_column_id(statement, 1, row->uuid, sizeof row->uuid);
    if (err == ERR_NONE) {
        err = db_column_text(statement, 3, mem, &row->name);
    }
    if (err == ERR_NONE) {
        err = db_column_text(statement, 4, mem, &row->external_id);
    }
    if (err == ERR_NONE) {
        err = db_column_text(statement, 5, mem, &row->metadata);
    }
    return err;
}

static int64_t subject_id(const void *row)
{
    return ((const struct subject_row *)row)->id;
}

/* ---- Looking up --------------------------------------------------------------------------------------------------- */

enum err store_subject_find_name(struct store *store, int64_t collection_id, const char *name, struct arena *mem,
                                 struct subject_row *ret, struct err_note *note)
{
    struct subject_row row = {0};
    enum err err = one_read(store, COLUMNS "WHERE s.collection_id = ?1 AND s.name = ?2",
                            (const struct db_value[]){db_int(collection_id), db_text(name), {0}}, subject_read, mem,
                            &row, "the collection has no subject of this name", note);
    if (err == ERR_NONE) {
        *ret = row;
    }
    return err;
}

enum err store_subject_find_uuid(struct store *store, const char *uuid, struct arena *mem, struct subject_row *ret,
                                 struct err_note *note)
{
    struct subject_row row = {0};
    enum err err = one_read(store, COLUMNS "WHERE s.uuid = ?1", (const struct db_value[]){db_text(uuid), {0}},
                            subject_read, mem, &row, "there is no subject with this id", note);
    if (err == ERR_NONE) {
        *ret = row;
    }
    return err;
}

enum err subject_get_in(struct db *db, int64_t id, struct arena *mem, struct subject_row *ret, struct err_note *note)
{
    struct subject_row row = {0};
    enum err err = one_read_in(db, COLUMNS "WHERE s.id = ?1", (const struct db_value[]){db_int(id), {0}}, subject_read,
                               mem, &row, "there is no such subject", note);
    if (err == ERR_NONE) {
        *ret = row;
    }
    return err;
}

enum err store_subject_get(struct store *store, int64_t id, struct arena *mem, struct subject_row *ret,
                           struct err_note *note)
{
    struct db *db = NULL;
    enum err err = db_lend(store, &db, note);

    if (err == ERR_NONE) {
        err = subject_get_in(db, id, mem, ret, note);
        db_return(store, db);
    }
    return err;
}

enum err store_subject_list(struct store *store, int64_t collection_id, const struct store_page *page,
                            struct arena *mem, struct subject_row **ret, int *ret_count, const char **ret_next,
                            struct err_note *note)
{
    int64_t after = 0;
    void *rows = NULL;
    enum err err = page_start(page, &after, note);

    if (err != ERR_NONE) {
        return err;
    }
    err = list_read(
        store,
        &(struct list_plan){
            .sql = COLUMNS "WHERE s.collection_id = ?1 AND s.id > ?2 ORDER BY s.id LIMIT ?3",
            .values = (const struct db_value[]){db_int(collection_id), db_int(after), db_int(page->limit + 1), {0}},
            .limit = page->limit,
            .row_bytes = sizeof(struct subject_row),
            .read = subject_read,
            .row_id = subject_id},
        mem, &rows, ret_count, ret_next, note);
    if (err == ERR_NONE) {
        *ret = rows;
    }
    return err;
}

/* ---- Changing ----------------------------------------------------------------------------------------------------- */

enum err subject_details_check(const char *external_id, const char *metadata, struct err_note *note)
{
    enum err err = ERR_NONE;

    if (external_id != NULL && external_id[0] != '\0') {
        err = store_name_check("the subject's external id", external_id, note);
    }
    if (err == ERR_NONE && metadata != NULL) {
        err = store_json_check("the subject's metadata", metadata, note);
    }
    return err;
}

struct change {
    int64_t id;
    const struct subject_change *change;
    const char *actor;
};

static enum err change_apply(struct db *db, void *context, struct err_note *note)
{
    const struct change *what = context;
    const struct subject_change *change = what->change;
    char objects[AUDIT_IDS_TEXT];
    enum err err = one_read_in(db,
                               "SELECT json_object('collection', collection_id, 'subject', uuid) FROM subjects "
                               "WHERE id = ?1",
                               (const struct db_value[]){db_int(what->id), {0}}, audit_ids_read, NULL, objects,
                               "there is no such subject", note);

    if (err == ERR_NONE) {
        /* An empty external id becomes NULL. */
        err = db_run(db,
                     "UPDATE subjects SET name = coalesce(?2, name), "
                     "external_id = nullif(coalesce(?3, external_id), ''), "
                     "metadata = coalesce(?4, metadata), updated_ms = ?5 WHERE id = ?1",
                     (const struct db_value[]){db_int(what->id),
                                               db_text(change->name),
                                               db_text(change->external_id),
                                               db_text(change->metadata),
                                               db_int(clock_unix_ms()),
                                               {0}},
                     note);
    }
    if (err == ERR_EXISTS) {
        return ERR_SAY(note, err, "the collection has a subject '%s' already", change->name);
    }
    if (err != ERR_NONE) {
        return err;
    }
    return audit_append(db, what->actor, "subject.change", objects, NULL, NULL, note);
}

enum err store_subject_change(struct store *store, int64_t id, const struct subject_change *change, const char *actor,
                              struct err_note *note)
{
    struct change what = {.id = id, .change = change, .actor = actor};
    enum err err = change->name == NULL ? ERR_NONE : store_name_check("the subject's name", change->name, note);

    if (err == ERR_NONE) {
        err = subject_details_check(change->external_id, change->metadata, note);
    }
    return err != ERR_NONE ? err : db_change(store, change_apply, &what, NULL, note);
}

static enum err count_read(sqlite3_stmt *statement, struct arena *mem, void *ret_row)
{
    (void)mem;
    *(int64_t *)ret_row = sqlite3_column_int64(statement, 0);
    return ERR_NONE;
}

enum err store_subject_count(struct store *store, int64_t *ret, struct err_note *note)
{
    return one_read(store, "SELECT count(*) FROM subjects", (const struct db_value[]){{0}}, count_read, NULL, ret, "",
                    note);
}

enum err store_subject_delete(struct store *store, int64_t id, const char *actor, const struct after_commit *after,
                              struct arena *mem, struct receipt *ret, struct err_note *note)
{
    struct erase erase = {.what = ERASE_SUBJECT, .id = id, .actor = actor, .mem = mem};

    return erase_run(store, &erase, after, ret, note);
}
