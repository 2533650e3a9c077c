/*
 * conv.h: convolutions of float images, 1 to 3 spatial dimensions.
 *
 * Every variant computes what conv_f32_ref computes, up to the order of its sums: the difference is at most
 * CONV_TOLERANCE times the sum of the absolute products (plus |bias|).
 */
#ifndef CORE_KERNEL_CONV_H
#define CORE_KERNEL_CONV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/pool.h"
#include "core/kernel/finish.h"

#define CONV_TOLERANCE 2e-6F

/*
 * Sizes of one convolution.  There are always three spatial dimensions; a missing one has 1 everywhere and pad 0, and the
 * last one is contiguous.  ic and oc are channels of one group.
 */
struct conv_shape {
    int64_t n, groups, ic, oc;
    int64_t in[3], kernel[3], stride[3], dilation[3];
    int64_t pad[3]; /* before; what lies after is given by out */
    int64_t out[3];
};

static inline int64_t conv_in_pixels(const struct conv_shape *s)
{
    return s->in[0] * s->in[1] * s->in[2];
}
static inline int64_t conv_out_pixels(const struct conv_shape *s)
{
    return s->out[0] * s->out[1] * s->out[2];
}
static inline int64_t conv_taps(const struct conv_shape *s)
{
    return s->kernel[0] * s->kernel[1] * s->kernel[2];
}

/*
 * The outputs o in [first, end) for which i = o · stride + offset lies in [0, size).
 * A kernel needs it for every tap; out limits it from above.
 */
static inline void conv_range(int64_t size, int64_t stride, int64_t offset, int64_t out, int64_t *ret_first,
                              int64_t *ret_end)
{
    int64_t first = offset >= 0 ? 0 : (-offset + stride - 1) / stride;
    int64_t end = size - offset > 0 ? (size - offset + stride - 1) / stride : 0;

    end = end < out ? end : out;
    *ret_first = first < end ? first : end;
    *ret_end = end;
}

/*
 * Shapes: x [n, groups·ic, in...], w [groups·oc, ic, kernel...], y [n, groups·oc, out...].  y aliases nothing.
 *         finish may hold no bias; its residual is laid out as y.
 */
void conv_f32_ref(const struct conv_shape *s, const float *x, const float *w, const struct finish *finish, float *y);

/* Scratch that conv_f32 needs for threads; 0 is possible.  Returns false if it does not fit in size_t. */
MUST_CHECK bool conv_f32_work_bytes(const struct conv_shape *s, int threads, size_t *ret);

/*
 * Picks a variant by the shape alone (the same input gives the same bits at any number of threads): direct loops for
 * groups of few channels, products of matrices for the rest.
 * Shapes: as above; work holds work_bytes, 64-byte aligned, at least conv_f32_work_bytes for one thread; fewer bytes than
 *         the pool's threads need mean fewer threads.
 */
void conv_f32(const struct conv_shape *s, const float *x, const float *w, const struct finish *finish, float *y,
              void *work, size_t work_bytes, struct pool *pool);

#endif
