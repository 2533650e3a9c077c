/* test_conv.c: every variant of the float convolution against its definition, with canaries around the output. */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/kernel/conv.h"
#include "core/kernel/kernels.h"

#define CANARY 12345.678F
#define GUARD 16

struct row {
    int64_t n, groups, ic, oc; /* channels of a group */
    int64_t in[3], kernel[3], stride[3], dilation[3], pad[3], pad_end[3];
};

static const struct row rows[] = {
    {1, 1, 1, 1, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0}, {0}},
    {1, 1, 3, 5, {1, 7, 11}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
    {2, 1, 3, 16, {1, 112, 112}, {1, 3, 3}, {1, 2, 2}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
    {1, 1, 64, 64, {1, 15, 15}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0}, {0}},
    {3, 1, 17, 13, {1, 8, 8}, {1, 1, 1}, {1, 2, 2}, {1, 1, 1}, {0}, {0}},
    {1, 1, 64, 64, {1, 20, 28}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
    {1, 1, 128, 32, {1, 14, 14}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
    {1, 1, 4, 6, {1, 13, 9}, {1, 3, 5}, {1, 1, 2}, {1, 2, 3}, {0, 2, 6}, {0, 1, 4}},
    {1, 1, 2, 3, {1, 1, 31}, {1, 1, 4}, {1, 1, 3}, {1, 1, 2}, {0, 0, 2}, {0, 0, 5}},
    {1, 1, 2, 3, {5, 6, 7}, {3, 2, 3}, {2, 1, 1}, {1, 2, 1}, {1, 0, 2}, {1, 1, 0}},
    {1, 8, 1, 1, {1, 9, 9}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
    {2, 32, 1, 1, {1, 56, 56}, {1, 3, 3}, {1, 2, 2}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
    {1, 16, 1, 2, {1, 12, 17}, {1, 5, 5}, {1, 1, 1}, {1, 1, 1}, {0, 2, 2}, {0, 2, 2}},
    {1, 4, 1, 1, {1, 7, 7}, {1, 7, 7}, {1, 1, 1}, {1, 1, 1}, {0}, {0}},
    {1, 4, 1, 1, {1, 2, 2}, {1, 7, 7}, {1, 2, 2}, {1, 1, 1}, {0, 3, 3}, {0, 3, 3}},
    {1, 64, 2, 2, {1, 14, 14}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
    {1, 3, 1, 4, {1, 11, 10}, {1, 3, 4}, {1, 3, 3}, {1, 1, 1}, {0, 0, 1}, {0, 0, 1}},
    {1, 3, 2, 1, {1, 11, 19}, {1, 3, 3}, {1, 1, 2}, {1, 2, 2}, {0, 2, 2}, {0, 2, 2}},
    {1, 2, 24, 40, {1, 10, 10}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
    {1, 2, 1, 1, {4, 5, 6}, {2, 3, 3}, {1, 1, 1}, {2, 1, 1}, {1, 1, 1}, {1, 1, 1}},
    {0, 1, 3, 5, {1, 7, 11}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
    {1, 1, 0, 4, {1, 5, 5}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
    {1, 1, 5, 7, {1, 97, 101}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
};

static uint32_t seed;

static float next_float(void)
{
    seed = seed * 1664525U + 1013904223U;
    return (float)(seed >> 8) / 8388608.0F - 1.0F;
}

static float *floats(int64_t count)
{
    float *f = MEM_ARRAY(float, (size_t)count);

    assert_non_null(f);
    for (int64_t i = 0; i < count; i++) {
        f[i] = next_float();
    }
    return f;
}

static struct conv_shape shape_of(const struct row *r)
{
    struct conv_shape s = {.n = r->n, .groups = r->groups, .ic = r->ic, .oc = r->oc};

    for (int d = 0; d < 3; d++) {
        s.in[d] = r->in[d];
        s.kernel[d] = r->kernel[d];
        s.stride[d] = r->stride[d];
        s.dilation[d] = r->dilation[d];
        s.pad[d] = r->pad[d];
        s.out[d] = (r->in[d] + r->pad[d] + r->pad_end[d] - (r->kernel[d] - 1) * r->dilation[d] - 1) / r->stride[d] + 1;
    }
    return s;
}

/* Under emulation (TEST_BRIEF, tests/portable.mk) large rows would take minutes; the small ones reach every loop. */
static bool is_left_out(int row)
{
    struct conv_shape s = shape_of(&rows[row]);
    int64_t products = s.n * s.groups * s.ic * s.oc * conv_taps(&s) * conv_out_pixels(&s);

    return getenv("TEST_BRIEF") != NULL && products > 1 << 20;
}

struct data {
    struct conv_shape s;
    int64_t count; /* of the output */
    float *x, *w, *bias, *slope, *residual, *expected, *bound;
};

static struct data data_of(const struct row *r)
{
    struct data d = {.s = shape_of(r)};
    struct finish none = {0};
    int64_t n_x = r->n * r->groups * r->ic * conv_in_pixels(&d.s);
    int64_t n_w = r->groups * r->oc * r->ic * conv_taps(&d.s);

    seed = 7;
    d.count = r->n * r->groups * r->oc * conv_out_pixels(&d.s);
    d.x = floats(n_x);
    d.w = floats(n_w);
    d.bias = floats(r->groups * r->oc);
    d.slope = floats(r->groups * r->oc);
    d.residual = floats(d.count);
    d.expected = floats(d.count);
    d.bound = floats(d.count);
    /* The bound is the convolution of absolute values. */
    float *abs_x = floats(n_x);
    float *abs_w = floats(n_w);
    for (int64_t i = 0; i < n_x; i++) {
        abs_x[i] = fabsf(d.x[i]);
    }
    for (int64_t i = 0; i < n_w; i++) {
        abs_w[i] = fabsf(d.w[i]);
    }
    conv_f32_ref(&d.s, abs_x, abs_w, &none, d.bound);
    mem_free(abs_x);
    mem_free(abs_w);
    return d;
}

static void release(struct data *d)
{
    mem_free(d->x);
    mem_free(d->w);
    mem_free(d->bias);
    mem_free(d->slope);
    mem_free(d->residual);
    mem_free(d->expected);
    mem_free(d->bound);
}

static void compare(const struct data *d, const float *y, int row, const char *what)
{
    for (int64_t i = 0; i < d->count; i++) {
        /* 3: the bias, the residual and a slope of at most one */
        float limit = CONV_TOLERANCE * (d->bound[i] + 3);
        if (!(fabsf(y[i] - d->expected[i]) <= limit)) {
            fail_msg("row %d, %s: output %lld is %.9g, not %.9g (± %.3g)", row, what, (long long)i, (double)y[i],
                     (double)d->expected[i], (double)limit);
        }
    }
}

static void check_row(int row, struct pool *pool, int act)
{
    struct data d = data_of(&rows[row]);
    struct finish finish = {.bias = d.bias,
                            .residual = act > 0 ? d.residual : NULL,
                            .act = (enum finish_act)act,
                            .low = act == FINISH_LEAKY ? 0.1F : -0.5F,
                            .high = 0.75F,
                            .slope = d.slope};
    float *y = MEM_ARRAY(float, (size_t)d.count + 2 * GUARD);
    size_t bytes = 0;

    assert_non_null(y);
    for (int64_t i = 0; i < d.count + 2 * GUARD; i++) {
        y[i] = CANARY;
    }
    conv_f32_ref(&d.s, d.x, d.w, &finish, d.expected);
    assert_true(conv_f32_work_bytes(&d.s, pool_threads(pool), &bytes));
    void *work = mem_new(bytes, 1);
    assert_non_null(work);
    conv_f32(&d.s, d.x, d.w, &finish, y + GUARD, work, bytes, pool);
    compare(&d, y + GUARD, row, "conv_f32");
    for (int i = 0; i < GUARD; i++) {
        if (y[i] != CANARY || y[d.count + GUARD + i] != CANARY) {
            fail_msg("row %d: wrote outside of the output", row);
        }
    }
    mem_free(work);
    mem_free(y);
    release(&d);
}

static void equals_reference(void **state)
{
    size_t blocks = mem_live_blocks();

    for (int i = 0; i < (int)(sizeof rows / sizeof rows[0]); i++) {
        if (is_left_out(i)) {
            continue;
        }
        check_row(i, NULL, FINISH_NONE);
        check_row(i, NULL, 1 + i % 4);
    }
    assert_int_equal(mem_live_blocks(), blocks);
}

static void same_bits_at_any_thread_count(void **state)
{
    size_t blocks = mem_live_blocks();
    struct pool *pool = NULL;

    assert_int_equal(pool_new(3, &pool), ERR_NONE);
    for (int i = 0; i < (int)(sizeof rows / sizeof rows[0]); i++) {
        if (is_left_out(i)) {
            continue;
        }
        struct data d = data_of(&rows[i]);
        struct finish finish = {.bias = d.bias};
        size_t bytes = 0;
        float *y = floats(d.count);
        assert_true(conv_f32_work_bytes(&d.s, 3, &bytes));
        void *work = mem_new(bytes, 1);
        conv_f32(&d.s, d.x, d.w, &finish, d.expected, work, bytes, NULL);
        conv_f32(&d.s, d.x, d.w, &finish, y, work, bytes, pool);
        if (memcmp(y, d.expected, (size_t)d.count * sizeof *y) != 0) {
            fail_msg("row %d: three threads give other bits than one", i);
        }
        mem_free(work);
        mem_free(y);
        release(&d);
        check_row(i, pool, FINISH_PRELU);
    }
    pool_free(pool);
    assert_int_equal(mem_live_blocks(), blocks);
}

/* Every direct variant on every row, also on those for which conv_f32 would choose products. */
static void direct_equals_reference(void **state)
{
    size_t blocks = mem_live_blocks();

    for (int i = 0; i < (int)(sizeof rows / sizeof rows[0]); i++) {
        if (is_left_out(i)) {
            continue;
        }
        struct data d = data_of(&rows[i]);
        struct finish none = {0};
        int64_t channels = d.s.groups * d.s.oc;
        float *y = floats(d.count);
        conv_f32_ref(&d.s, d.x, d.w, &none, d.expected);
        struct kernels table;
        const struct kernel_variant *variant = NULL;
        for (int v = 0; kernels_nth(KERNELS_conv_direct_f32, v, &table, &variant); v++) {
            for (int64_t c = 0; c < d.s.n * channels; c++) {
                table.conv_direct_f32(&d.s, d.x, d.w, c / channels, c % channels, y + c * conv_out_pixels(&d.s));
            }
            compare(&d, y, i, variant->name);
        }
        mem_free(y);
        release(&d);
    }
    assert_int_equal(mem_live_blocks(), blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_reference),
        cmocka_unit_test(same_bits_at_any_thread_count),
        cmocka_unit_test(direct_equals_reference),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
