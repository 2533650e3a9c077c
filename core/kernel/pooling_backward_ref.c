/* pooling_backward_ref.c: the gradient of each window goes back to its pixels. */
#include "core/kernel/pooling_backward.h"

#include <math.h>

#include "core/kernel/pooling_window_private.h"

/* The first greatest pixel under a window; -1 if none is. */
static int64_t greatest(const struct pooling_shape *s, const struct pooling_window *w, const float *plane)
{
    float best = -INFINITY;
    int64_t at = -1;

    for (int64_t a = w->first[0]; a < w->end[0]; a++) {
        for (int64_t b = w->first[1]; b < w->end[1]; b++) {
            for (int64_t c = w->first[2]; c < w->end[2]; c++) {
                int64_t here = place(s, w, a, b, c);
                if (at < 0 || plane[here] > best || isnan(plane[here])) {
                    best = plane[here];
                    at = here;
                }
            }
        }
    }
    return at;
}

void pooling_max_backward_ref(const struct pooling_shape *s, const float *x, const float *dy, float *dx)
{
    int64_t in = s->in[0] * s->in[1] * s->in[2];
    int64_t out = s->out[0] * s->out[1] * s->out[2];

    for (int64_t i = 0; i < s->planes * out; i++) {
        struct pooling_window w;
        window_at(s, i % out, &w);
        int64_t at = greatest(s, &w, x + i / out * in);
        if (at >= 0) {
            dx[i / out * in + at] += dy[i];
        }
    }
}

void pooling_mean_backward_ref(const struct pooling_shape *s, bool count_padding, const float *dy, float *dx)
{
    int64_t in = s->in[0] * s->in[1] * s->in[2];
    int64_t out = s->out[0] * s->out[1] * s->out[2];

    for (int64_t i = 0; i < s->planes * out; i++) {
        float *plane = dx + i / out * in;
        struct pooling_window w;
        window_at(s, i % out, &w);
        int64_t divisor = mean_divisor(s, &w, count_padding);
        for (int64_t a = w.first[0]; a < w.end[0]; a++) {
            for (int64_t b = w.first[1]; b < w.end[1]; b++) {
                for (int64_t c = w.first[2]; divisor > 0 && c < w.end[2]; c++) {
                    plane[place(s, &w, a, b, c)] += dy[i] / (float)divisor;
                }
            }
        }
    }
}
