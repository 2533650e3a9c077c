/* test_jobs_threads.c: jobs run, report, fail, stop, are cancelled and taken up again. */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "server/jobs/jobs.h"
#include "server/jobs/maintenance.h"
#include "tests/server/store/fixture.h"

/* The kinds of these tests, and a gate at which one waits until the test opens it. */
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    bool reached;
    int attempts;
    char checkpoint[32];
    int n_changes;
    enum job_state last;
};

static struct gate gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};

static void gate_clear(void)
{
    gate.reached = false;
    gate.attempts = 0;
    gate.checkpoint[0] = '\0';
    gate.n_changes = 0;
}

/* Waits with a deadline for what the worker does. */
static void gate_wait(bool (*is_so)(void))
{
    struct timespec until;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    (void)pthread_mutex_lock(&gate.lock);
    while (!is_so()) {
        if (pthread_cond_timedwait(&gate.moved, &gate.lock, &until) != 0) {
            (void)pthread_mutex_unlock(&gate.lock);
            fail_msg("the worker did not come that far");
        }
    }
    (void)pthread_mutex_unlock(&gate.lock);
}

static bool is_reached(void)
{
    return gate.reached;
}

static bool has_ended(void)
{
    return gate.n_changes > 0 && gate.last != JOB_RUNNING && gate.last != JOB_QUEUED;
}

static void watch(void *context, const struct job_row *row)
{
    (void)context;
    (void)pthread_mutex_lock(&gate.lock);
    gate.n_changes++;
    gate.last = row->state;
    (void)pthread_cond_broadcast(&gate.moved);
    (void)pthread_mutex_unlock(&gate.lock);
}

static enum err run_count(void *context, struct job_run *run, struct arena *mem, const char **ret_result,
                          struct err_note *note)
{
    (void)context;
    (void)note;
    for (int i = 1; i <= 1000; i++) {
        job_run_progress(run, i, 1000, "steps");
    }
    *ret_result = arena_format(mem, "{\"arguments\":%s}", job_run_row(run)->arguments);
    return *ret_result == NULL ? arena_why(mem) : ERR_NONE;
}

static enum err run_fail(void *context, struct job_run *run, struct arena *mem, const char **ret_result,
                         struct err_note *note)
{
    (void)context;
    (void)run;
    (void)mem;
    (void)ret_result;
    return ERR_SAY(note, ERR_CONFLICT, "there are only %d people", 3);
}

/* The disk fails it as often as the arguments say. */
static enum err run_torn(void *context, struct job_run *run, struct arena *mem, const char **ret_result,
                         struct err_note *note)
{
    int times = 0;
    const int attempts = job_run_row(run)->attempts;

    (void)context;
    (void)sscanf(job_run_row(run)->arguments, "{\"times\":%d}", &times);
    if (attempts <= times) {
        /* The worker judges by the same: who keeps something for the next attempt knows whether there is one. */
        if (job_run_goes_on(run, ERR_IO) != (attempts <= 2 && strcmp(job_run_row(run)->kind, "torn") == 0)) {
            return ERR_SAY(note, ERR_CORRUPT, "it is told wrongly whether it goes on");
        }
        return ERR_SAY(note, ERR_IO, "disk I/O error %d", attempts);
    }
    *ret_result = arena_format(mem, "{\"attempts\":%d}", attempts);
    return *ret_result == NULL ? arena_why(mem) : ERR_NONE;
}

/* Stores a checkpoint, says so at the gate, and waits until it is cancelled; a second attempt ends at once. */
static enum err run_until_cancelled(void *context, struct job_run *run, struct arena *mem, const char **ret_result,
                                    struct err_note *note)
{
    const struct job_row *row = job_run_row(run);

    (void)context;
    (void)mem;
    (void)pthread_mutex_lock(&gate.lock);
    gate.attempts = row->attempts;
    (void)snprintf(gate.checkpoint, sizeof gate.checkpoint, "%s", row->checkpoint == NULL ? "" : row->checkpoint);
    (void)pthread_mutex_unlock(&gate.lock);
    if (row->checkpoint != NULL) {
        *ret_result = "{\"resumed\":true}";
        return ERR_NONE;
    }
    job_run_progress(run, 3, 9, "steps");
    enum err err = job_run_checkpoint(run, "step 3", note);
    if (err != ERR_NONE) {
        return err;
    }
    (void)pthread_mutex_lock(&gate.lock);
    gate.reached = true;
    (void)pthread_cond_broadcast(&gate.moved);
    (void)pthread_mutex_unlock(&gate.lock);
    while (!cancel_asked(job_run_cancel(run))) {
        (void)sched_yield();
    }
    return ERR_CANCELLED;
}

