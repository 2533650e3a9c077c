/*
 * conv_direct_backward_rows_private.h: the bodies of conv_direct_backward.h, included once for each instruction set.
 */
#include <string.h>

#include "core/kernel/conv_direct_backward.h"
#include "core/kernel/lanes_private.h"

/* to += weight · from */
static inline void add_scaled(float *restrict to, const float *restrict from, float weight, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        to[i] += weight * from[i];
    }
}

/* Lays a plane of outputs on the grid; returns how far its last pixel is from the first, plus one. */
static inline int64_t lay_outputs(const struct conv_shape *s, const float *plane, float *grid)
{
    int64_t rows = conv_phase_length(s, 1);
    int64_t row = conv_phase_length(s, 2);

    memset(grid, 0, (size_t)conv_phase_pixels(s) * sizeof *grid);
    for (int64_t d = 0; d < s->out[0]; d++) {
        for (int64_t h = 0; h < s->out[1]; h++) {
            memcpy(grid + (d * rows + h) * row, plane + (d * s->out[1] + h) * s->out[2],
                   (size_t)s->out[2] * sizeof *grid);
        }
    }
    return ((s->out[0] - 1) * rows + s->out[1] - 1) * row + s->out[2];
}

/*
 * Where row h of depth d of the image begins in the phases, NULL if no output looks at it.  Column i of the image is column
 * i + pad of the padded one, c, and lies at (c % stride) · phase pixels + c / stride.
 */
static inline float *phase_row(const struct conv_shape *s, int64_t d, int64_t h, float *phases)
{
    int64_t phase = 0;
    int64_t at_d = d + s->pad[0];
    int64_t at_h = h + s->pad[1];

    if (s->stride[0] * s->stride[1] > 1) {
        phase = at_d % s->stride[0] * s->stride[1] + at_h % s->stride[1];
        at_d /= s->stride[0];
        at_h /= s->stride[1];
    }
    if (at_d >= conv_phase_length(s, 0) || at_h >= conv_phase_length(s, 1)) {
        return NULL;
    }
    return phases + phase * s->stride[2] * conv_phase_pixels(s) +
           (at_d * conv_phase_length(s, 1) + at_h) * conv_phase_length(s, 2);
}

/* The columns of the image that belong to one phase of a row: first, first + stride, ... and where the first one lies. */
static inline int64_t phase_columns(const struct conv_shape *s, int64_t phase, int64_t *ret_first, int64_t *ret_at)
{
    int64_t stride = s->stride[2];
    int64_t first = (phase - s->pad[2] % stride + stride) % stride;
    int64_t at = (first + s->pad[2]) / stride;
    int64_t there = first < s->in[2] ? (s->in[2] - first + stride - 1) / stride : 0;
    int64_t room = conv_phase_length(s, 2) - at;

    *ret_first = first;
    *ret_at = at;
    return there < room ? there : room > 0 ? room : 0;
}

static inline void lay_image(const struct conv_shape *s, const float *plane, float *phases)
{
    memset(phases, 0, (size_t)(conv_phases(s) * conv_phase_pixels(s)) * sizeof *phases);
    for (int64_t phase = 0; phase < s->stride[2]; phase++) {
        int64_t first = 0;
        int64_t at = 0;
        int64_t count = phase_columns(s, phase, &first, &at);
        for (int64_t i = 0; i < s->in[0] * s->in[1]; i++) {
            float *to = phase_row(s, i / s->in[1], i % s->in[1], phases + phase * conv_phase_pixels(s));
            const float *from = plane + i * s->in[2] + first;
            if (to != NULL && s->stride[2] == 1) {
                memcpy(to + at, from, (size_t)count * sizeof *to);
                continue;
            }
            for (int64_t k = 0; to != NULL && k < count; k++) {
                to[at + k] = from[k * s->stride[2]];
            }
        }
    }
}

