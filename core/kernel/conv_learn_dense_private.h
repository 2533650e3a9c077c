/*
 * conv_learn_dense_private.h: dense two-dimensional convolutions as direct products, forward and for both gradients; included
 * once for each instruction set.
 *
 * With the channels last, the numbers that one row of taps reads are one run: a row of outputs is, for every row of taps, a
 * product of that run with the weights, where the left side's rows overlap.  No matrix of patches is made.  The gradient of
 * the weights is the same product with the roles changed; the gradient of the data goes phase by phase: the columns
 * f, f + stride, ... of a row see the same taps.
 */
#ifndef CORE_KERNEL_CONV_LEARN_DENSE_PRIVATE_H
#define CORE_KERNEL_CONV_LEARN_DENSE_PRIVATE_H

#include "core/kernel/conv_learn_winograd_private.h"

#define MAX_RUNS 64 /* output rows of a block, or taps: conv_learn.c sees to it */

/* A block: rows [first, first + rows) of each of the images [image, image + images). */
struct dense_block {
    int64_t image, images, first, rows;
};

/* The next block of images of `height` rows each; false after the last. */
static bool next_block(const struct conv_shape *s, const struct dense_sizes *z, int64_t height, struct dense_block *b)
{
    if (b->images == 0) {
        b->image = 0;
        b->first = 0;
    } else if (b->first + b->rows < height) {
        b->first += b->rows;
    } else {
        b->image += b->images;
        b->first = 0;
    }
    b->images = s->n - b->image < z->images ? s->n - b->image : z->images;
    b->rows = height - b->first < z->block ? height - b->first : z->block;
    return b->image < s->n;
}

/* What the output rows of a block look at, of x. */
static void stage_inputs(const struct conv_shape *s, const struct dense_sizes *z, const struct dense_block *b,
                         const float *x, float *to)
{
    int64_t pixels = conv_in_pixels(s);

    for (int64_t i = 0; i < b->images; i++) {
        stage_rows(x + (b->image + i) * s->ic * pixels, s->ic, s->in[1], s->in[2], x + s->n * s->ic * pixels,
                   b->first * s->stride[1] - s->pad[1], (b->rows - 1) * s->stride[1] + s->kernel[1], s->pad[2],
                   z->width, z->ic, to + i * z->rows * z->width * z->ic);
    }
}

/* [oc, ic, taps] → [oc / PAIR, taps, ic, PAIR] */
static void dense_weights(const struct conv_shape *s, const struct dense_sizes *z, const float *w, float *to)
{
    int64_t taps = conv_taps(s);
    struct places places = {.width = taps, .step = z->ic * PAIR, .jump = PAIR - taps * z->ic * PAIR};

    if (s->ic < z->ic) {
        memset(to, 0, (size_t)(z->oc * taps * z->ic) * sizeof *to);
    }
    for (int64_t o = 0; o < z->oc; o += VEC) {
        channels_last(w + o * s->ic * taps, s->ic * taps, up_to_vec(o, s->oc), s->ic * taps, w + s->oc * s->ic * taps,
                      places, to + o / PAIR * taps * z->ic * PAIR + o % PAIR);
    }
}

