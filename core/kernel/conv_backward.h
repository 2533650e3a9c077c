/*
 * conv_backward.h: gradients of the convolutions of conv.h.
 *
 * conv_backward_f32 computes what conv_backward_f32_ref computes, up to the order of its sums.
 */
#ifndef CORE_KERNEL_CONV_BACKWARD_H
#define CORE_KERNEL_CONV_BACKWARD_H

#include "core/kernel/conv.h"

/* Scratch that conv_backward_f32 needs.  Returns false if it does not fit in size_t. */
MUST_CHECK bool conv_backward_f32_work_bytes(const struct conv_shape *s, size_t *ret);

/*
 * Adds to dx, dw and db, each where it is not NULL.  x is read for dw only, w for dx only.
 *
 * Which way a shape goes: groups of few channels by direct loops; a pointwise layer by two products of matrices; otherwise
 * the gradient of the weights is a product with the patches (im2col), and that of the data is, with stride 1, the same
 * kind of convolution with flipped weights, else a product whose columns are added back (col2im).
 * One thread; the same input gives the same bits.
 *
 * Shapes: x, dx [n, groups·ic, in...], w, dw [groups·oc, ic, kernel...], db [groups·oc], dy [n, groups·oc, out...].
 *         work holds conv_backward_f32_work_bytes, 64-byte aligned.  Nothing aliases.
 */
void conv_backward_f32(const struct conv_shape *s, const float *x, const float *w, const float *dy, float *dx,
                       float *dw, float *db, void *work);

/* The specification: every product of the convolution gives its share. */
void conv_backward_f32_ref(const struct conv_shape *s, const float *x, const float *w, const float *dy, float *dx,
                           float *dw, float *db);

#endif
