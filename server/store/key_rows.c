/* key_rows.c: API keys, as hashes. */
#include "server/store/key_rows.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/random.h"
#include "server/store/db_private.h"

#define TOUCH_EVERY_MS 3600000
#define RANDOM_BYTES 32
#define GIVEN_MOST 255

#define COLUMNS                                                                                               \
    "SELECT row_id, id, name, scopes, collection_id, created_ms, expires_ms, last_used_ms, revoked_ms, hash " \
    "FROM api_keys "

static const struct {
    enum scope scope;
    const char *word;
} scopes[] = {{SCOPE_IDENTIFY, "identify"},
              {SCOPE_ENROLL, "enroll"},
              {SCOPE_DELETE, "delete"},
              {SCOPE_IMAGES, "images"},
              {SCOPE_ADMIN, "admin"}};
#define N_SCOPES (sizeof scopes / sizeof scopes[0])

const char *scope_word(enum scope scope)
{
    for (size_t i = 0; i < N_SCOPES; i++) {
        if (scopes[i].scope == scope) {
            return scopes[i].word;
        }
    }
    return "";
}

unsigned scope_from_word(const char *word)
{
    for (size_t i = 0; i < N_SCOPES; i++) {
        if (strcmp(scopes[i].word, word) == 0) {
            return scopes[i].scope;
        }
    }
    return 0;
}

/* A row of the table; what the outside sees of it is key. */
struct stored_key {
    struct key_row key;
    int64_t row_id;
    unsigned char hash[HASH_SHA256_BYTES];
};

static enum err stored_read(sqlite3_stmt *statement, struct arena *mem, void *ret_row)
{
    struct stored_key *row = ret_row;
    const void *hash = sqlite3_column_blob(statement, 9);

    if (hash == NULL || sqlite3_column_bytes(statement, 9) != HASH_SHA256_BYTES) {
        return ERR_CORRUPT;
    }
    memcpy(row->hash, hash, HASH_SHA256_BYTES);
    row->row_id = sqlite3_column_int64(statement, 0);
    row->key.scopes = (unsigned)sqlite3_column_int(statement, 3);
    row->key.collection_id = sqlite3_column_int64(statement, 4);
    row->key.created_ms = sqlite3_column_int64(statement, 5);
    row->key.expires_ms = sqlite3_column_int64(statement, 6);
    row->key.last_used_ms = sqlite3_column_int64(statement, 7);
    row->key.revoked_ms = sqlite3_column_int64(statement, 8);
    enum err err = db_column_id(statement, 1, row->key.id, sizeof row->key.id);
    return err != ERR_NONE ? err : db_column_text(statement, 2, mem, &row->key.name);
}

static int64_t stored_row_id(const void *row)
{
    return ((const struct stored_key *)row)->row_id;
}

/* ---- Finding by text ---------------------------------------------------------------------------------------------- */

/* The part of the hash that an index finds: how long that takes tells at most these 8 bytes of a hash. */
static int64_t hash_front(const unsigned char hash[HASH_SHA256_BYTES])
{
    uint64_t front = 0;

    for (int i = 0; i < 8; i++) {
        front = front << 8 | hash[i];
    }
    return (int64_t)front;
}

/* Finds the key with this hash; all rows with the same front are compared, each in constant time. */
static enum err find_hash(struct db *db, const unsigned char hash[HASH_SHA256_BYTES], struct arena *mem,
                          struct key_row *ret, struct err_note *note)
{
    sqlite3_stmt *statement = NULL;
    bool found = false;
    struct stored_key row = {0};
    enum err err = db_start(db, COLUMNS "WHERE hash_front = ?1",
                            (const struct db_value[]){db_int(hash_front(hash)), {0}}, &statement, note);

