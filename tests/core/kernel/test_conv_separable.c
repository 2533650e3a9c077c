/*
 * test_conv_separable.c: a depthwise layer and the 1×1 one behind it in one go give the bits of the two layers one after the
 * other (test_conv_block.c compares those with the definition), in every instruction set, at any number of threads.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/kernel/conv_separable.h"
#include "core/kernel/kernels.h"

#define CANARY 12345.678F
#define GUARD 64

static const struct row {
    int64_t n, groups, per_group, oc, in[2], kernel, stride, pad;
} rows[] = {
    {1, 16, 1, 16, {1, 1}, 3, 1, 1},   {2, 16, 1, 40, {33, 40}, 3, 1, 1},  {1, 40, 1, 40, {20, 21}, 3, 2, 1},
    {1, 72, 1, 72, {9, 300}, 3, 1, 1}, {3, 288, 1, 96, {20, 20}, 3, 1, 1}, {1, 19, 1, 5, {7, 6}, 5, 1, 2},
    {1, 64, 2, 24, {12, 11}, 3, 1, 1}, {1, 512, 1, 512, {7, 7}, 7, 1, 0},  {2, 24, 1, 17, {5, 4}, 1, 2, 0},
};

static uint32_t seed;

static float *floats(int64_t count)
{
    float *f = MEM_ARRAY(float, (size_t)count);

    assert_non_null(f);
    for (int64_t i = 0; i < count; i++) {
        seed = seed * 1664525U + 1013904223U;
        f[i] = (float)(seed >> 8) / 8388608.0F - 1.0F;
    }
    return f;
}

static struct conv_separable shape_of(const struct row *r, enum finish_act act)
{
    struct conv_separable s = {
        .before = {.n = r->n,
                   .groups = r->groups,
                   .ic = r->per_group,
                   .oc = r->per_group,
                   .in = {1},
                   .kernel = {1},
                   .stride = {1},
                   .dilation = {1},
                   .out = {1}},
        .after = {.n = r->n,
                  .groups = 1,
                  .ic = r->groups * r->per_group,
                  .oc = r->oc,
                  .in = {1},
                  .kernel = {1, 1, 1},
                  .stride = {1, 1, 1},
                  .dilation = {1, 1, 1},
                  .out = {1}},
        .act = act,
        .low = act == FINISH_LEAKY ? 0.1F : -0.5F,
        .high = 0.75F,
    };

    for (int d = 0; d < 2; d++) {
        s.before.in[d + 1] = r->in[d];
        s.before.kernel[d + 1] = r->kernel;
        s.before.stride[d + 1] = r->stride;
        s.before.dilation[d + 1] = 1;
        s.before.pad[d + 1] = r->pad;
        s.before.out[d + 1] = (r->in[d] + 2 * r->pad - r->kernel) / r->stride + 1;
        s.after.in[d + 1] = s.before.out[d + 1];
        s.after.out[d + 1] = s.before.out[d + 1];
    }
    return s;
}

struct problem {
    struct conv_separable s;
    struct conv_separable_constants constants;
    struct finish finish;
    float *x, *residual, *arrays[6];
    int64_t outputs; /* numbers in blocks */
};

static struct problem problem_of(const struct row *r, int act)
{
    struct problem p = {.s = shape_of(r, (enum finish_act)act)};
    int64_t channels = p.s.after.ic;

    seed = 3;
    p.outputs = r->n * block_count(r->oc) * conv_out_pixels(&p.s.after) * BLOCK;
    p.x = floats(r->n * block_count(channels) * conv_in_pixels(&p.s.before) * BLOCK);
    p.residual = floats(p.outputs);
    p.arrays[0] = floats(channels * r->per_group * r->kernel * r->kernel);
    p.arrays[1] = floats(channels);
    p.arrays[2] = floats(channels);
    p.arrays[3] = floats(channels * r->oc);
    p.arrays[4] = floats(r->oc);
    p.arrays[5] = floats(r->oc);
    p.constants = (struct conv_separable_constants){p.arrays[0], act != FINISH_RELU ? p.arrays[1] : NULL, p.arrays[2],
                                                    p.arrays[3], act != FINISH_CLIP ? p.arrays[4] : NULL, p.arrays[5]};
    p.finish = (struct finish){.act = (enum finish_act)((act + 1) % 5),
                               .low = 0.2F,
                               .high = 0.6F,
                               .residual = act % 2 == 1 ? p.residual : NULL};
    return p;
}

static void release(struct problem *p)
{
    for (size_t i = 0; i < sizeof p->arrays / sizeof p->arrays[0]; i++) {
        mem_free(p->arrays[i]);
    }
    mem_free(p->x);
    mem_free(p->residual);
}

