/*
 * matmul_int.h: exact products of byte matrices stored as they come, for few rows on the left.
 */
#ifndef CORE_KERNEL_MATMUL_INT_H
#define CORE_KERNEL_MATMUL_INT_H

#include "core/kernel/conv_int.h"

/*
 * c[i, j] = Σ (a[i, ·] - zero of a) · (b[·, j] - zero of b in column j)
 * Shapes: a [m, k], b [k, n] with one zero or n of them, c [m, n]; k ≤ GEMM_INT_MAX_K.
 */
void matmul_int(int64_t m, int64_t n, int64_t k, const struct quantised *a, const struct quantised *b, int32_t *c);

#endif
