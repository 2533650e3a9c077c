/* backup.c: a copy of the database file. */
#include "server/store/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "server/store/sweep_private.h"

#define BUSY_MS 5000

static enum err copy_failed(sqlite3 *target, int rc, struct err_note *note)
{
    if ((rc & 0xFF) == SQLITE_FULL || sqlite3_system_errno(target) == ENOSPC) {
        return ERR_SAY(note, ERR_NO_SPACE, "the disk has no room for a copy of the database");
    }
    if ((rc & 0xFF) == SQLITE_NOMEM) {
        return ERR_NOMEM;
    }
    return ERR_SAY(note, (rc & 0xFF) == SQLITE_CORRUPT ? ERR_CORRUPT : ERR_IO, "the database cannot be copied: %s",
                   sqlite3_errstr(rc));
}

static enum err pages_copy(struct db *source, sqlite3 *target, struct err_note *note)
{
    sqlite3_backup *backup = sqlite3_backup_init(target, "main", source->handle, "main");

    if (backup == NULL) {
        return copy_failed(target, sqlite3_errcode(target), note);
    }
    int rc = sqlite3_backup_step(backup, -1);
    (void)sqlite3_backup_finish(backup);
    return rc == SQLITE_DONE ? ERR_NONE : copy_failed(target, rc, note);
}

/* The one text of a pragma's answer against what it should be. */
static enum err pragma_expect(sqlite3 *target, const char *sql, const char *expected, struct err_note *note)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(target, sql, -1, &statement, NULL);
    enum err err = ERR_NONE;

    rc = rc == SQLITE_OK ? sqlite3_step(statement) : rc;
    if (rc != SQLITE_ROW) {
        err = copy_failed(target, rc, note);
    } else {
        const char *found = (const char *)sqlite3_column_text(statement, 0);
        if (found == NULL || strcmp(found, expected) != 0) {
            err = ERR_SAY(note, ERR_CORRUPT, "the copy of the database is damaged: %s", found == NULL ? "?" : found);
        }
    }
    (void)sqlite3_finalize(statement);
    return err;
}

/* The log's pages were copied with what lies beside their rows: that may be a row of somebody who is erased. */
static enum err copy_sweep(sqlite3 *target, struct err_note *note)
{
    int64_t n_bytes = 0;
    enum err err = sweep_pages(target, NULL, &n_bytes, note);

    (void)sqlite3_db_release_memory(target);
    return err;
}

static enum err copy_make(struct db *source, const char *path, struct err_note *note)
{
    sqlite3 *target = NULL;
    int rc = sqlite3_open_v2(path, &target, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    enum err err = rc == SQLITE_OK ? pages_copy(source, target, note) : copy_failed(target, rc, note);

    if (err == ERR_NONE) { /* without a log beside it, the file is the whole copy */
        err = pragma_expect(target, "PRAGMA journal_mode = DELETE", "delete", note);
    }
    if (err == ERR_NONE) {
        err = copy_sweep(target, note);
    }
    if (err == ERR_NONE) {
        err = pragma_expect(target, "PRAGMA integrity_check(1)", "ok", note);
    }
    (void)sqlite3_close(target);
    return err;
}

enum err store_backup(struct store *store, const char *path, struct err_note *note)
{
    struct db *source = NULL;
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0) {
        return ERR_SAY(note, errno == EEXIST ? ERR_EXISTS : err_from_errno(errno), "the copy %s cannot be made", path);
    }
    /* Not a connection of the store's list: nobody waits for this one. */
    enum err err = db_open(store_path(store), BUSY_MS, DB_READER, &source, note);
    if (err == ERR_NONE) {
        err = copy_make(source, path, note);
        db_close(source);
        db_scrub_due(store); /* an erasure may wait for the log that the copy was read from */
    }
    if (err == ERR_NONE && fsync(fd) != 0) {
        err = ERR_SAY(note, err_from_errno(errno), "the copy %s cannot be written", path);
    }
    (void)close(fd);
    if (err != ERR_NONE) {
        (void)unlink(path);
    }
    return err;
}

/* ---- What is in one ----------------------------------------------------------------------------------------------- */

/* Whether a question about any of these ids has a row for its answer; true also where it has none that can be read. */
static bool holds_any(sqlite3 *copy, const char *sql, const int64_t *ids, int64_t n)
{
    sqlite3_stmt *statement = NULL;
    int rc = n > 0 ? sqlite3_prepare_v2(copy, sql, -1, &statement, NULL) : SQLITE_DONE;

    for (int64_t i = 0; i < n && (rc == SQLITE_OK || rc == SQLITE_DONE); i++) {
        (void)sqlite3_reset(statement);
        (void)sqlite3_bind_int64(statement, 1, ids[i]);
        rc = sqlite3_step(statement);
    }
    (void)sqlite3_finalize(statement);
    return rc != SQLITE_DONE;
}

bool store_backup_holds(const char *path, const struct receipt *receipt)
{
    sqlite3 *copy = NULL;
    int rc = sqlite3_open_v2(path, &copy, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);

    bool holds = rc != SQLITE_OK || sqlite3_exec(copy, "SELECT 1 FROM faces LIMIT 1", NULL, NULL, NULL) != SQLITE_OK ||
                 holds_any(copy, "SELECT 1 FROM faces WHERE id = ?1", receipt->face_ids,
                           receipt->face_ids == NULL ? 0 : receipt->n_faces) ||
                 holds_any(copy, "SELECT 1 FROM subjects WHERE id = ?1", &receipt->subject_id,
                           receipt->subject_id == 0 ? 0 : 1) ||
                 holds_any(copy, "SELECT 1 FROM subjects WHERE collection_id = ?1", &receipt->collection_id,
                           receipt->collection_id == 0 ? 0 : 1);
    (void)sqlite3_close(copy);
    return holds;
}
