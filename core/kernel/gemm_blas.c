/*
 * gemm_blas.c: matrix products by OpenBLAS, and which of its kernels it uses.
 *
 * OpenBLAS chooses its kernels in a constructor of its own, by a list of processors that was complete when it was
 * released; on a processor it does not know, version 0.3.21 falls back to SSE3 ("Prescott"), four to five times slower.
 * It looks at OPENBLAS_CORETYPE first, so a constructor of ours that runs before sets that variable from what the
 * processor says it can do.  It stands in this file because the linker then cannot take gemm_f32_blas without it.
 */
#include "core/kernel/gemm.h"

#include <cblas.h>
#include <stdlib.h>

#include "core/base/cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <stdbool.h>

/*
 * AVX-512 pays only where its registers are computed at full width.  AMD states the width of its floating-point units in
 * leaf 8000001A (bit 3: 512 bits); Intel has no such leaf and only full-width ones.  On a Zen 4, which splits every such
 * instruction, the Haswell kernels reach 106 GFLOPS and the SkylakeX ones 101 (1024³), 103 and 86 (64 × 1024 × 576).
 */
static bool has_full_width_avx512(void)
{
    unsigned a = 0;
    unsigned b = 0;
    unsigned c = 0;
    unsigned d = 0;

    if (!cpu_info()->avx512) {
        return false;
    }
    return __get_cpuid(0x8000001AU, &a, &b, &c, &d) == 0 || (a & (1U << 3)) != 0;
}

static const char *best_core(void)
{
    return has_full_width_avx512() ? "SkylakeX" : cpu_info()->avx2_fma ? "Haswell" : NULL;
}
#else
static const char *best_core(void)
{
    return NULL;
}
#endif

__attribute__((constructor(101))) static void prepare_library(void)
{
    const char *core = best_core();

    /* One thread, because parallelism belongs to core/base/pool; said here, it starts none at all. */
    (void)setenv("OPENBLAS_NUM_THREADS", "1", 1); /* before main, and before OpenBLAS's constructor */
    if (core != NULL) {
        (void)setenv("OPENBLAS_CORETYPE", core, 0); /* before main; 0: what the user has set stays */
    }
}

static CBLAS_TRANSPOSE blas_side(enum gemm_side side)
{
    return side == GEMM_TRANSPOSED ? CblasTrans : CblasNoTrans;
}

void gemm_f32_blas(enum gemm_side side_a, enum gemm_side side_b, int64_t m, int64_t n, int64_t k, float alpha,
                   const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    cblas_sgemm(CblasRowMajor, blas_side(side_a), blas_side(side_b), (int)m, (int)n, (int)k, alpha, a, (int)lda, b,
                (int)ldb, beta, c, (int)ldc);
}

const char *gemm_core(void)
{
    return openblas_get_corename();
}

const char *gemm_config(void)
{
    return openblas_get_config();
}

int gemm_threads(void)
{
    return openblas_get_num_threads();
}
