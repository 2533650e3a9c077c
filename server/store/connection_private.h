/*
 * connection_private.h: the inside of a connection, for db.c and store.c; the row files see db_private.h only.
 */
#ifndef SERVER_STORE_CONNECTION_PRIVATE_H
#define SERVER_STORE_CONNECTION_PRIVATE_H

#include "server/store/db_private.h"

struct db_statement {
    const char *sql; /* a literal; its address is the key */
    sqlite3_stmt *statement;
};

struct db {
    sqlite3 *handle;
    struct db_statement *statements;
    int n_statements;
    int room;
    struct db *next; /* in the store's list of idle readers */
};

enum db_use {
    DB_READER,
    DB_WRITER
};

MUST_CHECK enum err db_open(const char *path, int busy_ms, enum db_use use, struct db **ret, struct err_note *note);
void db_close(struct db *db); /* NULL does nothing */

/* The database file of a store. */
const char *store_path(const struct store *store);

/* Whether no transaction is open. */
bool db_is_idle(const struct db *db);

/* Ends the transaction if there is one: some failures (a full disk) have rolled back already. */
void db_rollback(struct db *db);

#endif