    if (err != ERR_NONE) {
        return err;
    }
    while (!found) {
        bool there;
        err = db_step(db, statement, &there, note);
        if (err != ERR_NONE || !there) {
            break;
        }
        err = stored_read(statement, mem, &row);
        if (err != ERR_NONE) {
            break;
        }
        found = sodium_memcmp(row.hash, hash, HASH_SHA256_BYTES) == 0;
    }
    db_done(statement);
    if (err == ERR_NONE && !found) {
        return ERR_NOT_FOUND;
    }
    if (err == ERR_NONE) {
        *ret = row.key;
    }
    return err;
}

enum err store_key_check(struct store *store, const char *secret, int64_t now_ms, struct arena *mem,
                         struct key_row *ret, struct err_note *note)
{
    struct db *db = NULL;
    struct key_row key = {0};
    unsigned char hash[HASH_SHA256_BYTES];
    enum err err = db_lend(store, &db, note);

    if (err != ERR_NONE) {
        return err;
    }
    hash_sha256(secret, strlen(secret), hash);
    err = find_hash(db, hash, mem, &key, note);
    db_return(store, db);
    if (err == ERR_NOT_FOUND) {
        return ERR_SAY(note, err, "no key has this text");
    }
    if (err == ERR_NONE && key.revoked_ms != 0) {
        err = ERR_SAY(note, ERR_CONFLICT, "key %s has been revoked", key.id);
    }
    if (err == ERR_NONE && key.expires_ms != 0 && key.expires_ms <= now_ms) {
        err = ERR_SAY(note, ERR_DENIED, "key %s has expired", key.id);
    }
    if (err == ERR_NONE) {
        *ret = key;
    }
    return err;
}

/* ---- Making ------------------------------------------------------------------------------------------------------- */

static enum err new_judge(const struct key_new *new, struct err_note *note)
{
    if (new->scopes == 0 || (new->scopes & ~(unsigned)SCOPE_ALL) != 0) {
        return ERR_SAY(note, ERR_MISUSE, "a key needs at least one scope, of those there are");
    }
    if (new->expires_ms != 0 && new->expires_ms <= clock_unix_ms()) {
        return ERR_SAY(note, ERR_MISUSE, "the key would have expired already");
    }
    return store_name_check("the key's name", new->name, note);
}

struct addition {
    const struct key_new *new;
    const char *actor;
    struct arena *mem;
    bool or_find; /* a key of the operator's choice may be there already */
    char id[KEY_ID_TEXT];
    unsigned char hash[HASH_SHA256_BYTES];
    struct key_row row;
};

static enum err addition_insert(struct db *db, struct addition *what, struct err_note *note)
{
    char objects[64];
    const struct key_new *new = what->new;
    enum err err = db_run(db,
                          "INSERT INTO api_keys (id, hash_front, hash, name, scopes, collection_id, created_ms, "
                          "expires_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                          (const struct db_value[]){db_text(what->id),
                                                    db_int(hash_front(what->hash)),
                                                    db_blob(what->hash, sizeof what->hash),
                                                    db_text(new->name),
                                                    db_int(new->scopes),
                                                    db_int_or_null(new->collection_id),
                                                    db_int(clock_unix_ms()),
                                                    db_int(new->expires_ms),
                                                    {0}},
                          note);

    if (err == ERR_CONFLICT) {
        return ERR_SAY(note, ERR_NOT_FOUND, "there is no such collection");
    }
    if (err != ERR_NONE) {
        return err;
    }
    (void)snprintf(objects, sizeof objects, "{\"key\":\"%s\"}", what->id);
    return audit_append(db, what->actor, "key.add", objects, NULL, NULL, note);
}

static enum err addition_apply(struct db *db, void *context, struct err_note *note)
{
    struct addition *what = context;
    enum err err;

    if (what->or_find) {
        err = find_hash(db, what->hash, what->mem, &what->row, note);
        if (err == ERR_NONE && what->row.revoked_ms != 0) {
            return ERR_SAY(note, ERR_CONFLICT, "this key (%s) has been revoked: choose another", what->row.id);
        }
        if (err != ERR_NOT_FOUND) {
            return err;
        }
    }
    err = addition_insert(db, what, note);
    return err != ERR_NONE ? err : find_hash(db, what->hash, what->mem, &what->row, note);
}

