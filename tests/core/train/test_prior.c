/*
 * test_prior.c: what descending on a picture needs beside the network, proven in double precision by central differences: the
 * prior on BatchNormalization statistics in its three forms, total variation, energy, the canvas and the glance.
 *
 * The double version is the same source with float replaced, as in test_loss.c.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tgmath.h>

#include <cmocka.h>

#include "core/base/random.h"
#include "core/train/canvas.h"
#include "core/train/glance.h"
#include "core/train/prior.h"

/* ---- The same sources in double ---------------------------------------------------------------------------------- */

#undef CORE_TRAIN_PRIOR_H
#undef CORE_TRAIN_CANVAS_H
#undef CORE_TRAIN_GLANCE_H
#undef CANVAS_MOST_LEVELS
#undef PI
#define float double
#define prior_form prior_form_f64
#define PRIOR_NONE NONE_F64
#define PRIOR_DEVIATION DEVIATION_F64
#define PRIOR_VARIANCE VARIANCE_F64
#define PRIOR_RELATIVE RELATIVE_F64
#define prior_sums prior_sums_f64
#define prior_layer prior_layer_f64
#define prior_add prior_add_f64
#define prior_value prior_value_f64
#define prior_back prior_back_f64
#define variation_loss variation_loss_f64
#define energy_loss energy_loss_f64
#define canvas canvas_f64
#define canvas_of canvas_of_f64
#define canvas_draw canvas_draw_f64
#define canvas_back canvas_back_f64
#define glance_limits glance_limits_f64
#define glance glance_f64
#define glance_draw glance_draw_f64
#define glance_plain glance_plain_f64
#define glance_see glance_see_f64
#define glance_back glance_back_f64
#define swing swing_f64
#include "core/train/canvas.c"
#include "core/train/glance.c"
#include "core/train/prior.c"
#undef float
#undef prior_form
#undef canvas_of
#undef canvas_draw
#undef glance_limits
#undef glance_draw
#undef glance_see
#undef glance_back
#undef prior_layer
#undef prior_sums
#undef prior_add
#undef prior_value
#undef prior_back
#undef PRIOR_NONE
#undef PRIOR_DEVIATION
#undef PRIOR_VARIANCE
#undef PRIOR_RELATIVE
#undef glance
#undef canvas

#define STEP 1e-5
#define BOUND 1e-7

static void fill(double *list, int count, double middle, double spread, uint64_t seed)
{
    struct random random = random_seeded(seed, 5);

    for (int i = 0; i < count; i++) {
        list[i] = middle + spread * random_normal(&random);
    }
}

typedef double value_at(const double *x, double *dx, const void *context);

/* The derivative that the function gives against its own differences, relative to the largest. */
static void check_derivative(const char *name, double *x, int count, value_at *value, const void *context)
{
    double *dx = calloc((size_t)count, sizeof *dx);
    double *none = calloc((size_t)count, sizeof *none);
    double largest = 0;
    double worst = 0;

    assert_true(dx != NULL && none != NULL);
    (void)value(x, dx, context);
    for (int i = 0; i < count; i++) {
        largest = fmax(largest, fabs(dx[i]));
    }
    assert_true(largest > 1e-6);
    for (int i = 0; i < count; i += count / 200 + 1) {
        double here = x[i];
        x[i] = here + STEP;
        double up = value(x, none, context);
        x[i] = here - STEP;
        double down = value(x, none, context);
        x[i] = here;
        worst = fmax(worst, fabs((up - down) / (2 * STEP) - dx[i]) / largest);
    }
    printf("# %s: worst %.2g of the largest derivative %.3g\n", name, worst, largest);
    if (!(worst < BOUND)) {
        fail_msg("%s: the derivative is off by %g of its largest", name, worst);
    }
    free(dx);
    free(none);
}

/* ---- The prior --------------------------------------------------------------------------------------------------- */

