/* finding_rows.c: findings of a review, and faces set aside. */
#include "server/store/finding_rows.h"

#include <stdio.h>

#include "server/store/replay_private.h"

struct putting {
    int64_t job_id;
    const struct finding_new *rows;
    int n;
};

static enum err putting_apply(struct db *db, void *context, struct err_note *note)
{
    const struct putting *what = context;
    enum err err = db_run(db, "DELETE FROM findings WHERE job_id = ?1",
                          (const struct db_value[]){db_int(what->job_id), {0}}, note);

    for (int i = 0; err == ERR_NONE && i < what->n; i++) {
        const struct finding_new *row = &what->rows[i];
        err =
            db_run(db,
                   "INSERT INTO findings (job_id, face_id, subject_id, degrees, likely_id, likely_degrees, subcenter) "
                   "SELECT ?1, ?2, ?3, ?4, (SELECT id FROM subjects WHERE id = ?5), ?6, ?7 "
                   "WHERE EXISTS (SELECT 1 FROM faces WHERE id = ?2 AND subject_id = ?3)",
                   (const struct db_value[]){db_int(what->job_id),
                                             db_int(row->face_id),
                                             db_int(row->subject_id),
                                             db_real((double)row->degrees),
                                             db_int_or_null(row->likely_id),
                                             db_real((double)row->likely_degrees),
                                             db_int(row->subcenter),
                                             {0}},
                   note);
    }
    return err == ERR_CONFLICT ? ERR_SAY(note, ERR_NOT_FOUND, "there is no such job") : err;
}

enum err store_findings_put(struct store *store, int64_t job_id, const struct finding_new *rows, int n,
                            struct err_note *note)
{
    struct putting what = {.job_id = job_id, .rows = rows, .n = n};

    return db_change(store, putting_apply, &what, NULL, note);
}

static enum err finding_read(sqlite3_stmt *statement, struct arena *mem, void *ret_row)
{
    struct finding_row *row = ret_row;

    row->id = sqlite3_column_int64(statement, 0);
    row->degrees = (float)sqlite3_column_double(statement, 4);
    row->likely_degrees = (float)sqlite3_column_double(statement, 7);
    row->set_aside = sqlite3_column_int(statement, 8) != 0;
    row->subcenter = sqlite3_column_int(statement, 9);
    enum err err = db_column_id(statement, 1, row->face_uuid, sizeof row->face_uuid);
    if (err == ERR_NONE) {
        err = db_column_id(statement, 2, row->subject_uuid, sizeof row->subject_uuid);
    }
    if (err == ERR_NONE) {
        err = db_column_text(statement, 3, mem, &row->subject_name);
    }
    if (err == ERR_NONE) {
        err = db_column_text(statement, 5, mem, &row->likely_uuid);
    }
    return err != ERR_NONE ? err : db_column_text(statement, 6, mem, &row->likely_name);
}

static int64_t finding_id(const void *row)
{
    return ((const struct finding_row *)row)->id;
}

enum err store_finding_list(struct store *store, int64_t job_id, const struct store_page *page, struct arena *mem,
                            struct finding_row **ret, int *ret_count, const char **ret_next, struct err_note *note)
{
    int64_t after = 0;
    void *rows = NULL;
    enum err err = page_start(page, &after, note);

    if (err != ERR_NONE) {
        return err;
    }
    const struct list_plan plan = {
        .sql = "SELECT n.id, f.uuid, s.uuid, s.name, n.degrees, l.uuid, l.name, n.likely_degrees, f.set_aside_by <> 0, "
               "n.subcenter "
               "FROM findings n JOIN faces f ON f.id = n.face_id JOIN subjects s ON s.id = n.subject_id "
               "LEFT JOIN subjects l ON l.id = n.likely_id WHERE n.job_id = ?1 AND n.id > ?2 ORDER BY n.id LIMIT ?3",
        .values = (const struct db_value[]){db_int(job_id), db_int(after), db_int(page->limit + 1), {0}},
        .limit = page->limit,
        .row_bytes = sizeof(struct finding_row),
        .read = finding_read,
        .row_id = finding_id};
    err = list_read(store, &plan, mem, &rows, ret_count, ret_next, note);
    if (err == ERR_NONE) {
        *ret = rows;
    }
    return err;
}

/* ---- Setting aside ------------------------------------------------------------------------------------------------ */

/* What differs between the two directions. */
struct direction {
    const char *count, *list, *change, *action;
};

