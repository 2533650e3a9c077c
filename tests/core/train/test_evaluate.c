/* test_evaluate.c: the protocol's counts, what is refused, and that a better recogniser is found to be better. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/base/random.h"
#include "core/train/evaluate.h"

enum {
    DIM = 16,
    PEOPLE = 30,
    MOST = PEOPLE * 8
};

static float u[MOST * DIM];
static float worse[MOST * DIM];
static int person[MOST];

/* Unit rows around a direction a person; person p has 1 + p % 8 photos.  Returns how many rows that makes. */
static int make_set(double spread, float *ret)
{
    int n = 0;

    for (int p = 0; p < PEOPLE; p++) {
        for (int i = 0; i <= p % 8; i++, n++) {
            struct random own = random_seeded((uint64_t)p, 1);
            struct random noise = random_seeded((uint64_t)p, 100 + (uint64_t)i);
            double row[DIM];
            double length = 0;
            for (int k = 0; k < DIM; k++) {
                row[k] = random_normal(&own) + spread * random_normal(&noise);
                length += row[k] * row[k];
            }
            for (int k = 0; k < DIM; k++) {
                ret[n * DIM + k] = (float)(row[k] / sqrt(length));
            }
            person[n] = p;
        }
    }
    return n;
}

static struct evaluate_options quick_options(void)
{
    struct evaluate_options options = evaluate_default();

    options.rounds = 50;
    return options;
}

static void protocol_is_kept(void **state)
{
    struct evaluate_options options = quick_options();
    struct arena *mem = arena_new((size_t)64 << 20);
    struct evaluation found;
    int n = make_set(.6, u);
    int able = 0;

    (void)state;
    assert_non_null(mem);
    for (int p = 0; p < PEOPLE; p++) {
        able += p % 8 >= 1;
    }
    assert_int_equal(evaluate_set(u, person, n, DIM, PEOPLE, &options, mem, &found, NULL), ERR_NONE);
    assert_int_equal(found.photos, n);
    assert_int_equal(found.people, PEOPLE);
    assert_int_equal(found.genuine + found.impostor, (int64_t)n * (n - 1) / 2);
    assert_true(found.identifies);
    assert_int_equal(found.gallery_people, (int)lround(able * 2.0 / 3));
    assert_int_equal(found.gallery_photos + found.mated + found.non_mated, n);
    assert_true(found.mated >= found.gallery_people); /* everybody enrolled has a photo left to search with */
    assert_true(found.gallery_photos <= 3 * found.gallery_people);

    /* the figures are measure.h's own */
    struct pairs pairs;
    assert_int_equal(pairs_make(u, person, n, DIM, PEOPLE, .1, mem, &pairs), ERR_NONE);
    for (int i = 0; i < found.n_tar; i++) {
        double tar;
        float threshold;
        if (found.tar[i].measured) {
            assert_int_equal(pairs_tar(&pairs, NULL, options.fmr[i], &tar, &threshold), ERR_NONE);
            assert_true(tar == found.tar[i].hit.value && threshold == found.tar[i].threshold);
            assert_true(found.tar[i].hit.low <= tar && tar <= found.tar[i].hit.high);
        }
        assert_int_equal(found.tar[i].supported, options.fmr[i] * (double)found.impostor >= MEASURE_LEAST_ERRORS);
    }
    assert_true(found.tar[0].measured && found.tar[0].supported && !found.tar[3].supported);
    assert_true(found.n_det > 5);
    for (int i = 1; i < found.n_det; i++) {
        assert_true(found.det[i].fmr <= found.det[i - 1].fmr && found.det[i].fnmr >= found.det[i - 1].fnmr);
    }
    arena_free(mem);
    assert_int_equal(mem_live_blocks(), 0);
}

static void seed_decides(void **state)
{
    struct evaluate_options options = quick_options();
    struct arena *mem = arena_new((size_t)64 << 20);
    struct evaluation first;
    struct evaluation again;
    struct evaluation other;
    int n = make_set(1.2, u);

    (void)state;
    assert_non_null(mem);
    memset(&first, 0, sizeof first); /* padding is compared too */
    memset(&again, 0, sizeof again);
    assert_int_equal(evaluate_set(u, person, n, DIM, PEOPLE, &options, mem, &first, NULL), ERR_NONE);
    assert_int_equal(evaluate_set(u, person, n, DIM, PEOPLE, &options, mem, &again, NULL), ERR_NONE);
    options.seed = 2;
    assert_int_equal(evaluate_set(u, person, n, DIM, PEOPLE, &options, mem, &other, NULL), ERR_NONE);
    assert_true(first.rank1.value == again.rank1.value && first.rank1.low == again.rank1.low);
    assert_true(first.tar[0].hit.low == again.tar[0].hit.low);
    assert_true(first.tar[0].hit.value == other.tar[0].hit.value); /* all pairs, whatever the draw */
    assert_true(first.mated != other.mated || first.rank1.value != other.rank1.value);
    arena_free(mem);
    assert_int_equal(mem_live_blocks(), 0);
}

