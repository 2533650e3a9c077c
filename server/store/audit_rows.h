/*
 * audit_rows.h: who did what to which ids.  Each entry's hash covers the one before, so that an entry cannot be altered,
 * removed or put in later without the chain showing it; entries hold ids only, never names or vectors, so that erasing a
 * person does not break it.  Every function that changes rows writes its own entry in the same transaction.
 */
#ifndef SERVER_STORE_AUDIT_ROWS_H
#define SERVER_STORE_AUDIT_ROWS_H

#include "server/store/store.h"

/* The actor of what the daemon does by itself: migrations, jobs, first start. */
#define AUDIT_DAEMON "daemon"

struct audit_row {
    int64_t id; /* 1, 2, 3 … without gaps */
    int64_t at_ms;
    const char *actor;   /* key id, or AUDIT_DAEMON */
    const char *action;  /* "face.enroll", "subject.delete" … */
    const char *objects; /* JSON object of ids and counts */
    char hash[65];       /* hexadecimal */
};

/*
 * Adds an entry for what is no change of rows (a photo shown, a backup made).
 * Errors: ERR_MISUSE an actor or action that is empty or longer than 64 bytes, objects longer than 4 KiB; ERR_FORMAT objects
 *         that are not a JSON object.  *ret_id may be NULL.
 */
MUST_CHECK enum err store_audit_add(struct store *store, const char *actor, const char *action, const char *objects,
                                    int64_t *ret_id, struct err_note *note);

/* Oldest first; *ret_next is NULL at the end of the list. */
MUST_CHECK enum err store_audit_list(struct store *store, const struct store_page *page, struct arena *mem,
                                     struct audit_row **ret, int *ret_count, const char **ret_next,
                                     struct err_note *note);

/*
 * Recomputes the chain from its first entry.  ret_hash (may be NULL) gets the last entry's hash: kept elsewhere, it proves
 * later that the whole log was not replaced.
 * Errors: ERR_CORRUPT the note names the first entry that does not follow, or says that the last ones are missing.
 */
MUST_CHECK enum err store_audit_verify(struct store *store, int64_t *ret_count, char ret_hash[65],
                                       struct err_note *note);

#endif
