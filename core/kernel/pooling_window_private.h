/*
 * pooling_window_private.h: which pixels lie under a window; for pooling and its gradients.
 */
#ifndef CORE_KERNEL_POOLING_WINDOW_PRIVATE_H
#define CORE_KERNEL_POOLING_WINDOW_PRIVATE_H

#include "core/kernel/pooling.h"

/* The taps [first, end) of output o that lie inside [0, size). */
static inline void taps_inside(const struct pooling_shape *s, int d, int64_t o, int64_t *first, int64_t *end)
{
    int64_t start = o * s->stride[d] - s->pad[d];

    *first = start >= 0 ? 0 : (-start + s->dilation[d] - 1) / s->dilation[d];
    *end = s->in[d] > start ? (s->in[d] - start + s->dilation[d] - 1) / s->dilation[d] : 0;
    *end = *end < s->kernel[d] ? *end : s->kernel[d];
}

struct pooling_window {
    int64_t first[3], end[3], start[3];
};

static inline void window_at(const struct pooling_shape *s, int64_t p, struct pooling_window *ret)
{
    int64_t o[3] = {p / s->out[2] / s->out[1], p / s->out[2] % s->out[1], p % s->out[2]};

    for (int d = 0; d < 3; d++) {
        taps_inside(s, d, o[d], &ret->first[d], &ret->end[d]);
        ret->start[d] = o[d] * s->stride[d] - s->pad[d];
    }
}

static inline int64_t place(const struct pooling_shape *s, const struct pooling_window *w, int64_t a, int64_t b,
                            int64_t c)
{
    int64_t d = w->start[0] + a * s->dilation[0];
    int64_t h = w->start[1] + b * s->dilation[1];

    return (d * s->in[1] + h) * s->in[2] + w->start[2] + c * s->dilation[2];
}

/* Window positions of one dimension that the divisor counts when padding does. */
static inline int64_t counted(const struct pooling_shape *s, int d, int64_t start)
{
    int64_t room = s->in[d] + s->pad_end[d] - start;
    int64_t taps = room > 0 ? (room + s->dilation[d] - 1) / s->dilation[d] : 0;

    return taps < s->kernel[d] ? taps : s->kernel[d];
}

/* What the sum of a window is divided by; 0 if nothing counts. */
static inline int64_t mean_divisor(const struct pooling_shape *s, const struct pooling_window *w, bool count_padding)
{
    int64_t inside = 1;
    int64_t with_padding = 1;

    for (int d = 0; d < 3; d++) {
        inside *= w->end[d] > w->first[d] ? w->end[d] - w->first[d] : 0;
        with_padding *= counted(s, d, w->start[d]);
    }
    return count_padding ? with_padding : inside;
}

#endif