/* The way back: adds the phases to the image. */
static inline void add_image(const struct conv_shape *s, float *phases, float *plane)
{
    for (int64_t phase = 0; phase < s->stride[2]; phase++) {
        int64_t first = 0;
        int64_t at = 0;
        int64_t count = phase_columns(s, phase, &first, &at);
        for (int64_t i = 0; i < s->in[0] * s->in[1]; i++) {
            const float *from = phase_row(s, i / s->in[1], i % s->in[1], phases + phase * conv_phase_pixels(s));
            float *to = plane + i * s->in[2] + first;
            if (from != NULL && s->stride[2] == 1) {
                add_scaled(to, from + at, 1, count);
                continue;
            }
            for (int64_t k = 0; from != NULL && k < count; k++) {
                to[k * s->stride[2]] += from[at + k];
            }
        }
    }
}

/* How far the pixels of the first tap of row kh, depth kd lie from those of the grid; then a tap further in that row. */
static inline int64_t tap_row(const struct conv_shape *s, int64_t kd, int64_t kh)
{
    int64_t reach[2] = {kd * s->dilation[0], kh * s->dilation[1]};
    int64_t phase = reach[0] % s->stride[0] * s->stride[1] + reach[1] % s->stride[1];
    int64_t row = reach[0] / s->stride[0] * conv_phase_length(s, 1) + reach[1] / s->stride[1];

    return phase * s->stride[2] * conv_phase_pixels(s) + row * conv_phase_length(s, 2);
}

static inline int64_t tap_column(const struct conv_shape *s, int64_t kw)
{
    int64_t reach = kw * s->dilation[2];

    return s->stride[2] == 1 ? reach : reach % s->stride[2] * conv_phase_pixels(s) + reach / s->stride[2];
}

static inline void data_plane(const struct conv_shape *s, const float *w, const float *dy, int64_t n, int64_t ic,
                              float *dx, float *work)
{
    float *grid = work;
    float *phases = work + conv_phase_pixels(s);

    memset(phases, 0, (size_t)(conv_phases(s) * conv_phase_pixels(s)) * sizeof *phases);
    for (int64_t o = 0; o < s->oc; o++) {
        int64_t oc = ic / s->ic * s->oc + o;
        const float *tap = w + (oc * s->ic + ic % s->ic) * conv_taps(s);
        int64_t run = lay_outputs(s, dy + (n * s->groups * s->oc + oc) * conv_out_pixels(s), grid);
        for (int64_t k = 0; k < s->kernel[0] * s->kernel[1]; k++) {
            float *row = phases + tap_row(s, k / s->kernel[1], k % s->kernel[1]);
            for (int64_t kw = 0; kw < s->kernel[2]; kw++) {
                add_scaled(row + tap_column(s, kw), grid, *tap++, run);
            }
        }
    }
    add_image(s, phases, dx + (n * s->groups * s->ic + ic) * conv_in_pixels(s));
}

static inline void weight_plane(const struct conv_shape *s, const float *x, const float *dy, int64_t n, int64_t oc,
                                float *dw, float *work)
{
    float *grid = work;
    float *phases = work + conv_phase_pixels(s);
    int64_t run = lay_outputs(s, dy + (n * s->groups * s->oc + oc) * conv_out_pixels(s), grid);

    for (int64_t c = 0; c < s->ic; c++) {
        lay_image(s, x + ((n * s->groups + oc / s->oc) * s->ic + c) * conv_in_pixels(s), phases);
        float *gradient = dw + (oc * s->ic + c) * conv_taps(s);
        for (int64_t k = 0; k < s->kernel[0] * s->kernel[1]; k++) {
            const float *row = phases + tap_row(s, k / s->kernel[1], k % s->kernel[1]);
            for (int64_t kw = 0; kw < s->kernel[2]; kw++) {
                *gradient++ += lanes_dot(grid, row + tap_column(s, kw), run);
            }
        }
    }
}
