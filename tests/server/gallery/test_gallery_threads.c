/*
 * test_gallery_threads.c: identify beside enroll, delete, and whole collections that come and go.  Each writer has an axis of
 * its own, so that it knows what must be found and what must not.
 */
#include "tests/server/gallery/fixture.h"

#include <pthread.h>
#include <stdatomic.h>

#define WRITERS 2
#define READERS 2
#define ROUNDS 25

struct hand {
    struct fixture *f;
    int axis;
    atomic_bool *stop;
    const char *wrong; /* the first thing that was; NULL: nothing */
    int rounds;
};

/* The best face on an axis, copied; "" if there is none. */
static const char *nearest(struct gallery_worker *worker, const char *collection, int axis, char ret_face[37])
{
    struct gallery_fault fault = {0};
    struct identify_answer answer;
    float probe[DIM];

    leaning(DIM, axis, axis, 1, probe);
    const struct identify_query query = {.collection = collection, .embedding = {.values = probe, .dim = DIM}};
    enum err err = gallery_identify(worker, &query, &answer, &fault);
    ret_face[0] = '\0';
    if (err == ERR_NONE && answer.faces[0].n_candidates > 0) {
        memcpy(ret_face, answer.faces[0].candidates[0].face_id, 37);
    }
    gallery_worker_reset(worker);
    return err == ERR_NONE || err == ERR_NOT_FOUND ? NULL : "an identify failed";
}

static const char *round_of(struct hand *hand, struct gallery_worker *worker)
{
    struct gallery_fault fault = {0};
    struct enroll_answer enrolled;
    struct receipt receipt;
    float vector[DIM];
    char name[16], face[37], found[37];

    leaning(DIM, hand->axis, hand->axis, 1, vector);
    (void)snprintf(name, sizeof name, "axis %d", hand->axis);
    const struct enroll_query query = {.subject = {.name = name}, .embedding = {.values = vector, .dim = DIM}};
    if (gallery_enroll(worker, &query, &enrolled, &fault) != ERR_NONE) {
        return "an enroll failed";
    }
    memcpy(face, enrolled.faces[0].id, sizeof face);
    gallery_worker_reset(worker);
    const char *wrong = nearest(worker, NULL, hand->axis, found);
    if (wrong != NULL || strcmp(face, found) != 0) {
        return wrong != NULL ? wrong : "an enrolled face was not found by the next request";
    }
    if (gallery_forget_face(worker, face, &receipt, &fault) != ERR_NONE) {
        return "a delete failed";
    }
    gallery_worker_reset(worker);
    wrong = nearest(worker, NULL, hand->axis, found);
    return wrong != NULL ? wrong : found[0] != '\0' ? "a deleted face was found" : NULL;
}

static void *write_and_delete(void *context)
{
    struct hand *hand = context;
    struct gallery_worker *worker = NULL;

    if (gallery_worker_new(hand->f->gallery, (size_t)8 << 20, &worker) != ERR_NONE) {
        hand->wrong = "no worker";
        return NULL;
    }
    for (; hand->rounds < ROUNDS && hand->wrong == NULL; hand->rounds++) {
        hand->wrong = round_of(hand, worker);
    }
    gallery_worker_free(worker);
    return NULL;
}

/* Somebody who was enrolled before it all began must be found at any moment. */
static void *read_on(void *context)
{
    struct hand *hand = context;
    struct gallery_worker *worker = NULL;
    char found[37];

    if (gallery_worker_new(hand->f->gallery, (size_t)8 << 20, &worker) != ERR_NONE) {
        hand->wrong = "no worker";
        return NULL;
    }
    while (!atomic_load(hand->stop) && hand->wrong == NULL) {
        hand->wrong = nearest(worker, NULL, hand->axis, found);
        if (hand->wrong == NULL && found[0] == '\0') {
            hand->wrong = "a face that nobody deleted was not found";
        }
        if (hand->wrong == NULL) {
            hand->wrong = nearest(worker, "passing", hand->axis, found);
        }
        hand->rounds++;
    }
    gallery_worker_free(worker);
    return NULL;
}

