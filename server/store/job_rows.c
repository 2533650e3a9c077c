/* job_rows.c: long work as rows. */
#include "server/store/job_rows.h"

#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "server/store/job_private.h"
#include "server/store/replay_private.h"

#define KIND_BYTES 64

#define COLUMNS                                                                                                  \
    "SELECT id, kind, state, collection_id, arguments, done, total, unit, result, error, sentence, checkpoint, " \
    "cancel_requested, attempts, created_ms, started_ms, finished_ms FROM jobs "

static const char *const state_words[] = {"queued", "running", "succeeded", "failed", "cancelled"};

const char *job_state_word(enum job_state state)
{
    return state_words[state];
}

static bool state_from_word(const char *word, enum job_state *ret)
{
    for (int i = 0; word != NULL && i < 5; i++) {
        if (strcmp(word, state_words[i]) == 0) {
            *ret = (enum job_state)i;
            return true;
        }
    }
    return false;
}

static enum err job_read(sqlite3_stmt *statement, struct arena *mem, void *ret_row)
{
    struct job_row *row = ret_row;

    if (!state_from_word((const char *)sqlite3_column_text(statement, 2), &row->state)) {
        return ERR_CORRUPT;
    }
    row->id = sqlite3_column_int64(statement, 0);
    row->collection_id = sqlite3_column_int64(statement, 3);
    row->done = sqlite3_column_int64(statement, 5);
    row->total = sqlite3_column_int64(statement, 6);
    row->cancel_requested = sqlite3_column_int(statement, 12) != 0;
    row->attempts = sqlite3_column_int(statement, 13);
    row->created_ms = sqlite3_column_int64(statement, 14);
    row->started_ms = sqlite3_column_int64(statement, 15);
    row->finished_ms = sqlite3_column_int64(statement, 16);
    const struct {
        int column;
        const char **ret;
    } texts[] = {{1, &row->kind},  {4, &row->arguments}, {7, &row->unit},       {8, &row->result},
                 {9, &row->error}, {10, &row->sentence}, {11, &row->checkpoint}};
    enum err err = ERR_NONE;
    for (size_t i = 0; err == ERR_NONE && i < sizeof texts / sizeof texts[0]; i++) {
        err = db_column_text(statement, texts[i].column, mem, texts[i].ret);
    }
    return err;
}

static int64_t job_id(const void *row)
{
    return ((const struct job_row *)row)->id;
}

static enum err job_audit(struct db *db, const char *actor, const char *action, int64_t id, struct err_note *note)
{
    char objects[48];

    (void)snprintf(objects, sizeof objects, "{\"job\":%lld}", (long long)id);
    return audit_append(db, actor, action, objects, NULL, NULL, note);
}

/* ---- For callers -------------------------------------------------------------------------------------------------- */

enum err job_queue(struct db *db, struct job_row *job, struct err_note *note)
{
    job->state = JOB_QUEUED;
    job->unit = "";
    job->created_ms = clock_unix_ms();
    enum err err = db_run(
        db, "INSERT INTO jobs (kind, state, collection_id, arguments, created_ms) VALUES (?1, 'queued', ?2, ?3, ?4)",
        (const struct db_value[]){db_text(job->kind),
                                  db_int_or_null(job->collection_id),
                                  db_text(job->arguments),
                                  db_int(job->created_ms),
                                  {0}},
        note);

    job->id = db_last_id(db);
    return err;
}

struct addition {
    struct job_row job;
    const char *actor;
    const struct replay *replay;
};

static enum err addition_apply(struct db *db, void *context, struct err_note *note)
{
    struct addition *what = context;
    enum err err = job_queue(db, &what->job, note);

    if (err == ERR_CONFLICT) {
        return ERR_SAY(note, ERR_NOT_FOUND, "there is no such collection");
    }
    if (err == ERR_NONE) {
        err = job_audit(db, what->actor, "job.add", what->job.id, note);
    }
    return err != ERR_NONE ? err : replay_keep(db, what->replay, &what->job, note);
}

enum err store_job_add(struct store *store, const char *kind, int64_t collection_id, const char *arguments,
                       const char *actor, const struct replay *replay, int64_t *ret_id, struct err_note *note)
{
    struct addition what = {.job = {.kind = kind, .collection_id = collection_id, .arguments = arguments},
                            .actor = actor,
                            .replay = replay};

    if (kind[0] == '\0' || strlen(kind) > KIND_BYTES) {
        return ERR_SAY(note, ERR_MISUSE, "a job's kind has 1 to %d bytes", KIND_BYTES);
    }
    enum err err = store_json_check("the job's arguments", arguments, note);
    if (err == ERR_NONE) {
        err = db_change(store, addition_apply, &what, NULL, note);
    }
    if (err == ERR_NONE) {
        *ret_id = what.job.id;
    }
    return err;
}

