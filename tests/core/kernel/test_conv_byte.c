/* test_conv_byte.c: convolutions of bytes with channels last give exactly what the definition of integer convolutions gives. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/random.h"
#include "core/kernel/conv_byte.h"
#include "core/kernel/conv_int.h"
#include "core/kernel/kernels.h"

/* n, groups, ic, oc, in, kernel, stride, dilation, pad, out */
static const struct conv_shape rows[] = {
    {1, 1, 1, 1, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0}, {1, 1, 1}},
    {2, 1, 3, 40, {1, 9, 11}, {1, 3, 3}, {1, 2, 2}, {1, 1, 1}, {0, 1, 1}, {1, 5, 6}},
    {1, 1, 37, 19, {1, 9, 9}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0}, {1, 9, 9}},
    {1, 1, 64, 64, {1, 14, 14}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {1, 14, 14}},
    {1, 1, 64, 33, {1, 7, 61}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {1, 7, 61}},
    {2, 64, 1, 1, {1, 14, 13}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {1, 14, 13}},
    {1, 32, 2, 2, {1, 8, 8}, {1, 3, 3}, {1, 2, 2}, {1, 1, 1}, {0, 1, 1}, {1, 4, 4}},
    {1, 2, 5, 32, {1, 7, 7}, {1, 7, 7}, {1, 1, 1}, {1, 1, 1}, {0}, {1, 1, 1}},
    {1, 1, 24, 10, {1, 7, 9}, {1, 3, 2}, {1, 1, 1}, {1, 2, 3}, {0, 2, 1}, {1, 7, 8}},
    {1, 1, 2, 3, {4, 5, 6}, {2, 3, 3}, {2, 1, 1}, {1, 1, 1}, {1, 1, 0}, {3, 5, 4}},
    {3, 1, 300, 70, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0}, {1, 1, 1}},
};

struct data {
    uint8_t *x, *x_last, *y, *expected;
    int16_t *w;
    int8_t *packed;
    uint8_t *w_bytes, w_zero;
    int passes;
    int32_t *start, *sums, *bias;
    float *scale;
    int64_t n_x, n_w, n_y, channels, lanes;
    void *work;
};

static uint8_t any_byte(struct random *random)
{
    uint64_t r = random_below(random, 1024);

    return (uint8_t)(r % 4 == 0 ? (r & 64U ? 255 : r & 128U ? 128 : 0) : r >> 2);
}

/* Weights are signed bytes, or unsigned ones with a zero somewhere or at 0, which makes them too wide for one pass or two. */
static struct data data_of(const struct conv_shape *s, int passes, struct random *random)
{
    struct data d = {.channels = s->groups * s->oc, .lanes = conv_byte_lanes(s), .passes = passes};
    size_t packed = 0;
    size_t work = 0;
    int64_t ic = s->groups * s->ic;

    assert_true(conv_byte_fits(s) && conv_byte_packed_bytes(s, d.passes, &packed) && conv_byte_work_bytes(s, 2, &work));
    d.n_x = s->n * ic * conv_in_pixels(s);
    d.n_w = d.channels * s->ic * conv_taps(s);
    d.n_y = s->n * d.channels * conv_out_pixels(s);
    d.x = MEM_ARRAY(uint8_t, (size_t)d.n_x);
    d.x_last = MEM_ARRAY(uint8_t, (size_t)d.n_x);
    d.w = MEM_ARRAY(int16_t, (size_t)d.n_w);
    d.w_bytes = MEM_ARRAY(uint8_t, (size_t)d.n_w);
    d.w_zero = passes == 2 ? 77 : 0;
    d.y = MEM_ARRAY(uint8_t, (size_t)d.n_y + 2);
    d.expected = MEM_ARRAY(uint8_t, (size_t)d.n_y);
    d.sums = MEM_ARRAY(int32_t, (size_t)d.n_y);
    d.packed = mem_new(packed, 1);
    d.start = MEM_ARRAY(int32_t, (size_t)d.lanes);
    d.scale = MEM_ARRAY(float, (size_t)d.lanes);
    d.bias = MEM_ARRAY(int32_t, (size_t)d.channels);
    d.work = mem_new(work, 1);
    for (int64_t i = 0; i < d.n_x; i++) {
        d.x[i] = any_byte(random);
    }
    for (int64_t i = 0; i < d.n_x; i++) { /* [n, c, pixels] to [n, pixels, c] */
        int64_t p = i % conv_in_pixels(s);
        int64_t c = i / conv_in_pixels(s) % ic;
        d.x_last[(i / conv_in_pixels(s) / ic * conv_in_pixels(s) + p) * ic + c] = d.x[i];
    }
    for (int64_t i = 0; i < d.n_w; i++) {
        d.w_bytes[i] = any_byte(random);
        d.w[i] = (int16_t)(passes > 1 ? d.w_bytes[i] - d.w_zero : (int8_t)d.w_bytes[i]);
    }
    for (int64_t c = 0; c < d.channels; c++) {
        d.bias[c] = (int32_t)random_below(random, 20000) - 10000;
        d.scale[c] = (0.5F + (float)random_uniform(random)) * 0.01F / sqrtf((float)(s->ic * conv_taps(s)));
    }
    return d;
}