static void dense(const struct conv_shape *s, const struct dense_sizes *z, const float *x, const float *w, float *y,
                  float *work)
{
    float *weights = work + z->weights;
    float *left = work + z->left;
    float *out = work + z->out;
    struct dense_block b = {0};
    struct product p = {.runs = 1,
                        .a_at = zero_offset,
                        .b_at = zero_offset,
                        .k = s->kernel[2] * z->ic,
                        .a_row = s->stride[2] * z->ic,
                        .a_step = 1,
                        .b_step = PAIR,
                        .c_row = z->oc};

    dense_weights(s, z, w, weights);
    while (next_block(s, z, s->out[1], &b)) {
        stage_inputs(s, z, &b, x, left);
        for (int64_t o = 0; o < z->oc; o += PAIR) {
            for (int64_t k = 0; k < s->kernel[1]; k++) {
                const float *right = weights + o * conv_taps(s) * z->ic + k * p.k * PAIR;
                p.add = k > 0;
                for (int64_t r = 0; r < b.images * b.rows; r++) {
                    int64_t row = r / b.rows * z->rows + r % b.rows * s->stride[1] + k;
                    product(&p, s->out[2], left + row * z->width * z->ic, right, out + r * s->out[2] * z->oc + o);
                }
            }
        }
        for (int64_t i = 0; i < b.images; i++) {
            unstage_rows(out + i * b.rows * s->out[2] * z->oc, s->out[2], z->oc, b.first, b.first + b.rows, s->oc,
                         s->out[1], s->out[2], false, y + (b.image + i) * s->oc * conv_out_pixels(s));
        }
    }
}

static void dense_weight(const struct conv_shape *s, const struct dense_sizes *z, const float *x, const float *dy,
                         float *dw, float *work)
{
    float *sums = work + z->weights; /* [taps, ic, oc] */
    float *left = work + z->left;
    float *right = work + z->right;
    int64_t taps = conv_taps(s);
    int64_t a_at[MAX_RUNS];
    int64_t b_at[MAX_RUNS];
    struct dense_block b = {0};
    struct product p = {.a_at = a_at,
                        .b_at = b_at,
                        .k = s->out[2],
                        .a_row = 1,
                        .a_step = s->stride[2] * z->ic,
                        .b_step = z->oc,
                        .c_row = z->oc};

    for (; next_block(s, z, s->out[1], &b); p.add = true) {
        stage_inputs(s, z, &b, x, left);
        for (int64_t i = 0; i < b.images; i++) {
            stage_rows(dy + (b.image + i) * s->oc * conv_out_pixels(s), s->oc, s->out[1], s->out[2],
                       dy + s->n * s->oc * conv_out_pixels(s), b.first, b.rows, 0, s->out[2], z->oc,
                       right + i * b.rows * s->out[2] * z->oc);
        }
        p.runs = b.images * b.rows;
        for (int64_t r = 0; r < p.runs; r++) {
            a_at[r] = (r / b.rows * z->rows + r % b.rows * s->stride[1]) * z->width * z->ic;
            b_at[r] = r * s->out[2] * z->oc;
        }
        for (int64_t o = 0; o < z->oc; o += PAIR) {
            for (int64_t k = 0; k < s->kernel[1]; k++) {
                product(&p, s->kernel[2] * z->ic, left + k * z->width * z->ic, right + o,
                        sums + k * s->kernel[2] * z->ic * z->oc + o);
            }
        }
    }
    struct places places = {.width = taps, .step = z->ic * z->oc, .jump = z->oc - taps * z->ic * z->oc};
    for (int64_t o = 0; o < s->oc; o += VEC) {
        channels_first(sums + o, places, s->ic * taps, up_to_vec(o, s->oc), s->ic * taps, true, dw + o * s->ic * taps);
    }
}

/* ---- The data's gradient: left are the outputs' channels, right are the inputs' ------------------------------------- */

/* [oc, ic, taps] → [ic / PAIR, taps, oc, PAIR] */
static void dense_data_weights(const struct conv_shape *s, const struct dense_sizes *z, const float *w, float *to)
{
    int64_t taps = conv_taps(s);
    struct places places = {.width = taps, .step = z->oc * PAIR};

    if (s->oc < z->oc) {
        memset(to, 0, (size_t)(z->oc * taps * z->ic) * sizeof *to);
    }
    for (int64_t o = 0; o < s->oc; o++) {
        for (int64_t c = 0; c < z->ic; c += VEC) {
            channels_last(w + (o * s->ic + c) * taps, taps, up_to_vec(c, s->ic), taps, w + s->oc * s->ic * taps, places,
                          to + (c / PAIR * taps * z->oc + o) * PAIR + c % PAIR);
        }
    }
}

