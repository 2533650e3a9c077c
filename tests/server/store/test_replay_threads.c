/* test_replay_threads.c: answers that are made inside a commit which many share, on whichever thread leads it. */
#include "tests/server/store/fixture.h"

#include <pthread.h>

#include "server/store/replay_rows.h"

#define THREADS 6
#define EACH 20

struct member {
    struct fixture *f;
    pthread_t thread;
    int number;
    struct arena *mem;
    char uuids[EACH][STORE_UUID_TEXT]; /* of the faces, as their enrolling was answered */
    enum err err;
    int64_t face_id; /* of the one under way */
};

static struct replay_request request_of(const struct member *m, int i)
{
    struct replay_request request = {.actor = "key1", .route = "POST /v1/enroll"};

    request.key_hash[0] = (unsigned char)m->number;
    request.key_hash[1] = (unsigned char)i;
    return request;
}

/* The member waits meanwhile: what is its own may be used. */
static enum err make(void *context, const void *result, struct replay_answer *ret)
{
    struct member *m = context;
    const struct enrolled *enrolled = result;
    char *body = arena_copy_text(m->mem, enrolled->faces[0].uuid);

    if (body == NULL) {
        return ERR_NOMEM;
    }
    m->face_id = enrolled->faces[0].id;
    *ret = (struct replay_answer){
        .status = 201, .location = "", .body = body, .n_bytes = strlen(body), .face_ids = &m->face_id, .n_faces = 1};
    return ERR_NONE;
}

static void *enroll_all(void *context)
{
    struct member *m = context;

    for (int i = 0; i < EACH && m->err == ERR_NONE; i++) {
        const struct replay_request request = request_of(m, i);
        const struct replay replay = {.request = &request, .make = make, .context = m};
        struct enrolled enrolled = {0};
        float vector[DIM];
        vector_sample((uint64_t)(m->number * EACH + i + 1), DIM, vector);
        const struct enroll_face face = {.source = FACE_FROM_EMBEDDING, .embedding = vector};
        const struct enroll what = {.collection_id = m->f->collection_id,
                                    .model_id = m->f->model_id,
                                    .subject_name = "ada",
                                    .faces = &face,
                                    .n_faces = 1,
                                    .actor = "key1",
                                    .replay = &replay};
        m->err = store_enroll(m->f->store, &what, NULL, m->mem, &enrolled, NULL);
        if (m->err == ERR_NONE) {
            memcpy(m->uuids[i], enrolled.faces[0].uuid, STORE_UUID_TEXT);
        }
        arena_reset(m->mem);
    }
    return NULL;
}

static void test_each_gets_its_own(void **state)
{
    struct fixture f;
    static struct member members[THREADS];

    (void)state;
    fixture_open(&f);
    for (int n = 0; n < THREADS; n++) {
        members[n] = (struct member){.f = &f, .number = n, .mem = arena_new((size_t)1 << 20)};
        assert_int_equal(pthread_create(&members[n].thread, NULL, enroll_all, &members[n]), 0);
    }
    for (int n = 0; n < THREADS; n++) {
        assert_int_equal(pthread_join(members[n].thread, NULL), 0);
    }
    for (int n = 0; n < THREADS; n++) {
        assert_int_equal(members[n].err, ERR_NONE);
        for (int i = 0; i < EACH; i++) {
            const struct replay_request request = request_of(&members[n], i);
            struct replay_row row = {0};
            GOOD(store_replay_find(f.store, &request, f.mem, &row, &note));
            assert_true(row.is_same && !row.erased);
            assert_int_equal(row.n_bytes, STORE_UUID_TEXT - 1);
            assert_memory_equal(row.body, members[n].uuids[i], STORE_UUID_TEXT - 1);
        }
        arena_free(members[n].mem);
    }
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_gets_its_own)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