enum {
    N = 3,
    CHANNELS = 4,
    PIXELS = 37, /* two rows of sixteen and some */
    VALUES = N * CHANNELS * PIXELS
};

struct prior_case {
    enum prior_form_f64 form;
    double mean[CHANNELS], variance[CHANNELS];
};

static const double WEIGHT = 0.7; /* so that a forgotten weight shows */

/* The batch in two parts, as threads have it. */
static double prior_at(const double *x, double *dx, const void *context)
{
    const struct prior_case *c = context;
    const struct prior_layer_f64 is = {CHANNELS, c->mean, c->variance, 1e-3};
    double sum[CHANNELS] = {0};
    double squares[CHANNELS] = {0};
    double offset[CHANNELS];
    double slope[CHANNELS];
    const struct prior_sums_f64 sums = {sum, squares};

    prior_add_f64(x, 1, CHANNELS, PIXELS, &sums);
    prior_add_f64(x + CHANNELS * PIXELS, N - 1, CHANNELS, PIXELS, &sums);
    double value = prior_value_f64(c->form, &is, &sums, N * PIXELS, WEIGHT, offset, slope);
    prior_back_f64(x, N, CHANNELS, PIXELS, offset, slope, dx);
    return WEIGHT * value;
}

static void derivatives_of_the_prior(void **state)
{
    static const char *const names[] = {"none", "deviation", "variance", "relative"};
    struct prior_case c = {.mean = {0.1, -0.2, 0.5, 0}, .variance = {0.7, 1.5, 0.2, 1e-4}};
    double x[VALUES];

    (void)state;
    fill(x, VALUES, 0.3, 1.2, 1);
    for (int form = DEVIATION_F64; form <= RELATIVE_F64; form++) {
        c.form = (enum prior_form_f64)form;
        check_derivative(names[form], x, VALUES, prior_at, &c);
    }
    c.form = NONE_F64;
    double dx[VALUES] = {0};
    assert_true(prior_at(x, dx, &c) == 0);
    for (int i = 0; i < VALUES; i++) {
        assert_true(dx[i] == 0);
    }
}

/* Two values of one channel, by hand. */
static void values_of_the_prior(void **state)
{
    const float x[4] = {1, 3, 1, 3}; /* mean 2, variance 1 */
    const float mean[1] = {1.5F};
    const float variance[1] = {4};
    double sum[1] = {0};
    double squares[1] = {0};
    float offset[1];
    float slope[1];
    const struct prior_sums sums = {sum, squares};
    const struct prior_layer layer = {1, mean, variance, 0};

    (void)state;
    prior_add(x, 2, 1, 2, &sums);
    /* (2 − 1.5)² + (1 − 2)² */
    assert_true(fabs(prior_value(PRIOR_DEVIATION, &layer, &sums, 4, 1, offset, slope) - 1.25) <
                1e-4); /* ε is 1e-5 at least */
    /* |1 − 4| + |2 − 1.5| */
    assert_true(fabs(prior_value(PRIOR_VARIANCE, &layer, &sums, 4, 1, offset, slope) - 3.5) < 1e-12);
    /* the first, over σ² = 4 */
    assert_true(fabs(prior_value(PRIOR_RELATIVE, &layer, &sums, 4, 1, offset, slope) - 1.25 / 4) < 1e-4);

    /* What is as remembered costs nothing and pulls nowhere. */
    const float same[1] = {2};
    const float one[1] = {1};
    const struct prior_layer met = {1, same, one, 1e-5F};
    for (int form = PRIOR_DEVIATION; form <= PRIOR_RELATIVE; form++) {
        assert_true(prior_value((enum prior_form)form, &met, &sums, 4, 1, offset, slope) < 1e-12);
        assert_true(fabsf(offset[0]) < 1e-6F && fabsf(slope[0]) < 1e-6F);
    }
}

