/*
 * conv_learn.h: the convolutions of a network that learns, forward and back.
 *
 * What conv.h computes, where the weights change with every step: nothing about them is kept between calls, a call has a few
 * images and one thread, and tensors stay NCHW.  3×3 layers with stride 1 go Winograd's way, other dense ones by direct
 * products with the channels laid last, pointwise ones by products of matrices; all else goes as conv_f32 and conv_backward.h
 * have it, and so does everything where the loops in use (kernels.h) are the reference: on processors without AVX2, and where
 * a set is forced.
 *
 * The same input gives the same bits on the same machine.  Against the definition the error is at most CONV_LEARN_TOLERANCE
 * times the largest sum of absolute products.
 */
#ifndef CORE_KERNEL_CONV_LEARN_H
#define CORE_KERNEL_CONV_LEARN_H

#include "core/kernel/conv.h"

#define CONV_LEARN_TOLERANCE 4e-6F

/* Scratch that conv_learn_f32 needs.  Returns false if it does not fit in size_t. */
MUST_CHECK bool conv_learn_f32_work_bytes(const struct conv_shape *s, size_t *ret);

/* Shapes: as conv_f32; work holds conv_learn_f32_work_bytes, 64-byte aligned. */
void conv_learn_f32(const struct conv_shape *s, const float *x, const float *w, const struct finish *finish, float *y,
                    void *work);

/* ---- For conv_backward.c ------------------------------------------------------------------------------------------- */

/* Do the gradients of this shape have a way here? */
bool conv_learn_has_gradients(const struct conv_shape *s);

/* Scratch for both, one after the other. */
MUST_CHECK bool conv_learn_backward_work_bytes(const struct conv_shape *s, size_t *ret);

/* Add to dx, to dw.  Shapes: as conv_backward_f32. */
void conv_learn_data_f32(const struct conv_shape *s, const float *w, const float *dy, float *dx, void *work);
void conv_learn_weight_f32(const struct conv_shape *s, const float *x, const float *dy, float *dw, void *work);

#endif
