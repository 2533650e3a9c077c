/* collection_rows.c: namespaces of subjects. */
#include "server/store/collection_rows.h"

#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "server/store/erase_private.h"

#define COLUMNS                                                                                   \
    "SELECT c.id, c.name, c.model_id, m.version, c.keep, c.settings, c.created_ms, c.updated_ms " \
    "FROM collections c JOIN models m ON m.id = c.model_id "

static const char *const keep_words[] = {"none", "crop", "photo"};

const char *keep_word(enum keep keep)
{
    return keep_words[keep];
}

bool keep_from_word(const char *word, enum keep *ret)
{
    for (int i = 0; i < 3; i++) {
        if (strcmp(word, keep_words[i]) == 0) {
            *ret = (enum keep)i;
            return true;
        }
    }
    return false;
}

static enum err collection_read(sqlite3_stmt *statement, struct arena *mem, void *ret_row)
{
    struct collection_row *row = ret_row;
    const char *keep = (const char *)sqlite3_column_text(statement, 4);

    row->id = sqlite3_column_int64(statement, 0);
    row->model_id = sqlite3_column_int64(statement, 2);
    row->created_ms = sqlite3_column_int64(statement, 6);
    row->updated_ms = sqlite3_column_int64(statement, 7);
    if (keep == NULL || !keep_from_word(keep, &row->keep)) {
        return ERR_CORRUPT;
    }
    enum err err = db_column_text(statement, 1, mem, &row->name);
    if (err == ERR_NONE) {
        err = db_column_text(statement, 3, mem, &row->model);
    }
    if (err == ERR_NONE) {
        err = db_column_text(statement, 5, mem, &row->settings);
    }
    return err;
}

static int64_t collection_id(const void *row)
{
    return ((const struct collection_row *)row)->id;
}

/* ---- Changing ----------------------------------------------------------------------------------------------------- */

/* A collection can only be pinned to a recogniser that is there. */
static enum err model_judge(struct db *db, int64_t model_id, struct err_note *note)
{
    int64_t fits = 0;
    enum err err = db_integer(db, "SELECT role = 'recognizer' FROM models WHERE id = ?1",
                              (const struct db_value[]){db_int(model_id), {0}}, &fits, note);

    if (err == ERR_NOT_FOUND) {
        return ERR_SAY(note, err, "there is no such model");
    }
    if (err == ERR_NONE && fits == 0) {
        return ERR_SAY(note, ERR_CONFLICT, "the model does not recognise faces: it is a detector");
    }
    return err;
}

static enum err history_add(struct db *db, int64_t id, int64_t model_id, int64_t now_ms, struct err_note *note)
{
    return db_run(db, "INSERT INTO collection_models (collection_id, model_id, since_ms) VALUES (?1, ?2, ?3)",
                  (const struct db_value[]){db_int(id), db_int(model_id), db_int(now_ms), {0}}, note);
}

static enum err collection_audit(struct db *db, const char *actor, const char *action, int64_t id, int64_t model_id,
                                 struct err_note *note)
{
    char objects[96];

    (void)snprintf(objects, sizeof objects,
                   model_id == 0 ? "{\"collection\":%lld}" : "{\"collection\":%lld,\"model\":%lld}", (long long)id,
                   (long long)model_id);
    return audit_append(db, actor, action, objects, NULL, NULL, note);
}

struct addition {
    const struct collection_new *new;
    const char *actor;
    struct arena *mem;
    struct collection_row row;
};

static enum err addition_apply(struct db *db, void *context, struct err_note *note)
{
    struct addition *what = context;
    const struct collection_new *new = what->new;
    int64_t now_ms = clock_unix_ms();
    enum err err = model_judge(db, new->model_id, note);

    if (err == ERR_NONE) {
        err = db_run(db,
                     "INSERT INTO collections (name, model_id, keep, settings, created_ms, updated_ms) "
                     "VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
                     (const struct db_value[]){db_text(new->name),
                                               db_int(new->model_id),
                                               db_text(keep_word(new->keep)),
                                               db_text(new->settings == NULL ? "{}" : new->settings),
                                               db_int(now_ms),
                                               {0}},
                     note);
    }
    if (err == ERR_EXISTS) {
        return ERR_SAY(note, err, "there is a collection '%s' already", new->name);
    }
    if (err != ERR_NONE) {
        return err;
    }
    int64_t id = db_last_id(db);
    err = history_add(db, id, new->model_id, now_ms, note);
    if (err == ERR_NONE) {
        err = collection_audit(db, what->actor, "collection.add", id, new->model_id, note);
    }
    if (err == ERR_NONE) {
        err = one_read_in(db, COLUMNS "WHERE c.id = ?1", (const struct db_value[]){db_int(id), {0}}, collection_read,
                          what->mem, &what->row, "", note);
    }
    return err;
}

