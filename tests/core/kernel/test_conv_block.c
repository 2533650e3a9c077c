/*
 * test_conv_block.c: every form of blocked convolution, in every instruction set of this processor, against the definition,
 * with canaries around output and scratch.
 */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/kernel/conv_block.h"
#include "core/kernel/kernels.h"

#define CANARY 12345.678F
#define GUARD 64
#define FILL 3.5F /* in channels that fill up the last block: finite, and nobody may use it */

struct row {
    int64_t n, groups, ic, oc; /* channels of a group */
    int64_t in[2], kernel[2], stride[2], dilation[2], pad[2], pad_end[2];
};

static const struct row rows[] = {
    {1, 1, 1, 1, {1, 1}, {1, 1}, {1, 1}, {1, 1}, {0}, {0}},
    {1, 1, 3, 5, {7, 11}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {2, 1, 3, 64, {112, 112}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {2, 1, 3, 16, {112, 112}, {3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}},
    {1, 1, 4, 24, {31, 29}, {5, 3}, {2, 3}, {1, 2}, {2, 1}, {1, 4}},
    {1, 1, 64, 64, {15, 15}, {1, 1}, {1, 1}, {1, 1}, {0}, {0}},
    {3, 1, 17, 13, {8, 8}, {1, 1}, {2, 2}, {1, 1}, {0}, {0}},
    {2, 1, 40, 72, {9, 13}, {1, 1}, {1, 1}, {1, 1}, {0}, {0}},
    {1, 1, 16, 16, {1, 1}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {1, 1, 16, 32, {2, 3}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {1, 1, 17, 47, {4, 4}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {2, 1, 33, 48, {5, 5}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {1, 1, 32, 32, {56, 56}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {3, 1, 64, 96, {14, 14}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {2, 1, 128, 128, {7, 7}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {1, 1, 145, 19, {5, 6}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {1, 1, 256, 96, {14, 14}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {1, 1, 24, 40, {11, 19}, {3, 3}, {1, 1}, {1, 1}, {0, 0}, {0, 0}},
    {1, 1, 24, 40, {11, 19}, {3, 3}, {1, 1}, {1, 1}, {2, 0}, {1, 2}},
    {1, 1, 128, 128, {14, 14}, {3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}},
    {2, 1, 20, 36, {13, 9}, {3, 5}, {1, 2}, {2, 3}, {2, 6}, {1, 4}},
    {1, 1, 512, 64, {7, 7}, {7, 7}, {1, 1}, {1, 1}, {0}, {0}},
    {1, 2, 32, 48, {10, 10}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {2, 3, 16, 16, {5, 6}, {1, 1}, {1, 1}, {1, 1}, {0}, {0}},
    {1, 8, 1, 1, {9, 9}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {2, 40, 1, 1, {56, 56}, {3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}},
    {1, 16, 1, 1, {6, 1}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {1, 20, 1, 1, {3, 2}, {3, 3}, {2, 2}, {1, 1}, {2, 2}, {0, 3}},
    {2, 16, 1, 1, {4, 37}, {3, 3}, {1, 3}, {1, 1}, {0, 2}, {0, 5}},
    {1, 16, 1, 1, {7, 7}, {7, 7}, {1, 1}, {1, 1}, {0}, {0}},
    {1, 16, 1, 1, {2, 2}, {7, 7}, {2, 2}, {1, 1}, {3, 3}, {3, 3}},
    {1, 19, 1, 1, {12, 17}, {5, 3}, {1, 2}, {2, 3}, {2, 3}, {2, 3}},
    {2, 64, 2, 2, {14, 14}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
    {1, 9, 4, 4, {11, 6}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
};
#define N_ROWS ((int)(sizeof rows / sizeof rows[0]))

/* The n-th table that this processor can run; NULL past the last. */
static const struct block_kernels *table_at(int n, const char **ret_name)
{
    struct kernels table = {0};
    const struct kernel_variant *variant = NULL;

    if (!kernels_nth(KERNELS_blocks, n, &table, &variant)) {
        return NULL;
    }
    *ret_name = variant->name;
    return table.blocks;
}

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
    struct conv_shape s = {.n = r->n,
                           .groups = r->groups,
                           .ic = r->ic,
                           .oc = r->oc,
                           .in = {1},
                           .kernel = {1},
                           .stride = {1},
                           .dilation = {1},
                           .out = {1}};

    for (int d = 0; d < 2; d++) {
        s.in[d + 1] = r->in[d];
        s.kernel[d + 1] = r->kernel[d];
        s.stride[d + 1] = r->stride[d];
        s.dilation[d + 1] = r->dilation[d];
        s.pad[d + 1] = r->pad[d];
        s.out[d + 1] =
            (r->in[d] + r->pad[d] + r->pad_end[d] - (r->kernel[d] - 1) * r->dilation[d] - 1) / r->stride[d] + 1;
    }
    return s;
}

/* Blocked, with FILL where no channel is. */
static float *blocked(int64_t n, int64_t c, int64_t pixels, const float *plain)
{
    float *x = MEM_ARRAY(float, (size_t)(n * block_count(c) * pixels * BLOCK));

    assert_non_null(x);
    block_pack_f32(n, c, pixels, plain, x);
    for (int64_t i = 0; i < n * block_count(c) * pixels * BLOCK; i++) {
        int64_t channel = i / (pixels * BLOCK) % block_count(c) * BLOCK + i % BLOCK;
        x[i] = channel < c ? x[i] : FILL;
    }
    return x;
}

/* One layer with all that may come with it. */
struct layer {
    struct conv_shape s;
    int64_t inputs, outputs, weights;
    float *x, *w, *bias, *slope, *scale, *shift, *residual, *expected, *bound;
    float largest; /* bound */
};

static struct layer layer_of(const struct row *r, const struct finish *with, bool scaled)
{
    struct layer l = {.s = shape_of(r)};
    struct finish finish = *with;
    struct finish none = {0};

    seed = 7;
    l.inputs = r->n * r->groups * r->ic * conv_in_pixels(&l.s);
    l.outputs = r->n * r->groups * r->oc * conv_out_pixels(&l.s);
    l.weights = r->groups * r->oc * r->ic * conv_taps(&l.s);
    l.x = floats(l.inputs);
    l.w = floats(l.weights);
    l.bias = floats(r->groups * r->oc);
    l.slope = floats(r->groups * r->oc);
    l.scale = floats(r->groups * r->ic);
    l.shift = floats(r->groups * r->ic);
    l.residual = floats(l.outputs);
    l.expected = floats(l.outputs);
    l.bound = floats(l.outputs);
    float *x = floats(l.inputs);
    float *abs_w = floats(l.weights);
    for (int64_t i = 0; i < l.inputs; i++) {
        int64_t c = i / conv_in_pixels(&l.s) % (r->groups * r->ic);
        x[i] = scaled ? l.x[i] * l.scale[c] + l.shift[c] : l.x[i];
    }
    finish.bias = with->bias != NULL ? l.bias : NULL;
    finish.slope = l.slope;
    finish.residual = with->residual != NULL ? l.residual : NULL;
    conv_f32_ref(&l.s, x, l.w, &finish, l.expected);
    for (int64_t i = 0; i < l.inputs; i++) {
        x[i] = fabsf(x[i]);
    }
    for (int64_t i = 0; i < l.weights; i++) {
        abs_w[i] = fabsf(l.w[i]);
    }
    conv_f32_ref(&l.s, x, abs_w, &none, l.bound);
    for (int64_t i = 0; i < l.outputs; i++) {
        l.largest = l.bound[i] > l.largest ? l.bound[i] : l.largest;
    }
    mem_free(x);
    mem_free(abs_w);
    return l;
}

static void release(struct layer *l)
{
    float *all[] = {l->x, l->w, l->bias, l->slope, l->scale, l->shift, l->residual, l->expected, l->bound};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        mem_free(all[i]);
    }
}

/* Runs one form; returns the output as a plain image. */
static float *run(const struct layer *l, const struct block_kernels *kernels, enum conv_form form,
                  const struct finish *with, bool scaled, struct pool *pool)
{
    const struct conv_shape *s = &l->s;
    int64_t in = conv_in_pixels(s);
    int64_t out = conv_out_pixels(s);
    size_t bytes = 0;
    size_t work_bytes = 0;
    const struct conv_constants constants = {.w = l->w,
                                             .bias = with->bias != NULL ? l->bias : NULL,
                                             .slope = with->act == FINISH_PRELU ? l->slope : NULL,
                                             .scale = scaled ? l->scale : NULL,
                                             .shift = scaled ? l->shift : NULL};

    assert_true(conv_pack_bytes(s, form, &bytes));
    void *packed = mem_new(bytes, 1);
    assert_non_null(packed);
    (void)conv_pack_f32(s, form, &constants, false, packed);
    assert_true(conv_block_work_bytes(s, form, pool_threads(pool), &work_bytes));
    float *work = MEM_ARRAY(float, work_bytes / sizeof(float) + GUARD);
    int64_t count = s->n * block_count(s->groups * s->oc) * out * BLOCK;
    float *y = MEM_ARRAY(float, (size_t)count + 2 * GUARD);
    float *plain = MEM_ARRAY(float, (size_t)l->outputs);
    assert_true(work != NULL && y != NULL && plain != NULL);
    for (int64_t i = 0; i < count + 2 * GUARD; i++) {
        y[i] = CANARY;
    }
    for (int64_t i = 0; i < (int64_t)(work_bytes / sizeof(float)) + GUARD; i++) {
        work[i] = CANARY;
    }
    float *x = form == CONV_FIRST ? mem_copy(l->x, (size_t)l->inputs * sizeof(float))
                                  : blocked(s->n, s->groups * s->ic, in, l->x);
    float *residual = blocked(s->n, s->groups * s->oc, out, l->residual);
    struct finish finish = *with;
    finish.residual = with->residual != NULL ? residual : NULL;
    conv_block_f32(kernels, s, packed, x, &finish, y + GUARD, work, pool);
    for (int i = 0; i < GUARD; i++) {
        assert_true(y[i] == CANARY && y[count + GUARD + i] == CANARY);
        assert_true(work[work_bytes / sizeof(float) + (size_t)i] == CANARY);
    }
    for (int64_t i = 0; i < count; i++) {
        assert_true(isfinite(y[GUARD + i]));
    }
    block_unpack_f32(s->n, s->groups * s->oc, out, y + GUARD, plain);
    mem_free(residual);
    mem_free(x);
    mem_free(y);
    mem_free(work);
    mem_free(packed);
    return plain;
}

static struct finish finish_of(int act)
{
    static const float present[1];
    struct finish finish = {.act = (enum finish_act)act, .low = act == FINISH_LEAKY ? 0.1F : -0.5F, .high = 0.75F};

    finish.bias = act != FINISH_RELU ? present : NULL;
    finish.residual = act % 2 == 1 ? present : NULL;
    return finish;
}

static void check(const struct layer *l, int row, const struct block_kernels *table, const char *name, int form,
                  const struct finish *finish, bool scaled)
{
    bool winograd = form == CONV_WINOGRAD2 || form == CONV_WINOGRAD4;
    float *y = run(l, table, (enum conv_form)form, finish, scaled, NULL);

    for (int64_t i = 0; i < l->outputs; i++) {
        /* A tile's errors are those of its largest sums; 3: bias, residual, a slope of at most one. */
        float limit = winograd ? CONV_WINOGRAD_TOLERANCE * (l->largest + 3) : CONV_TOLERANCE * (l->bound[i] + 3);
        if (!(fabsf(y[i] - l->expected[i]) <= limit)) {
            fail_msg("row %d, %s, form %d, act %d: output %lld is %.9g, not %.9g (± %.3g)", row, name, form,
                     (int)finish->act, (long long)i, (double)y[i], (double)l->expected[i], (double)limit);
        }
    }
    mem_free(y);
}

static void check_row(int row, int act, bool scaled)
{
    struct finish finish = finish_of(act);
    struct layer l = layer_of(&rows[row], &finish, scaled);

    for (int form = CONV_FIRST; form <= CONV_WINOGRAD4; form++) {
        if (!conv_block_can(&l.s, (enum conv_form)form) || (scaled && form == CONV_LANES)) {
            continue;
        }
        const char *name = NULL;
        const struct block_kernels *table = NULL;
        for (int n = 0; (table = table_at(n, &name)) != NULL; n++) {
            check(&l, row, table, name, form, &finish, scaled);
        }
    }
    release(&l);
}

/* Under emulation (TEST_BRIEF, tests/portable.mk) large rows would take minutes; the small ones reach every loop. */
static bool is_left_out(int row)
{
    struct conv_shape s = shape_of(&rows[row]);
    int64_t products = s.n * s.groups * s.ic * s.oc * conv_taps(&s) * conv_out_pixels(&s);

    return getenv("TEST_BRIEF") != NULL && products > 3 << 20;
}

static void equals_reference(void **state)
{
    size_t blocks = mem_live_blocks();

    for (int row = 0; row < N_ROWS; row++) {
        if (is_left_out(row)) {
            continue;
        }
        check_row(row, FINISH_NONE, false);
        check_row(row, 1 + row % 4, row % 3 != 0 && rows[row].groups == 1);
        if (rows[row].groups > 1) {
            check_row(row, 1 + (row + 1) % 4, false);
        }
    }
    assert_int_equal(mem_live_blocks(), blocks);
}

/* The last channel of every layer meets every activation at every count of pixels that a product can have. */
static void every_tile(void **state)
{
    const char *name = NULL;
    const struct block_kernels *table = NULL;

    for (int n = 0; (table = table_at(n, &name)) != NULL; n++) {
        for (int pixels = 1; pixels <= 2 * BLOCK_PRODUCT_PIXELS + 1; pixels++) {
            struct row r = {1, 1, 19, 35, {1, pixels}, {1, 1}, {1, 1}, {1, 1}, {0}, {0}};
            for (int act = 0; act <= FINISH_CLIP; act++) {
                struct finish finish = finish_of(act);
                struct layer l = layer_of(&r, &finish, false);
                float *y = run(&l, table, CONV_DIRECT, &finish, false, NULL);
                for (int64_t i = 0; i < l.outputs; i++) {
                    assert_true(fabsf(y[i] - l.expected[i]) <= CONV_TOLERANCE * (l.bound[i] + 3));
                }
                mem_free(y);
                release(&l);
            }
        }
    }
}

static void same_bits_at_any_thread_count(void **state)
{
    struct pool *pool = NULL;
    struct finish finish = finish_of(FINISH_PRELU);

    assert_int_equal(pool_new(3, &pool), ERR_NONE);
    for (int row = 0; row < N_ROWS; row++) {
        if (is_left_out(row)) {
            continue;
        }
        struct layer l = layer_of(&rows[row], &finish, false);
        for (int form = CONV_FIRST; form <= CONV_WINOGRAD4; form++) {
            if (!conv_block_can(&l.s, (enum conv_form)form)) {
                continue;
            }
            float *one = run(&l, kernels()->blocks, (enum conv_form)form, &finish, false, NULL);
            float *three = run(&l, kernels()->blocks, (enum conv_form)form, &finish, false, pool);
            if (memcmp(one, three, (size_t)l.outputs * sizeof *one) != 0) {
                fail_msg("row %d, form %d: other bits with three threads", row, form);
            }
            mem_free(one);
            mem_free(three);
        }
        release(&l);
    }
    pool_free(pool);
}

/* What the model must say about layers whose best form has been measured. */
static void chooses(void **state)
{
    static const struct {
        struct row r;
        enum conv_form form;
    } known[] = {
        {{1, 1, 3, 64, {112, 112}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}}, CONV_FIRST},
        {{1, 1, 64, 64, {112, 112}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}}, CONV_WINOGRAD4},
        {{1, 1, 64, 64, {56, 56}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}}, CONV_WINOGRAD4},
        {{1, 1, 128, 128, {28, 28}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}}, CONV_WINOGRAD4},
        {{1, 1, 256, 256, {14, 14}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}}, CONV_WINOGRAD2},
        {{8, 1, 256, 256, {14, 14}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}}, CONV_WINOGRAD4},
        {{1, 1, 512, 512, {7, 7}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}}, CONV_WINOGRAD2},
        {{1, 1, 64, 64, {112, 112}, {3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}}, CONV_DIRECT},
        {{1, 1, 64, 128, {56, 56}, {1, 1}, {2, 2}, {1, 1}, {0}, {0}}, CONV_DIRECT},
        {{1, 64, 2, 2, {56, 56}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}}, CONV_LANES},
        {{1, 128, 1, 1, {56, 56}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}}, CONV_LANES},
        {{1, 2, 24, 40, {10, 10}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}}, CONV_PLAIN},
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct conv_shape s = shape_of(&known[i].r);
        if (conv_block_choose(&s) != known[i].form) {
            fail_msg("row %zu: form %d", i, conv_block_choose(&s));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_reference),
        cmocka_unit_test(every_tile),
        cmocka_unit_test(same_bits_at_any_thread_count),
        cmocka_unit_test(chooses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