#define NAMED                                                                                           \
    "faces WHERE set_aside_by = 0 AND id IN (SELECT n.face_id FROM findings n WHERE n.job_id = ?1 AND " \
    "n.subject_id = faces.subject_id)"

static const struct direction out = {
    "SELECT count(*) FROM " NAMED, "SELECT id FROM " NAMED " ORDER BY id",
    "UPDATE faces SET set_aside_by = ?1 WHERE set_aside_by = 0 AND id IN (SELECT "
    "n.face_id FROM findings n WHERE n.job_id = ?1 AND n.subject_id = faces.subject_id)",
    "faces.set_aside"};
static const struct direction back = {"SELECT count(*) FROM faces WHERE set_aside_by = ?1 AND set_aside_by <> 0",
                                      "SELECT id FROM faces WHERE set_aside_by = ?1 AND set_aside_by <> 0 ORDER BY id",
                                      "UPDATE faces SET set_aside_by = 0 WHERE set_aside_by = ?1 AND set_aside_by <> 0",
                                      "faces.bring_back"};

struct moving {
    const struct direction *direction;
    int64_t job_id;
    const char *actor;
    const struct replay *replay;
    struct arena *mem;
    const struct after_commit *after;
    struct aside aside;
    struct aside *ret;
};

static enum err ids_read(struct db *db, struct moving *what, const struct db_value *job, struct err_note *note)
{
    sqlite3_stmt *statement = NULL;
    struct aside *aside = &what->aside;

    aside->face_ids = ARENA_ARRAY(what->mem, int64_t, aside->n_faces);
    if (aside->face_ids == NULL) {
        return arena_why(what->mem);
    }
    enum err err = db_start(db, what->direction->list, job, &statement, note);
    if (err != ERR_NONE) {
        return err;
    }
    for (int64_t i = 0; i < aside->n_faces && err == ERR_NONE; i++) {
        bool row = false;
        err = db_step(db, statement, &row, note);
        if (err == ERR_NONE) {
            aside->face_ids[i] = sqlite3_column_int64(statement, 0);
        }
    }
    db_done(statement);
    return err;
}

static enum err moving_apply(struct db *db, void *context, struct err_note *note)
{
    struct moving *what = context;
    const struct db_value job[] = {db_int(what->job_id), {0}};
    char objects[96];

    what->aside = (struct aside){0};
    enum err err = db_integer(db, "SELECT coalesce(collection_id, 0) FROM jobs WHERE id = ?1", job,
                              &what->aside.collection_id, note);
    if (err == ERR_NOT_FOUND) {
        return ERR_SAY(note, err, "there is no such job");
    }
    if (err == ERR_NONE) {
        err = db_integer(db, what->direction->count, job, &what->aside.n_faces, note);
    }
    if (err == ERR_NONE) {
        err = ids_read(db, what, job, note);
    }
    if (err == ERR_NONE) {
        err = db_run(db, what->direction->change, job, note);
    }
    (void)snprintf(objects, sizeof objects, "{\"job\":%lld,\"collection\":%lld,\"faces\":%lld}",
                   (long long)what->job_id, (long long)what->aside.collection_id, (long long)what->aside.n_faces);
    if (err == ERR_NONE) {
        err = audit_append(db, what->actor, what->direction->action, objects, NULL, NULL, note);
    }
    return err != ERR_NONE ? err : replay_keep(db, what->replay, &what->aside, note);
}

/* The result is the caller's before the index is told. */
static void moving_committed(void *context)
{
    const struct moving *what = context;

    *what->ret = what->aside;
    if (what->after != NULL) {
        what->after->call(what->after->context);
    }
}

static enum err move(struct store *store, struct moving *what, struct err_note *note)
{
    return db_change(store, moving_apply, what, &(struct after_commit){moving_committed, what}, note);
}

enum err store_set_aside(struct store *store, int64_t job_id, const char *actor, const struct replay *replay,
                         const struct after_commit *after, struct arena *mem, struct aside *ret, struct err_note *note)
{
    struct moving what = {
        .direction = &out, .job_id = job_id, .actor = actor, .replay = replay, .mem = mem, .after = after, .ret = ret};

    return move(store, &what, note);
}

enum err store_bring_back(struct store *store, int64_t job_id, const char *actor, const struct replay *replay,
                          const struct after_commit *after, struct arena *mem, struct aside *ret, struct err_note *note)
{
    struct moving what = {
        .direction = &back, .job_id = job_id, .actor = actor, .replay = replay, .mem = mem, .after = after, .ret = ret};

    return move(store, &what, note);
}
