/*
 * store.h: the rows: the one truth of the daemon, in one file on disk.
 *
 * A store opens the database, brings its schema up to date and lends connections to the functions of this folder's other
 * headers; each of those is one statement of fact ("enroll these faces", "the faces of this subject").  Nothing here decides
 * anything about faces, and no type of the database library crosses these headers, so that another database can stand
 * behind them.
 *
 * Changes: every function that writes is one transaction: on its return the change is on the disk (synchronous), on an
 *          error nothing of it is.  Changes are ordered; a read sees every change that had returned before it began.
 * Names:   a row has a row id (int64, never used twice, for use inside the process) and, where the outside world sees it, a
 *          UUID.  Looking up by name, by UUID and by row id are different functions; none guesses.
 * Owns:    texts and arrays that are returned are carved from the arena given and die with it.
 * Threads: any number may call anything on one store; the arena belongs to the caller's thread.
 * Errors:  besides what each function names, all of them: ERR_NOMEM, ERR_LIMIT (the arena is spent), ERR_BUSY (another
 *          process holds the database longer than busy_ms), ERR_NO_SPACE (reads go on), ERR_CORRUPT (the note names what),
 *          ERR_IO, ERR_FOREIGN.
 */
#ifndef SERVER_STORE_STORE_H
#define SERVER_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/arena.h"
#include "core/base/err.h"

struct store;

struct store_options {
    int busy_ms;       /* how long another process's lock is waited for; 0: 5000 */
    int64_t max_bytes; /* the database file grows no further: then ERR_NO_SPACE; 0: as far as the disk goes */
};

/*
 * Opens the database file, making it (mode 0600) if it is not there or empty, and migrates an older one.
 * Errors: ERR_FORMAT the file is something else; ERR_UNSUPPORTED it was written by a newer arcfaced; ERR_NOT_FOUND the folder
 *         is not there; ERR_DENIED.  The file is then as it was.
 */
MUST_CHECK enum err store_open(const char *path, const struct store_options *options, struct store **ret,
                               struct err_note *note);

/*
 * Ends all connections and leaves a single file behind.  No other call may be running.  NULL does nothing.
 * Errors: ERR_BUSY, ERR_IO, ERR_NO_SPACE: the write-ahead log could not be folded into the database and lies beside it;
 *         nothing is lost, and the store is closed all the same.
 */
enum err store_close(struct store *store, struct err_note *note);

/* The number of the newest migration compiled in, which is the schema of every open store. */
int store_schema(void);

/*
 * What is to be done after a change is on the disk: bringing what is derived from the rows (the index) up to date, in the
 * order of the rows.  It runs once, on the thread that wrote (which may be that of another change in the same commit), before the
 * function that took it returns; not at all if that fails.  It must not write to the store.
 */
struct after_commit {
    void (*call)(void *context);
    void *context;
};

/* ---- What comes from outside is checked here, in one place -------------------------------------------------------- */

#define STORE_NAME_BYTES 255   /* longest name of a subject, a collection, a key; also an external id */
#define STORE_JSON_BYTES 16384 /* longest metadata and settings */
#define STORE_PAGE_LIMIT 1000  /* longest page of a list */
#define STORE_UUID_TEXT 37     /* as RANDOM_UUID_TEXT: 36 characters and the terminating zero */

/* A name: 1 to 255 bytes of valid UTF-8 without control characters.  what ("the subject's name") begins the sentence.
 * Errors: ERR_MISUSE, ERR_FORMAT not UTF-8. */
MUST_CHECK enum err store_name_check(const char *what, const char *name, struct err_note *note);

/* A JSON object of at most 16 KiB.  Errors: ERR_MISUSE too long, not an object; ERR_FORMAT not JSON. */
MUST_CHECK enum err store_json_check(const char *what, const char *json, struct err_note *note);

/* ---- Lists -------------------------------------------------------------------------------------------------------- */

/*
 * Which part of a list: it is walked by key, so that rows added or deleted meanwhile neither repeat nor hide others.
 * Errors of every list: ERR_MISUSE limit outside 1..STORE_PAGE_LIMIT; ERR_FORMAT a token that no list gave.
 */
struct store_page {
    int limit;
    const char *token; /* what the page before gave as next; NULL or "" begins */
};

/* ---- Erasure and upkeep ------------------------------------------------------------------------------------------- */

/* What an erasure did; it also stands in the audit log, by ids alone. */
struct receipt {
    int64_t audit_id;
    char audit_hash[65]; /* hexadecimal: the log's chain up to and including this entry */
    int64_t at_ms;
    int64_t n_subjects, n_faces, n_embeddings, n_crops, n_photos;
    int64_t n_photos_kept; /* they show what went, and others who are enrolled still */
    int64_t *face_ids;     /* n_faces row ids that the index must forget; NULL when a whole collection went */
    int64_t subject_id, collection_id; /* row id of the subject or the collection that went; 0: none did */
    bool
        scrubbed; /* no file of the database holds the bytes any more; false: a long read keeps them in its log as yet */
};

/*
 * Makes erased bytes leave the files: freed space in the database is overwritten as it is freed, so what remains is the
 * write-ahead log, which is folded in and cut to nothing.  Every erasing function does so before it returns; this is for other
 * callers, and cheap when there is nothing to do.
 * Errors: ERR_BUSY a reader or another process still uses the log: the bytes go with a later call.
 */
MUST_CHECK enum err store_scrub(struct store *store, struct err_note *note);

/*
 * Counts the bytes of a database file that belong to no row and are not zero: beside the rows of its pages, and in its free
 * pages.  The file must not be open in this process; its log, which must be empty, is the caller's to look at.
 * Errors: ERR_NOT_FOUND, ERR_DENIED, ERR_IO; ERR_FORMAT it is no database of this program's format.
 */
MUST_CHECK enum err store_unused_bytes(const char *path, int64_t *ret, struct err_note *note);

/* Gives at most n_pages free pages back to the file system; says how many it gave and how many remain. */
MUST_CHECK enum err store_shrink(struct store *store, int n_pages, int64_t *ret_given, int64_t *ret_left,
                                 struct err_note *note);

/* Reads the whole database file for structural damage.  Errors: ERR_CORRUPT, the note holds the first finding. */
MUST_CHECK enum err store_check(struct store *store, struct err_note *note);

#endif