static void release(struct data *d)
{
    void *const all[] = {d->x,     d->x_last, d->y,    d->expected, d->w,    d->packed,
                         d->start, d->sums,   d->bias, d->scale,    d->work, d->w_bytes};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        mem_free(all[i]);
    }
}

/* From the definition: [n, c, pixels] sums, turned and rounded as ONNX says. */
static void expect(const struct conv_shape *s, struct data *d, bool x_signed, int zero, const struct byte_requant *how)
{
    const uint8_t zero_byte = (uint8_t)zero;
    const struct quantised x = {d->x, x_signed ? QUANTISED_S8 : QUANTISED_U8, &zero_byte, 1};
    const struct quantised w = {d->w_bytes, d->passes > 1 ? QUANTISED_U8 : QUANTISED_S8, &d->w_zero, 1};

    conv_int_ref(s, &x, &w, d->sums);
    for (int64_t i = 0; i < d->n_y; i++) {
        int64_t c = i / conv_out_pixels(s) % d->channels;
        int64_t at =
            (i / conv_out_pixels(s) / d->channels * conv_out_pixels(s) + i % conv_out_pixels(s)) * d->channels + c;
        float v = nearbyintf((float)(d->sums[i] + d->bias[c]) * d->scale[c]) + (float)how->zero;
        v = v < (float)how->low ? (float)how->low : v;
        d->expected[at] = (uint8_t)(int32_t)(v > (float)how->high ? (float)how->high : v);
    }
}

static void exact(void **state)
{
    size_t blocks = mem_live_blocks();
    struct random random = random_seeded(9, 1);
    struct pool *pool = NULL;

    assert_int_equal(pool_new(2, &pool), ERR_NONE);
    for (int i = 0; i < (int)(sizeof rows / sizeof rows[0]) * 12; i++) {
        const struct conv_shape *s = &rows[i / 12];
        bool x_signed = i % 2 != 0;
        bool y_signed = i / 2 % 2 != 0;
        int zero = x_signed ? -7 : 131;
        struct data d = data_of(s, 1 + i / 4 % 3, &random);
        const struct byte_requant how = {d.scale, y_signed ? 5 : 100, y_signed ? -128 : 0, y_signed ? 127 : 255};
        expect(s, &d, x_signed, zero, &how);
        conv_byte_pack(s, d.passes, d.w, d.packed, d.start);
        for (int64_t c = 0; c < d.channels; c++) {
            d.start[c] = d.bias[c] - d.start[c] * (zero + (x_signed ? 128 : 0));
        }
        const struct conv_byte_call call = {.shape = s,
                                            .x = d.x_last,
                                            .flip = x_signed ? 128 : 0,
                                            .zero = (uint8_t)(zero + (x_signed ? 128 : 0)),
                                            .passes = d.passes,
                                            .packed = d.packed,
                                            .start = d.start,
                                            .end = {.requant = how},
                                            .y = d.y + 1};
        for (int threads = 1; threads <= 2; threads++) {
            memset(d.y, 0x55, (size_t)d.n_y + 2);
            conv_byte(&call, d.work, threads == 2 ? pool : NULL);
            if (memcmp(d.y + 1, d.expected, (size_t)d.n_y) != 0) {
                fail_msg("row %d with %d threads differs", i, threads);
            }
            if (d.y[0] != 0x55 || d.y[d.n_y + 1] != 0x55) {
                fail_msg("row %d wrote outside of the output", i);
            }
        }
        release(&d);
    }
    pool_free(pool);
    assert_int_equal(mem_live_blocks(), blocks);
}

static void odd_groups_are_refused(void **state)
{
    const struct conv_shape three = {1, 3, 4, 20, {1, 4, 4}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0}, {1, 4, 4}};
    const struct conv_shape wide = {1, 1, 4, 4, {1, 64, 64}, {1, 33, 33}, {1, 1, 1}, {1, 1, 1}, {0}, {1, 32, 32}};

    assert_false(conv_byte_fits(&three)); /* a block would see parts of two groups here and of one there */
    assert_false(conv_byte_fits(&wide));
}

/* The largest sum: every byte and every weight at its end, over as many as a layer may have. */
static void largest_sums(void **state)
{
    const struct conv_shape s = {1, 1, 33024, 1, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0}, {1, 1, 1}};
    static uint8_t x[33024 + 64];
    static int16_t w[33024];
    static _Alignas(64) int8_t packed[33024 * BYTE_LANES];
    const int64_t run_at = 0;
    int32_t start[BYTE_LANES] = {0};

    memset(x, 255, sizeof x);
    for (int i = 0; i < 33024; i++) {
        w[i] = -128;
    }
    conv_byte_pack(&s, 1, w, packed, start);
    assert_int_equal(start[0], -128 * 33024);
    start[0] = 0;
    for (int v = 0;; v++) {
        struct kernels table;
        const struct kernel_variant *variant = NULL;
        _Alignas(64) int32_t y[BYTE_LANES];
        if (!kernels_nth(KERNELS_byte_product, v, &table, &variant)) {
            break;
        }
        const struct byte_rows row = {x, 1, &run_at, 1, 33024 / 4, packed, start};
        table.byte_product(&row, 1, y);
        if (y[0] != -128 * 255 * 33024) {
            fail_msg("variant %s: %d", variant->name, y[0]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact),
        cmocka_unit_test(odd_groups_are_refused),
        cmocka_unit_test(largest_sums),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
