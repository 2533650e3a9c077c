/* db.c: one connection: prepared statements, typed values, and the database library's errors in our words. */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "core/base/mem.h"
#include "server/store/connection_private.h"

/* ---- Values ------------------------------------------------------------------------------------------------------- */

struct db_value db_int(int64_t value)
{
    return (struct db_value){.type = DB_INT, .integer = value};
}

struct db_value db_int_or_null(int64_t value)
{
    return (struct db_value){.type = value == 0 ? DB_NULL : DB_INT, .integer = value};
}

struct db_value db_real(double value)
{
    return (struct db_value){.type = DB_REAL, .real = value};
}

struct db_value db_text(const char *text)
{
    if (text == NULL) {
        return (struct db_value){.type = DB_NULL};
    }
    return (struct db_value){.type = DB_TEXT, .bytes = text, .n_bytes = strlen(text)};
}

struct db_value db_blob(const void *bytes, size_t n_bytes)
{
    return (struct db_value){.type = bytes == NULL ? DB_NULL : DB_BLOB, .bytes = bytes, .n_bytes = n_bytes};
}

struct db_value db_pointer(const void *pointer, const char *type)
{
    return (struct db_value){.type = DB_POINTER, .bytes = pointer, .pointer_type = type};
}

/* ---- Errors ------------------------------------------------------------------------------------------------------- */

enum err db_failed(struct db *db, int rc, struct err_note *note)
{
    const char *words = sqlite3_errmsg(db->handle);

    if (sqlite3_system_errno(db->handle) == ENOSPC && (rc & 0xFF) == SQLITE_IOERR) {
        return ERR_SAY(note, ERR_NO_SPACE, "the disk that holds the database is full");
    }
    switch (rc & 0xFF) {
    case SQLITE_FULL: return ERR_SAY(note, ERR_NO_SPACE, "the disk that holds the database is full");
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return ERR_SAY(note, ERR_BUSY, "another process holds the database: %s", words);
    case SQLITE_CORRUPT: return ERR_SAY(note, ERR_CORRUPT, "the database file is damaged: %s", words);
    case SQLITE_NOTADB: return ERR_SAY(note, ERR_FORMAT, "the file is not a database");
    case SQLITE_NOMEM: return ERR_NOMEM;
    case SQLITE_CONSTRAINT:
        /* The caller knows which name it was, so the sentence is left to it. */
        return rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_PRIMARYKEY ? ERR_EXISTS : ERR_CONFLICT;
    case SQLITE_READONLY:
    case SQLITE_PERM: return ERR_SAY(note, ERR_DENIED, "the database may not be written: %s", words);
    case SQLITE_CANTOPEN: {
        enum err code = err_from_errno(sqlite3_system_errno(db->handle));
        return ERR_SAY(note, code, "the database cannot be opened: %s", words);
    }
    case SQLITE_TOOBIG: return ERR_SAY(note, ERR_LIMIT, "a value is longer than the database takes");
    case SQLITE_IOERR: return ERR_SAY(note, ERR_IO, "the database file cannot be read or written: %s", words);
    default: return ERR_SAY(note, ERR_FOREIGN, "the database says: %s (code %d)", words, rc);
    }
}

/* ---- Statements --------------------------------------------------------------------------------------------------- */

static enum err statement_find(struct db *db, const char *sql, sqlite3_stmt **ret, struct err_note *note)
{
    for (int i = 0; i < db->n_statements; i++) {
        if (db->statements[i].sql == sql) {
            *ret = db->statements[i].statement;
            return ERR_NONE;
        }
    }
    if (db->n_statements == db->room) {
        int room = db->room == 0 ? 16 : 2 * db->room;
        struct db_statement *more = mem_resize(db->statements, (size_t)room, sizeof *more);
        if (more == NULL) {
            return ERR_NOMEM;
        }
        db->statements = more;
        db->room = room;
    }
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL);
    if (rc != SQLITE_OK) {
        return db_failed(db, rc, note);
    }
    db->statements[db->n_statements++] = (struct db_statement){.sql = sql, .statement = statement};
    *ret = statement;
    return ERR_NONE;
}

static int value_bind(sqlite3_stmt *statement, int position, const struct db_value *value)
{
    switch (value->type) {
    case DB_INT: return sqlite3_bind_int64(statement, position, value->integer);
    case DB_REAL: return sqlite3_bind_double(statement, position, value->real);
    case DB_TEXT:
        return sqlite3_bind_text64(statement, position, value->bytes, value->n_bytes, SQLITE_STATIC, SQLITE_UTF8);
    case DB_BLOB: return sqlite3_bind_blob64(statement, position, value->bytes, value->n_bytes, SQLITE_STATIC);
    case DB_POINTER:
        return sqlite3_bind_pointer(statement, position, (void *)(uintptr_t)value->bytes, value->pointer_type, NULL);
    case DB_NULL:
    case DB_END: break;
    }
    return sqlite3_bind_null(statement, position);
}

enum err db_start(struct db *db, const char *sql, const struct db_value *values, sqlite3_stmt **ret,
                  struct err_note *note)
{
    sqlite3_stmt *statement = NULL;
    enum err err = statement_find(db, sql, &statement, note);

    if (err != ERR_NONE) {
        return err;
    }
    assert(!sqlite3_stmt_busy(statement)); /* one use of a statement at a time */
    int n = 0;
    for (; values != NULL && values[n].type != DB_END; n++) {
        int rc = value_bind(statement, n + 1, &values[n]);
        if (rc != SQLITE_OK) {
            err = db_failed(db, rc, note);
            db_done(statement);
            return err;
        }
    }
    assert(n == sqlite3_bind_parameter_count(statement));
    *ret = statement;
    return ERR_NONE;
}

