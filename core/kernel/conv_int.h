/*
 * conv_int.h: convolutions of bytes with exact 32-bit sums.
 */
#ifndef CORE_KERNEL_CONV_INT_H
#define CORE_KERNEL_CONV_INT_H

#include "core/kernel/conv.h"

/* Bytes and what zero is among them. */
struct quantised {
    const void *data;
    enum quantised_sign {
        QUANTISED_U8,
        QUANTISED_S8
    } sign;
    const void *zeros; /* n_zeros of them, of the same type as data; NULL: zero is 0 */
    int64_t n_zeros;   /* 1, or one for each output channel (weights only) */
};

/*
 * y = Σ (x - zero of x) · (w - zero of w); padding counts as zero.
 * Shapes: as conv_f32_ref; ic · taps ≤ GEMM_INT_MAX_K.  The variants give the same numbers.
 */
void conv_int_ref(const struct conv_shape *s, const struct quantised *x, const struct quantised *w, int32_t *y);

/* work has conv_int_work_bytes for the pool's threads; more threads than it was asked for are not used. */
MUST_CHECK bool conv_int_work_bytes(const struct conv_shape *s, int threads, size_t *ret);
void conv_int(const struct conv_shape *s, const struct quantised *x, const struct quantised *w, int32_t *y, void *work,
              size_t work_bytes, struct pool *pool);

/* The i-th number and zero of channel i: used by the reference and by the matrix product. */
static inline int32_t quantised_at(const struct quantised *q, int64_t i)
{
    return q->sign == QUANTISED_U8 ? ((const uint8_t *)q->data)[i] : ((const int8_t *)q->data)[i];
}
static inline int32_t quantised_zero(const struct quantised *q, int64_t channel)
{
    int64_t i = q->n_zeros > 1 ? channel : 0;

    if (q->zeros == NULL) {
        return 0;
    }
    return q->sign == QUANTISED_U8 ? ((const uint8_t *)q->zeros)[i] : ((const int8_t *)q->zeros)[i];
}

#endif