static struct job_handler handlers[] = {
    {.kind = "count", .run = run_count},
    {.kind = "fail", .run = run_fail},
    {.kind = "long", .resumable = true, .run = run_until_cancelled},
    {.kind = "torn", .resumable = true, .tries_again = true, .run = run_torn},
    {.kind = "torn once", .resumable = true, .run = run_torn},
    {.kind = "fragile", .run = run_until_cancelled},
    {.kind = MAINTENANCE_KIND}, /* set in main */
};
#define N_HANDLERS ((int)(sizeof handlers / sizeof handlers[0]))

static const struct job_watcher watcher = {.changed = watch};

static void start(struct fixture *f, struct jobs **ret)
{
    GOOD(jobs_start(f->store, handlers, N_HANDLERS, &watcher, ret, &note));
}

/* Adds a job and waits until it has ended. */
static struct job_row job_finish(struct fixture *f, struct jobs *jobs, const char *kind, const char *arguments)
{
    struct job_row row;
    int64_t id;

    (void)pthread_mutex_lock(&gate.lock);
    gate_clear();
    (void)pthread_mutex_unlock(&gate.lock);
    GOOD(store_job_add(f->store, kind, 0, arguments, "key1", NULL, &id, &note));
    jobs_wake(jobs);
    gate_wait(has_ended);
    GOOD(store_job_get(f->store, id, f->mem, &row, &note));
    return row;
}

static void test_ends(void **state)
{
    static const struct {
        const char *kind;
        enum job_state expected;
        const char *error;
        const char *word; /* of the result or the sentence */
    } rows[] = {{"count", JOB_SUCCEEDED, NULL, "{\"arguments\":{\"x\":1}}"},
                {"fail", JOB_FAILED, "conflict", "only 3 people"},
                {"unheard of", JOB_FAILED, "unsupported", "unheard of"},
                {MAINTENANCE_KIND, JOB_SUCCEEDED, NULL, "audit_hash"}};
    struct fixture f;
    struct jobs *jobs;

    (void)state;
    fixture_open(&f);
    start(&f, &jobs);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct job_row row = job_finish(&f, jobs, rows[i].kind, "{\"x\":1}");
        const char *said = row.state == JOB_FAILED ? row.sentence : row.result;
        if (row.state != rows[i].expected || said == NULL || strstr(said, rows[i].word) == NULL ||
            (rows[i].error != NULL && strcmp(rows[i].error, row.error) != 0)) {
            fail_msg("row %zu: %s: %s", i, job_state_word(row.state), said == NULL ? "-" : said);
        }
        assert_true(row.finished_ms >= row.started_ms && row.started_ms > 0);
    }
    struct job_row counted;
    GOOD(store_job_get(f.store, 1, f.mem, &counted, &note));
    assert_int_equal(counted.done, 1000); /* the last report is never lost */
    assert_string_equal(counted.unit, "steps");
    jobs_stop(jobs);
    fixture_close(&f);
}

static void test_disk_failures(void **state)
{
    static const struct {
        const char *kind, *arguments;
        enum job_state expected;
        const char *word;
    } rows[] = {{"torn", "{\"times\":2}", JOB_SUCCEEDED, "{\"attempts\":3}"},
                {"torn", "{\"times\":3}", JOB_FAILED, "disk I/O error 3"},
                {"torn", "{\"times\":1}", JOB_SUCCEEDED, "{\"attempts\":2}"},
                {"torn once", "{\"times\":1}", JOB_FAILED, "disk I/O error 1"}};
    struct fixture f;
    struct jobs *jobs;

    (void)state;
    fixture_open(&f);
    start(&f, &jobs);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct job_row row = job_finish(&f, jobs, rows[i].kind, rows[i].arguments);
        assert_int_equal(row.state, rows[i].expected);
        assert_string_equal(row.state == JOB_FAILED ? row.sentence : row.result, rows[i].word);
    }
    jobs_stop(jobs);
    fixture_close(&f);
}

static void test_cancel(void **state)
{
    struct fixture f;
    struct jobs *jobs;
    struct job_row row;
    enum job_state now;
    int64_t id;
    int64_t waiting;

    (void)state;
    fixture_open(&f);
    gate_clear();
    start(&f, &jobs);
    GOOD(store_job_add(f.store, "long", 0, "{}", "key1", NULL, &id, &note));
    GOOD(store_job_add(f.store, "count", 0, "{}", "key1", NULL, &waiting, &note));
    jobs_wake(jobs);
    gate_wait(is_reached);
    GOOD(jobs_cancel(jobs, waiting, "key1", NULL, &now, &note));
    assert_int_equal(now, JOB_CANCELLED);
    GOOD(jobs_cancel(jobs, id, "key1", NULL, &now, &note));
    assert_int_equal(now, JOB_RUNNING);
    gate_wait(has_ended);
    GOOD(store_job_get(f.store, id, f.mem, &row, &note));
    assert_int_equal(row.state, JOB_CANCELLED);
    FAILS(ERR_CONFLICT, jobs_cancel(jobs, id, "key1", NULL, &now, &note));
    FAILS(ERR_NOT_FOUND, jobs_cancel(jobs, 99, "key1", NULL, &now, &note));
    jobs_stop(jobs);
    fixture_close(&f);
}

