/*
 * store.c: the database as a whole: opening and migrating it, lending connections, making transactions, scrubbing.
 *
 * One connection writes (writer.c); readers lend connections from a list that grows to as many as read at once, and
 * in WAL mode neither waits for the other.
 */
#include "server/store/store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/point.h"
#include "server/store/migrations_private.h"
#include "server/store/writer_private.h"

#define APPLICATION_ID 0x41524346 /* "ARCF", in the file's header */
#define PAGE_BYTES 16384          /* 2 KB vectors waste half of a 4 KB page (4,119 bytes a row against 2,355) */
#define BUSY_MS 5000
#define SCRUB_WAIT_MS 100 /* writers wait this long for readers of the log */

struct store {
    /* immutable */
    char *path;
    int busy_ms;
    bool open; /* the file is ours, and of the present schema */

    struct writer writer; /* guards itself */

    /* guarded by idle_lock; taken after the writer's where both are */
    pthread_mutex_t idle_lock;
    struct db *idle;
    int n_lent;
};

const char *store_path(const struct store *store)
{
    return store->path;
}

int store_schema(void)
{
    return migrations_count;
}

/* ---- Opening ------------------------------------------------------------------------------------------------------ */

/* The database library would make the file readable for everybody; its log and its index of the log copy the file's mode. */
static enum err file_make(const char *path, struct err_note *note)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0) {
        return ERR_SAY(note, err_from_errno(errno), "the database %s cannot be opened: errno %d", path, errno);
    }
    (void)close(fd);
    return ERR_NONE;
}

/* Refuses what is not ours and what is newer; *ret_schema 0 is an empty file. */
static enum err file_judge(struct db *db, int64_t *ret_schema, struct err_note *note)
{
    int64_t application = 0;
    int64_t schema = 0;
    int64_t objects = 0;
    enum err err = db_integer(db, "PRAGMA application_id", NULL, &application, note);

    if (err == ERR_NONE) {
        err = db_integer(db, "PRAGMA user_version", NULL, &schema, note);
    }
    if (err == ERR_NONE) {
        err = db_integer(db, "SELECT count(*) FROM sqlite_schema", NULL, &objects, note);
    }
    if (err != ERR_NONE) {
        return err;
    }
    bool empty = application == 0 && schema == 0 && objects == 0;
    if (!empty && application != APPLICATION_ID) {
        return ERR_SAY(note, ERR_FORMAT, "the file is a database of another program (application id %#llx)",
                       (unsigned long long)application);
    }
    if (schema > migrations_count || schema < 0 || (!empty && schema == 0)) {
        return ERR_SAY(
            note, ERR_UNSUPPORTED,
            "the database has schema %lld and this program knows schemas up to %d: a newer arcfaced wrote it",
            (long long)schema, migrations_count);
    }
    *ret_schema = schema;
    return ERR_NONE;
}

/* Facts of the file, which must stand before its first table; on an older file they say what is so already. */
static enum err file_shape(struct db *db, struct err_note *note)
{
    char sql[128];
    sqlite3_stmt *statement = NULL;

    (void)snprintf(sql, sizeof sql, "PRAGMA page_size = %d; PRAGMA auto_vacuum = INCREMENTAL;", PAGE_BYTES);
    enum err err = db_script(db, sql, note);
    if (err != ERR_NONE) {
        return err;
    }
    bool row = false;
    err = db_start(db, "PRAGMA journal_mode = WAL", NULL, &statement, note);
    if (err != ERR_NONE) {
        return err;
    }
    err = db_step(db, statement, &row, note);
    if (err == ERR_NONE && (!row || sqlite3_stricmp((const char *)sqlite3_column_text(statement, 0), "wal") != 0)) {
        err = ERR_SAY(note, ERR_UNSUPPORTED,
                      "the database cannot use a write-ahead log here: the file system does not share memory");
    }
    db_done(statement);
    return err;
}

static enum err migrate_one(struct db *db, const struct migration *migration, struct err_note *note)
{
    char facts[96];
    int64_t schema = 0;
    enum err err = db_script(db, "BEGIN IMMEDIATE", note);

