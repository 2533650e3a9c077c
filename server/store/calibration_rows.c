/* calibration_rows.c: a job's calibration in force, and back. */
#include "server/store/calibration_rows.h"

#include <stdio.h>

#include "server/store/replay_private.h"

struct calibrating {
    int64_t model_id, job_id;
    const char *calibration; /* to be put in force; NULL: the former one is */
    const char *actor;
    const struct replay *replay;
    const struct after_commit *after;
    struct arena *mem;
    const char *former;
    const char **ret;
};

static enum err whose(struct db *db, const struct calibrating *what, int64_t *ret_job, struct err_note *note)
{
    enum err err = db_integer(db, "SELECT calibrated_by FROM models WHERE id = ?1",
                              (const struct db_value[]){db_int(what->model_id), {0}}, ret_job, note);

    return err == ERR_NOT_FOUND ? ERR_SAY(note, err, "there is no such model") : err;
}

static enum err audit(struct db *db, const struct calibrating *what, const char *action, struct err_note *note)
{
    char objects[96];

    (void)snprintf(objects, sizeof objects, "{\"model\":%lld,\"job\":%lld}", (long long)what->model_id,
                   (long long)what->job_id);
    return audit_append(db, what->actor, action, objects, NULL, NULL, note);
}

static enum err apply_in(struct db *db, void *context, struct err_note *note)
{
    const struct calibrating *what = context;
    int64_t job = 0;

    enum err err = whose(db, what, &job, note);
    if (err != ERR_NONE || job == what->job_id) {
        return err;
    }
    err = db_run(
        db, "UPDATE models SET former_calibration = calibration, calibration = ?2, calibrated_by = ?3 WHERE id = ?1",
        (const struct db_value[]){db_int(what->model_id), db_text(what->calibration), db_int(what->job_id), {0}}, note);
    if (err == ERR_NONE) {
        err = audit(db, what, "model.calibrate", note);
    }
    return err != ERR_NONE ? err : replay_keep(db, what->replay, what->calibration, note);
}

static enum err former_read(sqlite3_stmt *statement, struct arena *mem, void *ret_row)
{
    return db_column_text(statement, 0, mem, ret_row);
}

static enum err undo_in(struct db *db, void *context, struct err_note *note)
{
    struct calibrating *what = context;
    const struct db_value model[] = {db_int(what->model_id), {0}};
    int64_t job = 0;

    enum err err = whose(db, what, &job, note);
    if (err == ERR_NONE && job != what->job_id) {
        return ERR_SAY(note, ERR_CONFLICT, "the thresholds of job %lld are not in force%s", (long long)what->job_id,
                       job == 0 ? "" : ": another job's took their place");
    }
    if (err == ERR_NONE) {
        err = one_read_in(db, "SELECT former_calibration FROM models WHERE id = ?1", model, former_read, what->mem,
                          &what->former, "", note);
    }
    if (err == ERR_NONE) {
        err = db_run(db,
                     "UPDATE models SET calibration = former_calibration, former_calibration = NULL, calibrated_by = 0 "
                     "WHERE id = ?1",
                     model, note);
    }
    if (err == ERR_NONE) {
        err = audit(db, what, "model.calibrate_back", note);
    }
    return err != ERR_NONE ? err : replay_keep(db, what->replay, what->former, note);
}

/* The result is the caller's before anybody else is told. */
static void committed(void *context)
{
    const struct calibrating *what = context;

    if (what->ret != NULL) {
        *what->ret = what->former;
    }
    if (what->after != NULL) {
        what->after->call(what->after->context);
    }
}

enum err store_calibration_apply(struct store *store, int64_t model_id, int64_t job_id, const char *calibration,
                                 const char *actor, const struct replay *replay, const struct after_commit *after,
                                 struct err_note *note)
{
    struct calibrating what = {.model_id = model_id,
                               .job_id = job_id,
                               .calibration = calibration,
                               .actor = actor,
                               .replay = replay,
                               .after = after};
    enum err err = store_json_check("the model's calibration data", calibration, note);

    return err != ERR_NONE ? err : db_change(store, apply_in, &what, &(struct after_commit){committed, &what}, note);
}

enum err store_calibration_undo(struct store *store, int64_t model_id, int64_t job_id, const char *actor,
                                const struct replay *replay, const struct after_commit *after, struct arena *mem,
                                const char **ret, struct err_note *note)
{
    struct calibrating what = {.model_id = model_id,
                               .job_id = job_id,
                               .actor = actor,
                               .replay = replay,
                               .after = after,
                               .mem = mem,
                               .ret = ret};

    return db_change(store, undo_in, &what, &(struct after_commit){committed, &what}, note);
}
