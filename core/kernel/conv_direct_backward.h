/*
 * conv_direct_backward.h: gradients of convolutions of groups with few channels, one plane at a time.
 *
 * Planes are first laid out so that every tap is one long run without edges.  The image gets its padding, and with a stride
 * it is split into phases (rows 0, s, 2s, ... apart from rows 1, s+1, ..., and so the columns): inside a phase the pixels
 * that neighbouring outputs look at are neighbours.  The outputs are laid on a grid of the same row length, zero between.
 * Then the pixels of a tap are those of the grid, moved by a constant: its weight's gradient is one dot product, its share of
 * the image's gradient one scaled addition.
 *
 * Used by conv_backward.c only.  The variants differ in the instructions they may use.
 */
#ifndef CORE_KERNEL_CONV_DIRECT_BACKWARD_H
#define CORE_KERNEL_CONV_DIRECT_BACKWARD_H

#include "core/kernel/conv.h"

/* Rows of a phase along dimension d: one for each output, and those that the taps reach beyond the last. */
static inline int64_t conv_phase_length(const struct conv_shape *s, int d)
{
    return s->out[d] + (s->kernel[d] - 1) * s->dilation[d] / s->stride[d];
}

/* Pixels of a phase; the grid of the outputs is as large. */
static inline int64_t conv_phase_pixels(const struct conv_shape *s)
{
    return conv_phase_length(s, 0) * conv_phase_length(s, 1) * conv_phase_length(s, 2);
}

/* How many phases there are. */
static inline int64_t conv_phases(const struct conv_shape *s)
{
    return s->stride[0] * s->stride[1] * s->stride[2];
}

/*
 * Adds the gradient of the plane ic (of all groups) of image n.
 * Shapes: w, dy and dx whole tensors; work [(conv_phases + 1) · conv_phase_pixels] of scratch.
 */
typedef void conv_direct_data_fn(const struct conv_shape *s, const float *w, const float *dy, int64_t n, int64_t ic,
                                 float *dx, float *work);
conv_direct_data_fn conv_direct_data_f32_ref;
conv_direct_data_fn conv_direct_data_f32_portable;
conv_direct_data_fn conv_direct_data_f32_avx2;

/* Adds what image n gives to the gradient of the weights of output channel oc (of all groups).  Shapes: as above. */
typedef void conv_direct_weight_fn(const struct conv_shape *s, const float *x, const float *dy, int64_t n, int64_t oc,
                                   float *dw, float *work);
conv_direct_weight_fn conv_direct_weight_f32_ref;
conv_direct_weight_fn conv_direct_weight_f32_portable;
conv_direct_weight_fn conv_direct_weight_f32_avx2;

#endif
