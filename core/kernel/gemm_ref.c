/* gemm_ref.c: the matrix product as its definition. */
#include "core/kernel/gemm.h"

void gemm_f32_ref(enum gemm_side side_a, enum gemm_side side_b, int64_t m, int64_t n, int64_t k, float alpha,
                  const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            float sum = 0;
            for (int64_t p = 0; p < k; p++) {
                float x = side_a == GEMM_AS_IS ? a[i * lda + p] : a[p * lda + i];
                float y = side_b == GEMM_AS_IS ? b[p * ldb + j] : b[j * ldb + p];
                sum += x * y;
            }
            c[i * ldc + j] = alpha * sum + (beta != 0 ? beta * c[i * ldc + j] : 0);
        }
    }
}
