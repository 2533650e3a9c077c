/* pooling_ref.c: pooling as its definition; it is memory-bound and a few per mille of any network of ours. */
#include "core/kernel/pooling.h"

#include <math.h>

#include "core/kernel/pooling_window_private.h"

void pooling_max_ref(const struct pooling_shape *s, const float *x, float *y)
{
    int64_t in = s->in[0] * s->in[1] * s->in[2];
    int64_t out = s->out[0] * s->out[1] * s->out[2];

    for (int64_t i = 0; i < s->planes * out; i++) {
        const float *plane = x + i / out * in;
        struct pooling_window w;
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

void pooling_mean_ref(const struct pooling_shape *s, bool count_padding, const float *x, float *y)
{
    int64_t in = s->in[0] * s->in[1] * s->in[2];
    int64_t out = s->out[0] * s->out[1] * s->out[2];

    for (int64_t i = 0; i < s->planes * out; i++) {
        const float *plane = x + i / out * in;
        struct pooling_window w;
        float sum = 0;
        window_at(s, i % out, &w);
        for (int64_t a = w.first[0]; a < w.end[0]; a++) {
            for (int64_t b = w.first[1]; b < w.end[1]; b++) {
                for (int64_t c = w.first[2]; c < w.end[2]; c++) {
                    sum += plane[place(s, &w, a, b, c)];
                }
            }
        }
        int64_t divisor = mean_divisor(s, &w, count_padding);
        y[i] = divisor > 0 ? sum / (float)divisor : 0;
    }
}
