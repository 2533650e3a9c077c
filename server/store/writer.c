/* writer.c: gathering changes, committing them together, answering each; cutting the log after an erasure. */
#include "server/store/writer_private.h"

#include <assert.h>
#include <time.h>

#include "core/base/clock.h"
#include "core/base/point.h"
#include "server/store/sweep_private.h"

#define SCRUB_STEP_MS 100 /* writers wait this long at most for readers of the log */

/* One change on its way; lives on the stack of the thread that waits for it. */
struct change {
    db_apply *apply;
    void *context;
    const struct after_commit *after;
    struct err_note *note;
    bool erases;

    enum err err;
    int64_t erasure;  /* which one this was; 0: none */
    bool done, leads; /* guarded by the writer's lock */
    pthread_cond_t turned;
    struct change *next;
};

static int log_grew(void *context, sqlite3 *handle, const char *name, int n_frames);

/* ---- Life --------------------------------------------------------------------------------------------------------- */

static bool cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;

    if (pthread_condattr_init(&attr) != 0) {
        return false;
    }
    bool good = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0 && pthread_cond_init(cond, &attr) == 0;
    (void)pthread_condattr_destroy(&attr);
    return good;
}

enum err writer_init(struct writer *writer, struct db *take, const char *path, int busy_ms)
{
    *writer = (struct writer){.db = take, .path = path, .busy_ms = busy_ms, .fold_at = FOLD_FRAMES};
    (void)pthread_mutex_init(&writer->turn, NULL);
    (void)pthread_mutex_init(&writer->lock, NULL);
    if (!cond_init(&writer->arrived) || !cond_init(&writer->scrubbed)) {
        writer_release(writer);
        return ERR_NOMEM;
    }
    (void)sqlite3_wal_hook(take->handle, log_grew, writer); /* in the place of the library's own folding */
    return ERR_NONE;
}

void writer_release(struct writer *writer)
{
    if (writer->db != NULL) {
        db_close(writer->db);
        (void)pthread_cond_destroy(&writer->scrubbed);
        (void)pthread_cond_destroy(&writer->arrived);
        (void)pthread_mutex_destroy(&writer->lock);
        (void)pthread_mutex_destroy(&writer->turn);
    }
    *writer = (struct writer){0};
}

struct db *writer_hold(struct writer *writer)
{
    (void)pthread_mutex_lock(&writer->turn);
    return writer->db;
}

void writer_let_go(struct writer *writer)
{
    (void)pthread_mutex_unlock(&writer->turn);
}

static struct timespec moment(int64_t monotonic_ns)
{
    return (struct timespec){.tv_sec = monotonic_ns / 1000000000, .tv_nsec = monotonic_ns % 1000000000};
}

/* ---- Gathering ---------------------------------------------------------------------------------------------------- */

/* With lock held: waits for as many as have changed at once lately. */
static void gather(struct writer *writer)
{
    int64_t wait_ns = writer->commit_ns < GATHER_MOST_NS ? writer->commit_ns : GATHER_MOST_NS;
    const struct timespec end = moment(clock_monotonic_ns() + wait_ns);
    int wanted = writer->expected < GROUP_MOST ? writer->expected : GROUP_MOST;

    writer->gathering = true;
    while (writer->n_waiting < wanted && pthread_cond_timedwait(&writer->arrived, &writer->lock, &end) == 0) {
    }
    writer->gathering = false;
}

/* With lock held: takes the oldest changes out of the queue. */
static struct change *take_group(struct writer *writer, int *ret_n)
{
    struct change *group = writer->first;
    struct change *last = NULL;
    int n = 0;

    for (struct change *c = group; c != NULL && n < GROUP_MOST; c = c->next) {
        last = c;
        n++;
    }
    assert(last != NULL); /* the leader's own is among them: it was the oldest */
    writer->first = last->next;
    writer->last = last->next == NULL ? NULL : writer->last;
    writer->n_waiting -= n;
    last->next = NULL;
    *ret_n = n;
    return group;
}

/* ---- Committing --------------------------------------------------------------------------------------------------- */

