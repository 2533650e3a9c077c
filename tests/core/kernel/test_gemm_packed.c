/* test_gemm_packed.c: packed products against the definition, in every instruction set, at the edges of their tiles. */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/kernel/gemm_packed.h"
#include "core/kernel/kernels.h"

#define GUARD 16
#define CANARY 12345.678F
#define TOLERANCE 2e-6F /* of the sum of absolute products, which is at most k here */

static const struct {
    int64_t m, n, k;
} rows[] = {{0, 32, 48}, {1, 16, 1},  {1, 48, 67},   {2, 32, 128},  {6, 16, 31},
            {7, 80, 65}, {13, 32, 9}, {14, 48, 100}, {15, 112, 17}, {29, 64, 33}};

static uint32_t seed = 3;

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

static void check(int row, const struct block_kernels *table, const char *name, enum gemm_side side, bool finished,
                  struct pool *pool)
{
    const int64_t m = rows[row].m;
    const int64_t n = rows[row].n;
    const int64_t k = rows[row].k;
    float *x = floats(m * k);
    float *b = floats(k * n);
    float *bias = floats(n);
    float *slope = floats(n);
    float *residual = floats(m * n);
    float *expected = floats(m * n);
    float *y = floats(m * n + 2 * GUARD);
    size_t bytes = 0;

    assert_true(gemm_packed_can(n, k) && gemm_packed_bytes(n, k, &bytes));
    void *packed = mem_new(bytes, 1);
    assert_non_null(packed);
    (void)gemm_packed_fill(n, k, side, b, finished ? bias : NULL, finished ? slope : NULL, false, packed);
    gemm_f32_ref(GEMM_AS_IS, side, m, n, k, 1, x, k, b, side == GEMM_TRANSPOSED ? k : n, 0, expected, n);
    for (int64_t i = 0; finished && i < m * n; i++) {
        float v = expected[i] + bias[i % n] + residual[i];
        expected[i] = v < 0 ? v * slope[i % n] : v;
    }
    for (int i = 0; i < GUARD; i++) {
        y[i] = CANARY;
        y[m * n + GUARD + i] = CANARY;
    }
    struct finish finish = {.residual = finished ? residual : NULL, .act = finished ? FINISH_PRELU : FINISH_NONE};
    gemm_packed_f32(table, m, n, k, x, packed, &finish, y + GUARD, pool);
    for (int i = 0; i < GUARD; i++) {
        assert_true(y[i] == CANARY && y[m * n + GUARD + i] == CANARY);
    }
    for (int64_t i = 0; i < m * n; i++) {
        if (!(fabsf(y[GUARD + i] - expected[i]) <= TOLERANCE * (float)(k + 3))) {
            fail_msg("row %d, %s, side %d: %lld is %.9g, not %.9g", row, name, (int)side, (long long)i,
                     (double)y[GUARD + i], (double)expected[i]);
        }
    }
    float *all[] = {x, b, bias, slope, residual, expected, y, packed};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        mem_free(all[i]);
    }
}

static void equals_reference(void **state)
{
    struct kernels table = {0};
    const struct kernel_variant *variant = NULL;
    struct pool *pool = NULL;

    assert_int_equal(pool_new(3, &pool), ERR_NONE);
    for (int row = 0; row < (int)(sizeof rows / sizeof rows[0]); row++) {
        for (int v = 0; kernels_nth(KERNELS_blocks, v, &table, &variant); v++) {
            check(row, table.blocks, variant->name, GEMM_AS_IS, false, NULL);
            check(row, table.blocks, variant->name, GEMM_TRANSPOSED, true, row % 2 == 0 ? pool : NULL);
        }
    }
    pool_free(pool);
    assert_int_equal(mem_live_blocks(), 0);
}

static void refuses_parts_of_blocks(void **state)
{
    assert_false(gemm_packed_can(17, 4));
    assert_false(gemm_packed_can(0, 4));
    assert_false(gemm_packed_can(16, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_reference),
        cmocka_unit_test(refuses_parts_of_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
