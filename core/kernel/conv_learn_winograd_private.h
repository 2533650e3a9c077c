/*
 * conv_learn_winograd_private.h: 3×3 convolutions by Winograd's F(4×4, 3×3), forward and for both gradients; included once
 * for each instruction set.
 *
 * Of every tile of 6×6 pixels 36 combinations are made (Bᵀ d B), which are multiplied with 36 combinations of the weights
 * (G g Gᵀ); of the 36 sums over the channels the 4×4 outputs are combined again (Aᵀ m A): 36 products where the definition has
 * 144.  The points are 0, ±√½, ±√2 and ∞, which lose half as many digits as the usual 0, ±1, ±2, ∞.
 *
 * The gradient of the weights goes the same way back: with A dy Aᵀ for the outputs' side the sums are over the tiles, and
 * Gᵀ u G gives the 3×3 numbers.
 */
#ifndef CORE_KERNEL_CONV_LEARN_WINOGRAD_PRIVATE_H
#define CORE_KERNEL_CONV_LEARN_WINOGRAD_PRIVATE_H

#include "core/kernel/learn_loops.h"
#include "core/kernel/vec_private.h"

#define ROOT 1.41421356237309505F

/* ---- One dimension of each transformation; step: from a number to the next one ------------------------------------- */

/* 6 → 6 */
EACH_TIME void by_b(const vec *d, int step, vec *out)
{
    const vec r = vec_of(ROOT);
    const vec h = vec_of(ROOT / 2);
    const vec half = vec_of(0.5F);
    const vec two = vec_of(2);
    const vec five = vec_of(2.5F);
    vec d0 = d[0];
    vec d1 = d[step];
    vec d2 = d[2 * step];
    vec d3 = d[3 * step];
    vec d4 = d[4 * step];
    vec d5 = d[5 * step];
    vec even = d4 - two * d2;
    vec odd = h * d3 - r * d1;

    out[0] = d0 - five * d2 + d4;
    out[step] = even + odd;
    out[2 * step] = even - odd;
    even = d4 - half * d2;
    odd = r * d3 - h * d1;
    out[3 * step] = even + odd;
    out[4 * step] = even - odd;
    out[5 * step] = d1 - five * d3 + d5;
}

/* 6 → 4 */
EACH_TIME void by_a(const vec *m, int step, vec *out, int out_step)
{
    vec sum1 = m[step] + m[2 * step];
    vec less1 = m[step] - m[2 * step];
    vec sum2 = m[3 * step] + m[4 * step];
    vec less2 = m[3 * step] - m[4 * step];

    out[0] = m[0] + sum1 + sum2;
    out[out_step] = vec_of(ROOT / 2) * less1 + vec_of(ROOT) * less2;
    out[2 * out_step] = vec_of(0.5F) * sum1 + vec_of(2) * sum2;
    out[3 * out_step] = vec_of(ROOT / 4) * less1 + vec_of(2 * ROOT) * less2 + m[5 * step];
}

/* 4 → 6: by_a's transpose */
EACH_TIME void by_a_back(const vec *y, int step, vec *out, int out_step)
{
    vec even = y[0] + vec_of(0.5F) * y[2 * step];
    vec odd = vec_of(ROOT / 2) * y[step] + vec_of(ROOT / 4) * y[3 * step];

    out[0] = y[0];
    out[out_step] = even + odd;
    out[2 * out_step] = even - odd;
    even = y[0] + vec_of(2) * y[2 * step];
    odd = vec_of(ROOT) * y[step] + vec_of(2 * ROOT) * y[3 * step];
    out[3 * out_step] = even + odd;
    out[4 * out_step] = even - odd;
    out[5 * out_step] = y[3 * step];
}

/* 3 → 6 */
EACH_TIME void by_g(const vec *g, int step, vec *out, int out_step)
{
    vec even = vec_of(-2.0F / 3) * g[0] - vec_of(1.0F / 3) * g[2 * step];
    vec odd = vec_of(ROOT / 3) * g[step];

    out[0] = g[0];
    out[out_step] = even - odd;
    out[2 * out_step] = even + odd;
    even = vec_of(1.0F / 6) * g[0] + vec_of(1.0F / 3) * g[2 * step];
    odd = vec_of(ROOT / 6) * g[step];
    out[3 * out_step] = even + odd;
    out[4 * out_step] = even - odd;
    out[5 * out_step] = g[2 * step];
}