/* Runs one change of several; one that fails leaves nothing.  ERR_NONE although it failed: the transaction goes on. */
static enum err apply_among(struct db *db, struct change *change)
{
    enum err err = db_run(db, "SAVEPOINT change", NULL, NULL);

    if (err != ERR_NONE) {
        return err;
    }
    change->err = change->apply(db, change->context, change->note);
    if (change->err != ERR_NONE) {
        if (db_is_idle(db)) { /* some failures (a full disk) end the whole transaction */
            return change->err;
        }
        err = db_run(db, "ROLLBACK TO change", NULL, NULL);
    }
    return err == ERR_NONE ? db_run(db, "RELEASE change", NULL, NULL) : err;
}

/* All of a group in one transaction; on an error nothing of it is on the disk. */
static enum err commit_group(struct db *db, struct change *group)
{
    enum err err = db_run(db, "BEGIN IMMEDIATE", NULL, NULL);

    if (err != ERR_NONE) {
        return err;
    }
    for (struct change *c = group; err == ERR_NONE && c != NULL; c = c->next) {
        err = apply_among(db, c);
    }
    point_reached("change.applied");
    if (err == ERR_NONE) {
        err = db_run(db, "COMMIT", NULL, NULL);
    }
    if (err != ERR_NONE) {
        db_rollback(db);
    }
    return err;
}

static void commit_alone(struct db *db, struct change *change)
{
    change->err = db_run(db, "BEGIN IMMEDIATE", NULL, change->note);
    if (change->err != ERR_NONE) {
        return;
    }
    change->err = change->apply(db, change->context, change->note);
    point_reached("change.applied");
    if (change->err == ERR_NONE) {
        change->err = db_run(db, "COMMIT", NULL, change->note);
    }
    if (change->err != ERR_NONE) {
        db_rollback(db);
    }
}

/* Those that are on the disk, in the order of their rows. */
static void follow(struct change *group)
{
    for (struct change *c = group; c != NULL; c = c->next) {
        if (c->err == ERR_NONE && c->after != NULL) {
            c->after->call(c->after->context);
        }
    }
}

static void commit(struct writer *writer, struct change *group, int n)
{
    struct db *db = writer->db;

    if (n > 1 && commit_group(db, group) == ERR_NONE) {
        point_reached("change.committed");
        follow(group);
        return;
    }
    for (struct change *c = group; c != NULL; c = c->next) {
        if (n > 1 && c->note != NULL) {
            *c->note = (struct err_note){0}; /* what it said in the transaction that failed */
        }
        commit_alone(db, c);
        point_reached("change.committed");
        if (c->err == ERR_NONE && c->after != NULL) {
            c->after->call(c->after->context);
        }
    }
}

/* ---- Folding the log in, and scrubbing ---------------------------------------------------------------------------- */

static int log_grew(void *context, sqlite3 *handle, const char *name, int n_frames)
{
    struct writer *writer = context;

    (void)handle;
    (void)name;
    writer->n_frames = n_frames;
    return SQLITE_OK;
}

/* With turn held and nobody else in the log: clears what the pages of the log hold beside rows.  The list of them lies in the log
 * itself until it is cut, so a crash before the end is made good at the next start. */
static enum err sweep(struct writer *writer, const struct page_list *pages, struct err_note *note)
{
    struct db *db = writer->db;
    int64_t n_bytes = 0;

    if (pages->n == 0 && !writer->sweep_all) {
        return ERR_NONE;
    }
    enum err err = db_run(db, "BEGIN IMMEDIATE", NULL, note);
    if (err == ERR_NONE) {
        err = sweep_pages(db->handle, writer->sweep_all ? NULL : pages, &n_bytes, note);
        db_rollback(db);
        /* The connection remembers pages as they were, and would write what was cleared again. */
        (void)sqlite3_db_release_memory(db->handle);
    }
    writer->sweep_all = err != ERR_NONE;
    return err;
}

static int checkpoint(struct writer *writer, int mode, int wait_ms, bool *ret_whole)
{
    int n_log = 0;
    int n_folded = 0;

    (void)sqlite3_busy_timeout(writer->db->handle, wait_ms);
    int rc = sqlite3_wal_checkpoint_v2(writer->db->handle, NULL, mode, &n_log, &n_folded);
    (void)sqlite3_busy_timeout(writer->db->handle, writer->busy_ms);
    *ret_whole = rc == SQLITE_OK && n_log == n_folded;
    return rc;
}

