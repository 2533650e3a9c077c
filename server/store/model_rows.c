/* model_rows.c: model versions. */
#include "server/store/model_rows.h"

#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "server/store/replay_private.h"

#define COLUMNS                                                                                                 \
    "SELECT id, version, onnx_sha256, role, state, name, file, dim, side_px, flip, align_version, preprocess, " \
    "calibration, source, licence, parent_id, report, created_ms, calibrated_by FROM models "

static const char *const role_words[] = {"recognizer", "detector"};
static const char *const state_words[] = {"ready", "candidate", "rejected"};

const char *model_role_word(enum model_role role)
{
    return role_words[role];
}

const char *model_state_word(enum model_state state)
{
    return state_words[state];
}

/* The place of the column's word in a table of words, or -1. */
static int word_place(sqlite3_stmt *statement, int column, const char *const *words, int n_words)
{
    const char *word = (const char *)sqlite3_column_text(statement, column);

    for (int i = 0; word != NULL && i < n_words; i++) {
        if (strcmp(word, words[i]) == 0) {
            return i;
        }
    }
    return -1;
}

static enum err model_read(sqlite3_stmt *statement, struct arena *mem, void *ret_row)
{
    struct model_row *row = ret_row;
    int role = word_place(statement, 3, role_words, 2);
    int state = word_place(statement, 4, state_words, 3);

    if (role < 0 || state < 0) {
        return ERR_CORRUPT;
    }
    row->id = sqlite3_column_int64(statement, 0);
    row->role = (enum model_role)role;
    row->state = (enum model_state)state;
    row->dim = sqlite3_column_int(statement, 7);
    row->side_px = sqlite3_column_int(statement, 8);
    row->flip = sqlite3_column_int(statement, 9) != 0;
    row->align_version = sqlite3_column_int(statement, 10);
    row->parent_id = sqlite3_column_int64(statement, 15);
    row->created_ms = sqlite3_column_int64(statement, 17);
    row->calibrated_by = sqlite3_column_int64(statement, 18);

    enum err err = db_column_id(statement, 1, row->version, sizeof row->version);
    if (err == ERR_NONE) {
        err = db_column_id(statement, 2, row->onnx_sha256, sizeof row->onnx_sha256);
    }
    const struct {
        int column;
        const char **ret;
    } texts[] = {{5, &row->name},    {6, &row->file},     {11, &row->preprocess}, {12, &row->calibration},
                 {13, &row->source}, {14, &row->licence}, {16, &row->report}};
    for (size_t i = 0; err == ERR_NONE && i < sizeof texts / sizeof texts[0]; i++) {
        err = db_column_text(statement, texts[i].column, mem, texts[i].ret);
    }
    return err;
}

static int64_t model_id(const void *row)
{
    return ((const struct model_row *)row)->id;
}

/* ---- Adding ------------------------------------------------------------------------------------------------------- */

static bool is_digest(const char text[STORE_VERSION_TEXT])
{
    return memchr(text, '\0', STORE_VERSION_TEXT) == text + STORE_VERSION_TEXT - 1 &&
           strspn(text, "0123456789abcdef") == STORE_VERSION_TEXT - 1;
}

static enum err model_judge(const struct model_row *row, struct err_note *note)
{
    enum err err = ERR_NONE;

    if (!is_digest(row->version) || !is_digest(row->onnx_sha256)) {
        return ERR_SAY(note, ERR_MISUSE, "a model's version and digest are 64 lower-case hexadecimal digits");
    }
    if (row->role == MODEL_RECOGNIZER && (row->dim < 1 || row->side_px < 1)) {
        return ERR_SAY(note, ERR_MISUSE, "a recogniser with %d floats from crops of %d pixels is none", row->dim,
                       row->side_px);
    }
    err = store_name_check("the model's name", row->name, note);
    if (err == ERR_NONE) {
        err = store_name_check("the model's file name", row->file, note);
    }
    if (err == ERR_NONE) {
        err = store_json_check("the model's preprocessing settings", row->preprocess, note);
    }
    if (err == ERR_NONE && row->calibration != NULL) {
        err = store_json_check("the model's calibration data", row->calibration, note);
    }
    if (err == ERR_NONE && row->report != NULL) {
        err = store_json_check("the model's report data", row->report, note);
    }
    return err;
}

struct addition {
    const struct model_row *row;
    const char *actor;
    const struct replay *replay;
    struct arena *mem;
    struct model_row found;
};

