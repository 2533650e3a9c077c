/* test_optimizer.c: steps against numbers worked out by hand and by PyTorch's formulas, and the schedules at their corners. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/train/optimizer.h"

static void sgd_follows_its_definition(void **state)
{
    struct optimizer_options options = {.kind = OPTIMIZER_SGD, .momentum = .9F};
    struct optimizer_range ranges[] = {{0, 1, 1, .1F}, {1, 2, 10, 0}, {2, 3, 0, .5F}};
    struct optimizer *optimizer;
    float weight[4] = {1, 2, 3, 4};
    static const float gradient[4] = {.5F, -.25F, 1, 1};

    (void)state;
    assert_int_equal(optimizer_new(&options, ranges, 3, 4, &optimizer), ERR_NONE);
    optimizer_step(optimizer, .1F, gradient, weight);
    /* v = .5 + .1·1 = .6; w = 1 − .06.  v = −.25; w = 2 + 1·.25 */
    assert_float_equal(weight[0], .94, 1e-6);
    assert_float_equal(weight[1], 2.25, 1e-6);
    optimizer_step(optimizer, .1F, gradient, weight);
    /* v = .54 + .5 + .094 = 1.134; w = .94 − .1134.  v = −.475; w = 2.25 + .475 */
    assert_float_equal(weight[0], .8266, 1e-6);
    assert_float_equal(weight[1], 2.725, 1e-6);
    assert_true(weight[2] == 3 && weight[3] == 4); /* frozen, and in no range */
    assert_int_equal(optimizer_steps(optimizer), 2);
    optimizer_free(optimizer);
}

static void adamw_follows_its_definition(void **state)
{
    struct optimizer_options options = {.kind = OPTIMIZER_ADAMW, .beta1 = .9F, .beta2 = .999F, .epsilon = 1e-8F};
    struct optimizer_range range = {0, 2, 1, .1F};
    struct optimizer *optimizer;
    float weight[2] = {1, -1};
    double w[2] = {1, -1};
    double m[2] = {0};
    double v[2] = {0};

    (void)state;
    assert_int_equal(optimizer_new(&options, &range, 1, 2, &optimizer), ERR_NONE);
    for (int step = 1; step <= 10; step++) {
        float gradient[2] = {(float)sin(step), (float)(.01 * cos(step))};
        optimizer_step(optimizer, .01F, gradient, weight);
        for (int i = 0; i < 2; i++) {
            double g = (double)gradient[i];
            w[i] *= 1 - .01 * .1;
            m[i] = .9 * m[i] + .1 * g;
            v[i] = .999 * v[i] + .001 * g * g;
            w[i] -= .01 * (m[i] / (1 - pow(.9, step))) / (sqrt(v[i] / (1 - pow(.999, step))) + 1e-8);
            assert_float_equal(weight[i], w[i], 2e-6);
        }
    }
    optimizer_free(optimizer);
}

static void resuming_gives_the_same_bits(void **state)
{
    (void)state;
    for (int kind = OPTIMIZER_SGD; kind <= OPTIMIZER_ADAMW; kind++) {
        struct optimizer_options options = {kind, .9F, .9F, .999F, 1e-8F};
        struct optimizer_range range = {0, 3, 1, .01F};
        struct optimizer *whole;
        struct optimizer *first;
        struct optimizer *second;
        float a[3] = {1, 2, 3};
        float b[3] = {1, 2, 3};
        size_t floats;

        assert_int_equal(optimizer_new(&options, &range, 1, 3, &whole), ERR_NONE);
        assert_int_equal(optimizer_new(&options, &range, 1, 3, &first), ERR_NONE);
        assert_int_equal(optimizer_new(&options, &range, 1, 3, &second), ERR_NONE);
        for (int step = 0; step < 8; step++) {
            float gradient[3] = {(float)sin(step), 1, (float)-step};
            optimizer_step(whole, .1F, gradient, a);
            if (step == 4) {
                float *from = optimizer_state(first, &floats);
                memcpy(optimizer_state(second, &floats), from, floats * sizeof *from);
                optimizer_set_steps(second, optimizer_steps(first));
            }
            optimizer_step(step < 4 ? first : second, .1F, gradient, b);
        }
        assert_memory_equal(a, b, sizeof a);
        optimizer_free(whole);
        optimizer_free(first);
        optimizer_free(second);
    }
}