/* A collection that comes, is filled, and goes. */
static void *come_and_go(void *context)
{
    struct hand *hand = context;
    struct gallery_worker *worker = NULL;

    if (gallery_worker_new(hand->f->gallery, (size_t)8 << 20, &worker) != ERR_NONE) {
        hand->wrong = "no worker";
        return NULL;
    }
    for (; hand->rounds < ROUNDS && hand->wrong == NULL; hand->rounds++) {
        struct gallery_fault fault = {0};
        struct collection_info info;
        struct enroll_answer enrolled;
        struct receipt receipt;
        float vector[DIM];
        bool is_new = false;
        leaning(DIM, hand->axis, hand->axis, 1, vector);
        const struct enroll_query query = {
            .collection = "passing", .subject = {.name = "x"}, .embedding = {.values = vector, .dim = DIM}};
        if (gallery_collection_put(worker, "passing", &(struct collection_change){0}, &info, &is_new, &fault) !=
                ERR_NONE ||
            !is_new || gallery_enroll(worker, &query, &enrolled, &fault) != ERR_NONE ||
            gallery_forget_collection(worker, "passing", &receipt, &fault) != ERR_NONE || receipt.n_faces != 1) {
            hand->wrong = "a passing collection went wrong";
        }
        gallery_worker_reset(worker);
    }
    gallery_worker_free(worker);
    return NULL;
}

