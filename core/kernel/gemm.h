/*
 * gemm.h: products of dense float matrices.
 *
 * Row-major.  One thread: whoever has a pool splits the product and calls this for the parts.
 * The same sizes give the same bits on the same machine.
 */
#ifndef CORE_KERNEL_GEMM_H
#define CORE_KERNEL_GEMM_H

#include <stdint.h>

enum gemm_side {
    GEMM_AS_IS,
    GEMM_TRANSPOSED
};

/*
 * c = alpha · op(a) · op(b) + beta · c; with beta 0, c is not read.  gemm_f32 is the variant in use (kernels.h).
 *
 * Shapes: op(a) [m, k], op(b) [k, n], c [m, n]; lda, ldb, ldc are the distances between stored rows.  Every size fits in
 *         int32; m, n ≥ 1; k ≥ 1.
 */
typedef void gemm_f32_fn(enum gemm_side side_a, enum gemm_side side_b, int64_t m, int64_t n, int64_t k, float alpha,
                         const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc);
gemm_f32_fn gemm_f32;
gemm_f32_fn gemm_f32_blas;
gemm_f32_fn gemm_f32_ref; /* the specification: three loops */

/* Names the processor core whose kernels the library uses ("Haswell"), for the log; the second also its version. */
const char *gemm_core(void);
const char *gemm_config(void);

/* Threads that the library itself would use: always 1. */
int gemm_threads(void);

#endif
