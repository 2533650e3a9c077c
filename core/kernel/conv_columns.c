/* conv_columns.c: the patches of an image as columns of a matrix, and back. */
#include <string.h>

#include "core/kernel/conv_private.h"

/* One row of the matrix: one tap of one channel over the pixels [p0, p1). */
static void fill_row(const struct conv_shape *s, const float *plane, const int64_t offset[3], int64_t p0, int64_t p1,
                     float *row)
{
    int64_t first = 0;
    int64_t end = 0;

    conv_range(s->in[2], s->stride[2], offset[2], s->out[2], &first, &end);
    for (int64_t p = p0; p < p1;) {
        int64_t line = p / s->out[2];
        int64_t from = p - line * s->out[2];
        int64_t to = p1 - p < s->out[2] - from ? from + (p1 - p) : s->out[2];
        int64_t d = line / s->out[1] * s->stride[0] + offset[0];
        int64_t h = line % s->out[1] * s->stride[1] + offset[1];
        float *out = row + (p - p0) - from; /* out[o] is column o of this line */
        int64_t lo = first > from ? first : from;
        int64_t hi = end < to ? end : to;
        if (d < 0 || d >= s->in[0] || h < 0 || h >= s->in[1] || lo >= hi) {
            memset(out + from, 0, (size_t)(to - from) * sizeof *out);
        } else {
            const float *in = plane + (d * s->in[1] + h) * s->in[2] + offset[2];
            memset(out + from, 0, (size_t)(lo - from) * sizeof *out);
            if (s->stride[2] == 1) {
                memcpy(out + lo, in + lo, (size_t)(hi - lo) * sizeof *out);
            } else {
                for (int64_t o = lo; o < hi; o++) {
                    out[o] = in[o * s->stride[2]];
                }
            }
            memset(out + hi, 0, (size_t)(to - hi) * sizeof *out);
        }
        p += to - from;
    }
}

void conv_fill_columns(const struct conv_shape *s, const float *x, int64_t p0, int64_t p1, float *columns)
{
    for (int64_t c = 0; c < s->ic; c++) {
        for (int64_t t = 0; t < conv_taps(s); t++) {
            int64_t offset[3];
            conv_tap_offset(s, t, offset);
            fill_row(s, x + c * conv_in_pixels(s), offset, p0, p1, columns);
            columns += p1 - p0;
        }
    }
}

/* One row of the matrix back to the plane it came from. */
static void add_row(const struct conv_shape *s, const float *row, const int64_t offset[3], int64_t p0, int64_t p1,
                    float *plane)
{
    int64_t first = 0;
    int64_t end = 0;

    conv_range(s->in[2], s->stride[2], offset[2], s->out[2], &first, &end);
    for (int64_t p = p0; p < p1;) {
        int64_t line = p / s->out[2];
        int64_t from = p - line * s->out[2];
        int64_t to = p1 - p < s->out[2] - from ? from + (p1 - p) : s->out[2];
        int64_t d = line / s->out[1] * s->stride[0] + offset[0];
        int64_t h = line % s->out[1] * s->stride[1] + offset[1];
        const float *in = row + (p - p0) - from; /* in[o] is column o of this line */
        int64_t lo = first > from ? first : from;
        int64_t hi = end < to ? end : to;
        if (d >= 0 && d < s->in[0] && h >= 0 && h < s->in[1]) {
            float *out = plane + (d * s->in[1] + h) * s->in[2] + offset[2];
            for (int64_t o = lo; s->stride[2] == 1 && o < hi; o++) {
                out[o] += in[o];
            }
            for (int64_t o = lo; s->stride[2] != 1 && o < hi; o++) {
                out[o * s->stride[2]] += in[o];
            }
        }
        p += to - from;
    }
}

void conv_add_columns(const struct conv_shape *s, const float *columns, int64_t p0, int64_t p1, float *x)
{
    for (int64_t c = 0; c < s->ic; c++) {
        for (int64_t t = 0; t < conv_taps(s); t++) {
            int64_t offset[3];
            conv_tap_offset(s, t, offset);
            add_row(s, columns, offset, p0, p1, x + c * conv_in_pixels(s));
            columns += p1 - p0;
        }
    }
}
