/*
 * conv_direct_backward.h: gradients of convolutions of groups with few channels, one plane at a time.
 *
 * Used by conv_backward.c only.  The variants differ in the instructions they may use.
 */
#ifndef CORE_KERNEL_CONV_DIRECT_BACKWARD_H
#define CORE_KERNEL_CONV_DIRECT_BACKWARD_H

#include "core/kernel/conv.h"

/*
 * With a stride, neighbours of one tap lie apart.  A row is therefore split into its phases, the columns 0, s, 2s, ... then
 * 1, s+1, ...: inside a phase everything is contiguous.  All phases of a row have the same length.
 */
static inline int64_t conv_phase_length(const struct conv_shape *s)
{
    return (s->in[2] + s->stride[2] - 1) / s->stride[2];
}

/*
 * Adds the gradient of the plane ic (of all groups) of image n.
 * Shapes: w, dy and dx whole tensors; phases [stride[2] · conv_phase_length] of scratch.
 */
typedef void conv_direct_data_fn(const struct conv_shape *s, const float *w, const float *dy, int64_t n, int64_t ic,
                                 float *dx, float *phases);
conv_direct_data_fn conv_direct_data_f32;
conv_direct_data_fn conv_direct_data_f32_avx2;

/*
 * Adds what image n gives to the gradient of the weights of output channel oc (of all groups).
 * Shapes: x, dy and dw whole tensors; phases [in[0] · in[1] · stride[2] · conv_phase_length] of scratch.
 */
typedef void conv_direct_weight_fn(const struct conv_shape *s, const float *x, const float *dy, int64_t n, int64_t oc,
                                   float *dw, float *phases);
conv_direct_weight_fn conv_direct_weight_f32;
conv_direct_weight_fn conv_direct_weight_f32_avx2;

#if !defined(__x86_64__)
#define conv_direct_data_f32_avx2 conv_direct_data_f32
#define conv_direct_weight_f32_avx2 conv_direct_weight_f32
#endif

#endif