/* 12 characters of an alphabet without look-alikes that needs no escaping anywhere. */
static void id_make(char ret[KEY_ID_TEXT])
{
    static const char alphabet[] = "abcdefghjkmnpqrstuvwxyz023456789"; /* 32 */
    unsigned char random[KEY_ID_TEXT - 1];

    random_bytes(random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++) {
        ret[i] = alphabet[random[i] % 32];
    }
    ret[KEY_ID_TEXT - 1] = '\0';
}

enum err store_key_add(struct store *store, const struct key_new *what, const char *actor, struct arena *mem,
                       struct key_row *ret, char ret_secret[KEY_SECRET_TEXT], struct err_note *note)
{
    struct addition addition = {.new = what, .actor = actor, .mem = mem};
    unsigned char random[RANDOM_BYTES];
    char text[sodium_base64_ENCODED_LEN(RANDOM_BYTES, sodium_base64_VARIANT_URLSAFE_NO_PADDING)];
    char secret[KEY_SECRET_TEXT];
    enum err err = new_judge(what, note);

    if (err != ERR_NONE) {
        return err;
    }
    id_make(addition.id);
    random_bytes(random, sizeof random);
    (void)sodium_bin2base64(text, sizeof text, random, sizeof random, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    (void)snprintf(secret, sizeof secret, "afk_%s_%s", addition.id, text);
    hash_sha256(secret, strlen(secret), addition.hash);
    err = db_change(store, addition_apply, &addition, NULL, note);
    if (err == ERR_NONE) {
        *ret = addition.row;
        memcpy(ret_secret, secret, sizeof secret);
    }
    mem_wipe(random, sizeof random);
    mem_wipe(text, sizeof text);
    mem_wipe(secret, sizeof secret);
    return err;
}

enum err store_key_give(struct store *store, const struct key_new *what, const char *secret, const char *actor,
                        struct arena *mem, struct key_row *ret, struct err_note *note)
{
    struct addition addition = {.new = what, .actor = actor, .mem = mem, .or_find = true};
    size_t len = strlen(secret);

    if (len < KEY_GIVEN_LEAST || len > GIVEN_MOST) {
        return ERR_SAY(note, ERR_MISUSE, "a key has %d to %d characters, this one has %zu", KEY_GIVEN_LEAST, GIVEN_MOST,
                       len);
    }
    for (size_t i = 0; i < len; i++) {
        if (secret[i] <= ' ' || secret[i] > '~') {
            return ERR_SAY(note, ERR_MISUSE, "a key is made of printable ASCII characters without spaces");
        }
    }
    enum err err = new_judge(what, note);
    if (err != ERR_NONE) {
        return err;
    }
    id_make(addition.id);
    hash_sha256(secret, len, addition.hash);
    err = db_change(store, addition_apply, &addition, NULL, note);
    if (err == ERR_NONE) {
        *ret = addition.row;
    }
    return err;
}

/* ---- Using and revoking ------------------------------------------------------------------------------------------- */

struct stamp {
    const char *id;
    int64_t now_ms;
    const char *actor;
};

static enum err touch_apply(struct db *db, void *context, struct err_note *note)
{
    const struct stamp *what = context;

    return db_run(db, "UPDATE api_keys SET last_used_ms = max(last_used_ms, ?2) WHERE id = ?1",
                  (const struct db_value[]){db_text(what->id), db_int(what->now_ms), {0}}, note);
}

enum err store_key_touch(struct store *store, const struct key_row *key, int64_t now_ms, struct err_note *note)
{
    struct stamp what = {.id = key->id, .now_ms = now_ms};