    if (err != ERR_NONE) {
        return err;
    }
    /* Asked again inside: another process may have migrated while this one waited for the lock. */
    err = db_integer(db, "PRAGMA user_version", NULL, &schema, note);
    if (err == ERR_NONE && schema < migration->number) {
        (void)snprintf(facts, sizeof facts, "PRAGMA application_id = %d; PRAGMA user_version = %d;", APPLICATION_ID,
                       migration->number);
        err = db_script(db, migration->sql, note);
        point_reached("migrate.tables");
        if (err == ERR_NONE) {
            err = db_script(db, facts, note);
        }
        point_reached("migrate.facts");
        if (err != ERR_NONE) {
            err_prefix(note, "migration %s: ", migration->file);
        }
    }
    if (err == ERR_NONE) {
        err = db_script(db, "COMMIT", note);
        point_reached("migrate.committed");
    }
    if (err != ERR_NONE) {
        db_rollback(db);
    }
    return err;
}

static enum err migrate(struct db *db, bool *ret_old, struct err_note *note)
{
    int64_t schema = 0;
    enum err err = file_judge(db, &schema, note);

    *ret_old = schema != 0 && schema != migrations_count;

    if (err == ERR_NONE) {
        err = file_shape(db, note);
    }
    for (int i = 0; err == ERR_NONE && i < migrations_count; i++) {
        if (migrations[i].number > schema) {
            err = migrate_one(db, &migrations[i], note);
        }
    }
    return err;
}

static enum err size_bound(struct db *db, int64_t max_bytes, struct err_note *note)
{
    char sql[64];

    if (max_bytes <= 0) {
        return ERR_NONE;
    }
    (void)snprintf(sql, sizeof sql, "PRAGMA max_page_count = %lld", (long long)(max_bytes / PAGE_BYTES));
    return db_script(db, sql, note);
}

enum err store_open(const char *path, const struct store_options *options, struct store **ret, struct err_note *note)
{
    enum err err = file_make(path, note);
    if (err != ERR_NONE) {
        return err;
    }
    struct store *store = MEM_NEW(struct store);
    if (store == NULL) {
        return ERR_NOMEM;
    }
    (void)pthread_mutex_init(&store->idle_lock, NULL);
    store->busy_ms = options != NULL && options->busy_ms > 0 ? options->busy_ms : BUSY_MS;
    store->path = mem_copy_text(path);
    struct db *db = NULL;
    bool old = false;
    err = store->path == NULL ? ERR_NOMEM : db_open(path, store->busy_ms, DB_WRITER, &db, note);
    if (err == ERR_NONE) {
        err = writer_init(&store->writer, db, store->path, store->busy_ms);
    }
    if (err == ERR_NONE) {
        err = migrate(db, &old, note);
    }
    if (err == ERR_NONE) {
        err = size_bound(db, options == NULL ? 0 : options->max_bytes, note);
    }
    if (err != ERR_NONE) {
        err_prefix(note, "%s: ", path);
        (void)store_close(store, NULL);
        return err;
    }
    /* What the log of a process that was killed still holds; an older program did not sweep.  If it cannot be now, it is due. */
    store->writer.sweep_all = old;
    atomic_store(&store->writer.scrub_due, true);
    writer_scrub_due(&store->writer);
    store->open = true;
    *ret = store;
    return ERR_NONE;
}

enum err store_close(struct store *store, struct err_note *note)
{
    enum err err = ERR_NONE;

    if (store == NULL) {
        return ERR_NONE;
    }
    assert(store->n_lent == 0);
    while (store->idle != NULL) {
        struct db *gone = store->idle;
        store->idle = gone->next;
        db_close(gone);
    }
    if (store->writer.db != NULL) {
        err = store->open ? writer_scrub(&store->writer, 0, note) : ERR_NONE;
        writer_release(&store->writer);
    }
    (void)pthread_mutex_destroy(&store->idle_lock);
    mem_free(store->path);
    mem_free(store);
    return err;
}

/* ---- Reading ------------------------------------------------------------------------------------------------------ */

