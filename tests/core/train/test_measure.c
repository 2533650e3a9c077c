/* test_measure.c: rates, ranks and intervals against plain counting over small random sets. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/base/random.h"
#include "core/train/measure.h"

enum {
    DIM = 8,
    PEOPLE = 12,
    MOST = 90
};

struct set {
    int n;
    float u[MOST * DIM];
    int person[MOST];
};

static void make_set(struct set *set, int n, uint64_t seed)
{
    struct random random = random_seeded(seed, 3);

    set->n = n;
    for (int i = 0; i < n; i++) {
        double length = 0;
        double row[DIM];
        set->person[i] = (int)random_below(&random, PEOPLE);
        for (int k = 0; k < DIM; k++) {
            struct random own = random_seeded((uint64_t)set->person[i], (uint64_t)k + 1000 * seed);
            row[k] = random_normal(&own) + .8 * random_normal(&random);
            length += row[k] * row[k];
        }
        for (int k = 0; k < DIM; k++) { /* coarse, so that equal cosines happen */
            set->u[i * DIM + k] = (float)(round(8 * row[k] / sqrt(length)) / 8);
        }
    }
}

static float cosine_of(const struct set *set, int i, int j)
{
    float sum = 0;
    for (int k = 0; k < DIM; k++) {
        sum += set->u[i * DIM + k] * set->u[j * DIM + k];
    }
    return sum;
}

/* TAR at the lowest threshold with FMR ≤ fmr, by trying every threshold and counting every pair. */
static double plain_tar(const struct set *set, const int *weight, double fmr)
{
    double best = -1;

    for (int a = -1; a < set->n * set->n; a++) {
        float threshold = a < 0 ? 2 : cosine_of(set, a / set->n, a % set->n);
        double all[2] = {0};
        double matched[2] = {0};
        for (int i = 0; i < set->n; i++) {
            for (int j = i + 1; j < set->n; j++) {
                bool same = set->person[i] == set->person[j];
                double w = weight == NULL ? 1
                           : same         ? weight[set->person[i]]
                                          : (double)weight[set->person[i]] * weight[set->person[j]];
                all[same] += w;
                matched[same] += cosine_of(set, i, j) >= threshold ? w : 0;
            }
        }
        if (matched[0] <= fmr * all[0] * (1 + 1e-12)) {
            best = fmax(best, matched[1] / all[1]);
        }
    }
    return best;
}

static void tar_equals_counting(void **state)
{
    struct arena *mem = arena_new((size_t)16 << 20);

    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        static const double rates[] = {0, .002, .01, .1, .12};
        struct set set;
        struct pairs pairs;
        struct random random = random_seeded(seed, 9);
        int weight[PEOPLE];
        make_set(&set, 30 + (int)seed, seed);
        for (int p = 0; p < PEOPLE; p++) {
            weight[p] = (int)random_below(&random, 4);
        }
        assert_int_equal(pairs_make(set.u, set.person, set.n, DIM, PEOPLE, .12, mem, &pairs), ERR_NONE);
        for (size_t r = 0; r < sizeof rates / sizeof rates[0]; r++) {
            for (int weighed = 0; weighed < 2; weighed++) {
                double tar;
                float threshold;
                double fmr;
                double fnmr;
                const int *w = weighed != 0 ? weight : NULL;
                assert_int_equal(pairs_tar(&pairs, w, rates[r], &tar, &threshold), ERR_NONE);
                if (fabs(tar - plain_tar(&set, w, rates[r])) > 1e-12) {
                    fail_msg("seed %d, row %zu, weights %d: %g, counted %g", (int)seed, r, weighed, tar,
                             plain_tar(&set, w, rates[r]));
                }
                if (w == NULL) {
                    assert_int_equal(pairs_rates(&pairs, threshold, &fmr, &fnmr), ERR_NONE);
                    assert_true(fmr <= rates[r] && fabs(1 - fnmr - tar) < 1e-12);
                }
            }
        }
        arena_reset(mem);
    }
    arena_free(mem);
}

static void only_the_tail_is_kept(void **state)
{
    struct arena *mem = arena_new((size_t)16 << 20);
    struct set set;
    struct pairs all;
    struct pairs tail;
    double tar[2];
    float threshold[2];

    (void)state;
    make_set(&set, MOST, 77);
    assert_int_equal(pairs_make(set.u, set.person, set.n, DIM, PEOPLE, 1, mem, &all), ERR_NONE);
    assert_int_equal(pairs_make(set.u, set.person, set.n, DIM, PEOPLE, .01, mem, &tail), ERR_NONE);
    assert_int_equal(all.kept_count, all.impostor_count);
    assert_true(tail.kept_count < all.impostor_count / 8);
    for (int64_t i = 0; i < tail.kept_count; i++) {
        assert_true(tail.kept[i].cosine == all.kept[i].cosine);
    }
    assert_int_equal(pairs_tar(&all, NULL, .01, &tar[0], &threshold[0]), ERR_NONE);
    assert_int_equal(pairs_tar(&tail, NULL, .01, &tar[1], &threshold[1]), ERR_NONE);
    assert_true(tar[0] == tar[1] && threshold[0] == threshold[1]);
    assert_int_equal(pairs_tar(&tail, NULL, .5, &tar[1], &threshold[1]), ERR_MISUSE);
    assert_true(pairs_support(&all, 30.0 / (double)all.impostor_count));
    assert_false(pairs_support(&all, 29.0 / (double)all.impostor_count));
    int alone[3] = {0, 1, 2};
    assert_int_equal(pairs_make(set.u, alone, 3, DIM, 3, 1, mem, &all), ERR_MISUSE);
    arena_free(mem);
}

