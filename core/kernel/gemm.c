/* gemm.c: the matrix product by the variant in use. */
#include "core/kernel/gemm.h"

#include "core/kernel/kernels.h"

void gemm_f32(enum gemm_side side_a, enum gemm_side side_b, int64_t m, int64_t n, int64_t k, float alpha,
              const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    kernels()->gemm_f32(side_a, side_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
