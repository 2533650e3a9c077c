/* audit_rows.c: the hash-chained log. */
#include "server/store/audit_rows.h"

#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "server/store/db_private.h"

#define WORD_BYTES 64
#define OBJECTS_BYTES 4096

struct entry {
    unsigned char before[HASH_SHA256_BYTES]; /* the previous entry's hash; zeros before the first */
    int64_t id;
    int64_t at_ms;
    const char *actor;
    const char *action;
    const char *objects;
};

static unsigned char *put_integer(unsigned char *at, uint64_t value)
{
    for (int i = 0; i < 8; i++) {
        *at++ = (unsigned char)(value >> (8 * i));
    }
    return at;
}

static unsigned char *put_bytes(unsigned char *at, const void *bytes, size_t n_bytes)
{
    at = put_integer(at, n_bytes);
    memcpy(at, bytes, n_bytes);
    return at + n_bytes;
}

static unsigned char *put_text(unsigned char *at, const char *text)
{
    return put_bytes(at, text, strlen(text));
}

/* The hash covers lengths too, so that no two entries are written alike. */
static enum err entry_hash(const struct entry *entry, unsigned char ret[HASH_SHA256_BYTES])
{
    size_t room = HASH_SHA256_BYTES + 5 * 8 + strlen(entry->actor) + strlen(entry->action) + strlen(entry->objects);
    unsigned char *bytes = mem_new(room, 1);

    if (bytes == NULL) {
        return ERR_NOMEM;
    }
    unsigned char *at = bytes;
    memcpy(at, entry->before, HASH_SHA256_BYTES);
    at = put_integer(at + HASH_SHA256_BYTES, (uint64_t)entry->id);
    at = put_integer(at, (uint64_t)entry->at_ms);
    at = put_text(at, entry->actor);
    at = put_text(at, entry->action);
    at = put_text(at, entry->objects);
    hash_sha256(bytes, (size_t)(at - bytes), ret);
    mem_free(bytes);
    return ERR_NONE;
}

/* The last entry's id and hash; 0 and zeros if there is none. */
static enum err last_entry(struct db *db, int64_t *ret_id, unsigned char ret_hash[HASH_SHA256_BYTES],
                           struct err_note *note)
{
    sqlite3_stmt *statement = NULL;
    bool row = false;
    enum err err = db_start(db, "SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1", NULL, &statement, note);

    if (err != ERR_NONE) {
        return err;
    }
    *ret_id = 0;
    memset(ret_hash, 0, HASH_SHA256_BYTES);
    err = db_step(db, statement, &row, note);
    if (err == ERR_NONE && row) {
        *ret_id = sqlite3_column_int64(statement, 0);
        const void *hash = sqlite3_column_blob(statement, 1);
        if (hash == NULL || sqlite3_column_bytes(statement, 1) != HASH_SHA256_BYTES) {
            err = ERR_SAY(note, ERR_CORRUPT, "audit entry %lld has no hash", (long long)*ret_id);
        } else {
            memcpy(ret_hash, hash, HASH_SHA256_BYTES);
        }
    }
    db_done(statement);
    return err;
}

enum err audit_append(struct db *db, const char *actor, const char *action, const char *objects, int64_t *ret_id,
                      char ret_hash[65], struct err_note *note)
{
    unsigned char hash[HASH_SHA256_BYTES];
    struct entry entry = {.at_ms = clock_unix_ms(), .actor = actor, .action = action, .objects = objects};

    if (actor == NULL || actor[0] == '\0' || strlen(actor) > WORD_BYTES) {
        return ERR_SAY(note, ERR_MISUSE, "an audit entry needs an actor of 1 to %d bytes", WORD_BYTES);
    }
    enum err err = last_entry(db, &entry.id, entry.before, note);
    if (err != ERR_NONE) {
        return err;
    }
    entry.id++;
    err = entry_hash(&entry, hash);
    if (err == ERR_NONE) {
        err = db_run(db, "INSERT INTO audit VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                     (const struct db_value[]){db_int(entry.id),
                                               db_int(entry.at_ms),
                                               db_text(actor),
                                               db_text(action),
                                               db_text(objects),
                                               db_blob(hash, sizeof hash),
                                               {0}},
                     note);
    }
    if (err != ERR_NONE) {
        return err;
    }
    if (ret_id != NULL) {
        *ret_id = entry.id;
    }
    if (ret_hash != NULL) {
        hash_text(hash, ret_hash);
    }
    return ERR_NONE;
}

enum err audit_ids_read(sqlite3_stmt *statement, struct arena *mem, void *ret_row)
{
    const char *text = (const char *)sqlite3_column_text(statement, 0);

    (void)mem;
    if (text == NULL) {
        return ERR_NOMEM;
    }
    int len = snprintf(ret_row, AUDIT_IDS_TEXT, "%s", text);
    return len >= 0 && len < AUDIT_IDS_TEXT ? ERR_NONE : ERR_CORRUPT;
}

struct addition {
    const char *actor;
    const char *action;
    const char *objects;
    int64_t id;
};

static enum err addition_apply(struct db *db, void *context, struct err_note *note)
{
    struct addition *what = context;

    return audit_append(db, what->actor, what->action, what->objects, &what->id, NULL, note);
}

