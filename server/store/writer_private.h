/*
 * writer_private.h: the one writer: changes of many threads share a commit.
 *
 * A synchronous commit costs the disk some milliseconds whatever it holds, so changes that arrive while one is under way
 * wait and are committed together by the next.  Whoever finds no writer at work becomes it for one group (there is no thread of
 * its own: a lone change would cross threads twice for nothing).  Inside the transaction each change has a savepoint: one that fails is
 * taken back alone.  When the transaction itself fails (a full disk, a failed sync), that is nobody's verdict: each change of the
 * group is tried again in a transaction of its own.
 */
#ifndef SERVER_STORE_WRITER_PRIVATE_H
#define SERVER_STORE_WRITER_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "server/store/connection_private.h"

#define GROUP_MOST 128           /* changes in one commit */
#define GATHER_MOST_NS 2000000LL /* the longest that a group waits for more, and never longer than a commit takes */
#define FOLD_FRAMES 1000         /* pages in the log from which on it is folded into the database */
#define SCRUB_MOST_MS 5000       /* how long an erasure waits for long readers of the log before it answers */

struct change;

struct writer {
    /* immutable */
    struct db *db;
    const char *path; /* the caller's */
    int busy_ms;

    pthread_mutex_t turn; /* whoever holds it uses db */

    /* guarded by turn */
    int n_frames, fold_at; /* in the log, and from when on it is folded */
    bool sweep_all;        /* which pages to sweep is not known */

    /* guarded by lock, which is taken after turn where both are */
    pthread_mutex_t lock;
    pthread_cond_t arrived;  /* a change, while a group is gathered */
    pthread_cond_t scrubbed; /* n_scrubbed has grown */
    struct change *first, *last;
    int n_waiting;
    bool led;          /* a group is gathered or committed */
    bool gathering;    /* its leader waits for arrived */
    int expected;      /* how many changed at once lately: worth waiting for */
    int64_t commit_ns; /* what the last commit took */
    int64_t n_scrubbed;

    /* any thread (atomic) */
    atomic_llong
        n_erased; /* erasing changes committed; their bytes may lie in the log until n_scrubbed has reached it */
    atomic_bool scrub_due;
};

/* Owns: db is taken, also on an error; path stays the caller's and valid.  Errors: ERR_NOMEM. */
MUST_CHECK enum err writer_init(struct writer *writer, struct db *take, const char *path, int busy_ms);
void writer_release(struct writer *writer);

/* db_change and db_erase, whose contract is in db_private.h. */
MUST_CHECK enum err writer_change(struct writer *writer, db_apply *apply, void *context,
                                  const struct after_commit *after, struct err_note *note);
MUST_CHECK enum err writer_erase(struct writer *writer, db_apply *apply, void *context,
                                 const struct after_commit *after, bool *ret_scrubbed, struct err_note *note);

/* Lends the writing connection for what is no change; between groups. */
struct db *writer_hold(struct writer *writer);
void writer_let_go(struct writer *writer);

/* Folds the log into the database, clears what its pages hold beside rows (sweep_private.h) and cuts it to nothing, waiting this long for readers.  Errors: ERR_BUSY, ERR_IO. */
MUST_CHECK enum err writer_scrub(struct writer *writer, int wait_ms, struct err_note *note);

/* The same if an erasure waits for it and nobody writes: for whoever has ended a read. */
void writer_scrub_due(struct writer *writer);

#endif
