/* test_batch_norm.c: statistics, both ways to normalise, and their gradients; the same source in double is the truth. */
#include "core/kernel/batch_norm.h"
#include "core/kernel/lanes_private.h"

#include "gradient_check.h"

/* ---- The same source in double ------------------------------------------------------------------------------------- */

#undef CORE_KERNEL_LANES_PRIVATE_H
#define float double
#define lanes lanes_f64
#define LANES LANES_F64
#define lanes_total lanes_total_f64
#define lanes_load lanes_load_f64
#define lanes_sum lanes_sum_f64
#define lanes_dot lanes_dot_f64
#define batch_norm_statistics_f32 statistics_f64
#define batch_norm_inverse_f32 inverse_f64
#define batch_norm_f32 batch_norm_f64
#define batch_norm_backward_f32 backward_f64
void statistics_f64(const struct norm_shape *s, double epsilon, const double *x, double *mean, double *variance,
                    double *inverse);
void inverse_f64(int64_t channels, double epsilon, const double *variance, double *inverse);
void batch_norm_f64(const struct norm_shape *s, const double *mean, const double *inverse, const double *scale,
                    const double *bias, const double *x, double *y);
void backward_f64(const struct norm_shape *s, bool of_batch, const double *mean, const double *inverse,
                  const double *scale, const double *x, const double *dy, double *dx, double *dscale, double *dbias);
#include "core/kernel/batch_norm.c"
#undef float
#undef batch_norm_statistics_f32
#undef batch_norm_inverse_f32
#undef batch_norm_f32
#undef batch_norm_backward_f32

#define EPSILON 1e-3

static const struct norm_shape shapes[] = {
    {2, 3, 35}, {4, 5, 1}, {1, 2, 64}, {7, 1, 3}, {3, 4, 16}, {2, 1, 1}, {0, 3, 4},
};
#define N_SHAPES ((int)(sizeof shapes / sizeof shapes[0]))

struct problem {
    struct norm_shape s;
    bool of_batch;
    int64_t count;
    double *x, *scale, *bias, *mean, *variance, *inverse, *y, *dy, *dx, *dscale, *dbias;
};

static void forward(struct problem *p)
{
    if (p->of_batch) {
        statistics_f64(&p->s, EPSILON, p->x, p->mean, p->variance, p->inverse);
    } else {
        inverse_f64(p->s.channels, EPSILON, p->variance, p->inverse);
    }
    batch_norm_f64(&p->s, p->mean, p->inverse, p->scale, p->bias, p->x, p->y);
}

static double value(void *context)
{
    struct problem *p = context;
    double sum = 0;

    forward(p);
    for (int64_t i = 0; i < p->count; i++) {
        sum += p->y[i] * p->dy[i];
    }
    return sum;
}

static struct problem problem_of(const struct norm_shape *s, bool of_batch)
{
    struct problem p = {.s = *s, .of_batch = of_batch, .count = s->n * s->channels * s->pixels};
    struct random random = random_seeded(11, 2);

    p.x = random_doubles(&random, p.count, 0);
    p.dy = random_doubles(&random, p.count, 0);
    p.scale = random_doubles(&random, s->channels, 0);
    p.bias = random_doubles(&random, s->channels, 0);
    p.mean = random_doubles(&random, s->channels, 0);
    p.variance = random_doubles(&random, s->channels, 0);
    p.inverse = zero_doubles(s->channels);
    p.y = zero_doubles(p.count);
    p.dx = zero_doubles(p.count);
    p.dscale = zero_doubles(s->channels);
    p.dbias = zero_doubles(s->channels);
    for (int64_t c = 0; c < s->channels; c++) {
        p.variance[c] = 1.25 + p.variance[c];
    }
    for (int64_t i = 0; i < p.count; i++) {
        p.x[i] += 2; /* away from 0: a forgotten mean shows */
    }
    round_to_float(p.x, p.count);
    round_to_float(p.dy, p.count);
    round_to_float(p.scale, s->channels);
    round_to_float(p.bias, s->channels);
    round_to_float(p.mean, s->channels);
    round_to_float(p.variance, s->channels);
    forward(&p);
    backward_f64(s, of_batch, p.mean, p.inverse, p.scale, p.x, p.dy, p.dx, p.dscale, p.dbias);
    return p;
}