/* 6 → 3: by_g's transpose */
EACH_TIME void by_g_back(const vec *u, int step, vec *out, int out_step)
{
    vec sum1 = u[step] + u[2 * step];
    vec less1 = u[2 * step] - u[step];
    vec sum2 = u[3 * step] + u[4 * step];
    vec less2 = u[3 * step] - u[4 * step];

    out[0] = u[0] - vec_of(2.0F / 3) * sum1 + vec_of(1.0F / 6) * sum2;
    out[out_step] = vec_of(ROOT / 3) * less1 + vec_of(ROOT / 6) * less2;
    out[2 * out_step] = vec_of(1.0F / 3) * (sum2 - sum1) + u[5 * step];
}

/* ---- One tile of VEC channels -------------------------------------------------------------------------------------- */

EACH_TIME void store_points(const vec *points, float *to, int64_t distance)
{
#pragma GCC unroll 36
    for (int i = 0; i < WINOGRAD_TILE; i++) {
        vec_store(to + i * distance, points[i]);
    }
}

/* Bᵀ d B: rows of the image are row floats apart, pixels column. */
static void tile_of_image(const float *from, int64_t row, int64_t column, float *to, int64_t distance)
{
    vec d[WINOGRAD_TILE];

#pragma GCC unroll 6
    for (int c = 0; c < 6; c++) {
        vec line[6];
#pragma GCC unroll 6
        for (int r = 0; r < 6; r++) {
            line[r] = vec_load(from + r * row + c * column);
        }
        by_b(line, 1, line);
#pragma GCC unroll 6
        for (int r = 0; r < 6; r++) {
            d[r * 6 + c] = line[r];
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < 6; r++) {
        by_b(d + r * 6, 1, d + r * 6);
    }
    store_points(d, to, distance);
}

/* A y Aᵀ */
static void tile_of_gradient(const float *from, int64_t row, int64_t column, float *to, int64_t distance)
{
    vec d[6 * 4];
    vec points[WINOGRAD_TILE];

#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) {
        vec line[4];
#pragma GCC unroll 4
        for (int r = 0; r < 4; r++) {
            line[r] = vec_load(from + r * row + c * column);
        }
        by_a_back(line, 1, d + c, 4);
    }
#pragma GCC unroll 6
    for (int r = 0; r < 6; r++) {
        by_a_back(d + r * 4, 1, points + r * 6, 1);
    }
    store_points(points, to, distance);
}

/* Aᵀ m A */
static void tile_to_image(const float *from, int64_t distance, float *to, int64_t row, int64_t column)
{
    vec d[4 * 6];

#pragma GCC unroll 6
    for (int c = 0; c < 6; c++) {
        vec line[6];
#pragma GCC unroll 6
        for (int r = 0; r < 6; r++) {
            line[r] = vec_load(from + (r * 6 + c) * distance);
        }
        by_a(line, 1, d + c, 6);
    }
#pragma GCC unroll 4
    for (int r = 0; r < 4; r++) {
        vec out[4];
        by_a(d + r * 6, 1, out, 1);
#pragma GCC unroll 4
        for (int c = 0; c < 4; c++) {
            vec_store(to + r * row + c * column, out[c]);
        }
    }
}

/* G g Gᵀ of nine numbers that lie tap floats apart; backwards: tap 0 is the last. */
static void tile_of_weights(const float *from, int64_t tap, bool backwards, float *to, int64_t distance)
{
    vec d[6 * 3];
    vec points[WINOGRAD_TILE];

#pragma GCC unroll 3
    for (int c = 0; c < 3; c++) {
        vec line[3];
#pragma GCC unroll 3
        for (int r = 0; r < 3; r++) {
            int t = r * 3 + c;
            line[r] = vec_load(from + (backwards ? 8 - t : t) * tap);
        }
        by_g(line, 1, d + c, 3);
    }
#pragma GCC unroll 6
    for (int r = 0; r < 6; r++) {
        by_g(d + r * 3, 1, points + r * 6, 1);
    }
    store_points(points, to, distance);
}