static enum err addition_insert(struct db *db, const struct addition *what, struct err_note *note)
{
    char objects[160];
    const struct model_row *row = what->row;
    enum err err =
        db_run(db,
               "INSERT INTO models (version, onnx_sha256, role, state, name, file, dim, side_px, flip, align_version, "
               "preprocess, calibration, source, licence, parent_id, report, created_ms) "
               "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
               (const struct db_value[]){db_text(row->version),
                                         db_text(row->onnx_sha256),
                                         db_text(role_words[row->role]),
                                         db_text(state_words[row->state]),
                                         db_text(row->name),
                                         db_text(row->file),
                                         db_int(row->dim),
                                         db_int(row->side_px),
                                         db_int(row->flip),
                                         db_int(row->align_version),
                                         db_text(row->preprocess),
                                         db_text(row->calibration),
                                         db_text(row->source),
                                         db_text(row->licence),
                                         db_int_or_null(row->parent_id),
                                         db_text(row->report),
                                         db_int(clock_unix_ms()),
                                         {0}},
               note);
    if (err == ERR_CONFLICT) {
        return ERR_SAY(note, ERR_NOT_FOUND, "the model's parent %lld is not there", (long long)row->parent_id);
    }
    if (err != ERR_NONE) {
        return err;
    }
    (void)snprintf(objects, sizeof objects, "{\"model\":%lld,\"version\":\"%s\"}", (long long)db_last_id(db),
                   row->version);
    return audit_append(db, what->actor, "model.add", objects, NULL, NULL, note);
}

static enum err addition_apply(struct db *db, void *context, struct err_note *note)
{
    struct addition *what = context;
    const struct db_value version[] = {db_text(what->row->version), {0}};
    enum err err =
        one_read_in(db, COLUMNS "WHERE version = ?1", version, model_read, what->mem, &what->found, "", NULL);

    if (err != ERR_NOT_FOUND) {
        return err;
    }
    err = addition_insert(db, what, note);
    if (err == ERR_NONE) {
        err = one_read_in(db, COLUMNS "WHERE version = ?1", version, model_read, what->mem, &what->found, "", note);
    }
    return err != ERR_NONE ? err : replay_keep(db, what->replay, &what->found, note);
}

enum err store_model_add(struct store *store, const struct model_row *row, const char *actor,
                         const struct replay *replay, struct arena *mem, struct model_row *ret, struct err_note *note)
{
    struct addition what = {.row = row, .actor = actor, .replay = replay, .mem = mem};
    enum err err = model_judge(row, note);

    if (err == ERR_NONE) {
        err = db_change(store, addition_apply, &what, NULL, note);
    }
    if (err == ERR_NONE) {
        *ret = what.found;
    }
    return err;
}

/* ---- Looking up --------------------------------------------------------------------------------------------------- */

enum err store_model_find(struct store *store, const char *version, struct arena *mem, struct model_row *ret,
                          struct err_note *note)
{
    struct model_row row = {0};
    enum err err = one_read(store, COLUMNS "WHERE version = ?1", (const struct db_value[]){db_text(version), {0}},
                            model_read, mem, &row, "there is no model of this version", note);
    if (err == ERR_NONE) {
        *ret = row;
    }
    return err;
}

enum err store_model_get(struct store *store, int64_t id, struct arena *mem, struct model_row *ret,
                         struct err_note *note)
{
    struct model_row row = {0};
    enum err err = one_read(store, COLUMNS "WHERE id = ?1", (const struct db_value[]){db_int(id), {0}}, model_read, mem,
                            &row, "there is no such model", note);
    if (err == ERR_NONE) {
        *ret = row;
    }
    return err;
}

enum err store_model_list(struct store *store, const struct store_page *page, struct arena *mem, struct model_row **ret,
                          int *ret_count, const char **ret_next, struct err_note *note)
{
    int64_t after = 0;
    void *rows = NULL;
    enum err err = page_start(page, &after, note);

    if (err != ERR_NONE) {
        return err;
    }
    err =
        list_read(store,
                  &(struct list_plan){.sql = COLUMNS "WHERE id > ?1 ORDER BY id LIMIT ?2",
                                      .values = (const struct db_value[]){db_int(after), db_int(page->limit + 1), {0}},
                                      .limit = page->limit,
                                      .row_bytes = sizeof(struct model_row),
                                      .read = model_read,
                                      .row_id = model_id},
                  mem, &rows, ret_count, ret_next, note);
    if (err == ERR_NONE) {
        *ret = rows;
    }
    return err;
}

