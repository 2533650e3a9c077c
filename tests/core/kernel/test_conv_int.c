/* test_conv_int.c: integer products and convolutions: every variant gives exactly the numbers of the definition. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/kernel/conv_int.h"
#include "core/kernel/gemm_int.h"
#include "core/kernel/kernels.h"
#include "core/kernel/matmul_int.h"

static uint32_t seed = 5;

static uint32_t next(void)
{
    seed = seed * 1664525U + 1013904223U;
    return seed >> 16;
}

/* Random bytes, with the extremes often. */
static uint8_t *bytes(int64_t count)
{
    uint8_t *b = MEM_ARRAY(uint8_t, (size_t)count);

    for (int64_t i = 0; i < count; i++) {
        uint32_t r = next();
        b[i] = r % 4 == 0 ? (r & 64U ? 255 : r & 128U ? 128 : 0) : (uint8_t)(r >> 3);
    }
    return b;
}

static void products_are_exact(void **state)
{
    static const int64_t sizes[][3] = {{1, 1, 1},  {4, 4, 16},  {5, 3, 31},   {3, 5, 33},   {8, 9, 64},
                                       {13, 7, 0}, {17, 64, 9}, {64, 49, 97}, {4, 4, 33025}};
    size_t blocks = mem_live_blocks();

    for (int i = 0; i < (int)(sizeof sizes / sizeof sizes[0]); i++) {
        int64_t m = sizes[i][0];
        int64_t n = sizes[i][1];
        int64_t k = sizes[i][2];
        int64_t ldc = n + 3;
        int16_t *a = MEM_ARRAY(int16_t, (size_t)(m * k));
        int16_t *b = MEM_ARRAY(int16_t, (size_t)(n * k));
        int32_t *c = MEM_ARRAY(int32_t, (size_t)(m * ldc));
        int32_t *expected = MEM_ARRAY(int32_t, (size_t)(m * ldc));
        for (int64_t j = 0; j < m * k; j++) {
            a[j] = (int16_t)(k > 30000 ? 255 : (int)(next() % 511) - 255);
        }
        for (int64_t j = 0; j < n * k; j++) {
            b[j] = (int16_t)(k > 30000 ? -255 : (int)(next() % 511) - 255);
        }
        gemm_int_ref(m, n, k, a, b, expected, ldc);
        struct kernels table;
        const struct kernel_variant *variant = NULL;
        for (int v = 0; kernels_nth(KERNELS_gemm_int, v, &table, &variant); v++) {
            memset(c, 0, (size_t)(m * ldc) * sizeof *c);
            table.gemm_int(m, n, k, a, b, c, ldc);
            if (memcmp(c, expected, (size_t)(m * ldc) * sizeof *c) != 0) {
                fail_msg("row %d, variant %s differs", i, variant->name);
            }
        }
        mem_free(a);
        mem_free(b);
        mem_free(c);
        mem_free(expected);
    }
    assert_int_equal(mem_live_blocks(), blocks);
}