/* Gᵀ u G */
static void tile_to_weights(const float *from, int64_t distance, float *to, int64_t tap)
{
    vec d[3 * 6];

#pragma GCC unroll 6
    for (int c = 0; c < 6; c++) {
        vec line[6];
#pragma GCC unroll 6
        for (int r = 0; r < 6; r++) {
            line[r] = vec_load(from + (r * 6 + c) * distance);
        }
        by_g_back(line, 1, d + c, 6);
    }
#pragma GCC unroll 3
    for (int r = 0; r < 3; r++) {
        vec out[3];
        by_g_back(d + r * 6, 1, out, 1);
#pragma GCC unroll 3
        for (int c = 0; c < 3; c++) {
            vec_store(to + (r * 3 + c) * tap, out[c]);
        }
    }
}

/* ---- Weights ------------------------------------------------------------------------------------------------------- */

static inline int64_t up_to_vec(int64_t from, int64_t n)
{
    return n - from < VEC ? n - from > 0 ? n - from : 0 : VEC;
}

/* [oc, ic, 3, 3] → [36, oc / PAIR, ic, PAIR]; flipped: from [ic, oc, 3, 3], its taps backwards. */
static void winograd_weights(const struct conv_shape *s, const struct winograd_sizes *z, bool flipped, const float *w,
                             float *to, float *stage)
{
    const float *end = w + s->oc * s->ic * 9;
    int64_t distance = z->oc * z->ic;

    for (int64_t k0 = 0; k0 < z->ic; k0 += LEARN_CHANNELS) {
        int64_t count = s->ic - k0 < LEARN_CHANNELS ? s->ic - k0 : LEARN_CHANNELS;
        for (int64_t o = 0; o < z->oc; o += VEC) {
            int64_t channels = up_to_vec(o, s->oc);
            float *out = to + (o / PAIR * z->ic + k0) * PAIR + o % PAIR;
            struct places places = {.width = INT64_MAX, .step = VEC};
            if (flipped) {
                for (int64_t k = 0; k < count; k++) {
                    channels_last(w + ((k0 + k) * s->oc + o) * 9, 9, channels, 9, end, places, stage + k * 9 * VEC);
                }
            } else {
                channels_last(w + (o * s->ic + k0) * 9, s->ic * 9, channels, count * 9, end, places, stage);
            }
            memset(stage + count * 9 * VEC, 0, (size_t)((LEARN_CHANNELS - count) * 9 * VEC) * sizeof *stage);
            for (int64_t k = 0; k < LEARN_CHANNELS; k++) {
                if (flipped) {
                    tile_of_weights(stage + k * 9 * VEC, VEC, true, out + k * PAIR, distance);
                } else {
                    tile_of_weights(stage + k * 9 * VEC, VEC, false, out + k * PAIR, distance);
                }
            }
        }
    }
}

/* ---- Images -------------------------------------------------------------------------------------------------------- */