static void bad_ranges_are_refused(void **state)
{
    static const struct optimizer_range rows[][2] = {{{0, 2, 1, 0}, {1, 3, 1, 0}},
                                                     {{2, 3, 1, 0}, {0, 1, 1, 0}},
                                                     {{0, 1, 1, 0}, {1, 5, 1, 0}},
                                                     {{1, 0, 1, 0}, {1, 2, 1, 0}}};
    struct optimizer_options options = {.kind = OPTIMIZER_SGD};
    struct optimizer *optimizer = NULL;
    size_t before = mem_live_blocks();

    (void)state;
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        assert_int_equal(optimizer_new(&options, rows[r], 2, 4, &optimizer), ERR_MISUSE);
    }
    for (long n = 0; n < 3; n++) {
        struct optimizer_range range = {0, 4, 1, 0};
        mem_fail_at(n);
        assert_int_equal(optimizer_new(&options, &range, 1, 4, &optimizer), ERR_NOMEM);
        mem_fail_at(-1);
    }
    assert_null(optimizer);
    assert_int_equal(mem_live_blocks(), before);
}

static void clipping_keeps_the_direction(void **state)
{
    float gradient[4] = {3, 4, 100, 0};

    (void)state;
    assert_true(gradient_clip(gradient, 0, 2, 10) == 5 && gradient[0] == 3);
    assert_true(gradient_clip(gradient, 0, 2, 1) == 5);
    assert_float_equal(gradient[0], .6, 1e-6);
    assert_float_equal(gradient[1], .8, 1e-6);
    assert_true(gradient[2] == 100);
    assert_true(gradient_clip(gradient, 2, 4, 0) == 100 && gradient[2] == 100);
}

static void schedules_at_their_corners(void **state)
{
    struct schedule schedule = {
        .rate = 1, .steps = 110, .warmup = 10, .power = 1, .factor = .1F, .at = {.5F, .75F}, .n_at = 2};
    static const struct {
        enum schedule_kind kind;
        long step;
        double rate;
    } rows[] = {
        {SCHEDULE_CONSTANT, 0, .1},   {SCHEDULE_CONSTANT, 9, 1},     {SCHEDULE_CONSTANT, 109, 1},
        {SCHEDULE_CONSTANT, 110, 0},  {SCHEDULE_CONSTANT, -1, 0},    {SCHEDULE_STEP, 59, 1},
        {SCHEDULE_STEP, 60, .1},      {SCHEDULE_STEP, 84, .1},       {SCHEDULE_STEP, 85, .01},
        {SCHEDULE_COSINE, 10, 1},     {SCHEDULE_COSINE, 60, .5},     {SCHEDULE_COSINE, 109, 2.467e-4},
        {SCHEDULE_POLYNOMIAL, 10, 1}, {SCHEDULE_POLYNOMIAL, 60, .5}, {SCHEDULE_POLYNOMIAL, 109, .01},
    };

    (void)state;
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        schedule.kind = rows[r].kind;
        double rate = (double)schedule_rate(&schedule, rows[r].step);
        if (fabs(rate - rows[r].rate) > 1e-6) {
            fail_msg("row %zu: %g, expected %g", r, rate, rows[r].rate);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sgd_follows_its_definition),   cmocka_unit_test(adamw_follows_its_definition),
        cmocka_unit_test(resuming_gives_the_same_bits), cmocka_unit_test(bad_ranges_are_refused),
        cmocka_unit_test(clipping_keeps_the_direction), cmocka_unit_test(schedules_at_their_corners),
    };
    return cmocka_run_group_tests_name("optimizer", tests, NULL, NULL);
}