/* A channel that is the same everywhere, in a network that writes ε = 0: pulled apart as far as numbers go, not to infinity. */
static void a_dead_channel_has_a_derivative(void **state)
{
    const float x[4] = {2, 2, 2, 2};
    const float mean[1] = {1};
    const float variance[1] = {1};
    const struct prior_layer layer = {1, mean, variance, 0};

    (void)state;
    for (int form = PRIOR_DEVIATION; form <= PRIOR_RELATIVE; form++) {
        double sum[1] = {0};
        double squares[1] = {0};
        const struct prior_sums sums = {sum, squares};
        float offset[1];
        float slope[1];
        prior_add(x, 2, 1, 2, &sums);
        assert_true(isfinite(prior_value((enum prior_form)form, &layer, &sums, 4, 1, offset, slope)));
        assert_true(isfinite(offset[0]) && isfinite(slope[0]) && slope[0] < 0);
    }
}

/* ---- The picture ------------------------------------------------------------------------------------------------- */

enum {
    WIDTH = 7,
    HEIGHT = 5,
    PICTURE = 3 * WIDTH * HEIGHT
};

static double variation_at(const double *x, double *dx, const void *context)
{
    return WEIGHT * variation_loss_f64(x, 2, 3, HEIGHT, WIDTH, WEIGHT, dx);
}

static double energy_at(const double *x, double *dx, const void *context)
{
    return WEIGHT * energy_loss_f64(x, 2, PICTURE, WEIGHT, dx);
}

static void derivatives_on_the_picture(void **state)
{
    double x[2 * PICTURE];

    (void)state;
    fill(x, 2 * PICTURE, 0, 0.5, 2);
    check_derivative("variation", x, 2 * PICTURE, variation_at, NULL);
    check_derivative("energy", x, 2 * PICTURE, energy_at, NULL);

    /* A flat picture varies nowhere; black has no energy; neither divides by its length. */
    double flat[PICTURE] = {0};
    double dx[PICTURE] = {0};
    assert_true(variation_loss_f64(flat, 1, 3, HEIGHT, WIDTH, 1, dx) == 0);
    assert_true(energy_loss_f64(flat, 1, PICTURE, 1, dx) == 0);
    for (int i = 0; i < PICTURE; i++) {
        assert_true(dx[i] == 0);
    }
    /* One step of height 1 across 5 rows of 3 channels: 15 differences of the picture's 105 numbers, to the right and on both
     * diagonals (12 each). */
    for (int i = 0; i < PICTURE; i++) {
        flat[i] = i % WIDTH >= 3;
    }
    double expected = (sqrt(15) + 2 * sqrt(12)) / sqrt(PICTURE);
    assert_true(fabs(variation_loss_f64(flat, 1, 3, HEIGHT, WIDTH, 0, dx) - expected) < 1e-12);
}

/* ---- Canvas and glance ------------------------------------------------------------------------------------------- */

enum {
    SIDE = 12,
    PIXELS_OF_SIDE = 3 * SIDE * SIDE
};

/* Weighs what is seen of a drawn picture, by numbers that tell all of them apart. */
struct seeing {
    struct canvas_f64 canvas;
    struct glance_f64 glance;
    double weight[PIXELS_OF_SIDE];
};

static double seen_at(const double *p, double *dp, const void *context)
{
    const struct seeing *s = context;
    double pixels[PIXELS_OF_SIDE];
    double work[PIXELS_OF_SIDE];
    double seen[PIXELS_OF_SIDE];
    double d_pixels[PIXELS_OF_SIDE] = {0};
    double value = 0;

    canvas_draw_f64(&s->canvas, p, work, pixels);
    glance_see_f64(&s->glance, SIDE, pixels, seen);
    for (int i = 0; i < PIXELS_OF_SIDE; i++) {
        value += s->weight[i] * seen[i];
    }
    glance_back_f64(&s->glance, SIDE, s->weight, d_pixels);
    canvas_back_f64(&s->canvas, pixels, d_pixels, work, dp);
    return value;
}

