/*
 * conv_private.h: what convolutions and their gradients share: which way a shape is computed, and the matrix of its patches.
 */
#ifndef CORE_KERNEL_CONV_PRIVATE_H
#define CORE_KERNEL_CONV_PRIVATE_H

#include "core/kernel/conv.h"

/* Groups of few channels: direct loops instead of products of matrices. */
static inline bool conv_is_direct(const struct conv_shape *s)
{
    return s->groups > 1 && (s->oc <= 4 || s->ic * s->oc <= 16);
}

/* The image is the matrix of its patches already. */
static inline bool conv_is_pointwise(const struct conv_shape *s)
{
    for (int d = 0; d < 3; d++) {
        if (s->kernel[d] != 1 || s->stride[d] != 1 || s->pad[d] != 0 || s->out[d] != s->in[d]) {
            return false;
        }
    }
    return true;
}

/* Where the tap t looks, relative to output 0 times stride. */
static inline void conv_tap_offset(const struct conv_shape *s, int64_t t, int64_t ret[3])
{
    ret[0] = t / s->kernel[2] / s->kernel[1] * s->dilation[0] - s->pad[0];
    ret[1] = t / s->kernel[2] % s->kernel[1] * s->dilation[1] - s->pad[1];
    ret[2] = t % s->kernel[2] * s->dilation[2] - s->pad[2];
}

/*
 * Fills the matrix [ic·taps, p1 − p0] whose columns are the patches under the output pixels [p0, p1): im2col.
 * Shapes: x one group of one image, [ic, in...].
 */
void conv_fill_columns(const struct conv_shape *s, const float *x, int64_t p0, int64_t p1, float *columns);

/* The way back: adds each number of the matrix to the pixel of x that it would be filled from (col2im). */
void conv_add_columns(const struct conv_shape *s, const float *columns, int64_t p0, int64_t p1, float *x);

#endif