/* The daemon stops while a job runs, then starts again. */
static void test_stop(void **state)
{
    static const struct {
        const char *kind;
        enum job_state stopped;
        enum job_state after;
    } rows[] = {{"long", JOB_QUEUED, JOB_SUCCEEDED}, {"fragile", JOB_FAILED, JOB_FAILED}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture f;
        struct jobs *jobs;
        struct job_row row;
        int64_t id;
        fixture_open(&f);
        gate_clear();
        start(&f, &jobs);
        GOOD(store_job_add(f.store, rows[i].kind, 0, "{}", "key1", NULL, &id, &note));
        jobs_wake(jobs);
        gate_wait(is_reached);
        jobs_stop(jobs);
        GOOD(store_job_get(f.store, id, f.mem, &row, &note));
        assert_int_equal(row.state, rows[i].stopped);
        assert_string_equal(row.checkpoint, "step 3");
        assert_int_equal(row.done, 3);
        if (row.state == JOB_FAILED) {
            assert_non_null(strstr(row.sentence, "the daemon stopped while"));
        } else {
            gate_clear();
            start(&f, &jobs);
            gate_wait(has_ended);
            jobs_stop(jobs);
            assert_int_equal(gate.attempts, 2);
            assert_string_equal(gate.checkpoint, "step 3");
        }
        GOOD(store_job_get(f.store, id, f.mem, &row, &note));
        assert_int_equal(row.state, rows[i].after);
        fixture_close(&f);
    }
}

/* The daemon was killed while a job ran: its row still says running. */
static void test_recover(void **state)
{
    static const struct {
        const char *kind;
        bool cancelled;
        enum job_state after;
    } rows[] = {{"long", false, JOB_SUCCEEDED},
                {"long", true, JOB_CANCELLED},
                {"fragile", false, JOB_FAILED},
                {"unheard of", false, JOB_FAILED}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture f;
        struct jobs *jobs;
        struct job_row row;
        enum job_state now;
        int64_t id;
        fixture_open(&f);
        GOOD(store_job_add(f.store, rows[i].kind, 0, "{}", "key1", NULL, &id, &note));
        GOOD(store_job_claim(f.store, f.mem, &row, &note));
        GOOD(store_job_progress(f.store, id, 4, 9, "steps", "step 4", &note));
        if (rows[i].cancelled) {
            GOOD(store_job_cancel(f.store, id, "key1", NULL, &now, &note));
        }
        gate_clear();
        start(&f, &jobs);
        if (rows[i].after == JOB_SUCCEEDED) {
            gate_wait(has_ended);
        }
        jobs_stop(jobs);
        GOOD(store_job_get(f.store, id, f.mem, &row, &note));
        if (row.state != rows[i].after) {
            fail_msg("row %zu: %s", i, job_state_word(row.state));
        }
        if (row.state == JOB_FAILED) {
            assert_non_null(strstr(row.sentence, "the daemon stopped while"));
        }
        fixture_close(&f);
    }
}

static void test_maintenance_finds_damage(void **state)
{
    struct fixture f;
    struct jobs *jobs;
    struct enrolled enrolled;

    (void)state;
    fixture_open(&f);
    GOOD(enroll_sample(&f, "Ada", 1, f.mem, &enrolled, &note));
    raw_sql(f.path, "UPDATE embeddings SET norm = 3");
    start(&f, &jobs);
    struct job_row row = job_finish(&f, jobs, MAINTENANCE_KIND, "{}");
    assert_int_equal(row.state, JOB_FAILED);
    assert_string_equal(row.error, "corrupt");
    assert_non_null(strstr(row.sentence, "face 1"));
    jobs_stop(jobs);
    jobs_stop(NULL);
    jobs_wake(NULL);
    fixture_close(&f);
}

static void test_start_without_memory(void **state)
{
    struct fixture f;
    struct jobs *jobs = NULL;

    (void)state;
    fixture_open(&f);
    for (long n = 0; n < 2; n++) {
        mem_fail_at(n);
        enum err err = jobs_start(f.store, handlers, N_HANDLERS, NULL, &jobs, NULL);
        mem_fail_at(-1);
        assert_int_equal(err, ERR_NOMEM);
        assert_null(jobs);
    }
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_disk_failures),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_recover),
        cmocka_unit_test(test_maintenance_finds_damage),
        cmocka_unit_test(test_start_without_memory),
    };
    handlers[N_HANDLERS - 1] = maintenance_handler();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
