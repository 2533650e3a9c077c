/* test_writer_threads.c: changes that share a commit: each gets its own verdict, and what is derived follows in their order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "server/store/writer_private.h"

#define DEADLINE_NS 20000000000LL
#define MEMBERS 7

static struct writer writer;
static char folder[64], path[96];
static atomic_int n_commits;
static int followed[MEMBERS + 1]; /* by the thread that leads, under the writer's turn */
static int n_followed;

static int count_commit(void *context)
{
    (void)context;
    atomic_fetch_add(&n_commits, 1);
    return 0;
}

static int open_all(void **state)
{
    struct db *db = NULL;

    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/test_writer_XXXXXX");
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    (void)snprintf(path, sizeof path, "%s/w.db", folder);
    int fd = open(path, O_CREAT | O_RDWR, 0600);
    (void)close(fd);
    n_followed = 0;
    if (db_open(path, 1000, DB_WRITER, &db, NULL) != ERR_NONE || writer_init(&writer, db, path, 1000) != ERR_NONE ||
        db_script(db, "PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, who INTEGER UNIQUE)", NULL) !=
            ERR_NONE) {
        return -1;
    }
    atomic_store(&n_commits, 0);
    (void)sqlite3_commit_hook(db->handle, count_commit, NULL);
    return 0;
}

