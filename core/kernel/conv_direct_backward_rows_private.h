/*
 * conv_direct_backward_rows_private.h: the bodies of conv_direct_backward.h, included once for each instruction set.
 */
#include <string.h>

#include "core/kernel/conv_direct_backward.h"
#include "core/kernel/lanes_private.h"

/* Column = output · stride + offset: the phase that such columns lie in, and what to add to the output to find it there. */
static inline void split_offset(int64_t stride, int64_t offset, int64_t *ret_phase, int64_t *ret_shift)
{
    int64_t phase = offset % stride;

    phase = phase < 0 ? phase + stride : phase;
    *ret_phase = phase;
    *ret_shift = (offset - phase) / stride;
}

/* The output whose tap at offset looks at i, or -1. */
static inline int64_t output_at(int64_t i, int64_t stride, int64_t offset, int64_t out)
{
    int64_t at = i - offset;

    return at < 0 || at % stride != 0 || at / stride >= out ? -1 : at / stride;
}

/* One row of dy through one row of taps into the phases of one row of dx. */
static inline void spread_row(const struct conv_shape *s, const float *w, const float *dy, float *phases)
{
    for (int64_t k = 0; k < s->kernel[2]; k++) {
        int64_t offset = k * s->dilation[2] - s->pad[2];
        int64_t first = 0;
        int64_t end = 0;
        int64_t phase = 0;
        int64_t shift = 0;
        conv_range(s->in[2], s->stride[2], offset, s->out[2], &first, &end);
        split_offset(s->stride[2], offset, &phase, &shift);
        float *to = phases + phase * conv_phase_length(s) + shift;
        for (int64_t o = first; o < end; o++) {
            to[o] += w[k] * dy[o];
        }
    }
}

static inline void data_plane(const struct conv_shape *s, const float *w, const float *dy, int64_t n, int64_t ic,
                              float *dx, float *phases)
{
    int64_t length = conv_phase_length(s);
    int64_t first_oc = ic / s->ic * s->oc;
    float *plane = dx + (n * s->groups * s->ic + ic) * conv_in_pixels(s);

    for (int64_t row = 0; row < s->in[0] * s->in[1]; row++) {
        float *out = plane + row * s->in[2];
        memset(phases, 0, (size_t)(s->stride[2] * length) * sizeof *phases);
        for (int64_t t = 0; t < s->oc * s->kernel[0] * s->kernel[1]; t++) {
            int64_t oc = first_oc + t / (s->kernel[0] * s->kernel[1]);
            int64_t kd = t / s->kernel[1] % s->kernel[0];
            int64_t kh = t % s->kernel[1];
            int64_t d = output_at(row / s->in[1], s->stride[0], kd * s->dilation[0] - s->pad[0], s->out[0]);
            int64_t h = output_at(row % s->in[1], s->stride[1], kh * s->dilation[1] - s->pad[1], s->out[1]);
            if (d >= 0 && h >= 0) {
                const float *taps =
                    w +
                    ((oc * s->ic + ic % s->ic) * s->kernel[0] * s->kernel[1] + kd * s->kernel[1] + kh) * s->kernel[2];
                spread_row(s, taps, dy + (((n * s->groups * s->oc + oc) * s->out[0] + d) * s->out[1] + h) * s->out[2],
                           phases);
            }
        }
        for (int64_t i = 0; s->stride[2] == 1 && i < s->in[2]; i++) {
            out[i] += phases[i];
        }
        for (int64_t i = 0; s->stride[2] > 1 && i < s->in[2]; i++) {
            out[i] += phases[i % s->stride[2] * length + i / s->stride[2]];
        }
    }
}

/* Every row of a plane as its phases; a plane with stride 1 is that already. */
static inline const float *split_plane(const struct conv_shape *s, const float *plane, float *phases)
{
    int64_t length = conv_phase_length(s);

    if (s->stride[2] == 1) {
        return plane;
    }
    for (int64_t row = 0; row < s->in[0] * s->in[1]; row++) {
        for (int64_t i = 0; i < s->in[2]; i++) {
            phases[(row * s->stride[2] + i % s->stride[2]) * length + i / s->stride[2]] = plane[row * s->in[2] + i];
        }
    }
    return phases;
}

/* The gradient of one weight: dy times what its tap has seen. */
static inline float weight_gradient(const struct conv_shape *s, const float *phases, const float *dy, int64_t t)
{
    int64_t offset[3] = {t / s->kernel[2] / s->kernel[1] * s->dilation[0] - s->pad[0],
                         t / s->kernel[2] % s->kernel[1] * s->dilation[1] - s->pad[1],
                         t % s->kernel[2] * s->dilation[2] - s->pad[2]};
    int64_t first[3];
    int64_t end[3];
    int64_t phase = 0;
    int64_t shift = 0;
    lanes sums = {0};

    for (int i = 0; i < 3; i++) {
        conv_range(s->in[i], s->stride[i], offset[i], s->out[i], &first[i], &end[i]);
    }
    split_offset(s->stride[2], offset[2], &phase, &shift);
    for (int64_t d = first[0]; d < end[0]; d++) {
        for (int64_t h = first[1]; h < end[1]; h++) {
            int64_t row = (d * s->stride[0] + offset[0]) * s->in[1] + h * s->stride[1] + offset[1];
            lanes_add_products(&sums, dy + (d * s->out[1] + h) * s->out[2] + first[2],
                               phases + (row * s->stride[2] + phase) * conv_phase_length(s) + shift + first[2],
                               end[2] - first[2]);
        }
    }
    return lanes_total(&sums);
}

static inline void weight_plane(const struct conv_shape *s, const float *x, const float *dy, int64_t n, int64_t oc,
                                float *dw, float *phases)
{
    for (int64_t c = 0; c < s->ic; c++) {
        int64_t plane = (n * s->groups + oc / s->oc) * s->ic + c;
        const float *split = split_plane(s, x + plane * conv_in_pixels(s), phases);
        for (int64_t t = 0; t < conv_taps(s); t++) {
            dw[(oc * s->ic + c) * conv_taps(s) + t] +=
                weight_gradient(s, split, dy + (n * s->groups * s->oc + oc) * conv_out_pixels(s), t);
        }
    }
}