static void thresholds_and_folds(void **state)
{
    static const float cosine[] = {.9F, .8F, .7F, .6F, .5F, .4F, .3F, .2F};
    static const bool same[] = {true, true, false, true, true, false, false, false};
    struct arena *mem = arena_new((size_t)1 << 20);
    float threshold;
    double accuracy;
    struct fold_accuracy folds;

    (void)state;
    assert_int_equal(best_threshold(cosine, same, 8, mem, &threshold, &accuracy), ERR_NONE);
    assert_true(accuracy == 7.0 / 8 && fabsf(threshold - .45F) < 1e-6F);
    bool nobody[8] = {false};
    assert_int_equal(best_threshold(cosine, nobody, 8, mem, &threshold, &accuracy), ERR_NONE);
    assert_true(accuracy == 1 && threshold > .9F);
    /* two folds: from the second half the best threshold is .45, which judges the first half 3 of 4 right; from the first half
     * it is .75 (the highest of several), which judges the second half 3 of 4 right */
    assert_int_equal(fold_accuracy(cosine, same, 8, 2, mem, &folds), ERR_NONE);
    assert_true(folds.mean == .75 && folds.deviation == 0);
    assert_int_equal(fold_accuracy(cosine, same, 8, 3, mem, &folds), ERR_MISUSE);
    arena_free(mem);
}

static void ranks_and_open_set(void **state)
{
    /* gallery: person 0 at 0°, person 1 at 90°; probes by angle */
    const double rad = 3.14159265358979323846 / 180;
    static const double at[] = {5, 40, 50, 85, 20, 46};
    static const int who[] = {0, 0, 0, 1, 2, 3}; /* 2 and 3 are strangers */
    struct arena *mem = arena_new((size_t)1 << 20);
    float gallery[4] = {1, 0, 0, 1};
    int gallery_person[2] = {0, 1};
    float probe_u[12];
    struct probe probes[6];
    double tpir;
    float threshold;

    (void)state;
    for (int i = 0; i < 6; i++) {
        probe_u[2 * i] = (float)cos(at[i] * rad);
        probe_u[2 * i + 1] = (float)sin(at[i] * rad);
    }
    assert_int_equal(search_probes(probe_u, who, 6, gallery, gallery_person, 2, 2, 4, mem, probes), ERR_NONE);
    static const int rank[] = {1, 1, 2, 1, 0, 0};
    for (int i = 0; i < 6; i++) {
        assert_int_equal(probes[i].rank, rank[i]);
    }
    assert_true(rank_rate(probes, 6, 1, NULL) == .75 && rank_rate(probes, 6, 2, NULL) == 1);
    assert_true(isnan(rank_rate(probes + 4, 2, 1, NULL)));
    /* strangers score cos 20° and cos 44°: at FPIR .5 the threshold lies between, at 0 above both */
    assert_int_equal(tpir_at_fpir(probes, 6, .5, NULL, mem, &tpir, &threshold), ERR_NONE);
    assert_true(tpir == .75 && threshold > (float)cos(44.1 * rad) && threshold < (float)cos(43.9 * rad));
    assert_int_equal(tpir_at_fpir(probes, 6, 0, NULL, mem, &tpir, &threshold), ERR_NONE);
    assert_true(tpir == .5);
    assert_int_equal(tpir_at_fpir(probes, 4, .5, NULL, mem, &tpir, &threshold), ERR_MISUSE);
    int weight[4] = {1, 3, 1, 0}; /* the second stranger is not drawn; person 1 thrice */
    assert_int_equal(tpir_at_fpir(probes, 6, .5, weight, mem, &tpir, &threshold), ERR_NONE);
    assert_true(tpir == 4.0 / 6);
    arena_free(mem);
}

static double mean_of_people(void *context, const int *weight)
{
    const double *value = context;
    double sum = 0;
    for (int p = 0; p < 100; p++) {
        sum += value[p] * (weight == NULL ? 1 : weight[p]);
    }
    return sum / 100;
}

static void bootstrap_covers_as_often_as_it_says(void **state)
{
    struct random random = random_seeded(5, 5);
    struct arena *mem = arena_new((size_t)1 << 20);
    int covered = 0;

    (void)state;
    for (int trial = 0; trial < 400; trial++) {
        double value[100];
        struct interval interval;
        struct interval again;
        for (int p = 0; p < 100; p++) {
            value[p] = random_normal(&random);
        }
        arena_reset(mem);
        assert_int_equal(bootstrap(100, 200, (uint64_t)trial, .9, mean_of_people, value, mem, &interval), ERR_NONE);
        assert_int_equal(bootstrap(100, 200, (uint64_t)trial, .9, mean_of_people, value, mem, &again), ERR_NONE);
        assert_true(interval.low == again.low && interval.high == again.high && interval.value == again.value);
        assert_int_equal(interval.rounds, 200);
        covered += interval.low <= 0 && interval.high >= 0;
    }
    assert_in_range(covered, 340, 380); /* 90 % of 400, within 3.3 deviations */
    assert_int_equal(bootstrap(1, 200, 1, .9, mean_of_people, NULL, mem, &(struct interval){0}), ERR_MISUSE);
    arena_free(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tar_equals_counting),
        cmocka_unit_test(only_the_tail_is_kept),
        cmocka_unit_test(thresholds_and_folds),
        cmocka_unit_test(ranks_and_open_set),
        cmocka_unit_test(bootstrap_covers_as_often_as_it_says),
    };
    return cmocka_run_group_tests_name("measure", tests, NULL, NULL);
}
