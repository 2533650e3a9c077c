/*
 * db_private.h: what the files of this folder share: a connection, statements with typed values, one way to read and one to
 * change.
 */
#ifndef SERVER_STORE_DB_PRIVATE_H
#define SERVER_STORE_DB_PRIVATE_H

#include <sqlite3.h>

#include "server/store/store.h"

struct db; /* one connection with its prepared statements; one thread at a time */

/* ---- Values ------------------------------------------------------------------------------------------------------- */

/* What is bound to ?1, ?2 …: an array that ends with {0}.  Pointers must stay valid until db_done. */
struct db_value {
    enum db_type {
        DB_END,
        DB_NULL,
        DB_INT,
        DB_REAL,
        DB_TEXT,
        DB_BLOB,
        DB_POINTER
    } type;
    int64_t integer;
    double real;
    const void *bytes;
    size_t n_bytes;
    const char *pointer_type; /* a literal */
};

struct db_value db_int(int64_t value);
struct db_value db_int_or_null(int64_t value); /* 0 is NULL */
struct db_value db_real(double value);
struct db_value db_text(const char *text);                  /* NULL is NULL */
struct db_value db_blob(const void *bytes, size_t n_bytes); /* NULL is NULL */

/* For a function of our own, which asks for the same type; NULL in all other places. */
struct db_value db_pointer(const void *pointer, const char *type);

/* ---- Statements --------------------------------------------------------------------------------------------------- */

/* Prepares (once per connection) and binds.  sql must be a literal: its address is the key.  db_done ends the use. */
MUST_CHECK enum err db_start(struct db *db, const char *sql, const struct db_value *values, sqlite3_stmt **ret,
                             struct err_note *note);

/* Steps to the next row; *ret_row false at the end. */
MUST_CHECK enum err db_step(struct db *db, sqlite3_stmt *statement, bool *ret_row, struct err_note *note);
void db_done(sqlite3_stmt *statement);

/* A statement without rows. */
MUST_CHECK enum err db_run(struct db *db, const char *sql, const struct db_value *values, struct err_note *note);

/* The integer of a statement's only row; ERR_NOT_FOUND, without a note, if there is none. */
MUST_CHECK enum err db_integer(struct db *db, const char *sql, const struct db_value *values, int64_t *ret,
                               struct err_note *note);

/* Statements that are not worth keeping, separated by semicolons. */
MUST_CHECK enum err db_script(struct db *db, const char *sql, struct err_note *note);

int64_t db_last_id(struct db *db);
int64_t db_changed(struct db *db); /* rows of the last db_run */

/* Says what the database library said, as our code, with its words. */
enum err db_failed(struct db *db, int rc, struct err_note *note);

/* ---- Columns, copied into an arena -------------------------------------------------------------------------------- */

/* NULL in the column is *ret NULL.  Errors: ERR_LIMIT, ERR_NOMEM. */
MUST_CHECK enum err db_column_text(sqlite3_stmt *statement, int column, struct arena *mem, const char **ret);
MUST_CHECK enum err db_column_blob(sqlite3_stmt *statement, int column, struct arena *mem, const unsigned char **ret,
                                   size_t *ret_bytes);

/* Copies text of exactly room - 1 bytes, as ids are; else ERR_CORRUPT. */
MUST_CHECK enum err db_column_id(sqlite3_stmt *statement, int column, char *ret, size_t room);

/* ---- Reading and changing ----------------------------------------------------------------------------------------- */

/* Lends a connection that cannot write; every loan goes back. */
MUST_CHECK enum err db_lend(struct store *store, struct db **ret, struct err_note *note);
void db_return(struct store *store, struct db *db);

/* To be called when a connection that was not lent has ended its reading. */
void db_scrub_due(struct store *store);

/* A read of several statements that see one state of the database lies between these two. */
MUST_CHECK enum err db_snapshot_begin(struct db *db, struct err_note *note);
void db_snapshot_end(struct db *db);

