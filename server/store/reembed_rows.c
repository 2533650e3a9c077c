/* reembed_rows.c: a collection on its way from one model to another. */
#include "server/store/reembed_rows.h"

#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "server/store/replay_private.h"

/* ---- Which faces lack an embedding -------------------------------------------------------------------------------- */

static enum err counts_read(sqlite3_stmt *statement, struct arena *mem, void *ret_row)
{
    struct missing_counts *counts = ret_row;

    (void)mem;
    counts->n_faces = sqlite3_column_int64(statement, 0);
    counts->n_missing = sqlite3_column_int64(statement, 1);
    counts->n_without_crop = sqlite3_column_int64(statement, 2);
    counts->n_other_side = sqlite3_column_int64(statement, 3);
    return ERR_NONE;
}

enum err store_missing_count(struct store *store, int64_t collection_id, int64_t model_id, int side_px,
                             struct missing_counts *ret, struct err_note *note)
{
    return one_read(store,
                    "SELECT count(*), count(*) FILTER (WHERE e.id IS NULL), "
                    "count(*) FILTER (WHERE e.id IS NULL AND c.face_id IS NULL), "
                    "count(*) FILTER (WHERE e.id IS NULL AND c.side_px <> ?3) "
                    "FROM faces f LEFT JOIN embeddings e ON e.face_id = f.id AND e.model_id = ?2 "
                    "LEFT JOIN crops c ON c.face_id = f.id WHERE f.collection_id = ?1",
                    (const struct db_value[]){db_int(collection_id), db_int(model_id), db_int(side_px), {0}},
                    counts_read, NULL, ret, "", note);
}

static enum err id_read(sqlite3_stmt *statement, struct arena *mem, void *ret_row)
{
    (void)mem;
    *(int64_t *)ret_row = sqlite3_column_int64(statement, 0);
    return ERR_NONE;
}

static int64_t id_itself(const void *row)
{
    return *(const int64_t *)row;
}

enum err store_missing_list(struct store *store, int64_t collection_id, int64_t model_id, int64_t after_face_id,
                            int limit, struct arena *mem, int64_t **ret, int *ret_count, struct err_note *note)
{
    void *rows = NULL;
    const char *next = NULL;
    const struct list_plan plan = {
        .sql = "SELECT f.id FROM faces f WHERE f.collection_id = ?1 AND f.id > ?3 AND NOT EXISTS "
               "(SELECT 1 FROM embeddings e WHERE e.face_id = f.id AND e.model_id = ?2) ORDER BY f.id LIMIT ?4",
        .values =
            (const struct db_value[]){
                db_int(collection_id), db_int(model_id), db_int(after_face_id), db_int(limit + 1), {0}},
        .limit = limit,
        .row_bytes = sizeof(int64_t),
        .read = id_read,
        .row_id = id_itself};
    enum err err = list_read(store, &plan, mem, &rows, ret_count, &next, note);

    if (err == ERR_NONE) {
        *ret = rows;
    }
    return err;
}

/* ---- Adding ------------------------------------------------------------------------------------------------------- */

struct addition {
    int64_t model_id;
    const struct embedding_new *rows;
    int n;
    unsigned char *vector; /* one embedding as bytes, wiped after use */
    size_t room;
};

static enum err addition_apply(struct db *db, void *context, struct err_note *note)
{
    const struct addition *what = context;
    int64_t dim = 0;
    enum err err = db_integer(db, "SELECT dim FROM models WHERE id = ?1",
                              (const struct db_value[]){db_int(what->model_id), {0}}, &dim, note);

    if (err == ERR_NOT_FOUND) {
        return ERR_SAY(note, err, "there is no such model");
    }
    if (err == ERR_NONE && (dim < 1 || (size_t)dim * 4 > what->room)) {
        err = ERR_SAY(note, ERR_UNSUPPORTED, "an embedding of %lld numbers is too long", (long long)dim);
    }
    for (int i = 0; err == ERR_NONE && i < what->n; i++) {
        const struct embedding_new *row = &what->rows[i];
        size_t n_bytes = (size_t)dim * 4;
        floats_to_bytes(row->vector, (size_t)dim, what->vector);
        err = db_run(db,
                     "INSERT INTO embeddings (face_id, model_id, norm, crc32c, vector) SELECT ?1, ?2, ?3, ?4, ?5 "
                     "WHERE EXISTS (SELECT 1 FROM faces WHERE id = ?1) ON CONFLICT DO NOTHING",
                     (const struct db_value[]){
                         db_int(row->face_id),
                         db_int(what->model_id),
                         db_real((double)row->norm),
                         db_int(embedding_crc(row->face_id, what->model_id, row->norm, what->vector, n_bytes)),
                         db_blob(what->vector, n_bytes),
                         {0}},
                     note);
    }
    return err;
}