static void derivatives_of_canvas_and_glance(void **state)
{
    const struct glance_limits_f64 limits = {
        .pixels = 2, .degrees = 20, .scale = 0.2, .light = 0.3, .noise = 0.1, .mirror = true};
    struct random random = random_seeded(3, 3);
    struct seeing s = {.canvas = canvas_of_f64(SIDE, 3, 0.4, 0.3)};
    double p[2 * PIXELS_OF_SIDE];

    (void)state;
    assert_int_equal(s.canvas.levels, 3); /* 12, 6, 3 */
    assert_int_equal((int)s.canvas.count, 3 * (144 + 36 + 9));
    fill(s.weight, PIXELS_OF_SIDE, 0, 1, 4);
    fill(p, (int)s.canvas.count, 0, 0.4, 5);
    for (int turn = 0; turn < 4; turn++) {
        s.glance = glance_draw_f64(&limits, SIDE, &random);
        check_derivative("canvas and glance", p, (int)s.canvas.count, seen_at, &s);
    }
    assert_true(fabs(s.canvas.gain[0] - 0.4) + fabs(s.canvas.gain[1] - 0.8) + fabs(s.canvas.gain[2] - 1) < 1e-12);
    s.canvas.sides = 0.3;
    s.glance = glance_plain_f64(SIDE, true);
    check_derivative("canvas and mirror", p, (int)s.canvas.count, seen_at, &s);
}

/* A level alone: a flat one stays flat at any size, the axes of colour are what they say. */
static void a_canvas_draws_what_it_says(void **state)
{
    const struct canvas_f64 canvas = canvas_of_f64(SIDE, 3, 1, 0.5);
    double p[2 * PIXELS_OF_SIDE];
    double pixels[PIXELS_OF_SIDE];
    double work[PIXELS_OF_SIDE];
    double once[PIXELS_OF_SIDE];

    (void)state;
    for (int level = 0; level < canvas.levels; level++) {
        memset(p, 0, sizeof p);
        int count = canvas.side_of[level] * canvas.side_of[level];
        for (int i = 0; i < count; i++) {
            p[canvas.begin[level] + (size_t)i] = 0.5;
        }
        canvas_draw_f64(&canvas, p, work, pixels);
        for (int i = 0; i < PIXELS_OF_SIDE; i++) {
            assert_true(fabs(pixels[i] - tanh(0.5 / sqrt(3))) < 1e-12); /* grey */
        }
    }
    /* Red against blue leaves green alone. */
    memset(p, 0, sizeof p);
    p[SIDE * SIDE] = 1;
    canvas_draw_f64(&canvas, p, work, pixels);
    assert_true(fabs(pixels[0] - tanh(0.5 / sqrt(2))) < 1e-12);
    assert_true(pixels[SIDE * SIDE] == 0);
    assert_true(fabs(pixels[2 * SIDE * SIDE] + tanh(0.5 / sqrt(2))) < 1e-12);

    /* Without sides a picture is its own mirror image. */
    struct canvas_f64 even = canvas;
    fill(p, (int)canvas.count, 0, 0.4, 6);
    even.sides = 0;
    canvas_draw_f64(&even, p, work, pixels);
    for (int i = 0; i < PIXELS_OF_SIDE; i++) {
        assert_true(pixels[i] == pixels[i / SIDE * SIDE + SIDE - 1 - i % SIDE]);
    }

    /* A glance as it is, and the mirror of the mirror. */
    fill(p, (int)canvas.count, 0, 0.4, 6);
    canvas_draw_f64(&canvas, p, work, pixels);
    const struct glance_f64 plain = glance_plain_f64(SIDE, false);
    const struct glance_f64 mirror = glance_plain_f64(SIDE, true);
    glance_see_f64(&plain, SIDE, pixels, once);
    assert_memory_equal(once, pixels, sizeof once);
    glance_see_f64(&mirror, SIDE, pixels, once);
    assert_true(once[0] == pixels[SIDE - 1] && once[SIDE] == pixels[2 * SIDE - 1]);
    glance_see_f64(&mirror, SIDE, once, work);
    assert_memory_equal(work, pixels, sizeof work);
}