/* Which output an input at distance from 0 sees through a tap; false: none, for the stride passes over it. */
static inline bool seen_by(int64_t input, int64_t pad, int64_t tap, int64_t stride, int64_t *ret)
{
    int64_t at = input + pad - tap;
    int64_t floor = at >= 0 ? at / stride : -((-at + stride - 1) / stride);

    *ret = floor;
    return at == floor * stride;
}

/* The first row of outputs that some row from `first` on sees; it may lie above the image. */
static inline int64_t first_seen(const struct conv_shape *s, int64_t first)
{
    int64_t ret = 0;

    (void)seen_by(first, s->pad[1], s->kernel[1] - 1, s->stride[1], &ret);
    return ret;
}

/* The taps that row `row` sees from column f on: the left side begins at row0 of the outputs. */
static int64_t phase_runs(const struct conv_shape *s, const struct dense_sizes *z, int64_t row, int64_t f, int64_t row0,
                          int64_t *a_at, int64_t *b_at)
{
    int64_t runs = 0;

    for (int64_t t = 0; t < conv_taps(s); t++) {
        int64_t oy = 0;
        int64_t ox = 0;
        if (seen_by(row, s->pad[1], t / s->kernel[2], s->stride[1], &oy) &&
            seen_by(f, s->pad[2], t % s->kernel[2], s->stride[2], &ox) && oy >= 0 && oy < s->out[1]) {
            a_at[runs] = ((oy - row0) * z->width + z->halo + ox) * z->oc;
            b_at[runs] = t * z->oc * PAIR;
            runs++;
        }
    }
    return runs;
}

static void dense_data(const struct conv_shape *s, const struct dense_sizes *z, const float *w, const float *dy,
                       float *dx, float *work)
{
    float *weights = work + z->weights;
    float *left = work + z->left;
    float *out = work + z->out;
    int64_t a_at[MAX_RUNS];
    int64_t b_at[MAX_RUNS];
    struct dense_block b = {0};
    struct product p = {.a_at = a_at,
                        .b_at = b_at,
                        .k = z->oc,
                        .a_row = z->oc,
                        .a_step = 1,
                        .b_step = PAIR,
                        .c_row = s->stride[2] * z->ic};

    dense_data_weights(s, z, w, weights);
    while (next_block(s, z, s->in[1], &b)) {
        int64_t row0 = first_seen(s, b.first);
        for (int64_t i = 0; i < b.images; i++) {
            stage_rows(dy + (b.image + i) * s->oc * conv_out_pixels(s), s->oc, s->out[1], s->out[2],
                       dy + s->n * s->oc * conv_out_pixels(s), row0, z->rows, z->halo, z->width, z->oc,
                       left + i * z->rows * z->width * z->oc);
        }
        for (int64_t c = 0; c < z->ic; c += PAIR) {
            for (int64_t r = 0; r < b.images * b.rows; r++) {
                const float *image = left + r / b.rows * z->rows * z->width * z->oc;
                for (int64_t f = 0; f < s->stride[2] && f < s->in[2]; f++) {
                    p.runs = phase_runs(s, z, b.first + r % b.rows, f, row0, a_at, b_at);
                    product(&p, (s->in[2] - f + s->stride[2] - 1) / s->stride[2], image,
                            weights + c * conv_taps(s) * z->oc, out + (r * s->in[2] + f) * z->ic + c);
                }
            }
        }
        for (int64_t i = 0; i < b.images; i++) {
            unstage_rows(out + i * b.rows * s->in[2] * z->ic, s->in[2], z->ic, b.first, b.first + b.rows, s->ic,
                         s->in[1], s->in[2], true, dx + (b.image + i) * s->ic * conv_in_pixels(s));
        }
    }
}

#endif