static void problem_release(struct problem *p)
{
    double *all[] = {p->x, p->scale, p->bias, p->mean,   p->variance, p->inverse,
                     p->y, p->dy,    p->dx,   p->dscale, p->dbias};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        mem_free(all[i]);
    }
}

static void statistics_are_those_of_the_batch(void **state)
{
    static const double x[] = {1, 2, 3, 10, 10, 10, 5, 6, 7, 10, 10, 10}; /* 2 images, 2 channels, 3 pixels */
    const struct norm_shape s = {2, 2, 3};
    double mean[2];
    double variance[2];
    double inverse[2];

    statistics_f64(&s, 0.01, x, mean, variance, inverse);
    assert_true(mean[0] == 4 && mean[1] == 10);
    assert_true(fabs(variance[0] - 28.0 / 5) < 1e-12 && variance[1] == 0);
    assert_true(fabs(inverse[0] - 1 / sqrt(28.0 / 6 + 0.01)) < 1e-12 && fabs(inverse[1] - 10) < 1e-12);
}

static void gradients_against_differences(void **state)
{
    size_t live = mem_live_blocks();

    for (int i = 0; i < 2 * N_SHAPES - 1; i++) { /* without images there are no statistics */
        struct problem p = problem_of(&shapes[i / 2], i % 2 == 1);
        check_differences(i, "x", value, &p, p.x, p.dx, p.count);
        check_differences(i, "scale", value, &p, p.scale, p.dscale, p.s.channels);
        check_differences(i, "bias", value, &p, p.bias, p.dbias, p.s.channels);
        problem_release(&p);
    }
    assert_int_equal(mem_live_blocks(), live);
}

static void floats_against_doubles(void **state)
{
    size_t live = mem_live_blocks();

    for (int i = 0; i < 2 * N_SHAPES - 1; i++) { /* without images there are no statistics */
        struct problem p = problem_of(&shapes[i / 2], i % 2 == 1);
        const int64_t channels = p.s.channels;
        float *x = as_floats(p.x, p.count);
        float *dy = as_floats(p.dy, p.count);
        float *scale = as_floats(p.scale, channels);
        float *bias = as_floats(p.bias, channels);
        float *mean = as_floats(p.mean, channels);
        float *variance = as_floats(p.variance, channels);
        float *inverse = as_floats(p.inverse, channels);
        float *y = MEM_ARRAY(float, (size_t)p.count);
        float *dx = MEM_ARRAY(float, (size_t)p.count);
        float *dscale = MEM_ARRAY(float, (size_t)channels);
        float *dbias = MEM_ARRAY(float, (size_t)channels);
        if (p.of_batch) {
            batch_norm_statistics_f32(&p.s, (float)EPSILON, x, mean, variance, inverse);
        } else {
            batch_norm_inverse_f32(channels, (float)EPSILON, variance, inverse);
        }
        for (int64_t k = 0; k < p.count; k++) {
            dx[k] = 0.5F; /* gradients are added */
        }
        batch_norm_f32(&p.s, mean, inverse, scale, bias, x, y);
        batch_norm_backward_f32(&p.s, p.of_batch, mean, inverse, scale, x, dy, dx, dscale, dbias);
        if (p.of_batch && p.s.n * p.s.pixels == 2) {
            /* Of two values all but rounding cancels; there is nothing to compare. */
            p.count = 0;
        }
        check_floats(i, "y (itself)", y, 0, p.y, p.count);
        check_floats(i, "x", dx, 0.5, p.dx, p.count);
        if (p.count > 0) {
            check_floats(i, "scale", dscale, 0, p.dscale, channels);
            check_floats(i, "bias", dbias, 0, p.dbias, channels);
        }
        /* Any of the three may be unwanted. */
        batch_norm_backward_f32(&p.s, p.of_batch, mean, inverse, scale, x, dy, NULL, NULL, NULL);
        float *all[] = {x, dy, scale, bias, mean, variance, inverse, y, dx, dscale, dbias};
        for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
            mem_free(all[k]);
        }
        problem_release(&p);
    }
    assert_int_equal(mem_live_blocks(), live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statistics_are_those_of_the_batch),
        cmocka_unit_test(gradients_against_differences),
        cmocka_unit_test(floats_against_doubles),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