/*
 * The body of one change.  It runs in a transaction with others', so it must not begin or end one itself; and when that
 * transaction fails it runs again, so it sets all that it gives each time.
 */
typedef enum err db_apply(struct db *db, void *context, struct err_note *note);

/*
 * Runs one change: all of it is on the disk, or nothing.  The only place where transactions are made: changes that come at the
 * same time share a commit (writer_private.h), so apply and after may run on another caller's thread, while this one waits.
 */
MUST_CHECK enum err db_change(struct store *store, db_apply *apply, void *context, const struct after_commit *after,
                              struct err_note *note);

/*
 * The same for a change that erases: the log is folded into the database and cut before this returns, so that no file holds the
 * erased bytes.  *ret_scrubbed is false when a reader kept the log for SCRUB_MOST_MS: the bytes go when it ends.
 */
MUST_CHECK enum err db_erase(struct store *store, db_apply *apply, void *context, const struct after_commit *after,
                             bool *ret_scrubbed, struct err_note *note);

/* ---- Shared by the row files --------------------------------------------------------------------------------------- */

/* Adds an audit row inside a change; objects must be a JSON object of ids and counts.  The outputs may be NULL. */
MUST_CHECK enum err audit_append(struct db *db, const char *actor, const char *action, const char *objects,
                                 int64_t *ret_id, char ret_hash[65], struct err_note *note);

/* A row_reader of one text of bounded length, JSON of ids for an audit row; ret_row is char[AUDIT_IDS_TEXT]. */
#define AUDIT_IDS_TEXT 256
MUST_CHECK enum err audit_ids_read(sqlite3_stmt *statement, struct arena *mem, void *ret_row);

/* Makes the function of filter_rows.c known to a connection; a result code of the library. */
int filter_function_add(sqlite3 *handle);

/* The checksum of an embedding row. */
uint32_t embedding_crc(int64_t face_id, int64_t model_id, float norm, const unsigned char *vector, size_t n_bytes);

/* Checks what hangs on a subject; NULL is left out, an empty external id means none. */
MUST_CHECK enum err subject_details_check(const char *external_id, const char *metadata, struct err_note *note);

/* Reads and writes little-endian floats whatever this machine's order is. */
void floats_to_bytes(const float *values, size_t n, unsigned char *ret);
void floats_from_bytes(const unsigned char *bytes, size_t n, float *ret);

/* Checks the page and gives the row id to go on behind (0 at the beginning). */
MUST_CHECK enum err page_start(const struct store_page *page, int64_t *ret_after, struct err_note *note);

/* Makes the token for a next page behind this row id.  Errors: ERR_LIMIT, ERR_NOMEM. */
MUST_CHECK enum err page_next(struct arena *mem, int64_t last_id, const char **ret);

/* Reads the present row of a statement into a struct; on an error the struct may be half filled. */
typedef enum err row_reader(sqlite3_stmt *statement, struct arena *mem, void *ret_row);

/* One page of a list: sql's last bound is its LIMIT, which the caller sets to limit + 1 to learn whether more follow. */
struct list_plan {
    const char *sql;
    const struct db_value *values;
    int limit;
    size_t row_bytes; /* size of one element */
    row_reader *read;
    int64_t (*row_id)(const void *row); /* what the next page's token is made of */
};
MUST_CHECK enum err list_read(struct store *store, const struct list_plan *plan, struct arena *mem, void **ret,
                              int *ret_count, const char **ret_next, struct err_note *note);

/* Reads the one row of a question; inside a change or a snapshot, or by itself.
 * Errors: ERR_NOT_FOUND, the note being missing ("there is no such subject"). */
MUST_CHECK enum err one_read_in(struct db *db, const char *sql, const struct db_value *values, row_reader *read,
                                struct arena *mem, void *ret_row, const char *missing, struct err_note *note);
MUST_CHECK enum err one_read(struct store *store, const char *sql, const struct db_value *values, row_reader *read,
                             struct arena *mem, void *ret_row, const char *missing, struct err_note *note);

#endif