/* Some rows of one image with their channels last and zeros around: row0 may lie above it, row0 + rows below. */
static void stage_rows(const float *image, int64_t channels, int64_t height, int64_t width, const float *end,
                       int64_t row0, int64_t rows, int64_t pad, int64_t padded_width, int64_t padded_channels,
                       float *to)
{
    int64_t first = row0 > 0 ? row0 : 0;
    int64_t last = row0 + rows < height ? row0 + rows : height;
    int64_t line = padded_width * padded_channels;
    struct places places = {.width = width, .step = padded_channels, .jump = (padded_width - width) * padded_channels};

    for (int64_t r = 0; r < rows; r++) {
        bool inside = row0 + r >= 0 && row0 + r < height;
        int64_t before = inside ? pad : padded_width;
        memset(to + r * line, 0, (size_t)(before * padded_channels) * sizeof *to);
        if (inside) {
            memset(to + r * line + (pad + width) * padded_channels, 0,
                   (size_t)((padded_width - pad - width) * padded_channels) * sizeof *to);
        }
    }
    if (first >= last) {
        return;
    }
    to += (first - row0) * line + pad * padded_channels;
    if (padded_channels < VEC) { /* a handful of channels: as many floats a pixel */
        for (int64_t p = 0; p < (last - first) * width; p++) {
            float *at = to + p / width * line + p % width * padded_channels;
            for (int64_t c = 0; c < channels; c++) {
                at[c] = image[(c * height + first) * width + p];
            }
        }
        return;
    }
    for (int64_t c = 0; c < padded_channels; c += VEC) {
        channels_last(image + (c * height + first) * width, height * width, up_to_vec(c, channels),
                      (last - first) * width, end, places, to + c);
    }
}

/* Rows [first, last) of one image back to it. */
static void unstage_rows(const float *from, int64_t padded_width, int64_t padded_channels, int64_t first, int64_t last,
                         int64_t channels, int64_t height, int64_t width, bool add, float *image)
{
    struct places places = {.width = width, .step = padded_channels, .jump = (padded_width - width) * padded_channels};

    for (int64_t c = 0; c < channels; c += VEC) {
        channels_first(from + c, places, height * width, up_to_vec(c, channels), (last - first) * width, add,
                       image + (c * height + first) * width);
    }
}

/* The tiles of one row of tiles of x, from tile t0 on. */
static void image_tiles(const struct conv_shape *s, const struct winograd_sizes *z, const float *x, int64_t row,
                        int64_t t0, float *to, float *stage)
{
    int64_t width = z->columns * WINOGRAD_OUT + 2;
    int64_t pixels = conv_in_pixels(s);

    stage_rows(x + row / z->rows * s->ic * pixels, s->ic, s->in[1], s->in[2], x + s->n * s->ic * pixels,
               row % z->rows * WINOGRAD_OUT - s->pad[1], WINOGRAD_IN, s->pad[2], width, z->ic, stage);
    for (int64_t t = 0; t < z->columns; t++) {
        for (int64_t c = 0; c < z->ic; c += VEC) {
            tile_of_image(stage + t * WINOGRAD_OUT * z->ic + c, width * z->ic, z->ic, to + (t0 + t) * z->row_x + c,
                          z->point_x);
        }
    }
}

static void gradient_tiles(const struct conv_shape *s, const struct winograd_sizes *z, const float *dy, int64_t row,
                           int64_t t0, float *to, float *stage)
{
    int64_t width = z->columns * WINOGRAD_OUT;
    int64_t pixels = conv_out_pixels(s);

    stage_rows(dy + row / z->rows * s->oc * pixels, s->oc, s->out[1], s->out[2], dy + s->n * s->oc * pixels,
               row % z->rows * WINOGRAD_OUT, WINOGRAD_OUT, 0, width, z->oc, stage);
    for (int64_t t = 0; t < z->columns; t++) {
        for (int64_t c = 0; c < z->oc; c += VEC) {
            tile_of_gradient(stage + t * WINOGRAD_OUT * z->oc + c, width * z->oc, z->oc, to + (t0 + t) * z->row_y + c,
                             z->point_y);
        }
    }
}

static void tiles_to_rows(const struct conv_shape *s, const struct winograd_sizes *z, const float *from, int64_t row,
                          int64_t t0, bool add, float *y, float *stage)
{
    int64_t width = z->columns * WINOGRAD_OUT;
    int64_t first = row % z->rows * WINOGRAD_OUT;
    int64_t last = first + WINOGRAD_OUT < s->out[1] ? first + WINOGRAD_OUT : s->out[1];

    for (int64_t t = 0; t < z->columns; t++) {
        for (int64_t c = 0; c < z->oc; c += VEC) {
            tile_to_image(from + (t0 + t) * z->row_y + c, z->point_y, stage + t * WINOGRAD_OUT * z->oc + c,
                          width * z->oc, z->oc);
        }
    }
    unstage_rows(stage, width, z->oc, first, last, s->oc, s->out[1], s->out[2], add,
                 y + row / z->rows * s->oc * conv_out_pixels(s));
}