enum err db_step(struct db *db, sqlite3_stmt *statement, bool *ret_row, struct err_note *note)
{
    int rc = sqlite3_step(statement);

    if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
        return db_failed(db, rc, note);
    }
    *ret_row = rc == SQLITE_ROW;
    return ERR_NONE;
}

void db_done(sqlite3_stmt *statement)
{
    (void)sqlite3_reset(statement); /* repeats the error of the last step, which was reported then */
    (void)sqlite3_clear_bindings(statement);
}

enum err db_run(struct db *db, const char *sql, const struct db_value *values, struct err_note *note)
{
    sqlite3_stmt *statement = NULL;
    bool row = false;
    enum err err = db_start(db, sql, values, &statement, note);

    if (err == ERR_NONE) {
        err = db_step(db, statement, &row, note);
        db_done(statement);
    }
    return err;
}

enum err db_integer(struct db *db, const char *sql, const struct db_value *values, int64_t *ret, struct err_note *note)
{
    sqlite3_stmt *statement = NULL;
    bool row = false;
    enum err err = db_start(db, sql, values, &statement, note);

    if (err != ERR_NONE) {
        return err;
    }
    err = db_step(db, statement, &row, note);
    if (err == ERR_NONE && !row) {
        err = ERR_NOT_FOUND;
    }
    if (err == ERR_NONE) {
        *ret = sqlite3_column_int64(statement, 0);
    }
    db_done(statement);
    return err;
}

enum err db_script(struct db *db, const char *sql, struct err_note *note)
{
    int rc = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? ERR_NONE : db_failed(db, rc, note);
}

bool db_is_idle(const struct db *db)
{
    return sqlite3_get_autocommit(db->handle) != 0;
}

void db_rollback(struct db *db)
{
    if (!db_is_idle(db)) {
        (void)sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL); /* cannot fail but by having happened already */
    }
}

int64_t db_last_id(struct db *db)
{
    return sqlite3_last_insert_rowid(db->handle);
}

int64_t db_changed(struct db *db)
{
    return sqlite3_changes64(db->handle);
}

/* ---- Columns ------------------------------------------------------------------------------------------------------ */

enum err db_column_blob(sqlite3_stmt *statement, int column, struct arena *mem, const unsigned char **ret,
                        size_t *ret_bytes)
{
    const void *bytes = sqlite3_column_blob(statement, column);
    size_t n_bytes = (size_t)sqlite3_column_bytes(statement, column);
    unsigned char *copy = arena_alloc(mem, n_bytes, 1);

    if (copy == NULL) {
        return arena_why(mem);
    }
    if (n_bytes > 0) {
        if (bytes == NULL) {
            return ERR_NOMEM; /* the library could not hold the row */
        }
        memcpy(copy, bytes, n_bytes);
    }
    *ret = copy;
    *ret_bytes = n_bytes;
    return ERR_NONE;
}

enum err db_column_text(sqlite3_stmt *statement, int column, struct arena *mem, const char **ret)
{
    if (sqlite3_column_type(statement, column) == SQLITE_NULL) {
        *ret = NULL;
        return ERR_NONE;
    }
    const char *text = (const char *)sqlite3_column_text(statement, column);
    const char *copy = text == NULL ? NULL : arena_copy_text(mem, text);
    if (copy == NULL) {
        return text == NULL ? ERR_NOMEM : arena_why(mem);
    }
    *ret = copy;
    return ERR_NONE;
}

enum err db_column_id(sqlite3_stmt *statement, int column, char *ret, size_t room)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);

    if (text == NULL || strlen(text) != room - 1) {
        return ERR_CORRUPT;
    }
    memcpy(ret, text, room);
    return ERR_NONE;
}

/* ---- Life --------------------------------------------------------------------------------------------------------- */

/* What a connection is set to; journal_mode, page_size and auto_vacuum are facts of the file (store.c). */
#define SETTINGS                  \
    "PRAGMA foreign_keys = ON;"   \
    "PRAGMA secure_delete = ON;"  \
    "PRAGMA synchronous = FULL;"  \
    "PRAGMA temp_store = MEMORY;" \
    "PRAGMA trusted_schema = OFF;"

enum err db_open(const char *path, int busy_ms, enum db_use use, struct db **ret, struct err_note *note)
{
    struct db *db = MEM_NEW(struct db);
    if (db == NULL) {
        return ERR_NOMEM;
    }
    enum err err = ERR_NONE;
    int rc = sqlite3_open_v2(path, &db->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK) {
        err = db->handle == NULL ? ERR_NOMEM : db_failed(db, rc, note);
    }
    if (err == ERR_NONE) {
        (void)sqlite3_extended_result_codes(db->handle, 1);
        (void)sqlite3_busy_timeout(db->handle, busy_ms);
        (void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        rc = filter_function_add(db->handle);
        err = rc == SQLITE_OK ? db_script(db, SETTINGS, note) : db_failed(db, rc, note);
    }
    if (err == ERR_NONE) {
        /* A reader's connection refuses to write, so that a search cannot. */
        err = db_script(
            db, use == DB_READER ? "PRAGMA cache_size = -4096; PRAGMA query_only = ON;" : "PRAGMA cache_size = -16384;",
            note);
    }
    if (err != ERR_NONE) {
        db_close(db);
        return err;
    }
    *ret = db;
    return ERR_NONE;
}

void db_close(struct db *db)
{
    if (db == NULL) {
        return;
    }
    for (int i = 0; i < db->n_statements; i++) {
        (void)sqlite3_finalize(db->statements[i].statement);
    }
    int rc = sqlite3_close(db->handle);
    assert(rc == SQLITE_OK); /* every statement was finalised */
    (void)rc;
    mem_free(db->statements);
    mem_free(db);
}
