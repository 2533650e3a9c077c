/*
 * conv_direct.h: convolutions of groups with few channels, one output row at a time.
 *
 * Used by conv.c and conv_int.c only.  The variants differ in the instructions they may use, not in what they compute.
 */
#ifndef CORE_KERNEL_CONV_DIRECT_H
#define CORE_KERNEL_CONV_DIRECT_H

#include "core/kernel/conv.h"

/*
 * Computes output channel oc (of all groups) of image n, without bias and activation.
 * Shapes: x and w of the whole tensor, as in conv.h; y the plane of this channel, out...
 */
typedef void conv_direct_f32_fn(const struct conv_shape *s, const float *x, const float *w, int64_t n, int64_t oc,
                                float *y);
conv_direct_f32_fn conv_direct_f32_ref;
conv_direct_f32_fn conv_direct_f32_portable;
conv_direct_f32_fn conv_direct_f32_avx2;

/* The same in integers: w is [groups·oc, ic, kernel...] with its zero point already subtracted, zero is that of x. */
typedef void conv_direct_u8_fn(const struct conv_shape *s, const uint8_t *x, int32_t zero, const int16_t *w, int64_t n,
                               int64_t oc, int32_t *y);
typedef void conv_direct_s8_fn(const struct conv_shape *s, const int8_t *x, int32_t zero, const int16_t *w, int64_t n,
                               int64_t oc, int32_t *y);
conv_direct_u8_fn conv_direct_u8_ref;
conv_direct_u8_fn conv_direct_u8_portable;
conv_direct_u8_fn conv_direct_u8_avx2;
conv_direct_s8_fn conv_direct_s8_ref;
conv_direct_s8_fn conv_direct_s8_portable;
conv_direct_s8_fn conv_direct_s8_avx2;

#endif
