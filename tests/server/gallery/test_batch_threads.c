/* test_batch_threads.c: requests that embed at one time share runs, and each gets its own numbers. */
#include "tests/server/gallery/fixture.h"

#include <pthread.h>
#include <stdatomic.h>

#include "server/gallery/batch.h"

#define THREADS 6
#define ROUNDS 20

struct hand {
    struct fixture *f;
    struct gallery_worker *worker;
    struct image crop;
    float expected[DIM];
    pthread_barrier_t *barrier;
    const char *wrong;
};

static void *embed(void *context)
{
    struct hand *hand = context;
    struct gallery_fault fault = {0};

    for (int i = 0; i < ROUNDS; i++) {
        float vector[DIM];
        float norm = 0;
        batch_expect(hand->worker);
        (void)pthread_barrier_wait(hand->barrier); /* all are on their way */
        if (batch_embed(hand->worker, hand->f->gallery->default_model, &hand->crop, 1, vector, &norm, &fault) !=
            ERR_NONE) {
            hand->wrong = "an embedding failed";
        }
        for (int d = 0; d < DIM; d++) {
            if (!(fabsf(vector[d] - hand->expected[d]) <= 1e-6F) || !(norm > 0)) {
                hand->wrong = "a request got another one's numbers";
            }
        }
        (void)pthread_barrier_wait(
            hand->barrier); /* and all have arrived: nobody is on the way for the next round yet */
    }
    return NULL;
}

/* A picture of one colour, another for each thread. */
static void paint(struct hand *hand, int number)
{
    assert_int_equal(image_new(112, 112, gallery_worker_arena(hand->worker), &hand->crop), ERR_NONE);
    for (int i = 0; i < 112 * 112 * 3; i++) {
        hand->crop.rgb[i] = (uint8_t)(i % 112 / 56 == number % 2 ? 40 * (number + 1) : i % 3 * 50 + 10);
    }
}

static struct batch_counts run(int crops, int64_t wait_ns, int runs)
{
    struct fixture fixture;
    struct fixture *f = &fixture;
    struct hand hands[THREADS] = {{0}};
    pthread_t threads[THREADS];
    pthread_barrier_t barrier;
    const struct batch_plan plan = {.crops = crops, .wait_ns = wait_ns, .runs = runs};

    fixture_open(f, -1);
    assert_null(f->gallery->batcher);
    for (int i = 0; i < THREADS; i++) { /* alone, before there is a batcher */
        float norm = 0;
        hands[i] = (struct hand){.f = f, .barrier = &barrier};
        GOOD(gallery_worker_new(f->gallery, (size_t)256 << 20, &hands[i].worker));
        paint(&hands[i], i);
        GOOD(batch_embed(hands[i].worker, f->gallery->default_model, &hands[i].crop, 1, hands[i].expected, &norm,
                         &f->fault));
    }
    GOOD(batcher_new(&plan, &f->gallery->batcher));
    assert_int_equal(pthread_barrier_init(&barrier, NULL, THREADS), 0);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, embed, &hands[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        if (hands[i].wrong != NULL) {
            fail_msg("thread %d: %s", i, hands[i].wrong);
        }
        gallery_worker_free(hands[i].worker);
    }
    struct batch_counts counts = batch_counts(f->gallery->batcher);
    (void)pthread_barrier_destroy(&barrier);
    fixture_close(f);
    return counts;
}

static void test_requests_share_runs(void **state)
{
    (void)state;
    /* One run at a time that waits: six at once make a run of four and one of two, whatever the processor does. */
    struct batch_counts waiting = run(4, 2000000000, 1);
    assert_int_equal(waiting.crops, THREADS * ROUNDS);
    assert_in_range(waiting.runs, 2 * ROUNDS, 3 * ROUNDS);
    struct batch_counts at_once = run(4, 0, 2);
    assert_int_equal(at_once.crops, THREADS * ROUNDS);
    assert_in_range(at_once.runs, 2 * ROUNDS, THREADS * ROUNDS);
    /* More than a model takes at once: as many as it takes. */
    struct batch_counts many = run(64, 2000000000, 1);
    assert_int_equal(many.crops, THREADS * ROUNDS);
    assert_in_range(many.runs, ROUNDS, 2 * ROUNDS);
}

/* Nobody else is on the way: a long wait is not waited. */
static void test_alone_it_does_not_wait(void **state)
{
    struct fixture fixture;
    struct fixture *f = &fixture;
    struct hand hand = {0};
    const struct batch_plan plan = {.crops = 4, .wait_ns = 3600LL * 1000000000, .runs = 1};
    float norm = 0;

    (void)state;
    fixture_open(f, -1);
    hand.worker = f->worker;
    paint(&hand, 1);
    GOOD(batcher_new(&plan, &f->gallery->batcher));
    batch_expect(f->worker);
    batch_expect(f->worker); /* counts once */
    GOOD(batch_embed(f->worker, f->gallery->default_model, &hand.crop, 1, hand.expected, &norm, &f->fault));
    batch_expect(f->worker);
    gallery_worker_reset(f->worker); /* a request that found no face takes it back */
    paint(&hand, 2);
    GOOD(batch_embed(f->worker, f->gallery->default_model, &hand.crop, 1, hand.expected, &norm, &f->fault));
    fixture_close(f);
}

/* The only one at work is spread over the pool, one beside others is not; its numbers have the same bits. */
static void test_alone_it_has_the_same_bits(void **state)
{
    struct fixture fixture;
    struct fixture *f = &fixture;
    struct hand hand = {0};
    struct gallery_worker *other = NULL;
    float vector[DIM];
    float norm = 0;

    (void)state;
    fixture_open(f, -1);
    hand.worker = f->worker;
    paint(&hand, 3);
    GOOD(batch_embed(f->worker, f->gallery->default_model, &hand.crop, 1, hand.expected, &norm, &f->fault));
    assert_null(f->worker->slots[0].sessions.lone); /* there is no pool */
    gallery_worker_reset(f->worker);
    paint(&hand, 3);

    GOOD(pool_new(3, &f->gallery->lone));
    GOOD(batch_embed(f->worker, f->gallery->default_model, &hand.crop, 1, vector, &norm, &f->fault));
    assert_non_null(f->worker->slots[0].sessions.lone);
    assert_memory_equal(vector, hand.expected, sizeof vector);

    session_free(f->worker->slots[0].sessions.own);
    f->worker->slots[0].sessions.own = NULL;
    GOOD(gallery_worker_new(f->gallery, (size_t)16 << 20, &other));
    gallery_worker_begin(other, &(struct gallery_request){0});
    assert_int_equal(pool_guests(f->gallery->lone), 2);
    GOOD(batch_embed(f->worker, f->gallery->default_model, &hand.crop, 1, vector, &norm, &f->fault));
    assert_non_null(f->worker->slots[0].sessions.own); /* the one for a single thread was needed again */
    assert_memory_equal(vector, hand.expected, sizeof vector);
    gallery_worker_free(other);
    gallery_worker_reset(f->worker);
    assert_int_equal(pool_guests(f->gallery->lone), 0);
    fixture_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_share_runs),
        cmocka_unit_test(test_alone_it_does_not_wait),
        cmocka_unit_test(test_alone_it_has_the_same_bits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