/* With turn held: what the log holds goes into the database.  RESTART waits for readers of the log, PASSIVE for nobody. */
static enum err fold(struct writer *writer, int mode, int wait_ms, struct err_note *note)
{
    struct page_list pages = {0};
    bool whole = false;

    if (log_pages(writer->path, &pages) != ERR_NONE) {
        writer->sweep_all = true;
    }
    int rc = checkpoint(writer, mode, wait_ms, &whole);
    point_reached("fold.done");
    writer->fold_at = writer->n_frames + FOLD_FRAMES; /* also when a reader keeps it: not at every change */
    enum err err = rc == SQLITE_OK ? ERR_NONE : db_failed(writer->db, rc, note);
    if (whole) {
        writer->fold_at = FOLD_FRAMES;
        err = sweep(writer, &pages, note);
    }
    page_list_release(&pages);
    return err;
}

/* Makes it durable that the log is empty: else its old content comes back when the power goes. */
static enum err log_sync(struct writer *writer, struct err_note *note)
{
    sqlite3_file *log = NULL;

    int rc = sqlite3_file_control(writer->db->handle, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
    if (rc != SQLITE_OK || log == NULL || log->pMethods == NULL) {
        return ERR_NONE; /* nothing was ever written */
    }
    return log->pMethods->xSync(log, SQLITE_SYNC_NORMAL) == SQLITE_OK
               ? ERR_NONE
               : ERR_SAY(note, ERR_IO, "the write-ahead log cannot be cut");
}

/* With turn held. */
static enum err scrub(struct writer *writer, int wait_ms, struct err_note *note)
{
    int64_t n_erased = atomic_load(&writer->n_erased);
    struct err_note words = {0};
    bool whole = false;

