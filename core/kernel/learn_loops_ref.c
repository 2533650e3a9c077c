/* learn_loops_ref.c: the loops of training as the definition of the convolution gives them. */
#include "core/kernel/learn_loops.h"

#include <stddef.h>

#include "core/kernel/conv_backward.h"

/* One output of a 3×3 layer with stride 1. */
static float sum_at(const struct conv_shape *s, bool flipped, const float *x, const float *w, int64_t oc, int64_t row,
                    int64_t column)
{
    float sum = 0;

    for (int64_t ic = 0; ic < s->ic; ic++) {
        for (int64_t tap = 0; tap < 9; tap++) {
            int64_t i = row + tap / 3 - s->pad[1];
            int64_t j = column + tap % 3 - s->pad[2];
            int64_t at = flipped ? (ic * s->oc + oc) * 9 + 8 - tap : (oc * s->ic + ic) * 9 + tap;
            if (i >= 0 && i < s->in[1] && j >= 0 && j < s->in[2]) {
                sum += w[at] * x[(ic * s->in[1] + i) * s->in[2] + j];
            }
        }
    }
    return sum;
}

static void winograd(const struct conv_shape *s, const struct winograd_sizes *z, bool flipped, const float *x,
                     const float *w, bool add, float *y, float *work)
{
    int64_t pixels = conv_out_pixels(s);

    for (int64_t i = 0; i < s->n * s->oc * pixels; i++) {
        const float *image = x + i / pixels / s->oc * s->ic * conv_in_pixels(s);
        float sum = sum_at(s, flipped, image, w, i / pixels % s->oc, i % pixels / s->out[2], i % s->out[2]);
        y[i] = add ? y[i] + sum : sum;
    }
}

static void winograd_weight(const struct conv_shape *s, const struct winograd_sizes *z, const float *x, const float *dy,
                            float *dw, float *work)
{
    conv_backward_f32_ref(s, x, NULL, dy, NULL, dw, NULL);
}

static void dense(const struct conv_shape *s, const struct dense_sizes *z, const float *x, const float *w, float *y,
                  float *work)
{
    const struct finish none = {0};

    conv_f32_ref(s, x, w, &none, y);
}

static void dense_data(const struct conv_shape *s, const struct dense_sizes *z, const float *w, const float *dy,
                       float *dx, float *work)
{
    conv_backward_f32_ref(s, NULL, w, dy, dx, NULL, NULL);
}

static void dense_weight(const struct conv_shape *s, const struct dense_sizes *z, const float *x, const float *dy,
                         float *dw, float *work)
{
    conv_backward_f32_ref(s, x, NULL, dy, NULL, dw, NULL);
}

const struct learn_loops learn_loops_ref = {
    .winograd = winograd,
    .winograd_weight = winograd_weight,
    .dense = dense,
    .dense_data = dense_data,
    .dense_weight = dense_weight,
};