enum err db_lend(struct store *store, struct db **ret, struct err_note *note)
{
    (void)pthread_mutex_lock(&store->idle_lock);
    struct db *db = store->idle;
    if (db != NULL) {
        store->idle = db->next;
    }
    store->n_lent++;
    (void)pthread_mutex_unlock(&store->idle_lock);

    if (db == NULL) {
        enum err err = db_open(store->path, store->busy_ms, DB_READER, &db, note);
        if (err != ERR_NONE) {
            (void)pthread_mutex_lock(&store->idle_lock);
            store->n_lent--;
            (void)pthread_mutex_unlock(&store->idle_lock);
            return err;
        }
    }
    db->next = NULL;
    *ret = db;
    return ERR_NONE;
}

void db_return(struct store *store, struct db *db)
{
    (void)pthread_mutex_lock(&store->idle_lock);
    db->next = store->idle;
    store->idle = db;
    store->n_lent--;
    (void)pthread_mutex_unlock(&store->idle_lock);

    writer_scrub_due(&store->writer); /* the last reader that kept erased bytes in the log cuts it */
}

void db_scrub_due(struct store *store)
{
    writer_scrub_due(&store->writer);
}

enum err db_snapshot_begin(struct db *db, struct err_note *note)
{
    return db_script(db, "BEGIN", note);
}

void db_snapshot_end(struct db *db)
{
    db_rollback(db); /* it only read */
}

/* ---- Changing ----------------------------------------------------------------------------------------------------- */

enum err db_change(struct store *store, db_apply *apply, void *context, const struct after_commit *after,
                   struct err_note *note)
{
    return writer_change(&store->writer, apply, context, after, note);
}

enum err db_erase(struct store *store, db_apply *apply, void *context, const struct after_commit *after,
                  bool *ret_scrubbed, struct err_note *note)
{
    return writer_erase(&store->writer, apply, context, after, ret_scrubbed, note);
}

/* ---- Upkeep ------------------------------------------------------------------------------------------------------- */

enum err store_scrub(struct store *store, struct err_note *note)
{
    return writer_scrub(&store->writer, SCRUB_WAIT_MS, note);
}

enum err store_shrink(struct store *store, int n_pages, int64_t *ret_given, int64_t *ret_left, struct err_note *note)
{
    static const char free_pages[] = "PRAGMA freelist_count";
    char sql[64];
    int64_t before = 0;
    int64_t left = 0;

    if (n_pages < 1) {
        return ERR_SAY(note, ERR_MISUSE, "%d pages cannot be given back", n_pages);
    }
    (void)snprintf(sql, sizeof sql, "PRAGMA incremental_vacuum(%d)", n_pages);
    struct db *db = writer_hold(&store->writer);
    enum err err = db_integer(db, free_pages, NULL, &before, note);
    if (err == ERR_NONE) {
        err = db_script(db, sql, note);
    }
    if (err == ERR_NONE) {
        err = db_integer(db, free_pages, NULL, &left, note);
    }
    writer_let_go(&store->writer);
    if (err == ERR_NONE) {
        *ret_given = before - left;
        *ret_left = left;
    }
    return err;
}

enum err store_check(struct store *store, struct err_note *note)
{
    struct db *db = NULL;
    sqlite3_stmt *statement = NULL;
    enum err err = db_lend(store, &db, note);

    if (err != ERR_NONE) {
        return err;
    }
    err = db_start(db, "PRAGMA integrity_check(1)", NULL, &statement, note);
    if (err == ERR_NONE) {
        bool row = false;
        err = db_step(db, statement, &row, note);
        const char *finding = err == ERR_NONE && row ? (const char *)sqlite3_column_text(statement, 0) : NULL;
        if (err == ERR_NONE && (finding == NULL || sqlite3_stricmp(finding, "ok") != 0)) {
            err = ERR_SAY(note, ERR_CORRUPT, "the database file is damaged: %s", finding == NULL ? "?" : finding);
        }
        db_done(statement);
    }
    db_return(store, db);
    return err;
}
