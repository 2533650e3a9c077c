/* test_purify.c: both rules on people made of numbers, with labels spoiled on purpose. */
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
#include "core/train/purify.h"

enum {
    DIM = 128,
    PEOPLE = 60,
    PHOTOS = 15,
    ALL = PEOPLE * PHOTOS
};

static float photos[ALL * DIM];
static int truth[ALL];
static int label[ALL];
static struct verdict verdicts[ALL];

/* Photos of a person at cosine about √.65 from the person's middle; share of the labels moved to another person. */
static void make_people(double share, uint64_t seed)
{
    struct random random = random_seeded(seed, 0);
    float middle[PEOPLE][DIM];

    for (int p = 0; p < PEOPLE; p++) {
        double length = 0;
        for (int k = 0; k < DIM; k++) {
            middle[p][k] = (float)random_normal(&random);
            length += (double)middle[p][k] * (double)middle[p][k];
        }
        for (int k = 0; k < DIM; k++) {
            middle[p][k] = (float)((double)middle[p][k] / sqrt(length));
        }
    }
    for (int i = 0; i < ALL; i++) {
        double length = 0;
        float *row = photos + (size_t)i * DIM;
        truth[i] = i / PHOTOS;
        label[i] = truth[i];
        if (i % PHOTOS < (int)(share * PHOTOS + .5)) {
            label[i] = (truth[i] + 1 + (int)random_below(&random, PEOPLE - 1)) % PEOPLE;
        }
        for (int k = 0; k < DIM; k++) {
            row[k] = middle[truth[i]][k] + (float)(.73 / sqrt(DIM) * random_normal(&random));
            length += (double)row[k] * (double)row[k];
        }
        for (int k = 0; k < DIM; k++) {
            row[k] = (float)((double)row[k] / sqrt(length));
        }
    }
}

static void score(double *ret_precision, double *ret_recall, double *ret_named)
{
    int dropped = 0;
    int right = 0;
    int wrong_labels = 0;
    int named = 0;

    for (int i = 0; i < ALL; i++) {
        bool wrong = label[i] != truth[i];
        wrong_labels += wrong;
        dropped += !verdicts[i].keep;
        right += wrong && !verdicts[i].keep;
        named += wrong && verdicts[i].likely == truth[i];
    }
    *ret_precision = dropped == 0 ? 1 : (double)right / dropped;
    *ret_recall = wrong_labels == 0 ? 1 : (double)right / wrong_labels;
    *ret_named = wrong_labels == 0 ? 1 : (double)named / wrong_labels;
}

static void refined_finds_spoiled_labels(void **state)
{
    static const double shares[] = {0, .2, .4, .6};
    struct arena *mem = arena_new((size_t)64 << 20);

    (void)state;
    for (size_t r = 0; r < sizeof shares / sizeof shares[0]; r++) {
        double precision;
        double recall;
        double named;
        make_people(shares[r], 100 + r);
        assert_int_equal(purify_refined(photos, label, ALL, DIM, PEOPLE, PURIFY_DEGREES, mem, verdicts), ERR_NONE);
        score(&precision, &recall, &named);
        if (precision < .95 || recall < .97 || named < .9) {
            fail_msg("row %zu: %.0f %% spoiled: precision %.3f, recall %.3f, named %.3f", r, 100 * shares[r], precision,
                     recall, named);
        }
        arena_reset(mem);
    }
    arena_free(mem);
}

