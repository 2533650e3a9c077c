/* test_gemm_blas.c: the library's products against the definition, and which of its kernels it uses. */
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>
#include <string.h>
#include <strings.h>

#include "core/base/cpu.h"
#include "core/base/mem.h"
#include "core/kernel/gemm.h"

static const int64_t rows[][3] = {{1, 1, 1},    {1, 7, 5},    {16, 16, 16}, {17, 15, 33}, {64, 49, 128},
                                  {31, 97, 53}, {128, 1, 64}, {1, 128, 64}, {5, 256, 3},  {65, 130, 257}};

static void equals_reference(void **state)
{
    size_t blocks = mem_live_blocks();
    uint32_t seed = 3;

    for (int i = 0; i < (int)(sizeof rows / sizeof rows[0]) * 4; i++) {
        int64_t m = rows[i / 4][0];
        int64_t n = rows[i / 4][1];
        int64_t k = rows[i / 4][2];
        enum gemm_side side_a = i % 2 != 0 ? GEMM_TRANSPOSED : GEMM_AS_IS;
        enum gemm_side side_b = i / 2 % 2 != 0 ? GEMM_TRANSPOSED : GEMM_AS_IS;
        int64_t lda = (side_a == GEMM_AS_IS ? k : m) + 3;
        int64_t ldb = (side_b == GEMM_AS_IS ? n : k) + 1;
        int64_t ldc = n + 2;
        float beta = i % 3 == 0 ? 0 : 0.5F;
        float *a = MEM_ARRAY(float, (size_t)((side_a == GEMM_AS_IS ? m : k) * lda));
        float *b = MEM_ARRAY(float, (size_t)((side_b == GEMM_AS_IS ? k : n) * ldb));
        float *c = MEM_ARRAY(float, (size_t)(m * ldc));
        float *expected = MEM_ARRAY(float, (size_t)(m * ldc));
        for (int64_t j = 0; j < (side_a == GEMM_AS_IS ? m : k) * lda; j++) {
            a[j] = (float)((seed = seed * 1664525U + 1013904223U) >> 8) / 8388608.0F - 1;
        }
        for (int64_t j = 0; j < (side_b == GEMM_AS_IS ? k : n) * ldb; j++) {
            b[j] = (float)((seed = seed * 1664525U + 1013904223U) >> 8) / 8388608.0F - 1;
        }
        for (int64_t j = 0; j < m * ldc; j++) {
            c[j] = expected[j] = beta == 0 ? NAN : (float)(j % 5);
        }
        gemm_f32(side_a, side_b, m, n, k, 0.75F, a, lda, b, ldb, beta, c, ldc);
        gemm_f32_ref(side_a, side_b, m, n, k, 0.75F, a, lda, b, ldb, beta, expected, ldc);
        for (int64_t j = 0; j < m * ldc; j++) {
            bool outside = j % ldc >= n;
            float limit = 2e-6F * ((float)k + 3);
            if (outside ? memcmp(&c[j], &expected[j], sizeof c[j]) != 0 : !(fabsf(c[j] - expected[j]) <= limit)) {
                fail_msg("row %d: element %lld is %g, not %g", i, (long long)j, (double)c[j], (double)expected[j]);
            }
        }
        mem_free(a);
        mem_free(b);
        mem_free(c);
        mem_free(expected);
    }
    assert_int_equal(mem_live_blocks(), blocks);
}

/* The trap that gemm_blas.c is there for: SSE3 kernels on a processor that the library does not know. */
static void uses_fitting_core(void **state)
{
    static const char *const old[] = {"Prescott", "Core2", "Nehalem", "Sandybridge", "Generic"};

    assert_true(strlen(gemm_core()) > 0);
    assert_non_null(strstr(gemm_config(), "OpenBLAS"));
    for (int i = 0; cpu_info()->avx2_fma && i < (int)(sizeof old / sizeof old[0]); i++) {
        if (strcasecmp(gemm_core(), old[i]) == 0) {
            fail_msg("OpenBLAS uses %s kernels on %s", gemm_core(), cpu_info()->name);
        }
    }
    print_message("OpenBLAS uses %s\n", gemm_core());
}

static void uses_one_thread(void **state)
{
    assert_int_equal(gemm_threads(), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_reference),
        cmocka_unit_test(uses_fitting_core),
        cmocka_unit_test(uses_one_thread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
