/* test_activate_threads.c: a collection changes over to and fro while others identify, enroll and delete. */
#include "tests/server/gallery/moving_fixture.h"

#include <pthread.h>
#include <stdatomic.h>

#define ROUNDS 6

struct shared {
    struct fixture *f;   /* the main thread's */
    struct fixture copy; /* as it was before the threads began */
    char versions[2][STORE_VERSION_TEXT];
    float cosine[2][PEOPLE]; /* what everybody's probe is answered with by each model */
    atomic_bool enough;
    atomic_int failed, asked, enrolled;
};

static float best(struct gallery_worker *worker, const struct gallery_photo *crop, char ret_model[STORE_VERSION_TEXT],
                  enum err *ret_err)
{
    const struct identify_query query = {.photo = *crop, .top_k = 1, .threshold = {.has_margin = true}};
    struct identify_answer answer;
    struct gallery_fault fault = {0};

    *ret_err = gallery_identify(worker, &query, &answer, &fault);
    if (*ret_err != ERR_NONE) {
        return 0;
    }
    memcpy(ret_model, answer.model, STORE_VERSION_TEXT);
    return answer.faces[0].n_candidates == 0 ? -2 : answer.faces[0].candidates[0].cosine;
}

/* Every answer is one whole version: the score is exactly the one of the model that it names. */
static void *identify(void *context)
{
    struct shared *shared = context;
    struct gallery_worker *worker = NULL;
    struct fixture own = shared->copy; /* its worker is replaced while a crop is drawn */

    if (gallery_worker_new(own.gallery, (size_t)64 << 20, &worker) != ERR_NONE) {
        atomic_fetch_add(&shared->failed, 1);
        return NULL;
    }
    for (int i = 0; !atomic_load(&shared->enough); i++) {
        char model[STORE_VERSION_TEXT];
        enum err err;
        int person = i % PEOPLE;
        struct gallery_photo crop = crop_of(&own, worker, person, 500);
        float cosine = best(worker, &crop, model, &err);
        int which = err == ERR_NONE && strcmp(model, shared->versions[1]) == 0;
        if (err != ERR_NONE || cosine != shared->cosine[which][person]) {
            atomic_fetch_add(&shared->failed, 1);
        }
        atomic_fetch_add(&shared->asked, 1);
        gallery_worker_reset(worker);
    }
    gallery_worker_free(worker);
    return NULL;
}

/* Enrolls a face of nobody's and deletes every second one again. */
static void *come_and_go(void *context)
{
    struct shared *shared = context;
    struct gallery_worker *worker = NULL;
    struct fixture own = shared->copy;

    if (gallery_worker_new(own.gallery, (size_t)64 << 20, &worker) != ERR_NONE) {
        atomic_fetch_add(&shared->failed, 1);
        return NULL;
    }
    for (int i = 0; !atomic_load(&shared->enough) && i < 2000; i++) {
        struct enroll_answer answer;
        struct receipt receipt;
        struct gallery_fault fault = {0};
        const struct enroll_query query = {.subject = {.name = "passer-by"},
                                           .photo = crop_of(&own, worker, 100 + i % 50, i)};
        enum err err = gallery_enroll(worker, &query, &answer, &fault);
        if (err == ERR_NONE && i % 2 == 0) {
            err = gallery_forget_face(worker, answer.faces[0].id, &receipt, &fault);
        } else if (err == ERR_NONE) {
            atomic_fetch_add(&shared->enrolled, 1);
        }
        if (err != ERR_NONE) {
            atomic_fetch_add(&shared->failed, 1);
        }
        gallery_worker_reset(worker);
    }
    gallery_worker_free(worker);
    return NULL;
}

static void remember(struct shared *shared, int which)
{
    struct fixture *f = shared->f;

    for (int person = 0; person < PEOPLE; person++) {
        char model[STORE_VERSION_TEXT];
        enum err err;
        struct gallery_photo crop = crop_of(f, f->worker, person, 500);
        shared->cosine[which][person] = best(f->worker, &crop, model, &err);
        assert_int_equal(err, ERR_NONE);
        assert_string_equal(model, shared->versions[which]);
        gallery_worker_reset(f->worker);
    }
}

static void test_to_and_fro(void **state)
{
    struct fixture fixture, *f = &fixture;
    static struct shared shared;
    struct collection_info info;
    struct gallery_usage usage;
    const struct long_work work = {.actor = "key1"};
    struct activated done;
    pthread_t threads[2];

    (void)state;
    fixture_open(f, -1);
    shared = (struct shared){.f = f};
    enroll_people(f);
    GOOD(gallery_collection_get(f->worker, NULL, &info, &f->fault));
    memcpy(shared.versions[0], info.model, STORE_VERSION_TEXT);
    remember(&shared, 0);
    upload(f, 28, shared.versions[1]);
    GOOD(gallery_activate(f->worker, shared.versions[1], "default", &work, &done, &f->fault));
    gallery_worker_reset(f->worker);
    remember(&shared, 1);
    shared.copy = *f;
    assert_int_equal(pthread_create(&threads[0], NULL, identify, &shared), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, come_and_go, &shared), 0);
    for (int i = 0; i < ROUNDS; i++) {
        GOOD(gallery_activate(f->worker, shared.versions[i % 2], "default", &work, &done, &f->fault));
        gallery_worker_reset(f->worker);
    }
    atomic_store(&shared.enough, true);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    if (atomic_load(&shared.failed) > 0 || atomic_load(&shared.asked) == 0) {
        fail_msg("%d of %d failed", atomic_load(&shared.failed), atomic_load(&shared.asked));
    }
    gallery_usage(f->gallery, &usage);
    assert_int_equal(usage.indexed_faces, PEOPLE * FACES + atomic_load(&shared.enrolled));
    GOOD(gallery_collection_get(f->worker, NULL, &info, &f->fault));
    assert_int_equal(info.n_faces, usage.indexed_faces);
    fixture_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_to_and_fro)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