/* Two classes in the plane, where every angle can be read off. */
static void plain_rule_follows_the_paper(void **state)
{
    const double rad = 3.14159265358979323846 / 180;
    static const double at[] = {0, 10, 20, 74, 76, 180, 181, 90};
    static const int of[] = {0, 0, 0, 0, 0, 0, 0, 1};
    /* class 0: sub-centers at 0°, 180° and 270°; class 1: at 80°, 200° and 300° */
    static const double centers[] = {0, 180, 270, 80, 200, 300};
    struct arena *mem = arena_new((size_t)1 << 20);
    float u[8 * 2];
    float v[6 * 2];
    struct verdict ret[8];

    (void)state;
    for (int i = 0; i < 8; i++) {
        u[2 * i] = (float)cos(at[i] * rad);
        u[2 * i + 1] = (float)sin(at[i] * rad);
    }
    for (int i = 0; i < 6; i++) {
        v[2 * i] = (float)cos(centers[i] * rad);
        v[2 * i + 1] = (float)sin(centers[i] * rad);
    }
    assert_int_equal(purify_plain(u, of, 8, 2, v, 2, 3, NULL, 75, mem, ret), ERR_NONE);
    static const bool keep[] = {true, true, true, true, false, false, false, true};
    static const int nearest[] = {0, 0, 0, 0, 0, 1, 1, 0};
    for (int i = 0; i < 8; i++) {
        if (ret[i].keep != keep[i] || ret[i].subcenter != nearest[i]) {
            fail_msg("row %d: keep %d, sub-center %d", i, ret[i].keep, ret[i].subcenter);
        }
    }
    assert_float_equal(ret[3].degrees, 74, .01);
    assert_int_equal(ret[4].likely, 1); /* 76° is 4° from class 1's dominant center */
    assert_float_equal(ret[4].likely_degrees, 4, .05);
    assert_int_equal(ret[5].likely, -1);
    assert_int_equal(ret[0].likely, -1); /* kept */

    /* a class that has one of three centers: those behind it attract nobody */
    static const int centers_of[] = {1, 3};
    assert_int_equal(purify_plain(u, of, 8, 2, v, 2, 3, centers_of, 75, mem, ret), ERR_NONE);
    for (int i = 0; i < 8; i++) {
        if (ret[i].keep != keep[i] || ret[i].subcenter != 0) {
            fail_msg("row %d of one center: keep %d, sub-center %d", i, ret[i].keep, ret[i].subcenter);
        }
    }
    arena_free(mem);
}

static void too_few_photos_are_kept_unsure(void **state)
{
    /* class 0: one photo; class 1: two that disagree; class 2: two that agree and one that does not; class 3: none */
    float u[6 * 3] = {1, 0, 0, 0, 1, 0, 0, 0, 1, .8F, .6F, 0, .6F, .8F, 0, 0, 0, 1};
    int of[6] = {0, 1, 1, 2, 2, 2};
    struct arena *mem = arena_new((size_t)1 << 20);
    struct verdict ret[6];

    (void)state;
    assert_int_equal(purify_refined(u, of, 6, 3, 4, 75, mem, ret), ERR_NONE);
    assert_true(ret[0].keep && ret[0].unsure);
    assert_true(ret[1].keep && ret[1].unsure && ret[2].keep && ret[2].unsure);
    assert_true(ret[3].keep && !ret[3].unsure && ret[4].keep);
    assert_true(!ret[5].keep && ret[5].degrees > 80);
    arena_free(mem);
}

static void memory_running_out_is_said(void **state)
{
    size_t before = mem_live_blocks();
    struct arena *small = arena_new(1024);

    (void)state;
    make_people(.2, 1);
    assert_int_equal(purify_refined(photos, label, ALL, DIM, PEOPLE, 75, small, verdicts), ERR_LIMIT);
    arena_free(small);
    assert_int_equal(mem_live_blocks(), before);
}

/* With a wrong photo among them the center is that of the others; one photo is its own. */
static void a_center_leaves_strangers_out(void **state)
{
    struct arena *mem = arena_new((size_t)1 << 24);
    float center[DIM];
    float others[DIM];

    (void)state;
    assert_non_null(mem);
    make_people(0, 3);
    assert_int_equal(purify_center(photos, PHOTOS, DIM, mem, others), ERR_NONE);
    /* A photo of the second person behind those of the first. */
    assert_int_equal(purify_center(photos, PHOTOS + 1, DIM, mem, center), ERR_NONE);
    for (int k = 0; k < DIM; k++) {
        assert_true(fabsf(center[k] - others[k]) < 1e-5F);
    }
    assert_int_equal(purify_center(photos, 1, DIM, mem, center), ERR_NONE);
    for (int k = 0; k < DIM; k++) {
        assert_true(fabsf(center[k] - photos[k]) < 1e-5F);
    }
    assert_int_equal(purify_center(photos, 0, DIM, mem, center), ERR_NOT_FOUND);
    arena_free(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refined_finds_spoiled_labels),   cmocka_unit_test(plain_rule_follows_the_paper),
        cmocka_unit_test(too_few_photos_are_kept_unsure), cmocka_unit_test(a_center_leaves_strangers_out),
        cmocka_unit_test(memory_running_out_is_said),
    };
    return cmocka_run_group_tests_name("purify", tests, NULL, NULL);
}