static int close_all(void **state)
{
    char command[128];

    (void)state;
    writer_release(&writer);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

enum kind {
    INSERT, /* and succeed */
    REFUSE, /* insert, and say no */
    END,    /* insert, and end the whole transaction, as a full disk does */
    HOLD_ON /* insert when as many others wait as shall share the next commit */
};

struct member {
    pthread_t thread;
    enum kind kind;
    int number, who;
    int wait_for; /* HOLD_ON */
    int n_runs;
    enum err err;
    struct err_note note;
};

static int waiting(void)
{
    (void)pthread_mutex_lock(&writer.lock);
    int n = writer.n_waiting;
    (void)pthread_mutex_unlock(&writer.lock);
    return n;
}

static enum err member_apply(struct db *db, void *context, struct err_note *note)
{
    struct member *m = context;
    int64_t end = clock_monotonic_ns() + DEADLINE_NS;

    m->n_runs++;
    while (m->kind == HOLD_ON && waiting() < m->wait_for && clock_monotonic_ns() < end) {
        (void)sched_yield();
    }
    enum err err = db_run(db, "INSERT INTO t (who) VALUES (?1)", (const struct db_value[]){db_int(m->who), {0}}, note);
    if (err == ERR_NONE && m->kind == END) {
        db_rollback(db);
        return ERR_SAY(note, ERR_NO_SPACE, "the disk is full");
    }
    return err == ERR_NONE && m->kind == REFUSE ? ERR_SAY(note, ERR_MISUSE, "number %d says no", m->number) : err;
}

static void member_follow(void *context)
{
    const struct member *m = context;
    followed[n_followed++] = m->number;
}

static void *member_run(void *context)
{
    struct member *m = context;
    m->err = writer_change(&writer, member_apply, m, &(struct after_commit){member_follow, m}, &m->note);
    return NULL;
}

/* Runs the first one alone and the others together, in the order given. */
static void run_together(struct member *members, int n)
{
    int64_t end = clock_monotonic_ns() + DEADLINE_NS;

    members[0].kind = HOLD_ON;
    members[0].wait_for = n - 1;
    for (int i = 0; i < n; i++) {
        members[i].number = i;
        assert_int_equal(pthread_create(&members[i].thread, NULL, member_run, &members[i]), 0);
        while (i > 0 && waiting() < i && clock_monotonic_ns() < end) { /* the order is that of the queue */
            (void)sched_yield();
        }
        while (i == 0 && clock_monotonic_ns() < end) { /* it has left the queue and is being applied */
            (void)pthread_mutex_lock(&writer.lock);
            bool leads = writer.led && writer.first == NULL;
            (void)pthread_mutex_unlock(&writer.lock);
            if (leads) {
                break;
            }
            (void)sched_yield();
        }
    }
    for (int i = 0; i < n; i++) {
        assert_int_equal(pthread_join(members[i].thread, NULL), 0);
    }
}

static int64_t count_who(int who)
{
    int64_t n = -1;
    struct db *db = writer_hold(&writer);
    assert_int_equal(
        db_integer(db, "SELECT count(*) FROM t WHERE who = ?1", (const struct db_value[]){db_int(who), {0}}, &n, NULL),
        ERR_NONE);
    writer_let_go(&writer);
    return n;
}

/* One of a group is refused, one contradicts a row of the same group: the others are there, in one commit. */
static void test_verdicts(void **state)
{
    struct member m[MEMBERS] = {{.who = 10}, {.who = 11}, {.who = 11}, {.kind = REFUSE, .who = 12},
                                {.who = 13}, {.who = 10}, {.who = 14}};

    (void)state;
    run_together(m, MEMBERS);
    static const enum err errs[MEMBERS] = {ERR_NONE, ERR_NONE, ERR_EXISTS, ERR_MISUSE, ERR_NONE, ERR_EXISTS, ERR_NONE};
    static const int order[] = {0, 1, 4, 6};
    for (int i = 0; i < MEMBERS; i++) {
        if (m[i].err != errs[i] || m[i].n_runs != 1) {
            fail_msg("member %d: %s (%s) after %d runs", i, err_word(m[i].err), m[i].note.text, m[i].n_runs);
        }
        assert_true((m[i].note.text[0] != '\0') == (errs[i] != ERR_NONE));
    }
    assert_string_equal(m[3].note.text, "number 3 says no");
    assert_int_equal(atomic_load(&n_commits), 2);
    assert_int_equal(n_followed, 4);
    assert_memory_equal(followed, order, sizeof order);
    for (int who = 10; who < 15; who++) {
        assert_int_equal(count_who(who), who == 12 ? 0 : 1);
    }
}

/* The transaction itself fails: whoever was not to blame is committed alone. */
static void test_transaction_lost(void **state)
{
    struct member m[5] = {{.who = 20}, {.who = 21}, {.kind = END, .who = 22}, {.who = 23}, {.who = 21}};
    static const enum err errs[5] = {ERR_NONE, ERR_NONE, ERR_NO_SPACE, ERR_NONE, ERR_EXISTS};
    static const int order[] = {0, 1, 3};

    (void)state;
    run_together(m, 5);
    for (int i = 0; i < 5; i++) {
        if (m[i].err != errs[i]) {
            fail_msg("member %d: %s (%s)", i, err_word(m[i].err), m[i].note.text);
        }
    }
    assert_string_equal(m[2].note.text, "the disk is full");
    assert_string_equal(m[1].note.text, "");
    assert_int_equal(m[1].n_runs, 2); /* once in the group that was lost */
    assert_int_equal(n_followed, 3);
    assert_memory_equal(followed, order, sizeof order);
    assert_int_equal(count_who(21), 1);
    assert_int_equal(count_who(22), 0);
    assert_int_equal(count_who(23), 1);
}

static enum err erase_apply(struct db *db, void *context, struct err_note *note)
{
    (void)context;
    return db_run(db, "DELETE FROM t", NULL, note);
}

struct eraser {
    pthread_t thread;
    enum err err;
    bool scrubbed;
};

static void *eraser_run(void *context)
{
    struct eraser *e = context;
    e->err = writer_erase(&writer, erase_apply, NULL, NULL, &e->scrubbed, NULL);
    return NULL;
}

/* A reader keeps the log when the erasure is committed: the answer waits until it is cut. */
static void test_erasure_waits(void **state)
{
    struct member m = {.who = 30};
    struct db *reader = NULL;
    struct eraser e = {0};
    int64_t n = 0;
    char log[112];
    struct stat status;

    (void)state;
    (void)member_run(&m);
    assert_int_equal(m.err, ERR_NONE);
    assert_int_equal(db_open(path, 1000, DB_READER, &reader, NULL), ERR_NONE);
    assert_int_equal(db_script(reader, "BEGIN", NULL), ERR_NONE);
    assert_int_equal(db_integer(reader, "SELECT count(*) FROM t", NULL, &n, NULL), ERR_NONE);
    assert_int_equal(n, 1);
    assert_int_equal(pthread_create(&e.thread, NULL, eraser_run, &e), 0);
    int64_t end = clock_monotonic_ns() + DEADLINE_NS;
    while (!atomic_load(&writer.scrub_due) && clock_monotonic_ns() < end) {
        (void)sched_yield();
    }
    (void)snprintf(log, sizeof log, "%s-wal", path);
    assert_int_equal(stat(log, &status), 0);
    assert_true(status.st_size > 0);
    assert_int_equal(db_integer(reader, "SELECT count(*) FROM t WHERE id > 0", NULL, &n, NULL), ERR_NONE);
    assert_int_equal(n, 1); /* it still sees its own state */
    db_rollback(reader);
    writer_scrub_due(&writer);
    assert_int_equal(pthread_join(e.thread, NULL), 0);
    assert_int_equal(e.err, ERR_NONE);
    assert_true(e.scrubbed);
    assert_int_equal(stat(log, &status), 0);
    assert_int_equal(status.st_size, 0);
    db_close(reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_verdicts, open_all, close_all),
        cmocka_unit_test_setup_teardown(test_transaction_lost, open_all, close_all),
        cmocka_unit_test_setup_teardown(test_erasure_waits, open_all, close_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
