/*
 * key_rows.h: API keys.  Only a hash of a key is stored: keys that we make hold 256 random bits, so a fast hash is enough.
 */
#ifndef SERVER_STORE_KEY_ROWS_H
#define SERVER_STORE_KEY_ROWS_H

#include "server/store/store.h"

/* What a key may do; admin does not include the others. */
enum scope {
    SCOPE_IDENTIFY = 1,
    SCOPE_ENROLL = 2,
    SCOPE_DELETE = 4,
    SCOPE_IMAGES = 8,
    SCOPE_ADMIN = 16,
    SCOPE_ALL = 31
};

/* The word of one scope ("identify"), and back; an unknown word returns 0. */
const char *scope_word(enum scope scope);
unsigned scope_from_word(const char *word);

#define KEY_ID_TEXT 13     /* 12 characters and the terminating zero; stands in the key's text, logs and audit rows */
#define KEY_SECRET_TEXT 64 /* room for "afk_<id>_<43 characters>" and the terminating zero */
#define KEY_GIVEN_LEAST 16 /* characters that a key chosen by the operator has at least */

struct key_row {
    char id[KEY_ID_TEXT];
    const char *name;
    unsigned scopes;       /* enum scope bits */
    int64_t collection_id; /* the only one it may touch; 0: all */
    int64_t created_ms;
    int64_t expires_ms;   /* 0: never */
    int64_t last_used_ms; /* to within an hour; 0: never */
    int64_t revoked_ms;   /* 0: not revoked */
};

struct key_new {
    const char *name;
    unsigned scopes;
    int64_t collection_id; /* 0: all */
    int64_t expires_ms;    /* 0: never */
};

/*
 * Makes a key.  ret_secret is the only copy of its text: show it once, then mem_wipe it.
 * Errors: ERR_MISUSE no scope, or unknown bits, expired already; ERR_NOT_FOUND the collection; as store_name_check.
 */
MUST_CHECK enum err store_key_add(struct store *store, const struct key_new *what, const char *actor, struct arena *mem,
                                  struct key_row *ret, char ret_secret[KEY_SECRET_TEXT], struct err_note *note);

/*
 * Takes a key whose text the operator chose (the bootstrap key), or finds the one with that text, which is left as it is.
 * Errors: ERR_MISUSE shorter than KEY_GIVEN_LEAST or longer than 255 characters, or not printable ASCII; ERR_CONFLICT that
 *         key has been revoked; as store_key_add.
 */
MUST_CHECK enum err store_key_give(struct store *store, const struct key_new *what, const char *secret,
                                   const char *actor, struct arena *mem, struct key_row *ret, struct err_note *note);

/*
 * Who is it: finds the key with this text, compared in constant time.
 * Errors: ERR_NOT_FOUND no key has it; ERR_CONFLICT it is revoked; ERR_DENIED it has expired at now_ms.
 */
MUST_CHECK enum err store_key_check(struct store *store, const char *secret, int64_t now_ms, struct arena *mem,
                                    struct key_row *ret, struct err_note *note);

/* Remembers that a key was used; writes only if the row is more than an hour behind, so most calls cost nothing. */
MUST_CHECK enum err store_key_touch(struct store *store, const struct key_row *key, int64_t now_ms,
                                    struct err_note *note);

/* Errors: ERR_NOT_FOUND. */
MUST_CHECK enum err store_key_get(struct store *store, const char *id, struct arena *mem, struct key_row *ret,
                                  struct err_note *note);

/* In the order of creation, revoked ones too; *ret_next is NULL at the end of the list. */
MUST_CHECK enum err store_key_list(struct store *store, const struct store_page *page, struct arena *mem,
                                   struct key_row **ret, int *ret_count, const char **ret_next, struct err_note *note);

/* From the return on the key opens nothing.  A second time changes nothing.  Errors: ERR_NOT_FOUND. */
MUST_CHECK enum err store_key_revoke(struct store *store, const char *id, const char *actor, struct err_note *note);

/* How many keys with all of these scopes are neither revoked nor expired at now_ms: is there an admin? */
MUST_CHECK enum err store_key_count(struct store *store, unsigned scopes, int64_t now_ms, int64_t *ret,
                                    struct err_note *note);

#endif
