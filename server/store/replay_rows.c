/* replay_rows.c: answers beside the changes that they tell of. */
#include "server/store/replay_rows.h"

#include <string.h>

#include "core/base/clock.h"
#include "server/store/replay_private.h"

#define FORGET_AT_ONCE 1000

/* ---- Keeping ------------------------------------------------------------------------------------------------------ */

/* A face that was erased since it was looked for takes the answer along: else it would be told of for a day. */
static enum err face_link(struct db *db, int64_t replay_id, int64_t face_id, struct err_note *note)
{
    const struct db_value both[] = {db_int(replay_id), db_int(face_id), {0}};
    int64_t there = 0;
    enum err err = db_integer(db, "SELECT EXISTS (SELECT 1 FROM faces WHERE id = ?1)",
                              (const struct db_value[]){db_int(face_id), {0}}, &there, note);

    if (err != ERR_NONE) {
        return err;
    }
    if (there == 0) {
        return db_run(db, "UPDATE replays SET request_hash = NULL, location = '', answer = NULL WHERE id = ?1",
                      (const struct db_value[]){db_int(replay_id), {0}}, note);
    }
    return db_run(db, "INSERT INTO replay_faces (replay_id, face_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING", both,
                  note);
}

enum err replay_keep(struct db *db, const struct replay *replay, const void *result, struct err_note *note)
{
    struct replay_answer answer = {.location = ""};

    if (replay == NULL) {
        return ERR_NONE;
    }
    const struct replay_request *request = replay->request;
    enum err err = replay->make(replay->context, result, &answer);
    if (err == ERR_NONE) {
        err = db_run(db,
                     "INSERT INTO replays (actor, key_hash, route, request_hash, status, location, answer, subject_id, "
                     "at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                     (const struct db_value[]){db_text(request->actor),
                                               db_blob(request->key_hash, REPLAY_HASH_BYTES),
                                               db_text(request->route),
                                               db_blob(request->asked_hash, REPLAY_HASH_BYTES),
                                               db_int(answer.status),
                                               db_text(answer.location),
                                               db_blob(answer.body, answer.n_bytes),
                                               db_int_or_null(answer.subject_id),
                                               db_int(clock_unix_ms()),
                                               {0}},
                     note);
    }
    if (err == ERR_EXISTS) { /* not to be taken for a contradiction of the change's own rows */
        return ERR_SAY(note, ERR_BUSY, "a request with this Idempotency-Key was carried out at the same time");
    }
    int64_t id = db_last_id(db);
    for (int i = 0; i < answer.n_faces && err == ERR_NONE; i++) {
        err = face_link(db, id, answer.face_ids[i], note);
    }
    return err;
}

/* ---- Finding ------------------------------------------------------------------------------------------------------ */

struct finding {
    const struct replay_request *request;
    struct replay_row row;
};

static enum err replay_read(sqlite3_stmt *statement, struct arena *mem, void *ret_row)
{
    struct finding *finding = ret_row;
    struct replay_row *row = &finding->row;
    const unsigned char *asked_hash = NULL;
    size_t n_bytes = 0;

    row->status = sqlite3_column_int(statement, 2);
    row->erased = sqlite3_column_type(statement, 4) == SQLITE_NULL;
    enum err err = db_column_text(statement, 0, mem, &row->route);
    if (err == ERR_NONE) {
        err = db_column_text(statement, 3, mem, &row->location);
    }
    if (err == ERR_NONE && !row->erased) {
        err = db_column_blob(statement, 1, mem, &asked_hash, &n_bytes);
        row->is_same = err == ERR_NONE && n_bytes == REPLAY_HASH_BYTES &&
                       memcmp(asked_hash, finding->request->asked_hash, REPLAY_HASH_BYTES) == 0 &&
                       strcmp(row->route, finding->request->route) == 0;
    }
    if (err == ERR_NONE && !row->erased) {
        err = db_column_blob(statement, 4, mem, &row->body, &row->n_bytes);
    }
    return err;
}

enum err store_replay_find(struct store *store, const struct replay_request *request, struct arena *mem,
                           struct replay_row *ret, struct err_note *note)
{
    struct finding finding = {.request = request};
    struct err_note unsaid = {0};
    enum err err = one_read(
        store, "SELECT route, request_hash, status, location, answer FROM replays WHERE actor = ?1 AND key_hash = ?2",
        (const struct db_value[]){db_text(request->actor), db_blob(request->key_hash, REPLAY_HASH_BYTES), {0}},
        replay_read, mem, &finding, "", &unsaid);

    if (err == ERR_NONE) {
        *ret = finding.row;
    } else if (err != ERR_NOT_FOUND && note != NULL) {
        *note = unsaid;
    }
    return err;
}

/* ---- Forgetting --------------------------------------------------------------------------------------------------- */

struct forgetting {
    int64_t before_ms;
    int64_t n;
};

static enum err forget_some(struct db *db, void *context, struct err_note *note)
{
    struct forgetting *what = context;
    enum err err =
        db_run(db, "DELETE FROM replays WHERE id IN (SELECT id FROM replays WHERE at_ms < ?1 ORDER BY at_ms LIMIT ?2)",
               (const struct db_value[]){db_int(what->before_ms), db_int(FORGET_AT_ONCE), {0}}, note);

    what->n = db_changed(db);
    return err;
}

static enum err any_old(struct store *store, int64_t before_ms, int64_t *ret, struct err_note *note)
{
    struct db *db = NULL;
    enum err err = db_lend(store, &db, note);

    if (err == ERR_NONE) {
        err = db_integer(db, "SELECT EXISTS (SELECT 1 FROM replays WHERE at_ms < ?1)",
                         (const struct db_value[]){db_int(before_ms), {0}}, ret, note);
        db_return(store, db);
    }
    return err;
}

enum err store_replay_forget(struct store *store, int64_t before_ms, int64_t *ret_count, struct err_note *note)
{
    struct forgetting what = {.before_ms = before_ms};
    int64_t count = 0;
    int64_t more = 0;
    enum err err = any_old(store, before_ms, &more, note); /* the writer is not held up for nothing */

    while (err == ERR_NONE && more != 0) {
        err = db_change(store, forget_some, &what, NULL, note);
        count += err == ERR_NONE ? what.n : 0;
        more = what.n == FORGET_AT_ONCE;
    }
    if (err == ERR_NONE) {
        *ret_count = count;
    }
    return err;
}
