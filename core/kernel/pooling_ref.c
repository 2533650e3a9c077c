/* pooling_ref.c: pooling as its definition; it is memory-bound and a few per mille of any network of ours. */
#include "core/kernel/pooling.h"

#include <math.h>

/* The taps [first, end) of output o that lie inside [0, size). */
static void taps_inside(const struct pooling_shape *s, int d, int64_t o, int64_t *first, int64_t *end)
{
    int64_t start = o * s->stride[d] - s->pad[d];

    *first = start >= 0 ? 0 : (-start + s->dilation[d] - 1) / s->dilation[d];
    *end = s->in[d] > start ? (s->in[d] - start + s->dilation[d] - 1) / s->dilation[d] : 0;
    *end = *end < s->kernel[d] ? *end : s->kernel[d];
}

struct window {
    int64_t first[3], end[3], start[3];
};

static void window_at(const struct pooling_shape *s, int64_t p, struct window *ret)
{
    int64_t o[3] = {p / s->out[2] / s->out[1], p / s->out[2] % s->out[1], p % s->out[2]};

    for (int d = 0; d < 3; d++) {
        taps_inside(s, d, o[d], &ret->first[d], &ret->end[d]);
        ret->start[d] = o[d] * s->stride[d] - s->pad[d];
    }
}

static int64_t place(const struct pooling_shape *s, const struct window *w, int64_t a, int64_t b, int64_t c)
{
    int64_t d = w->start[0] + a * s->dilation[0];
    int64_t h = w->start[1] + b * s->dilation[1];

    return (d * s->in[1] + h) * s->in[2] + w->start[2] + c * s->dilation[2];
}

void pooling_max_ref(const struct pooling_shape *s, const float *x, float *y)
{
    int64_t in = s->in[0] * s->in[1] * s->in[2];
    int64_t out = s->out[0] * s->out[1] * s->out[2];

    for (int64_t i = 0; i < s->planes * out; i++) {
        const float *plane = x + i / out * in;
        struct window w;
        float best = -INFINITY;
        window_at(s, i % out, &w);
        for (int64_t a = w.first[0]; a < w.end[0]; a++) {
            for (int64_t b = w.first[1]; b < w.end[1]; b++) {
                for (int64_t c = w.first[2]; c < w.end[2]; c++) {
                    float v = plane[place(s, &w, a, b, c)];
                    best = v > best || isnan(v) ? v : best;
                }
            }
        }
        y[i] = best;
    }
}

/* Window positions of one dimension that the divisor counts when padding does. */
static int64_t counted(const struct pooling_shape *s, int d, int64_t start)
{
    int64_t room = s->in[d] + s->pad_end[d] - start;
    int64_t taps = room > 0 ? (room + s->dilation[d] - 1) / s->dilation[d] : 0;

    return taps < s->kernel[d] ? taps : s->kernel[d];
}

void pooling_mean_ref(const struct pooling_shape *s, bool count_padding, const float *x, float *y)
{
    int64_t in = s->in[0] * s->in[1] * s->in[2];
    int64_t out = s->out[0] * s->out[1] * s->out[2];

    for (int64_t i = 0; i < s->planes * out; i++) {
        const float *plane = x + i / out * in;
        struct window w;
        float sum = 0;
        int64_t inside = 1;
        int64_t with_padding = 1;
        window_at(s, i % out, &w);
        for (int64_t a = w.first[0]; a < w.end[0]; a++) {
            for (int64_t b = w.first[1]; b < w.end[1]; b++) {
                for (int64_t c = w.first[2]; c < w.end[2]; c++) {
                    sum += plane[place(s, &w, a, b, c)];
                }
            }
        }
        for (int d = 0; d < 3; d++) {
            inside *= w.end[d] > w.first[d] ? w.end[d] - w.first[d] : 0;
            with_padding *= counted(s, d, w.start[d]);
        }
        int64_t divisor = count_padding ? with_padding : inside;
        y[i] = divisor > 0 ? sum / (float)divisor : 0;
    }
}