static void bad_sets_are_refused(void **state)
{
    struct evaluate_options options = quick_options();
    struct arena *mem = arena_new((size_t)64 << 20);
    struct evaluation found;
    struct err_note note = {0};
    int strangers[4] = {0, 1, 2, 3};

    (void)state;
    assert_non_null(mem);
    (void)make_set(.6, u);
    assert_int_equal(evaluate_set(u, strangers, 4, DIM, 4, &options, mem, &found, &note), ERR_MISUSE);
    assert_non_null(strstr(note.text, "4 photos of 4 people"));
    options.fmr[1] = options.fmr[0];
    assert_int_equal(evaluate_set(u, person, 10, DIM, PEOPLE, &options, mem, &found, NULL), ERR_MISUSE);
    options = quick_options();
    options.fpir[0] = 1;
    assert_int_equal(evaluate_set(u, person, 10, DIM, PEOPLE, &options, mem, &found, NULL), ERR_MISUSE);
    arena_free(mem);
    assert_int_equal(mem_live_blocks(), 0);
}

static void gain_is_found(void **state)
{
    struct evaluate_options options = quick_options();
    struct arena *mem = arena_new((size_t)64 << 20);
    struct interval gain;
    int n = make_set(.5, u);

    (void)state;
    assert_non_null(mem);
    (void)make_set(1.2, worse);
    assert_int_equal(evaluate_gain(worse, DIM, u, DIM, person, n, PEOPLE, .01, &options, mem, &gain, NULL), ERR_NONE);
    assert_true(gain.low > 0 && gain.value > .1);
    assert_int_equal(evaluate_gain(u, DIM, u, DIM, person, n, PEOPLE, .01, &options, mem, &gain, NULL), ERR_NONE);
    assert_true(gain.low == 0 && gain.high == 0);
    arena_free(mem);
    assert_int_equal(mem_live_blocks(), 0);
}

static void thresholds_need_support(void **state)
{
    static const double wanted[] = {1e-1, 1e-2, 1e-3, 1e-6};
    struct arena *mem = arena_new((size_t)64 << 20);
    struct calibrated points[4];
    struct err_note note = {0};
    int n = make_set(1.0, u);
    int count = 0;
    int refused = 0;

    (void)state;
    assert_non_null(mem);
    /* some 8,000 pairs of strangers: enough for one in a hundred, not for one in a thousand */
    assert_int_equal(evaluate_calibrate(u, person, n, DIM, PEOPLE, wanted, 4, mem, points, &count, &refused, &note),
                     ERR_NONE);
    assert_int_equal(count, 2);
    assert_int_equal(refused, 2);
    assert_true(points[0].threshold < points[1].threshold && points[0].tar >= points[1].tar);
    assert_int_equal(evaluate_calibrate(u, person, n, DIM, PEOPLE, wanted + 2, 2, mem, points, &count, &refused, &note),
                     ERR_UNSUPPORTED);
    assert_non_null(strstr(note.text, "pairs of strangers"));
    arena_free(mem);
    assert_int_equal(mem_live_blocks(), 0);
}

static void empty_heap_leaks_nothing(void **state)
{
    struct evaluate_options options = quick_options();
    int n = make_set(.6, u);
    enum err err = ERR_NOMEM;

    (void)state;
    for (long at = 0; err != ERR_NONE; at++) {
        struct evaluation found;
        struct arena *mem = arena_new((size_t)64 << 20);
        assert_non_null(mem);
        mem_fail_at(at);
        err = evaluate_set(u, person, n, DIM, PEOPLE, &options, mem, &found, NULL);
        mem_fail_at(-1);
        assert_true(err == ERR_NONE || err == ERR_NOMEM);
        arena_free(mem);
        assert_int_equal(mem_live_blocks(), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(protocol_is_kept),        cmocka_unit_test(seed_decides),
        cmocka_unit_test(bad_sets_are_refused),    cmocka_unit_test(gain_is_found),
        cmocka_unit_test(thresholds_need_support), cmocka_unit_test(empty_heap_leaks_nothing)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