/* One layer by itself. */
static void layer(const struct block_kernels *kernels, const struct conv_shape *s, enum conv_form form,
                  const struct conv_constants *constants, const float *x, const struct finish *finish, float *y)
{
    size_t bytes = 0;
    size_t work_bytes = 0;

    assert_true(conv_pack_bytes(s, form, &bytes) && conv_block_work_bytes(s, form, 1, &work_bytes));
    void *packed = mem_new(bytes, 1);
    void *work = mem_new(work_bytes, 1);
    assert_true(packed != NULL && work != NULL);
    (void)conv_pack_f32(s, form, constants, false, packed);
    conv_block_f32(kernels, s, packed, x, finish, y, work, NULL);
    mem_free(packed);
    mem_free(work);
}

static float *two_layers(const struct problem *p, const struct block_kernels *kernels)
{
    const struct conv_separable *s = &p->s;
    const struct conv_separable_constants *c = &p->constants;
    const struct conv_constants first = {.w = c->before_w, .bias = c->before_bias, .slope = c->before_slope};
    const struct conv_constants second = {.w = c->w, .bias = c->bias, .slope = c->slope};
    const struct finish between = {.act = s->act, .low = s->low, .high = s->high};
    int64_t count = s->after.n * block_count(s->after.ic) * conv_in_pixels(&s->after) * BLOCK;
    float *middle = MEM_ARRAY(float, (size_t)count);
    float *y = MEM_ARRAY(float, (size_t)p->outputs);

    assert_true(middle != NULL && y != NULL);
    layer(kernels, &s->before, CONV_LANES, &first, p->x, &between, middle);
    layer(kernels, &s->after, CONV_DIRECT, &second, middle, &p->finish, y);
    mem_free(middle);
    return y;
}

static float *one_go(const struct problem *p, const struct block_kernels *kernels, struct pool *pool)
{
    size_t bytes = 0;
    size_t work_bytes = 0;
    float *y = MEM_ARRAY(float, (size_t)p->outputs + GUARD);

    assert_true(conv_separable_can(&p->s));
    assert_true(conv_separable_pack_bytes(&p->s, &bytes));
    assert_true(conv_separable_work_bytes(&p->s, pool_threads(pool), &work_bytes));
    void *packed = mem_new(bytes, 1);
    float *work = MEM_ARRAY(float, work_bytes / sizeof(float) + GUARD);
    assert_true(packed != NULL && work != NULL && y != NULL);
    for (int i = 0; i < GUARD; i++) {
        work[work_bytes / sizeof(float) + (size_t)i] = CANARY;
        y[p->outputs + i] = CANARY;
    }
    (void)conv_separable_pack(&p->s, &p->constants, false, packed);
    conv_separable_f32(kernels, &p->s, packed, p->x, &p->finish, y, work, pool);
    for (int i = 0; i < GUARD; i++) {
        assert_true(work[work_bytes / sizeof(float) + (size_t)i] == CANARY && y[p->outputs + i] == CANARY);
    }
    mem_free(packed);
    mem_free(work);
    return y;
}

static void check(const struct problem *p, size_t row, const struct kernel_variant *variant,
                  const struct block_kernels *kernels, struct pool *pool)
{
    float *expected = two_layers(p, kernels);

    for (int threads = 0; threads < 2; threads++) {
        float *y = one_go(p, kernels, threads > 0 ? pool : NULL);
        if (memcmp(y, expected, (size_t)p->outputs * sizeof *y) != 0) {
            fail_msg("row %zu, %s, %s: other bits than two layers", row, variant->name,
                     threads > 0 ? "three threads" : "one thread");
        }
        mem_free(y);
    }
    mem_free(expected);
}

static void equals_two_layers(void **state)
{
    struct kernels table = {0};
    const struct kernel_variant *variant = NULL;
    struct pool *pool = NULL;

    assert_int_equal(pool_new(3, &pool), ERR_NONE);
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        struct problem p = problem_of(&rows[r], (int)r % 5);
        for (int n = 0; kernels_nth(KERNELS_blocks, n, &table, &variant); n++) {
            check(&p, r, variant, table.blocks, pool);
        }
        release(&p);
    }
    pool_free(pool);
    assert_int_equal(mem_live_blocks(), 0);
}

static void refuses_other_pairs(void **state)
{
    struct conv_separable s = shape_of(&rows[1], FINISH_NONE);

    assert_true(conv_separable_can(&s));
    s.after.stride[2] = 2;
    assert_false(conv_separable_can(&s));
    s = shape_of(&rows[1], FINISH_NONE);
    s.after.in[1]++;
    assert_false(conv_separable_can(&s));
    s = shape_of(&rows[1], FINISH_NONE);
    s.after.kernel[1] = 3;
    assert_false(conv_separable_can(&s));
    s = shape_of(&rows[1], FINISH_NONE);
    s.before.groups = 1;
    assert_false(conv_separable_can(&s));
    s = shape_of(&rows[1], FINISH_NONE);
    s.after.groups = 2;
    assert_false(conv_separable_can(&s));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_two_layers),
        cmocka_unit_test(refuses_other_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