static void glances_stay_within_their_limits(void **state)
{
    const struct glance_limits_f64 limits = {.pixels = 3, .degrees = 10, .scale = 0.1, .light = 0.2, .mirror = true};
    const struct glance_limits_f64 none = {0};
    struct random random = random_seeded(7, 7);
    int mirrored = 0;

    (void)state;
    for (int i = 0; i < 500; i++) {
        struct glance_f64 g = glance_draw_f64(&limits, SIDE, &random);
        double scale = sqrt(g.map[3] * g.map[3] + g.map[4] * g.map[4]);
        double middle = (SIDE - 1) / 2.0;
        mirrored += g.map[0] < 0;
        assert_true(fabs(scale - 1) <= 0.1 + 1e-6 && fabs(atan2(g.map[3], g.map[4])) <= 10 * PI / 180 + 1e-6);
        assert_true(fabs(g.map[0] * middle + g.map[1] * middle + g.map[2] - middle) <= 3 + 1e-6);
        assert_true(fabs(g.map[3] * middle + g.map[4] * middle + g.map[5] - middle) <= 3 + 1e-6);
        assert_true(fabs(g.gain - 1) <= 0.2 + 1e-6 && fabs(g.shift) <= 0.1 + 1e-6);
    }
    assert_true(mirrored > 200 && mirrored < 300);
    struct glance_f64 still = glance_draw_f64(&none, SIDE, &random);
    assert_true(still.map[0] == 1 && still.map[1] == 0 && fabs(still.map[2]) < 1e-12 && still.gain == 1);
}

/* The float version is the double one, rounded. */
static void float_against_double(void **state)
{
    struct prior_case c = {.form = RELATIVE_F64, .mean = {0.1, -0.2, 0.5, 0}, .variance = {0.7, 1.5, 0.2, 1e-4}};
    double x[VALUES];
    float single[VALUES];
    float mean[CHANNELS];
    float variance[CHANNELS];
    float offset[CHANNELS];
    float slope[CHANNELS];
    double sum[CHANNELS] = {0};
    double squares[CHANNELS] = {0};
    double dx[VALUES] = {0};
    const struct prior_sums sums = {sum, squares};
    const struct prior_layer layer = {CHANNELS, mean, variance, 1e-3F};

    (void)state;
    fill(x, VALUES, 0.3, 1.2, 1);
    for (int i = 0; i < VALUES; i++) {
        single[i] = (float)x[i];
    }
    for (int i = 0; i < CHANNELS; i++) {
        mean[i] = (float)c.mean[i];
        variance[i] = (float)c.variance[i];
    }
    double expected = prior_at(x, dx, &c) / WEIGHT;
    prior_add(single, N, CHANNELS, PIXELS, &sums);
    double value = prior_value(PRIOR_RELATIVE, &layer, &sums, N * PIXELS, (float)WEIGHT, offset, slope);
    assert_true(fabs(value - expected) < 1e-5 * expected);
    for (int i = 0; i < VALUES; i++) {
        int k = i / PIXELS % CHANNELS;
        assert_true(fabs((double)offset[k] + (double)slope[k] * x[i] - dx[i]) < 1e-5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(derivatives_of_the_prior),         cmocka_unit_test(values_of_the_prior),
        cmocka_unit_test(a_dead_channel_has_a_derivative),  cmocka_unit_test(derivatives_on_the_picture),
        cmocka_unit_test(derivatives_of_canvas_and_glance), cmocka_unit_test(a_canvas_draws_what_it_says),
        cmocka_unit_test(glances_stay_within_their_limits), cmocka_unit_test(float_against_double),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