#define DIM_MOST 4096

enum err store_embedding_add(struct store *store, int64_t model_id, const struct embedding_new *rows, int n,
                             struct err_note *note)
{
    struct addition what = {.model_id = model_id, .rows = rows, .n = n, .room = (size_t)DIM_MOST * 4};

    what.vector = mem_new(what.room, 1);
    if (what.vector == NULL) {
        return ERR_NOMEM;
    }
    enum err err = db_change(store, addition_apply, &what, NULL, note);
    mem_free_wiped(what.vector);
    return err;
}

/* ---- Changing over ------------------------------------------------------------------------------------------------ */

struct switching {
    const struct model_switch *what;
    enum switch_outcome outcome;
    const struct after_commit *after;
};

static enum err missing_look(struct db *db, const struct model_switch *what, bool *ret, struct err_note *note)
{
    int64_t missing = 0;
    enum err err = db_integer(db,
                              "SELECT EXISTS (SELECT 1 FROM faces f WHERE f.collection_id = ?1 AND NOT EXISTS "
                              "(SELECT 1 FROM embeddings e WHERE e.face_id = f.id AND e.model_id = ?2))",
                              (const struct db_value[]){db_int(what->collection_id), db_int(what->to_model_id), {0}},
                              &missing, note);
    *ret = missing != 0;
    return err;
}

static enum err history_write(struct db *db, const struct model_switch *what, int64_t now_ms, struct err_note *note)
{
    enum err err =
        db_run(db,
               "UPDATE collection_models SET settings = ?2 WHERE id = "
               "(SELECT max(id) FROM collection_models WHERE collection_id = ?1)",
               (const struct db_value[]){db_int(what->collection_id), db_text(what->from_settings), {0}}, note);

    if (err == ERR_NONE) {
        err = db_run(
            db, "INSERT INTO collection_models (collection_id, model_id, since_ms) VALUES (?1, ?2, ?3)",
            (const struct db_value[]){db_int(what->collection_id), db_int(what->to_model_id), db_int(now_ms), {0}},
            note);
    }
    return err;
}

static enum err switching_apply(struct db *db, void *context, struct err_note *note)
{
    struct switching *switching = context;
    const struct model_switch *what = switching->what;
    int64_t now_ms = clock_unix_ms();
    int64_t same = 0;
    bool missing = false;
    char objects[96];

    enum err err = db_integer(db, "SELECT role = 'recognizer' FROM models WHERE id = ?1",
                              (const struct db_value[]){db_int(what->to_model_id), {0}}, &same, note);
    if (err == ERR_NOT_FOUND) {
        return ERR_SAY(note, err, "there is no such model");
    }
    if (err == ERR_NONE && same == 0) {
        return ERR_SAY(note, ERR_CONFLICT, "the model does not recognise faces: it is a detector");
    }
    if (err == ERR_NONE) {
        err =
            db_integer(db, "SELECT model_id = ?2 AND settings = ?3 FROM collections WHERE id = ?1",
                       (const struct db_value[]){
                           db_int(what->collection_id), db_int(what->from_model_id), db_text(what->from_settings), {0}},
                       &same, note);
        if (err == ERR_NOT_FOUND) {
            return ERR_SAY(note, err, "there is no such collection");
        }
    }
    if (err == ERR_NONE) {
        err = missing_look(db, what, &missing, note);
    }
    if (err != ERR_NONE || same == 0 || missing) {
        switching->outcome = same == 0 ? SWITCH_MOVED : SWITCH_MISSING;
        return err;
    }
    err = db_run(
        db, "UPDATE collections SET model_id = ?2, settings = ?3, updated_ms = ?4 WHERE id = ?1",
        (const struct db_value[]){
            db_int(what->collection_id), db_int(what->to_model_id), db_text(what->settings), db_int(now_ms), {0}},
        note);
    if (err == ERR_NONE) {
        err = history_write(db, what, now_ms, note);
    }
    (void)snprintf(objects, sizeof objects, "{\"collection\":%lld,\"from\":%lld,\"model\":%lld}",
                   (long long)what->collection_id, (long long)what->from_model_id, (long long)what->to_model_id);
    switching->outcome = SWITCH_DONE;
    if (err == ERR_NONE) {
        err = audit_append(db, what->actor, "collection.use_model", objects, NULL, NULL, note);
    }
    return err != ERR_NONE ? err : replay_keep(db, what->replay, what, note);
}

