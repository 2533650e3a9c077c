/*
 * gemm_int.h: exact products of integer matrices.
 *
 * Bytes of either sign become 16-bit numbers with their zero point subtracted (-255 .. 255), so one inner product serves
 * every mixture of types and the sums are exact in 32 bits for k ≤ GEMM_INT_MAX_K.  All variants give the same numbers.
 */
#ifndef CORE_KERNEL_GEMM_INT_H
#define CORE_KERNEL_GEMM_INT_H

#include <stdint.h>

#define GEMM_INT_MAX_K 33025 /* k · 255 · 255 < 2^31 */

/* c[i, j] = Σ a[i, ·] · b[j, ·].  Shapes: a [m, k], b [n, k] (rows contiguous), c [m, n] with rows ldc apart; k ≥ 0. */
typedef void gemm_int_fn(int64_t m, int64_t n, int64_t k, const int16_t *a, const int16_t *b, int32_t *c, int64_t ldc);
gemm_int_fn gemm_int_ref;
gemm_int_fn gemm_int_portable;
gemm_int_fn gemm_int_avx2;
gemm_int_fn gemm_int_vnni;

/* to[i · step] = from[i] - zero */
void widen_u8(const uint8_t *from, int64_t count, int32_t zero, int16_t *to, int64_t step);
void widen_s8(const int8_t *from, int64_t count, int32_t zero, int16_t *to, int64_t step);

#endif