enum err store_job_get(struct store *store, int64_t id, struct arena *mem, struct job_row *ret, struct err_note *note)
{
    struct job_row row = {0};
    enum err err = one_read(store, COLUMNS "WHERE id = ?1", (const struct db_value[]){db_int(id), {0}}, job_read, mem,
                            &row, "there is no such job", note);
    if (err == ERR_NONE) {
        *ret = row;
    }
    return err;
}

enum err store_job_list(struct store *store, const struct store_page *page, struct arena *mem, struct job_row **ret,
                        int *ret_count, const char **ret_next, struct err_note *note)
{
    int64_t before = 0;
    void *rows = NULL;
    enum err err = page_start(page, &before, note);

    if (err != ERR_NONE) {
        return err;
    }
    if (before == 0) {
        before = INT64_MAX;
    }
    err =
        list_read(store,
                  &(struct list_plan){.sql = COLUMNS "WHERE id < ?1 ORDER BY id DESC LIMIT ?2",
                                      .values = (const struct db_value[]){db_int(before), db_int(page->limit + 1), {0}},
                                      .limit = page->limit,
                                      .row_bytes = sizeof(struct job_row),
                                      .read = job_read,
                                      .row_id = job_id},
                  mem, &rows, ret_count, ret_next, note);
    if (err == ERR_NONE) {
        *ret = rows;
    }
    return err;
}

struct cancellation {
    int64_t id;
    const char *actor;
    const struct replay *replay;
    enum job_state state;
};

static enum err state_read(sqlite3_stmt *statement, struct arena *mem, void *ret_row)
{
    (void)mem;
    return state_from_word((const char *)sqlite3_column_text(statement, 0), ret_row) ? ERR_NONE : ERR_CORRUPT;
}

static enum err cancel_apply(struct db *db, void *context, struct err_note *note)
{
    struct cancellation *what = context;
    const struct db_value values[] = {db_int(what->id), db_int(clock_unix_ms()), {0}};
    enum err err =
        one_read_in(db, "SELECT state FROM jobs WHERE id = ?1", (const struct db_value[]){db_int(what->id), {0}},
                    state_read, NULL, &what->state, "there is no such job", note);

    if (err != ERR_NONE) {
        return err;
    }
    if (what->state == JOB_QUEUED) {
        what->state = JOB_CANCELLED;
        err = db_run(db, "UPDATE jobs SET state = 'cancelled', cancel_requested = 1, finished_ms = ?2 WHERE id = ?1",
                     values, note);
    } else if (what->state == JOB_RUNNING) {
        err = db_run(db, "UPDATE jobs SET cancel_requested = 1 WHERE id = ?1",
                     (const struct db_value[]){db_int(what->id), {0}}, note);
    } else {
        err = ERR_SAY(note, ERR_CONFLICT, "the job has ended: it %s",
                      what->state == JOB_CANCELLED ? "was cancelled" : state_words[what->state]);
    }
    if (err == ERR_NONE) {
        err = job_audit(db, what->actor, "job.cancel", what->id, note);
    }
    return err != ERR_NONE ? err : replay_keep(db, what->replay, &what->state, note);
}

enum err store_job_cancel(struct store *store, int64_t id, const char *actor, const struct replay *replay,
                          enum job_state *ret, struct err_note *note)
{
    struct cancellation what = {.id = id, .actor = actor, .replay = replay};
    enum err err = db_change(store, cancel_apply, &what, NULL, note);

    if (err == ERR_NONE) {
        *ret = what.state;
    }
    return err;
}

/* ---- For the worker ----------------------------------------------------------------------------------------------- */

struct claim {
    struct arena *mem;
    struct job_row row;
};

static enum err claim_apply(struct db *db, void *context, struct err_note *note)
{
    struct claim *claim = context;
    int64_t id = 0;
    enum err err = db_integer(db, "SELECT id FROM jobs WHERE state = 'queued' ORDER BY id LIMIT 1", NULL, &id, note);

    if (err == ERR_NONE) {
        err = db_run(db,
                     "UPDATE jobs SET state = 'running', attempts = attempts + 1, "
                     "started_ms = iif(started_ms = 0, ?2, started_ms) WHERE id = ?1",
                     (const struct db_value[]){db_int(id), db_int(clock_unix_ms()), {0}}, note);
    }
    if (err == ERR_NONE) {
        err = one_read_in(db, COLUMNS "WHERE id = ?1", (const struct db_value[]){db_int(id), {0}}, job_read, claim->mem,
                          &claim->row, "", note);
    }
    return err;
}