static void convolutions_are_exact(void **state)
{
    static const struct conv_shape rows[] = {
        {1, 1, 1, 1, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0}, {1, 1, 1}},
        {2, 1, 3, 8, {1, 9, 11}, {1, 3, 3}, {1, 2, 2}, {1, 1, 1}, {0, 1, 1}, {1, 5, 6}},
        {1, 1, 37, 19, {1, 9, 9}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0}, {1, 9, 9}},
        {1, 1, 64, 20, {1, 14, 14}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {1, 14, 14}},
        {2, 16, 1, 1, {1, 14, 13}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {1, 14, 13}},
        {1, 16, 1, 2, {1, 14, 14}, {1, 3, 3}, {1, 2, 2}, {1, 1, 1}, {0, 1, 1}, {1, 7, 7}},
        {1, 8, 2, 2, {1, 7, 7}, {1, 7, 7}, {1, 1, 1}, {1, 1, 1}, {0}, {1, 1, 1}},
        {1, 2, 24, 10, {1, 7, 9}, {1, 3, 2}, {1, 1, 1}, {1, 2, 3}, {0, 2, 1}, {1, 7, 8}},
        {1, 1, 2, 3, {4, 5, 6}, {2, 3, 3}, {2, 1, 1}, {1, 1, 1}, {1, 1, 0}, {3, 5, 4}},
    };
    size_t blocks = mem_live_blocks();
    struct pool *pool = NULL;

    assert_int_equal(pool_new(2, &pool), ERR_NONE);
    for (int i = 0; i < (int)(sizeof rows / sizeof rows[0]) * 4; i++) {
        const struct conv_shape *s = &rows[i / 4];
        int64_t channels = s->groups * s->oc;
        int64_t count = s->n * channels * conv_out_pixels(s);
        uint8_t *x = bytes(s->n * s->groups * s->ic * conv_in_pixels(s));
        uint8_t *w = bytes(channels * s->ic * conv_taps(s));
        uint8_t *zeros = bytes(channels + 1);
        struct quantised qx = {x, i % 2 != 0 ? QUANTISED_S8 : QUANTISED_U8, zeros, 1};
        struct quantised qw = {w, i % 4 >= 2 ? QUANTISED_S8 : QUANTISED_U8, i % 3 == 0 ? NULL : zeros + 1,
                               i % 3 == 1 ? 1 : channels};
        int32_t *y = MEM_ARRAY(int32_t, (size_t)count + 2);
        int32_t *expected = MEM_ARRAY(int32_t, (size_t)count);
        size_t work_bytes = 0;
        assert_true(conv_int_work_bytes(s, 2, &work_bytes));
        void *work = mem_new(work_bytes, 1);
        conv_int_ref(s, &qx, &qw, expected);
        for (int threads = 1; threads <= 2; threads++) {
            memset(y, 0x55, ((size_t)count + 2) * sizeof *y);
            conv_int(s, &qx, &qw, y + 1, work, work_bytes, threads == 2 ? pool : NULL);
            if (memcmp(y + 1, expected, (size_t)count * sizeof *y) != 0) {
                fail_msg("row %d with %d threads differs", i, threads);
            }
            if (y[0] != 0x55555555 || y[count + 1] != 0x55555555) {
                fail_msg("row %d wrote outside of the output", i);
            }
        }
        mem_free(x);
        mem_free(w);
        mem_free(zeros);
        mem_free(y);
        mem_free(expected);
        mem_free(work);
    }
    pool_free(pool);
    assert_int_equal(mem_live_blocks(), blocks);
}

static void matrices_are_exact(void **state)
{
    static const int64_t sizes[][3] = {{1, 1, 1}, {3, 5, 7}, {1, 64, 300}, {4, 33, 0}, {2, 3, 33025}};
    size_t blocks = mem_live_blocks();

    for (int i = 0; i < (int)(sizeof sizes / sizeof sizes[0]) * 4; i++) {
        int64_t m = sizes[i / 4][0];
        int64_t n = sizes[i / 4][1];
        int64_t k = sizes[i / 4][2];
        uint8_t *a = bytes(m * k);
        uint8_t *b = bytes(k * n);
        uint8_t *zeros = bytes(n + 1);
        int32_t *c = MEM_ARRAY(int32_t, (size_t)(m * n));
        struct quantised qa = {a, i % 2 != 0 ? QUANTISED_S8 : QUANTISED_U8, zeros, 1};
        struct quantised qb = {b, i % 4 >= 2 ? QUANTISED_S8 : QUANTISED_U8, i % 3 == 0 ? NULL : zeros + 1,
                               i % 3 == 1 ? 1 : n};
        matmul_int(m, n, k, &qa, &qb, c);
        for (int64_t j = 0; j < m * n; j++) {
            int64_t sum = 0;
            for (int64_t p = 0; p < k; p++) {
                sum += (int64_t)(quantised_at(&qa, j / n * k + p) - quantised_zero(&qa, 0)) *
                       (quantised_at(&qb, p * n + j % n) - quantised_zero(&qb, j % n));
            }
            if (sum != c[j]) {
                fail_msg("row %d: element %lld is %d, not %lld", i, (long long)j, c[j], (long long)sum);
            }
        }
        mem_free(a);
        mem_free(b);
        mem_free(zeros);
        mem_free(c);
    }
    assert_int_equal(mem_live_blocks(), blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_exact),
        cmocka_unit_test(convolutions_are_exact),
        cmocka_unit_test(matrices_are_exact),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