enum err store_collection_add(struct store *store, const struct collection_new *what, const char *actor,
                              struct arena *mem, struct collection_row *ret, struct err_note *note)
{
    struct addition addition = {.new = what, .actor = actor, .mem = mem};
    enum err err = store_name_check("the collection's name", what->name, note);

    if (err == ERR_NONE && what->settings != NULL) {
        err = store_json_check("the collection's settings", what->settings, note);
    }
    if (err == ERR_NONE) {
        err = db_change(store, addition_apply, &addition, NULL, note);
    }
    if (err == ERR_NONE) {
        *ret = addition.row;
    }
    return err;
}

struct change {
    int64_t id;
    enum keep keep;
    const char *settings;
    const char *actor;
};

static enum err change_apply(struct db *db, void *context, struct err_note *note)
{
    struct change *what = context;
    enum err err = db_run(
        db, "UPDATE collections SET keep = ?2, settings = ?3, updated_ms = ?4 WHERE id = ?1",
        (const struct db_value[]){
            db_int(what->id), db_text(keep_word(what->keep)), db_text(what->settings), db_int(clock_unix_ms()), {0}},
        note);

    if (err == ERR_NONE && db_changed(db) == 0) {
        err = ERR_SAY(note, ERR_NOT_FOUND, "there is no such collection");
    }
    return err != ERR_NONE ? err : collection_audit(db, what->actor, "collection.change", what->id, 0, note);
}

enum err store_collection_change(struct store *store, int64_t id, enum keep keep, const char *settings,
                                 const char *actor, struct err_note *note)
{
    struct change what = {.id = id, .keep = keep, .settings = settings, .actor = actor};
    enum err err = store_json_check("the collection's settings", settings, note);

    return err != ERR_NONE ? err : db_change(store, change_apply, &what, NULL, note);
}

enum err store_collection_delete(struct store *store, int64_t id, const char *actor, const struct after_commit *after,
                                 struct receipt *ret, struct err_note *note)
{
    struct erase erase = {.what = ERASE_COLLECTION, .id = id, .actor = actor};

    return erase_run(store, &erase, after, ret, note);
}

/* ---- Looking up --------------------------------------------------------------------------------------------------- */

enum err store_collection_find(struct store *store, const char *name, struct arena *mem, struct collection_row *ret,
                               struct err_note *note)
{
    struct collection_row row = {0};
    enum err err = one_read(store, COLUMNS "WHERE c.name = ?1", (const struct db_value[]){db_text(name), {0}},
                            collection_read, mem, &row, "there is no collection of this name", note);
    if (err == ERR_NONE) {
        *ret = row;
    }
    return err;
}

enum err store_collection_get(struct store *store, int64_t id, struct arena *mem, struct collection_row *ret,
                              struct err_note *note)
{
    struct collection_row row = {0};
    enum err err = one_read(store, COLUMNS "WHERE c.id = ?1", (const struct db_value[]){db_int(id), {0}},
                            collection_read, mem, &row, "there is no such collection", note);
    if (err == ERR_NONE) {
        *ret = row;
    }
    return err;
}

static enum err counts_read(sqlite3_stmt *statement, struct arena *mem, void *ret_row)
{
    struct collection_counts *counts = ret_row;

    (void)mem;
    counts->n_subjects = sqlite3_column_int64(statement, 0);
    counts->n_faces = sqlite3_column_int64(statement, 1);
    return ERR_NONE;
}

enum err store_collection_count(struct store *store, int64_t id, struct collection_counts *ret, struct err_note *note)
{
    return one_read(store,
                    "SELECT (SELECT count(*) FROM subjects WHERE collection_id = c.id), "
                    "(SELECT count(*) FROM faces WHERE collection_id = c.id) FROM collections c WHERE c.id = ?1",
                    (const struct db_value[]){db_int(id), {0}}, counts_read, NULL, ret, "there is no such collection",
                    note);
}

enum err store_collection_list(struct store *store, const struct store_page *page, struct arena *mem,
                               struct collection_row **ret, int *ret_count, const char **ret_next,
                               struct err_note *note)
{
    int64_t after = 0;
    void *rows = NULL;
    enum err err = page_start(page, &after, note);

    if (err != ERR_NONE) {
        return err;
    }
    err =
        list_read(store,
                  &(struct list_plan){.sql = COLUMNS "WHERE c.id > ?1 ORDER BY c.id LIMIT ?2",
                                      .values = (const struct db_value[]){db_int(after), db_int(page->limit + 1), {0}},
                                      .limit = page->limit,
                                      .row_bytes = sizeof(struct collection_row),
                                      .read = collection_read,
                                      .row_id = collection_id},
                  mem, &rows, ret_count, ret_next, note);
    if (err == ERR_NONE) {
        *ret = rows;
    }
    return err;
}
