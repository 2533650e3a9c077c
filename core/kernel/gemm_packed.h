/*
 * gemm_packed.h: a product with a constant matrix on its right, packed once: the fully connected layer behind a network.
 *
 * OpenBLAS packs both sides at every call; with one row on the left that costs more than the product, whose time is that of
 * reading the weights once.
 */
#ifndef CORE_KERNEL_GEMM_PACKED_H
#define CORE_KERNEL_GEMM_PACKED_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/attr.h"
#include "core/base/pool.h"
#include "core/kernel/block_kernels.h"
#include "core/kernel/gemm.h"

/* Columns and inner numbers that it is made for: whole blocks of columns. */
static inline bool gemm_packed_can(int64_t n, int64_t k)
{
    return n > 0 && k > 0 && n % BLOCK == 0;
}

/* Returns false if it does not fit in size_t. */
MUST_CHECK bool gemm_packed_bytes(int64_t n, int64_t k, size_t *ret);

/*
 * Shapes: b [k, n], or [n, k] if transposed; bias and slope [n], or NULL; ret has gemm_packed_bytes, zero, 64-byte aligned.
 * half asks for b in half precision, which it is if no number is too large.  Returns how many bytes of ret are in use.
 */
size_t gemm_packed_fill(int64_t n, int64_t k, enum gemm_side side, const float *b, const float *bias,
                        const float *slope, bool half, void *ret);

/*
 * y = finish(x · b): bias and slope are the packed ones, residual lies as y.
 * Shapes: x [m, k], y [m, n] 64-byte aligned, aliasing nothing; m may be 0.
 */
void gemm_packed_f32(const struct block_kernels *kernels, int64_t m, int64_t n, int64_t k, const float *x,
                     const void *packed, const struct finish *finish, float *y, struct pool *pool);

#endif
