/* test_generation_rows.c: pictures of a person go when the person goes, and what was asked for is kept no longer than needed. */
#include "server/store/generation_rows.h"

#include "tests/server/store/fixture.h"

#include "server/store/face_rows.h"

static int64_t enroll_one(const struct fixture *f, const char *name, uint64_t seed, int64_t *ret_face)
{
    float vector[DIM];
    struct enroll_face face = {.source = FACE_FROM_EMBEDDING, .embedding = vector};
    const struct enroll what = {.collection_id = f->collection_id,
                                .model_id = f->model_id,
                                .subject_name = name,
                                .faces = &face,
                                .n_faces = 1,
                                .actor = "key1"};
    struct enrolled enrolled = {0};

    vector_sample(seed, DIM, vector);
    GOOD(store_enroll(f->store, &what, NULL, f->mem, &enrolled, &note));
    *ret_face = enrolled.faces[0].id;
    return enrolled.subject_id;
}

static int64_t ask(const struct fixture *f, int64_t subject_id, const float *embedding)
{
    const struct generation_new what = {.collection_id = f->collection_id,
                                        .subject_id = subject_id,
                                        .embedding = embedding,
                                        .dim = DIM,
                                        .kind = "generate",
                                        .arguments = "{\"count\":2}",
                                        .actor = "key1"};
    int64_t job = 0;

    GOOD(store_generation_add(f->store, &what, &job, &note));
    return job;
}

static void end_with(const struct fixture *f, int64_t job, int n)
{
    const struct generated_picture pictures[2] = {{.cosine = 0.5, .png = (const unsigned char *)"one", .n_bytes = 3},
                                                  {.cosine = 0.25, .png = (const unsigned char *)"two!", .n_bytes = 4}};

    GOOD(store_generation_end(f->store, job, "daemon", pictures, n, &note));
}

static void test_pictures_of_a_subject(void **state)
{
    struct fixture f;
    struct generation_row row;
    struct generated_picture picture;
    struct receipt receipt;
    int64_t faces[3];

    (void)state;
    fixture_open(&f);
    int64_t ada = enroll_one(&f, "ada", 1, &faces[0]);
    assert_true(enroll_one(&f, "ada", 2, &faces[1]) == ada);
    int64_t bob = enroll_one(&f, "bob", 3, &faces[2]);
    int64_t jobs[3] = {ask(&f, ada, NULL), ask(&f, ada, NULL), ask(&f, bob, NULL)};
    GOOD(store_generation_get(f.store, jobs[0], f.mem, &row, &note));
    assert_true(row.subject_id == ada && row.embedding == NULL);
    end_with(&f, jobs[0], 2);
    end_with(&f, jobs[2], 2);
    end_with(&f, jobs[2], 1); /* an attempt that began again */
    GOOD(store_generated_get(f.store, jobs[0], 2, f.mem, &picture, &note));
    assert_true(picture.cosine == 0.25 && picture.n_bytes == 4 && memcmp(picture.png, "two!", 4) == 0);
    FAILS(ERR_NOT_FOUND, store_generated_get(f.store, jobs[0], 3, f.mem, &picture, &note));
    FAILS(ERR_NOT_FOUND, store_generated_get(f.store, jobs[2], 2, f.mem, &picture, &note));
    GOOD(store_generated_get(f.store, jobs[2], 1, f.mem, &picture, &note));

    /* They were made of all faces: the first that is erased takes them along, also what is still to be made. */
    GOOD(store_face_delete(f.store, faces[0], "key1", NULL, f.mem, &receipt, &note));
    FAILS(ERR_NOT_FOUND, store_generated_get(f.store, jobs[0], 1, f.mem, &picture, &note));
    FAILS(ERR_NOT_FOUND, store_generation_get(f.store, jobs[1], f.mem, &row, &note));
    const struct generated_picture none = {.png = (const unsigned char *)"", .n_bytes = 0};
    FAILS(ERR_NOT_FOUND, store_generation_end(f.store, jobs[1], "daemon", &none, 1, &note));
    FAILS(ERR_NOT_FOUND, store_generated_get(f.store, jobs[1], 1, f.mem, &picture, &note));

    GOOD(store_generated_get(f.store, jobs[2], 1, f.mem, &picture, &note)); /* bob's are there */
    GOOD(store_subject_delete(f.store, bob, "key1", NULL, f.mem, &receipt, &note));
    FAILS(ERR_NOT_FOUND, store_generated_get(f.store, jobs[2], 1, f.mem, &picture, &note));
    GOOD(store_audit_verify(f.store, &(int64_t){0}, NULL, &note));
    fixture_close(&f);
}

static void test_a_given_embedding(void **state)
{
    static const enum job_state ends[] = {JOB_SUCCEEDED, JOB_FAILED, JOB_CANCELLED};
    struct fixture f;
    struct generation_row row;
    struct job_row job;
    enum job_state became;
    float vector[DIM];

    (void)state;
    fixture_open(&f);
    vector_sample(7, DIM, vector);
    for (int i = 0; i < 3; i++) {
        int64_t id = ask(&f, 0, vector);
        GOOD(store_job_claim(f.store, f.mem, &job, &note));
        assert_true(job.id == id && strcmp(job.kind, "generate") == 0);
        GOOD(store_generation_get(f.store, id, f.mem, &row, &note));
        assert_true(row.subject_id == 0 && row.dim == DIM);
        assert_memory_equal(row.embedding, vector, sizeof vector);
        const struct job_end stopped = {.state = JOB_QUEUED};
        GOOD(store_job_end(f.store, id, &stopped, &note)); /* goes on after a restart: still needed */
        GOOD(store_job_claim(f.store, f.mem, &job, &note));
        GOOD(store_generation_get(f.store, id, f.mem, &row, &note));
        assert_non_null(row.embedding);
        end_with(&f, id, 1);
        const struct job_end end = {.state = ends[i],
                                    .error = ends[i] == JOB_FAILED ? ERR_LIMIT : ERR_NONE,
                                    .sentence = ends[i] == JOB_FAILED ? "too large" : NULL};
        GOOD(store_job_end(f.store, id, &end, &note));
        GOOD(store_generation_get(f.store, id, f.mem, &row, &note));
        assert_null(row.embedding);
    }
    /* One that was cancelled before it began. */
    int64_t id = ask(&f, 0, vector);
    GOOD(store_job_cancel(f.store, id, "key1", NULL, &became, &note));
    GOOD(store_generation_get(f.store, id, f.mem, &row, &note));
    assert_null(row.embedding);
    fixture_close(&f);
}

static void test_what_is_refused(void **state)
{
    struct fixture f;
    struct generation_row row;
    const struct generation_new what = {
        .collection_id = 1, .subject_id = 999, .kind = "generate", .arguments = "{}", .actor = "key1"};
    struct generation_new other = what;
    int64_t job = 0;

    (void)state;
    fixture_open(&f);
    FAILS(ERR_NOT_FOUND, store_generation_add(f.store, &what, &job, &note));
    other.arguments = "[]";
    FAILS(ERR_MISUSE, store_generation_add(f.store, &other, &job, &note));
    FAILS(ERR_NOT_FOUND, store_generation_get(f.store, 1, f.mem, &row, &note));
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pictures_of_a_subject),
        cmocka_unit_test(test_a_given_embedding),
        cmocka_unit_test(test_what_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