/* Nothing that is derived follows a switch that was not made. */
static void switching_committed(void *context)
{
    const struct switching *switching = context;

    if (switching->outcome == SWITCH_DONE && switching->after != NULL) {
        switching->after->call(switching->after->context);
    }
}

enum err store_collection_switch(struct store *store, const struct model_switch *what, const struct after_commit *after,
                                 enum switch_outcome *ret, struct err_note *note)
{
    struct switching switching = {.what = what, .after = after};
    enum err err = store_json_check("the collection's settings", what->settings, note);

    if (err == ERR_NONE) {
        err = db_change(store, switching_apply, &switching, &(struct after_commit){switching_committed, &switching},
                        note);
    }
    if (err == ERR_NONE) {
        *ret = switching.outcome;
    }
    return err;
}

/* ---- The history -------------------------------------------------------------------------------------------------- */

static enum err past_read(sqlite3_stmt *statement, struct arena *mem, void *ret_row)
{
    struct past_model *past = ret_row;

    past->id = sqlite3_column_int64(statement, 0);
    past->model_id = sqlite3_column_int64(statement, 1);
    past->since_ms = sqlite3_column_int64(statement, 4);
    enum err err = db_column_text(statement, 2, mem, &past->model);
    return err != ERR_NONE ? err : db_column_text(statement, 3, mem, &past->settings);
}

static int64_t past_id(const void *row)
{
    return ((const struct past_model *)row)->id;
}

enum err store_collection_history(struct store *store, int64_t collection_id, int limit, struct arena *mem,
                                  struct past_model **ret, int *ret_count, struct err_note *note)
{
    void *rows = NULL;
    const char *next = NULL;
    const struct list_plan plan = {
        .sql = "SELECT h.id, h.model_id, m.version, h.settings, h.since_ms FROM collection_models h "
               "JOIN models m ON m.id = h.model_id WHERE h.collection_id = ?1 ORDER BY h.id DESC LIMIT ?2",
        .values = (const struct db_value[]){db_int(collection_id), db_int(limit + 1), {0}},
        .limit = limit,
        .row_bytes = sizeof(struct past_model),
        .read = past_read,
        .row_id = past_id};
    enum err err = list_read(store, &plan, mem, &rows, ret_count, &next, note);

    if (err == ERR_NONE) {
        *ret = rows;
    }
    return err;
}

struct forgetting {
    int64_t collection_id;
    int keep;
    const char *actor;
    int64_t n_embeddings;
};

/* The models whose last entry in the history is among the newest. */
#define KEPT_MODELS                                                                                                   \
    "(SELECT model_id FROM collection_models WHERE collection_id = ?1 GROUP BY model_id ORDER BY max(id) DESC LIMIT " \
    "?2)"

static enum err forgetting_apply(struct db *db, void *context, struct err_note *note)
{
    struct forgetting *what = context;
    const struct db_value values[] = {db_int(what->collection_id), db_int(what->keep), {0}};
    char objects[96];

    enum err err = db_run(db,
                          "DELETE FROM embeddings WHERE face_id IN (SELECT id FROM faces WHERE collection_id = ?1) "
                          "AND model_id NOT IN " KEPT_MODELS,
                          values, note);
    what->n_embeddings = db_changed(db);
    if (err == ERR_NONE) {
        err = db_run(db, "DELETE FROM collection_models WHERE collection_id = ?1 AND model_id NOT IN " KEPT_MODELS,
                     values, note);
    }
    if (err != ERR_NONE || (what->n_embeddings == 0 && db_changed(db) == 0)) {
        return err;
    }
    (void)snprintf(objects, sizeof objects, "{\"collection\":%lld,\"embeddings\":%lld}", (long long)what->collection_id,
                   (long long)what->n_embeddings);
    return audit_append(db, what->actor, "collection.forget_models", objects, NULL, NULL, note);
}

enum err store_collection_forget_models(struct store *store, int64_t collection_id, int keep, const char *actor,
                                        int64_t *ret_embeddings, struct err_note *note)
{
    struct forgetting what = {.collection_id = collection_id, .keep = keep < 1 ? 1 : keep, .actor = actor};
    bool scrubbed = false; /* no receipt says it */
    enum err err = db_erase(store, forgetting_apply, &what, NULL, &scrubbed, note);

    if (err == ERR_NONE) {
        *ret_embeddings = what.n_embeddings;
    }
    return err;
}