static void test_readers_beside_writers(void **state)
{
    struct fixture fixture, *f = &fixture;
    struct hand hands[WRITERS + READERS + 1] = {{0}};
    pthread_t threads[WRITERS + READERS + 1];
    atomic_bool stop = false;
    float resident[DIM];

    (void)state;
    fixture_open(f, -1);
    leaning(DIM, 11, 11, 1, resident);
    enroll_vector(f, NULL, "resident", resident, DIM, NULL);
    for (int i = 0; i < WRITERS + READERS + 1; i++) {
        bool reader = i > WRITERS;
        hands[i] = (struct hand){.f = f, .axis = reader ? 11 : i, .stop = &stop};
        assert_int_equal(pthread_create(&threads[i], NULL,
                                        reader         ? read_on
                                        : i == WRITERS ? come_and_go
                                                       : write_and_delete,
                                        &hands[i]),
                         0);
    }
    for (int i = 0; i < WRITERS + READERS + 1; i++) {
        if (i == WRITERS + 1) {
            atomic_store(&stop, true);
        }
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    for (int i = 0; i < WRITERS + READERS + 1; i++) {
        if (hands[i].wrong != NULL || hands[i].rounds == 0) {
            fail_msg("thread %d, round %d: %s", i, hands[i].rounds, hands[i].wrong);
        }
    }
    struct gallery_usage usage;
    gallery_usage(f->gallery, &usage);
    assert_int_equal(usage.indexed_faces, 1);
    assert_int_equal(usage.collections, 1);
    fixture_close(f);
}

/* Two enroll one face under two names at the same moment, each unless somebody else has it: one of them must be refused. */
static void *enroll_unless_known(void *context)
{
    struct hand *hand = context;
    struct gallery_worker *worker = NULL;

    if (gallery_worker_new(hand->f->gallery, (size_t)8 << 20, &worker) != ERR_NONE) {
        hand->wrong = "no worker";
        return NULL;
    }
    for (int i = 0; i < DIM && hand->wrong == NULL; i++) { /* a person is an axis */
        struct gallery_fault fault = {0};
        struct enroll_answer enrolled;
        float vector[DIM];
        char name[32];
        leaning(DIM, i, i, 1, vector);
        (void)snprintf(name, sizeof name, "%d of thread %d", i, hand->axis);
        const struct enroll_query query = {.subject = {.name = name},
                                           .embedding = {.values = vector, .dim = DIM},
                                           .on_duplicate = DUPLICATE_REJECT_ANY};
        enum err err = gallery_enroll(worker, &query, &enrolled, &fault);
        if (err != ERR_NONE && (err != ERR_EXISTS || fault.reason != GALLERY_DUPLICATE)) {
            hand->wrong = "an enroll failed";
        }
        hand->rounds += err == ERR_NONE;
        gallery_worker_reset(worker);
    }
    gallery_worker_free(worker);
    return NULL;
}

static void test_one_face_has_one_name(void **state)
{
    struct fixture fixture, *f = &fixture;
    struct hand hands[4];
    pthread_t threads[4];
    int enrolled = 0;

    (void)state;
    fixture_open(f, -1);
    for (int i = 0; i < 4; i++) {
        hands[i] = (struct hand){.f = f, .axis = i};
        assert_int_equal(pthread_create(&threads[i], NULL, enroll_unless_known, &hands[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        if (hands[i].wrong != NULL) {
            fail_msg("thread %d: %s", i, hands[i].wrong);
        }
        enrolled += hands[i].rounds;
    }
    assert_int_equal(enrolled, DIM);
    fixture_close(f);
}

/* Borrowers keep the old pair while another takes its place; both are freed in the end, none twice. */
static void *borrow_and_return(void *context)
{
    struct hand *hand = context;
    struct arena *mem = arena_new(1 << 20);

    while (!atomic_load(hand->stop) && hand->wrong == NULL) {
        struct index_hit hit;
        struct pair *pair = NULL;
        float probe[DIM];
        int n = 0;
        leaning(DIM, 11, 11, 1, probe);
        if (live_get(hand->f->gallery->live, hand->axis, mem, &pair, NULL) != ERR_NONE) {
            hand->wrong = "no pair";
            break;
        }
        if (index_search(pair->index, probe, 1, 0, &hit, &n, NULL) != ERR_NONE || n != 1 ||
            pair->model->dim != index_dim(pair->index)) {
            hand->wrong = "the pair is not whole";
        }
        live_unref(hand->f->gallery->live, pair);
        hand->rounds++;
    }
    arena_free(mem);
    return NULL;
}

static void test_swap_beside_borrowers(void **state)
{
    struct fixture fixture, *f = &fixture;
    struct collection_row row = {0};
    struct hand hands[READERS] = {{0}};
    pthread_t threads[READERS];
    atomic_bool stop = false;
    float resident[DIM];

    (void)state;
    fixture_open(f, -1);
    leaning(DIM, 11, 11, 1, resident);
    enroll_vector(f, NULL, "resident", resident, DIM, NULL);
    GOOD(find_collection(f->worker, NULL, &row, &f->fault));
    for (int i = 0; i < READERS; i++) {
        hands[i] = (struct hand){.f = f, .axis = (int)row.id, .stop = &stop};
        assert_int_equal(pthread_create(&threads[i], NULL, borrow_and_return, &hands[i]), 0);
    }
    for (int i = 0; i < 200; i++) {
        const int64_t id = 1;
        struct index *index = NULL;
        struct pair *pair = NULL;
        assert_int_equal(index_new(DIM, &index, NULL), ERR_NONE);
        assert_int_equal(index_add(index, &id, resident, 1, NULL), ERR_NONE);
        assert_int_equal(
            pair_new(f->gallery->live, models_ref(f->gallery->models, f->gallery->default_model), index, &pair),
            ERR_NONE);
        assert_int_equal(live_swap(f->gallery->live, row.id, pair), ERR_NONE);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < READERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        if (hands[i].wrong != NULL) {
            fail_msg("thread %d: %s", i, hands[i].wrong);
        }
    }
    fixture_close(f);
}

/* Two tables that take turns; a rate between their points, at which half of one and half of the other would be seen. */
static const struct calibration tables[] = {{2, {{.1, .2F}, {.001, .3F}}}, {2, {{.1, .4F}, {.001, .5F}}}};

static void *decide_on(void *context)
{
    struct hand *hand = context;
    struct gallery_worker *worker = NULL;
    float probe[DIM];

    if (gallery_worker_new(hand->f->gallery, (size_t)8 << 20, &worker) != ERR_NONE) {
        hand->wrong = "no worker";
        return NULL;
    }
    leaning(DIM, 11, 11, 1, probe);
    const struct identify_query query = {.embedding = {.values = probe, .dim = DIM},
                                         .threshold = {.has_max_fmr = true, .max_fmr = .01}};
    while ((!atomic_load(hand->stop) || hand->rounds == 0) && hand->wrong == NULL) {
        struct gallery_fault fault = {0};
        struct identify_answer answer;
        if (gallery_identify(worker, &query, &answer, &fault) != ERR_NONE) {
            hand->wrong = "an identify failed";
        } else if (fabsf(answer.threshold.cosine - .25F) > 1e-4F && fabsf(answer.threshold.cosine - .45F) > 1e-4F) {
            hand->wrong = "a threshold of neither table";
        }
        gallery_worker_reset(worker);
        hand->rounds++;
    }
    gallery_worker_free(worker);
    return NULL;
}

static void test_thresholds_beside_readers(void **state)
{
    struct fixture fixture, *f = &fixture;
    struct hand hands[READERS] = {{0}};
    pthread_t threads[READERS];
    atomic_bool stop = false;
    float resident[DIM];

    (void)state;
    fixture_open(f, -1);
    leaning(DIM, 11, 11, 1, resident);
    enroll_vector(f, NULL, "resident", resident, DIM, NULL);
    int64_t model_id = f->gallery->default_model->row_id;
    models_calibrate(f->gallery->models, model_id, &tables[0]);
    for (int i = 0; i < READERS; i++) {
        hands[i] = (struct hand){.f = f, .stop = &stop};
        assert_int_equal(pthread_create(&threads[i], NULL, decide_on, &hands[i]), 0);
    }
    for (int i = 0; i < 2000; i++) {
        models_calibrate(f->gallery->models, model_id, &tables[i % 2]);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < READERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        if (hands[i].wrong != NULL) {
            fail_msg("thread %d: %s", i, hands[i].wrong);
        }
    }
    fixture_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_readers_beside_writers),
        cmocka_unit_test(test_one_face_has_one_name),
        cmocka_unit_test(test_swap_beside_borrowers),
        cmocka_unit_test(test_thresholds_beside_readers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
