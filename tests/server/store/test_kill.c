/* test_kill.c: a process that enrolls and deletes is killed at any moment; what it had acknowledged is there. */
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "tests/server/store/fixture.h"

#define ROUNDS 20

/* What the child writes after each change has returned. */
struct acknowledged {
    int64_t face_id;
    int64_t is_delete;
};

/* Enrolls until it is killed; every fourth face is deleted again. */
static void child_run(struct fixture *f, int round, int pipe_end)
{
    struct store *store = NULL;
    struct arena *mem = arena_new((size_t)1 << 20);

    if (mem == NULL || store_open(f->path, NULL, &store, NULL) != ERR_NONE) {
        _exit(1);
    }
    f->store = store;
    for (int i = 0;; i++) {
        struct enrolled enrolled;
        struct receipt receipt;
        struct acknowledged said = {0};
        char name[32];
        (void)snprintf(name, sizeof name, "round %d number %d", round, i);
        if (enroll_sample(f, name, (uint64_t)i, mem, &enrolled, NULL) != ERR_NONE) {
            _exit(2);
        }
        said.face_id = enrolled.faces[0].id;
        if (write(pipe_end, &said, sizeof said) != (ssize_t)sizeof said) {
            _exit(3);
        }
        if (i % 4 == 3) {
            if (store_face_delete(store, said.face_id, "key1", NULL, mem, &receipt, NULL) != ERR_NONE) {
                _exit(4);
            }
            said.is_delete = 1;
            if (write(pipe_end, &said, sizeof said) != (ssize_t)sizeof said) {
                _exit(5);
            }
        }
        arena_reset(mem);
    }
}

/* Reads what the child had said before it died. */
static int acknowledged_read(int pipe_end, struct acknowledged *ret, int room)
{
    int n = 0;

    while (n < room && read(pipe_end, &ret[n], sizeof *ret) == (ssize_t)sizeof *ret) {
        n++;
    }
    assert_true(n < room);
    return n;
}

static void acknowledged_check(struct fixture *f, const struct acknowledged *said, int n)
{
    struct face_row face;
    float vector[DIM];

    for (int i = 0; i < n; i++) {
        bool deleted = said[i].is_delete != 0 || (i + 1 < n && said[i + 1].is_delete != 0);
        struct err_note found = {0};
        enum err err = store_face_get(f->store, said[i].face_id, f->mem, &face, &found);
        if (deleted) {
            assert_int_equal(err, ERR_NOT_FOUND);
        } else if (i + 1 == n && err == ERR_NOT_FOUND) {
            continue; /* it may have been deleted, and the word of it not written */
        } else {
            assert_int_equal(err, ERR_NONE);
            assert_true(face.has_crop);
            GOOD(store_embedding_get(f->store, face.id, f->model_id, vector, DIM, NULL, &note));
        }
        arena_reset(f->mem);
    }
}

static void test_kill(void **state)
{
    struct fixture f;
    struct random random = random_seeded(20, 9);
    static struct acknowledged said[100000];
    int sum = 0;

    (void)state;
    fixture_open(&f);
    for (int round = 0; round < ROUNDS; round++) {
        int ends[2];
        int status;
        GOOD(store_close(f.store, &note));
        f.store = NULL;
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            (void)close(ends[0]);
            child_run(&f, round, ends[1]);
        }
        (void)close(ends[1]);
        /* A moment drawn by chance after its first word; where it falls is the machine's, what must hold is the same. */
        struct pollfd first = {.fd = ends[0], .events = POLLIN};
        assert_int_equal(poll(&first, 1, 30000), 1);
        (void)usleep((useconds_t)random_below(&random, 30000));
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status)); /* it did not end by an error of its own */
        int n = acknowledged_read(ends[0], said, (int)(sizeof said / sizeof said[0]));
        (void)close(ends[0]);
        sum += n;

        int64_t n_audit;
        struct embedding_counts counts;
        GOOD(store_open(f.path, NULL, &f.store, &note));
        acknowledged_check(&f, said, n);
        GOOD(store_check(f.store, &note));
        GOOD(store_checksum_verify(f.store, NULL, NULL, NULL, &note));
        GOOD(store_audit_verify(f.store, &n_audit, NULL, &note));
        GOOD(store_embedding_count(f.store, f.collection_id, f.model_id, &counts, &note));
        assert_int_equal(counts.n_missing, 0); /* nothing is half there */
    }
    assert_true(sum > ROUNDS);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
