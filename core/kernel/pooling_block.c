/* pooling_block.c: pooling of blocked images: the definition, sixteen channels at a time. */
#include <math.h>

#include "core/kernel/block.h"
#include "core/kernel/pooling.h"
#include "core/kernel/pooling_window_private.h"

static void max_window(const struct pooling_shape *s, const struct pooling_window *w, const float *plane, float *best)
{
    for (int64_t a = w->first[0]; a < w->end[0]; a++) {
        for (int64_t b = w->first[1]; b < w->end[1]; b++) {
            for (int64_t c = w->first[2]; c < w->end[2]; c++) {
                const float *v = plane + place(s, w, a, b, c) * BLOCK;
                for (int k = 0; k < BLOCK; k++) {
                    best[k] = v[k] > best[k] || isnan(v[k]) ? v[k] : best[k];
                }
            }
        }
    }
}

static void add_window(const struct pooling_shape *s, const struct pooling_window *w, const float *plane, float *sum)
{
    for (int64_t a = w->first[0]; a < w->end[0]; a++) {
        for (int64_t b = w->first[1]; b < w->end[1]; b++) {
            for (int64_t c = w->first[2]; c < w->end[2]; c++) {
                const float *v = plane + place(s, w, a, b, c) * BLOCK;
                for (int k = 0; k < BLOCK; k++) {
                    sum[k] += v[k];
                }
            }
        }
    }
}

void pooling_max_block(const struct pooling_shape *s, const float *x, float *y)
{
    int64_t in = s->in[0] * s->in[1] * s->in[2];
    int64_t out = s->out[0] * s->out[1] * s->out[2];

    for (int64_t i = 0; i < s->planes * out; i++, y += BLOCK) {
        struct pooling_window w;
        window_at(s, i % out, &w);
        for (int k = 0; k < BLOCK; k++) {
            y[k] = -INFINITY;
        }
        max_window(s, &w, x + i / out * in * BLOCK, y);
    }
}

void pooling_mean_block(const struct pooling_shape *s, bool count_padding, const float *x, float *y)
{
    int64_t in = s->in[0] * s->in[1] * s->in[2];
    int64_t out = s->out[0] * s->out[1] * s->out[2];

    for (int64_t i = 0; i < s->planes * out; i++, y += BLOCK) {
        struct pooling_window w;
        float sum[BLOCK] = {0};
        window_at(s, i % out, &w);
        add_window(s, &w, x + i / out * in * BLOCK, sum);
        int64_t divisor = mean_divisor(s, &w, count_padding);
        for (int k = 0; k < BLOCK; k++) {
            y[k] = divisor > 0 ? sum[k] / (float)divisor : 0;
        }
    }
}