/* ---- Calibration -------------------------------------------------------------------------------------------------- */

struct calibration {
    int64_t id;
    const char *json;
    const char *actor;
};

static enum err calibration_apply(struct db *db, void *context, struct err_note *note)
{
    struct calibration *what = context;
    int64_t same = 0;
    char objects[64];
    const struct db_value values[] = {db_int(what->id), db_text(what->json), {0}};
    enum err err = db_integer(db, "SELECT calibration IS ?2 FROM models WHERE id = ?1", values, &same, note);

    if (err == ERR_NOT_FOUND) {
        return ERR_SAY(note, err, "there is no such model");
    }
    if (err != ERR_NONE || same != 0) {
        return err;
    }
    err = db_run(db, "UPDATE models SET calibration = ?2, calibrated_by = 0, former_calibration = NULL WHERE id = ?1",
                 values, note);
    if (err == ERR_NONE) {
        (void)snprintf(objects, sizeof objects, "{\"model\":%lld}", (long long)what->id);
        err = audit_append(db, what->actor, "model.calibrate", objects, NULL, NULL, note);
    }
    return err;
}

enum err store_model_calibrate(struct store *store, int64_t id, const char *calibration, const char *actor,
                               struct err_note *note)
{
    struct calibration what = {.id = id, .json = calibration, .actor = actor};
    enum err err = calibration == NULL ? ERR_NONE : store_json_check("the model's calibration data", calibration, note);

    return err != ERR_NONE ? err : db_change(store, calibration_apply, &what, NULL, note);
}

/* ---- Who uses it, and deleting ------------------------------------------------------------------------------------ */

static enum err user_read(sqlite3_stmt *statement, struct arena *mem, void *ret_row)
{
    return db_column_text(statement, 0, mem, ret_row);
}

static int64_t user_id(const void *row)
{
    (void)row;
    return 0; /* the list is not paged */
}

enum err store_model_users(struct store *store, int64_t id, struct arena *mem, const char ***ret, int *ret_count,
                           struct err_note *note)
{
    void *rows = NULL;
    const char *next = NULL;
    const struct list_plan plan = {.sql = "SELECT name FROM collections WHERE model_id = ?1 ORDER BY id LIMIT ?2",
                                   .values = (const struct db_value[]){db_int(id), db_int(STORE_PAGE_LIMIT + 1), {0}},
                                   .limit = STORE_PAGE_LIMIT,
                                   .row_bytes = sizeof(const char *),
                                   .read = user_read,
                                   .row_id = user_id};
    enum err err = list_read(store, &plan, mem, &rows, ret_count, &next, note);

    if (err == ERR_NONE) {
        *ret = rows;
    }
    return err;
}

struct deletion {
    int64_t id;
    const char *actor;
};

static enum err deletion_apply(struct db *db, void *context, struct err_note *note)
{
    const struct deletion *what = context;
    const struct db_value id[] = {db_int(what->id), {0}};
    int64_t users = 0;
    char objects[48];

    enum err err = db_integer(db, "SELECT count(*) FROM collections WHERE model_id = ?1", id, &users, note);
    if (err == ERR_NONE && users > 0) {
        err = ERR_SAY(note, ERR_CONFLICT, "%lld collections use this model", (long long)users);
    }
    if (err == ERR_NONE) {
        err = db_run(db, "DELETE FROM embeddings WHERE model_id = ?1", id, note);
    }
    if (err == ERR_NONE) {
        err = db_run(db, "DELETE FROM collection_models WHERE model_id = ?1", id, note);
    }
    if (err == ERR_NONE) {
        err = db_run(db, "UPDATE models SET parent_id = NULL WHERE parent_id = ?1", id, note);
    }
    if (err == ERR_NONE) {
        err = db_run(db, "DELETE FROM models WHERE id = ?1", id, note);
    }
    if (err == ERR_NONE && db_changed(db) == 0) {
        err = ERR_SAY(note, ERR_NOT_FOUND, "there is no such model");
    }
    (void)snprintf(objects, sizeof objects, "{\"model\":%lld}", (long long)what->id);
    return err != ERR_NONE ? err : audit_append(db, what->actor, "model.delete", objects, NULL, NULL, note);
}

enum err store_model_delete(struct store *store, int64_t id, const char *actor, struct err_note *note)
{
    struct deletion what = {.id = id, .actor = actor};
    bool scrubbed = false; /* no receipt says it */

    return db_erase(store, deletion_apply, &what, NULL, &scrubbed, note);
}