    point_reached("scrub.begin");
    enum err err = fold(writer, SQLITE_CHECKPOINT_RESTART, wait_ms, &words);
    if (err == ERR_NONE) {
        int rc = checkpoint(writer, SQLITE_CHECKPOINT_TRUNCATE, wait_ms, &whole);
        err = rc == SQLITE_OK ? ERR_NONE : db_failed(writer->db, rc, &words);
    }
    if (err == ERR_NONE) {
        err = log_sync(writer, &words);
    }
    atomic_store(&writer->scrub_due, err != ERR_NONE);
    if (err == ERR_BUSY) {
        return ERR_SAY(note, ERR_BUSY, "a reader still uses the write-ahead log");
    }
    if (err != ERR_NONE) {
        return ERR_SAY(note, err, "%s", words.text);
    }
    (void)pthread_mutex_lock(&writer->lock);
    writer->n_scrubbed = n_erased;
    (void)pthread_cond_broadcast(&writer->scrubbed);
    (void)pthread_mutex_unlock(&writer->lock);
    point_reached("scrub.done");
    return ERR_NONE;
}

enum err writer_scrub(struct writer *writer, int wait_ms, struct err_note *note)
{
    (void)pthread_mutex_lock(&writer->turn);
    enum err err = scrub(writer, wait_ms, note);
    (void)pthread_mutex_unlock(&writer->turn);
    return err;
}

void writer_scrub_due(struct writer *writer)
{
    /* While others read or someone writes this costs nothing. */
    if (atomic_load(&writer->scrub_due) && pthread_mutex_trylock(&writer->turn) == 0) {
        (void)scrub(writer, 0, NULL);
        (void)pthread_mutex_unlock(&writer->turn);
    }
}

/* Until the log that held this erasure has been cut, by whoever ends the last read that keeps it, or by ourselves. */
static bool scrub_await(struct writer *writer, int64_t erasure)
{
    int64_t end_ns = clock_monotonic_ns() + SCRUB_MOST_MS * 1000000LL;
    bool done = false;

    for (;;) {
        const struct timespec step = moment(clock_monotonic_ns() + SCRUB_STEP_MS * 1000000LL);
        (void)pthread_mutex_lock(&writer->lock);
        while (writer->n_scrubbed < erasure && pthread_cond_timedwait(&writer->scrubbed, &writer->lock, &step) == 0) {
        }
        done = writer->n_scrubbed >= erasure;
        (void)pthread_mutex_unlock(&writer->lock);
        if (done || clock_monotonic_ns() >= end_ns) {
            return done;
        }
        writer_scrub_due(writer);
    }
}

/* ---- A change ----------------------------------------------------------------------------------------------------- */

/* With turn held: one group from its oldest change to its answers. */
static void lead(struct writer *writer, struct change *group, int n)
{
    bool erased = false;
    int64_t begin = clock_monotonic_ns();

    commit(writer, group, n);
    int64_t commit_ns = clock_monotonic_ns() - begin;
    for (struct change *c = group; c != NULL; c = c->next) {
        if (c->erases && c->err == ERR_NONE) {
            c->erasure = atomic_fetch_add(&writer->n_erased, 1) + 1;
            erased = true;
        }
    }
    if (erased) {
        /* A failure is no failure of the erasure: scrub_due stays, and whoever ends a read next tries again. */
        (void)scrub(writer, SCRUB_STEP_MS, NULL);
    } else if (writer->n_frames >= writer->fold_at) {
        (void)fold(writer, SQLITE_CHECKPOINT_PASSIVE, 0, NULL);
    }
    (void)pthread_mutex_lock(&writer->lock);
    writer->commit_ns = commit_ns;
    writer->expected = n + writer->n_waiting;
    for (struct change *c = group, *next; c != NULL; c = next) {
        next = c->next; /* c is gone once its thread has seen that it is done */
        c->done = true;
        (void)pthread_cond_signal(&c->turned);
    }
    writer->led = writer->first != NULL;
    if (writer->led) {
        writer->first->leads = true;
        (void)pthread_cond_signal(&writer->first->turned);
    }
    (void)pthread_mutex_unlock(&writer->lock);
}

static enum err run(struct writer *writer, struct change *change)
{
    if (!cond_init(&change->turned)) {
        return ERR_NOMEM;
    }
    (void)pthread_mutex_lock(&writer->lock);
    if (writer->first == NULL) {
        writer->first = change;
    } else {
        writer->last->next = change;
    }
    writer->last = change;
    writer->n_waiting++;
    if (writer->gathering) {
        (void)pthread_cond_signal(&writer->arrived);
    }
    change->leads = !writer->led;
    writer->led = true;
    while (!change->done && !change->leads) {
        (void)pthread_cond_wait(&change->turned, &writer->lock);
    }
    if (!change->done) {
        gather(writer);
        (void)pthread_mutex_unlock(&writer->lock);
        (void)pthread_mutex_lock(&writer->turn); /* more may arrive while somebody else has it */
        (void)pthread_mutex_lock(&writer->lock);
        int n = 0;
        struct change *group = take_group(writer, &n);
        (void)pthread_mutex_unlock(&writer->lock);
        lead(writer, group, n);
        (void)pthread_mutex_unlock(&writer->turn);
    } else {
        (void)pthread_mutex_unlock(&writer->lock);
    }
    (void)pthread_cond_destroy(&change->turned);
    if (change->err == ERR_EXISTS || change->err == ERR_CONFLICT) {
        (void)ERR_SAY(change->note, change->err, "the change contradicts a row that is there");
    }
    return change->err;
}

enum err writer_change(struct writer *writer, db_apply *apply, void *context, const struct after_commit *after,
                       struct err_note *note)
{
    struct change change = {.apply = apply, .context = context, .after = after, .note = note};

    return run(writer, &change);
}

enum err writer_erase(struct writer *writer, db_apply *apply, void *context, const struct after_commit *after,
                      bool *ret_scrubbed, struct err_note *note)
{
    struct change change = {.apply = apply, .context = context, .after = after, .note = note, .erases = true};
    enum err err = run(writer, &change);

    if (err == ERR_NONE) {
        *ret_scrubbed = scrub_await(writer, change.erasure);
    }
    return err;
}