enum err store_audit_add(struct store *store, const char *actor, const char *action, const char *objects,
                         int64_t *ret_id, struct err_note *note)
{
    struct addition what = {.actor = actor, .action = action, .objects = objects};

    if (action == NULL || action[0] == '\0' || strlen(action) > WORD_BYTES) {
        return ERR_SAY(note, ERR_MISUSE, "an audit entry needs an action of 1 to %d bytes", WORD_BYTES);
    }
    enum err err = store_json_check("an audit entry's objects", objects, note);
    if (err != ERR_NONE) {
        return err;
    }
    if (strlen(objects) > OBJECTS_BYTES) {
        return ERR_SAY(note, ERR_MISUSE, "an audit entry's objects are longer than %d bytes", OBJECTS_BYTES);
    }
    err = db_change(store, addition_apply, &what, NULL, note);
    if (err == ERR_NONE && ret_id != NULL) {
        *ret_id = what.id;
    }
    return err;
}

static enum err audit_read(sqlite3_stmt *statement, struct arena *mem, void *ret_row)
{
    struct audit_row *row = ret_row;
    const unsigned char *hash = sqlite3_column_blob(statement, 5);

    row->id = sqlite3_column_int64(statement, 0);
    row->at_ms = sqlite3_column_int64(statement, 1);
    if (hash == NULL || sqlite3_column_bytes(statement, 5) != HASH_SHA256_BYTES) {
        return ERR_CORRUPT;
    }
    hash_text(hash, row->hash);
    enum err err = db_column_text(statement, 2, mem, &row->actor);
    if (err == ERR_NONE) {
        err = db_column_text(statement, 3, mem, &row->action);
    }
    if (err == ERR_NONE) {
        err = db_column_text(statement, 4, mem, &row->objects);
    }
    return err;
}

static int64_t audit_id(const void *row)
{
    return ((const struct audit_row *)row)->id;
}

enum err store_audit_list(struct store *store, const struct store_page *page, struct arena *mem, struct audit_row **ret,
                          int *ret_count, const char **ret_next, struct err_note *note)
{
    int64_t after = 0;
    void *rows = NULL;
    enum err err = page_start(page, &after, note);

    if (err != ERR_NONE) {
        return err;
    }
    err =
        list_read(store,
                  &(struct list_plan){.sql = "SELECT id, at_ms, actor, action, objects, hash FROM audit "
                                             "WHERE id > ?1 ORDER BY id LIMIT ?2",
                                      .values = (const struct db_value[]){db_int(after), db_int(page->limit + 1), {0}},
                                      .limit = page->limit,
                                      .row_bytes = sizeof(struct audit_row),
                                      .read = audit_read,
                                      .row_id = audit_id},
                  mem, &rows, ret_count, ret_next, note);
    if (err == ERR_NONE) {
        *ret = rows;
    }
    return err;
}

/* Does this row follow entry->before?  On success entry->before is its hash. */
static enum err chain_step(sqlite3_stmt *statement, struct entry *entry, struct err_note *note)
{
    unsigned char hash[HASH_SHA256_BYTES];
    int64_t expected = entry->id + 1;
    const void *stored = sqlite3_column_blob(statement, 5);
    bool whole = stored != NULL && sqlite3_column_bytes(statement, 5) == HASH_SHA256_BYTES;

    entry->id = sqlite3_column_int64(statement, 0);
    entry->at_ms = sqlite3_column_int64(statement, 1);
    entry->actor = (const char *)sqlite3_column_text(statement, 2);
    entry->action = (const char *)sqlite3_column_text(statement, 3);
    entry->objects = (const char *)sqlite3_column_text(statement, 4);
    if (entry->actor == NULL || entry->action == NULL || entry->objects == NULL) {
        return ERR_NOMEM;
    }
    if (entry->id != expected) {
        return ERR_SAY(note, ERR_CORRUPT, "the audit log has entry %lld where %lld should follow", (long long)entry->id,
                       (long long)expected);
    }
    enum err err = entry_hash(entry, hash);
    if (err == ERR_NONE && (!whole || memcmp(hash, stored, sizeof hash) != 0)) {
        err = ERR_SAY(note, ERR_CORRUPT, "audit entry %lld does not follow from the one before: it was altered",
                      (long long)entry->id);
    }
    if (err == ERR_NONE) {
        memcpy(entry->before, hash, sizeof hash);
    }
    return err;
}

static enum err chain_verify(struct db *db, struct entry *entry, struct err_note *note)
{
    sqlite3_stmt *statement = NULL;
    enum err err =
        db_start(db, "SELECT id, at_ms, actor, action, objects, hash FROM audit ORDER BY id", NULL, &statement, note);
    if (err != ERR_NONE) {
        return err;
    }
    for (;;) {
        bool row = false;
        err = db_step(db, statement, &row, note);
        if (err != ERR_NONE || !row) {
            break;
        }
        err = chain_step(statement, entry, note);
        if (err != ERR_NONE) {
            break;
        }
    }
    db_done(statement);
    if (err != ERR_NONE) {
        return err;
    }
    int64_t given = 0; /* what AUTOINCREMENT gave last: the end of the log cannot go unseen by deleting rows alone */
    err = db_integer(db, "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'audit'), 0)", NULL, &given,
                     note);
    if (err == ERR_NONE && given != entry->id) {
        err = ERR_SAY(note, ERR_CORRUPT, "the audit log ends with entry %lld, but %lld were written",
                      (long long)entry->id, (long long)given);
    }
    return err;
}

enum err store_audit_verify(struct store *store, int64_t *ret_count, char ret_hash[65], struct err_note *note)
{
    struct db *db = NULL;
    struct entry entry = {0};
    enum err err = db_lend(store, &db, note);

    if (err != ERR_NONE) {
        return err;
    }
    err = db_snapshot_begin(db, note);
    if (err == ERR_NONE) {
        err = chain_verify(db, &entry, note);
    }
    db_snapshot_end(db);
    db_return(store, db);
    if (err == ERR_NONE) {
        *ret_count = entry.id;
        if (ret_hash != NULL) {
            hash_text(entry.before, ret_hash);
        }
    }
    return err;
}