enum err store_job_claim(struct store *store, struct arena *mem, struct job_row *ret, struct err_note *note)
{
    struct claim claim = {.mem = mem};
    enum err err = db_change(store, claim_apply, &claim, NULL, note);

    if (err == ERR_NONE) {
        *ret = claim.row;
    }
    return err;
}

struct progress {
    int64_t id, done, total;
    const char *unit;
    const char *checkpoint;
    int64_t cancel_requested;
};

static enum err progress_apply(struct db *db, void *context, struct err_note *note)
{
    struct progress *what = context;
    enum err err = db_run(db,
                          "UPDATE jobs SET done = ?2, total = ?3, unit = ?4, checkpoint = coalesce(?5, checkpoint) "
                          "WHERE id = ?1 AND state = 'running'",
                          (const struct db_value[]){db_int(what->id),
                                                    db_int(what->done),
                                                    db_int(what->total),
                                                    db_text(what->unit),
                                                    db_text(what->checkpoint),
                                                    {0}},
                          note);

    if (err == ERR_NONE && db_changed(db) == 0) {
        err = ERR_SAY(note, ERR_CONFLICT, "job %lld is not running", (long long)what->id);
    }
    if (err == ERR_NONE) {
        err = db_integer(db, "SELECT cancel_requested FROM jobs WHERE id = ?1",
                         (const struct db_value[]){db_int(what->id), {0}}, &what->cancel_requested, note);
    }
    return err;
}

enum err store_job_progress(struct store *store, int64_t id, int64_t done, int64_t total, const char *unit,
                            const char *checkpoint, struct err_note *note)
{
    struct progress what = {.id = id, .done = done, .total = total, .unit = unit, .checkpoint = checkpoint};
    enum err err = db_change(store, progress_apply, &what, NULL, note);

    if (err == ERR_NONE && what.cancel_requested != 0) {
        return ERR_CANCELLED;
    }
    return err;
}

struct ending {
    int64_t id;
    const struct job_end *end;
};

static enum err ending_apply(struct db *db, void *context, struct err_note *note)
{
    const struct ending *what = context;
    const struct job_end *end = what->end;
    bool failed = end->state == JOB_FAILED;
    enum err err = db_run(db,
                          "UPDATE jobs SET state = ?2, result = ?3, error = ?4, sentence = ?5, finished_ms = ?6 "
                          "WHERE id = ?1 AND state = 'running'",
                          (const struct db_value[]){db_int(what->id),
                                                    db_text(state_words[end->state]),
                                                    db_text(end->result),
                                                    db_text(failed ? err_word(end->error) : NULL),
                                                    db_text(failed ? end->sentence : NULL),
                                                    db_int(end->state == JOB_QUEUED ? 0 : clock_unix_ms()),
                                                    {0}},
                          note);

    if (err == ERR_NONE && db_changed(db) == 0) {
        err = ERR_SAY(note, ERR_CONFLICT, "job %lld is not running", (long long)what->id);
    }
    return err;
}

enum err store_job_end(struct store *store, int64_t id, const struct job_end *end, struct err_note *note)
{
    struct ending what = {.id = id, .end = end};

    return db_change(store, ending_apply, &what, NULL, note);
}

/* All that a question with one value and a limit gives. */
static enum err list_all(struct store *store, const char *sql, const struct db_value *values, struct arena *mem,
                         struct job_row **ret, int *ret_count, struct err_note *note)
{
    void *rows = NULL;
    const char *next = NULL;
    enum err err = list_read(store,
                             &(struct list_plan){.sql = sql,
                                                 .values = values,
                                                 .limit = STORE_PAGE_LIMIT,
                                                 .row_bytes = sizeof(struct job_row),
                                                 .read = job_read,
                                                 .row_id = job_id},
                             mem, &rows, ret_count, &next, note);
    if (err == ERR_NONE) {
        *ret = rows;
    }
    return err;
}

enum err store_job_list_open(struct store *store, const char *kind, struct arena *mem, struct job_row **ret,
                             int *ret_count, struct err_note *note)
{
    return list_all(store, COLUMNS "WHERE kind = ?1 AND state IN ('queued', 'running') ORDER BY id LIMIT ?2",
                    (const struct db_value[]){db_text(kind), db_int(STORE_PAGE_LIMIT + 1), {0}}, mem, ret, ret_count,
                    note);
}

enum err store_job_list_running(struct store *store, struct arena *mem, struct job_row **ret, int *ret_count,
                                struct err_note *note)
{
    return list_all(store, COLUMNS "WHERE state = 'running' ORDER BY id LIMIT ?1",
                    (const struct db_value[]){db_int(STORE_PAGE_LIMIT + 1), {0}}, mem, ret, ret_count, note);
}
