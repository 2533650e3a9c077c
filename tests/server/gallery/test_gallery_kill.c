/* test_gallery_kill.c: a daemon that is killed loses nothing that it had answered, and keeps nothing by halves. */
#include "tests/server/gallery/fixture.h"

#include <signal.h>
#include <sys/wait.h>

/* What the child tells the parent after each answer. */
struct told {
    char face[37];
    bool deleted;
    float vector[DIM];
};

/* Enrolls and deletes for ever: every third face goes again. */
static void live_until_killed(struct fixture *f, int to)
{
    struct random random = random_seeded(11, 0);

    for (int i = 0;; i++) {
        struct told told = {0};
        struct receipt receipt;
        for (int k = 0; k < DIM; k++) {
            told.vector[k] = (float)random_normal(&random);
        }
        enroll_vector(f, NULL, "somebody", told.vector, DIM, told.face);
        if (write(to, &told, sizeof told) != sizeof told) {
            break;
        }
        if (i % 3 == 0) {
            GOOD(gallery_forget_face(f->worker, told.face, &receipt, &f->fault));
            gallery_worker_reset(f->worker);
            told.deleted = true;
            if (write(to, &told, sizeof told) != sizeof told) {
                break;
            }
        }
    }
}

/* The face that is nearest to a vector, when it is the very same one. */
static bool is_found(struct fixture *f, const struct told *told)
{
    const struct identify_query query = {.embedding = {.values = told->vector, .dim = DIM},
                                         .group = GROUP_BY_FACE,
                                         .threshold = {.has_threshold = true, .threshold = .9999F}};
    struct identify_answer answer;
    bool found = false;

    GOOD(gallery_identify(f->worker, &query, &answer, &f->fault));
    for (int i = 0; i < answer.faces[0].n_candidates; i++) {
        found = found || strcmp(answer.faces[0].candidates[i].face_id, told->face) == 0;
    }
    gallery_worker_reset(f->worker);
    return found;
}

static void check_after_kill(struct fixture *f, const struct told *heard, int n)
{
    struct collection_info info;
    struct gallery_usage usage;
    int64_t entries = 0;
    int left = 0;

    for (int i = 0; i < n; i++) {
        bool deleted = heard[i].deleted || (i + 1 < n && strcmp(heard[i].face, heard[i + 1].face) == 0);
        /* The very last enrolled one may have been deleted without the answer getting out. */
        if (i + 1 < n && is_found(f, &heard[i]) == deleted) {
            fail_msg("answer %d of %d: a face is %s", i, n, deleted ? "back" : "lost");
        }
        left += !deleted;
    }
    GOOD(gallery_collection_get(f->worker, NULL, &info, &f->fault));
    gallery_usage(f->gallery, &usage);
    assert_int_equal(usage.indexed_faces, info.n_faces);
    /* At most one change was on the disk without having been answered. */
    assert_true(info.n_faces >= left - 1 && info.n_faces <= left + 1);
    assert_int_equal(store_check(f->store, NULL), ERR_NONE);
    assert_int_equal(store_audit_verify(f->store, &entries, NULL, NULL), ERR_NONE);
}

static void test_kill_and_reopen(void **state)
{
    static const int after[] = {1, 2, 5, 9, 20}; /* answers until the kill */

    (void)state;
    for (size_t i = 0; i < sizeof after / sizeof after[0]; i++) {
        struct fixture fixture, *f = &fixture;
        struct told heard[32];
        int pipes[2], status = 0, n = 0;
        fixture_open(f, -1);
        fixture_stop(f); /* no connection may cross the fork */
        assert_int_equal(pipe(pipes), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            (void)close(pipes[0]);
            fixture_start(f);
            live_until_killed(f, pipes[1]);
            _exit(1);
        }
        (void)close(pipes[1]);
        while (n < after[i] && read(pipes[0], &heard[n], sizeof heard[0]) == (ssize_t)sizeof heard[0]) {
            n++;
        }
        assert_int_equal(n, after[i]);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        while (n < 32 && read(pipes[0], &heard[n], sizeof heard[0]) == (ssize_t)sizeof heard[0]) {
            n++; /* what it had still answered */
        }
        assert_true(n < 32);
        (void)close(pipes[0]);
        fixture_start(f);
        check_after_kill(f, heard, n);
        fixture_close(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kill_and_reopen)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