/* ---- The whole ----------------------------------------------------------------------------------------------------- */

static const int64_t zero_offset[1] = {0};

static void winograd(const struct conv_shape *s, const struct winograd_sizes *z, bool flipped, const float *x,
                     const float *w, bool add, float *y, float *work)
{
    float *weights = work + z->weights;
    float *in = work + z->x;
    float *out = work + z->y;
    float *stage = work + z->stage;
    struct product p = {.runs = 1,
                        .a_at = zero_offset,
                        .b_at = zero_offset,
                        .k = z->ic,
                        .a_row = z->row_x,
                        .a_step = 1,
                        .b_step = PAIR,
                        .c_row = z->row_y};

    winograd_weights(s, z, flipped, w, weights, stage);
    for (int64_t row0 = 0; row0 < s->n * z->rows; row0 += z->block) {
        int64_t rows = s->n * z->rows - row0 < z->block ? s->n * z->rows - row0 : z->block;
        for (int64_t r = 0; r < rows; r++) {
            image_tiles(s, z, x, row0 + r, r * z->columns, in, stage);
        }
        for (int64_t i = 0; i < WINOGRAD_TILE; i++) {
            for (int64_t o = 0; o < z->oc; o += PAIR) {
                product(&p, rows * z->columns, in + i * z->point_x, weights + (i * z->oc + o) * z->ic,
                        out + i * z->point_y + o);
            }
        }
        for (int64_t r = 0; r < rows; r++) {
            tiles_to_rows(s, z, out, row0 + r, r * z->columns, add, y, stage);
        }
    }
}

/* The sums [36, ic, oc] back to [oc, ic, 3, 3]. */
static void add_weights(const struct conv_shape *s, const struct winograd_sizes *z, const float *sums, float *dw,
                        float *stage)
{
    struct places places = {.width = INT64_MAX, .step = VEC};

    for (int64_t k0 = 0; k0 < s->ic; k0 += LEARN_CHANNELS) {
        int64_t count = s->ic - k0 < LEARN_CHANNELS ? s->ic - k0 : LEARN_CHANNELS;
        for (int64_t o = 0; o < s->oc; o += VEC) {
            for (int64_t k = 0; k < count; k++) {
                tile_to_weights(sums + (k0 + k) * z->oc + o, z->ic * z->oc, stage + k * 9 * VEC, VEC);
            }
            channels_first(stage, places, s->ic * 9, up_to_vec(o, s->oc), count * 9, true, dw + (o * s->ic + k0) * 9);
        }
    }
}

static void winograd_weight(const struct conv_shape *s, const struct winograd_sizes *z, const float *x, const float *dy,
                            float *dw, float *work)
{
    float *sums = work + z->weights;
    float *in = work + z->x;
    float *out = work + z->y;
    float *stage = work + z->stage;
    struct product p = {.runs = 1,
                        .a_at = zero_offset,
                        .b_at = zero_offset,
                        .a_row = 1,
                        .a_step = z->row_x,
                        .b_step = z->row_y,
                        .c_row = z->oc};

    for (int64_t row0 = 0; row0 < s->n * z->rows; row0 += z->block) {
        int64_t rows = s->n * z->rows - row0 < z->block ? s->n * z->rows - row0 : z->block;
        for (int64_t r = 0; r < rows; r++) {
            image_tiles(s, z, x, row0 + r, r * z->columns, in, stage);
            gradient_tiles(s, z, dy, row0 + r, r * z->columns, out, stage);
        }
        p.k = rows * z->columns;
        p.add = row0 > 0;
        for (int64_t i = 0; i < WINOGRAD_TILE; i++) {
            for (int64_t o = 0; o < z->oc; o += PAIR) {
                product(&p, s->ic, in + i * z->point_x, out + i * z->point_y + o, sums + i * z->ic * z->oc + o);
            }
        }
    }
    add_weights(s, z, sums, dw, stage);
}

#endif