    if (now_ms - key->last_used_ms < TOUCH_EVERY_MS) {
        return ERR_NONE;
    }
    return db_change(store, touch_apply, &what, NULL, note);
}

static enum err revoke_apply(struct db *db, void *context, struct err_note *note)
{
    const struct stamp *what = context;
    int64_t revoked_ms = 0;
    char objects[64];
    enum err err = db_integer(db, "SELECT revoked_ms FROM api_keys WHERE id = ?1",
                              (const struct db_value[]){db_text(what->id), {0}}, &revoked_ms, note);

    if (err == ERR_NOT_FOUND) {
        return ERR_SAY(note, err, "there is no key with this id");
    }
    if (err != ERR_NONE || revoked_ms != 0) {
        return err;
    }
    err = db_run(db, "UPDATE api_keys SET revoked_ms = ?2 WHERE id = ?1",
                 (const struct db_value[]){db_text(what->id), db_int(what->now_ms), {0}}, note);
    if (err != ERR_NONE) {
        return err;
    }
    (void)snprintf(objects, sizeof objects, "{\"key\":\"%.*s\"}", KEY_ID_TEXT - 1, what->id);
    return audit_append(db, what->actor, "key.revoke", objects, NULL, NULL, note);
}

enum err store_key_revoke(struct store *store, const char *id, const char *actor, struct err_note *note)
{
    struct stamp what = {.id = id, .now_ms = clock_unix_ms(), .actor = actor};

    return db_change(store, revoke_apply, &what, NULL, note);
}

/* ---- Looking up --------------------------------------------------------------------------------------------------- */

enum err store_key_get(struct store *store, const char *id, struct arena *mem, struct key_row *ret,
                       struct err_note *note)
{
    struct stored_key row = {0};
    enum err err = one_read(store, COLUMNS "WHERE id = ?1", (const struct db_value[]){db_text(id), {0}}, stored_read,
                            mem, &row, "there is no key with this id", note);
    if (err == ERR_NONE) {
        *ret = row.key;
    }
    return err;
}

enum err store_key_list(struct store *store, const struct store_page *page, struct arena *mem, struct key_row **ret,
                        int *ret_count, const char **ret_next, struct err_note *note)
{
    int64_t after = 0;
    void *rows = NULL;
    int count = 0;
    const char *next = NULL;
    enum err err = page_start(page, &after, note);

    if (err != ERR_NONE) {
        return err;
    }
    err =
        list_read(store,
                  &(struct list_plan){.sql = COLUMNS "WHERE row_id > ?1 ORDER BY row_id LIMIT ?2",
                                      .values = (const struct db_value[]){db_int(after), db_int(page->limit + 1), {0}},
                                      .limit = page->limit,
                                      .row_bytes = sizeof(struct stored_key),
                                      .read = stored_read,
                                      .row_id = stored_row_id},
                  mem, &rows, &count, &next, note);
    if (err != ERR_NONE) {
        return err;
    }
    struct key_row *keys = ARENA_ARRAY(mem, struct key_row, count);
    if (keys == NULL) {
        return arena_why(mem);
    }
    for (int i = 0; i < count; i++) {
        keys[i] = ((const struct stored_key *)rows)[i].key;
    }
    *ret = keys;
    *ret_count = count;
    *ret_next = next;
    return ERR_NONE;
}

static enum err count_read(sqlite3_stmt *statement, struct arena *mem, void *ret_row)
{
    (void)mem;
    *(int64_t *)ret_row = sqlite3_column_int64(statement, 0);
    return ERR_NONE;
}

enum err store_key_count(struct store *store, unsigned scopes_wanted, int64_t now_ms, int64_t *ret,
                         struct err_note *note)
{
    return one_read(store,
                    "SELECT count(*) FROM api_keys WHERE scopes & ?1 = ?1 AND revoked_ms = 0 "
                    "AND (expires_ms = 0 OR expires_ms > ?2)",
                    (const struct db_value[]){db_int(scopes_wanted), db_int(now_ms), {0}}, count_read, NULL, ret, "",
                    note);
}
