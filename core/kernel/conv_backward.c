/*
 * conv_backward.c: which way a shape's gradients are computed (conv_backward.h lists them), and those by products.
 *
 * The gradient of the data by flipped weights costs one im2col of dy where col2im would cost twice that, and every gain of
 * conv_f32 is a gain here; but conv_f32 overwrites, so each image goes through scratch and is added.
 */
#include "core/kernel/conv_backward.h"

#include <stddef.h>
#include <string.h>

#include "core/base/size.h"
#include "core/kernel/conv_direct_backward.h"
#include "core/kernel/conv_learn.h"
#include "core/kernel/conv_private.h"
#include "core/kernel/gemm.h"
#include "core/kernel/kernels.h"
#include "core/kernel/lanes_private.h"

/*
 * Of one tile's matrix of patches.  Larger than in conv.c: the product with the patches adds to a whole dw with every
 * tile, so few tiles count more than the second-level cache.
 */
#define COLUMN_FLOATS (256 * 1024)
#define TILE_MIN 64

static bool is_empty(const struct conv_shape *s)
{
    return s->n == 0 || s->groups * s->oc == 0 || conv_out_pixels(s) == 0;
}

/* The convolution that takes one image of dy to one of dx; false where only col2im does it. */
static bool flipped_shape(const struct conv_shape *s, struct conv_shape *ret)
{
    struct conv_shape f = {.n = 1, .groups = s->groups, .ic = s->oc, .oc = s->ic};

    for (int d = 0; d < 3; d++) {
        f.in[d] = s->out[d];
        f.out[d] = s->in[d];
        f.kernel[d] = s->kernel[d];
        f.stride[d] = 1;
        f.dilation[d] = s->dilation[d];
        f.pad[d] = (s->kernel[d] - 1) * s->dilation[d] - s->pad[d];
        if (s->stride[d] != 1 || f.pad[d] < 0) {
            return false;
        }
    }
    *ret = f;
    return true;
}

static int64_t tile_pixels(const struct conv_shape *s)
{
    int64_t pixels = conv_out_pixels(s);
    int64_t wanted = COLUMN_FLOATS / (s->ic * conv_taps(s));

    wanted = wanted > TILE_MIN ? wanted : TILE_MIN;
    int64_t n_tiles = (pixels + wanted - 1) / wanted;
    return (pixels + n_tiles - 1) / n_tiles;
}

/* Adds count floats, rounded up to whole lines of the cache, to *bytes. */
MUST_CHECK static bool add_floats(int64_t a, int64_t b, size_t *bytes)
{
    size_t count = 0;
    size_t size = 0;

    return size_mul((size_t)a, (size_t)b, &count) && size_mul(count, sizeof(float), &size) &&
           size_round_up(size, 64, &size) && size_add(*bytes, size, bytes);
}

bool conv_backward_f32_work_bytes(const struct conv_shape *s, size_t *ret)
{
    struct conv_shape flipped;
    size_t columns = 0;
    size_t data = 0;
    size_t convolution = 0;

    *ret = 0;
    if (is_empty(s) || s->ic == 0 || conv_is_pointwise(s)) {
        return true;
    }
    if (conv_is_direct(s)) {
        return add_floats(conv_phases(s) + 1, conv_phase_pixels(s), ret);
    }
    if (conv_learn_has_gradients(s)) {
        return conv_learn_backward_work_bytes(s, ret);
    }
    if (!add_floats(s->ic * conv_taps(s), tile_pixels(s), &columns)) {
        return false;
    }
    if (flipped_shape(s, &flipped)) {
        if (!add_floats(s->groups * s->oc * s->ic, conv_taps(s), &data) ||
            !add_floats(s->groups * s->ic, conv_in_pixels(s), &data) ||
            !conv_f32_work_bytes(&flipped, 1, &convolution) || !size_add(data, convolution, &data)) {
            return false;
        }
    }
    *ret = columns > data ? columns : data; /* one after the other */
    return true;
}

/* ---- Groups of few channels ---------------------------------------------------------------------------------------- */

static void direct(const struct conv_shape *s, const float *x, const float *w, const float *dy, float *dx, float *dw,
                   float *work)
{
    conv_direct_data_fn *data = kernels()->conv_direct_data_f32;
    conv_direct_weight_fn *weight = kernels()->conv_direct_weight_f32;

    for (int64_t i = 0; dw != NULL && i < s->n * s->groups * s->oc; i++) {
        weight(s, x, dy, i / (s->groups * s->oc), i % (s->groups * s->oc), dw, work);
    }
    for (int64_t i = 0; dx != NULL && i < s->n * s->groups * s->ic; i++) {
        data(s, w, dy, i / (s->groups * s->ic), i % (s->groups * s->ic), dx, work);
    }
}

/* ---- Products ------------------------------------------------------------------------------------------------------ */

static void pointwise(const struct conv_shape *s, const float *x, const float *w, const float *dy, float *dx, float *dw)
{
    int64_t pixels = conv_out_pixels(s);

    for (int64_t i = 0; i < s->n * s->groups; i++) {
        const float *g = dy + i * s->oc * pixels;
        int64_t at = i % s->groups * s->oc * s->ic;
        if (dw != NULL) {
            gemm_f32(GEMM_AS_IS, GEMM_TRANSPOSED, s->oc, s->ic, pixels, 1, g, pixels, x + i * s->ic * pixels, pixels, 1,
                     dw + at, s->ic);
        }
        if (dx != NULL) {
            gemm_f32(GEMM_TRANSPOSED, GEMM_AS_IS, s->ic, pixels, s->oc, 1, w + at, s->ic, g, pixels, 1,
                     dx + i * s->ic * pixels, pixels);
        }
    }
}

static void weights_by_columns(const struct conv_shape *s, const float *x, const float *dy, float *dw, float *columns)
{
    int64_t pixels = conv_out_pixels(s);
    int64_t depth = s->ic * conv_taps(s);
    int64_t tile = tile_pixels(s);

    for (int64_t i = 0; i < s->n * s->groups; i++) {
        for (int64_t p = 0; p < pixels; p += tile) {
            int64_t end = p + tile < pixels ? p + tile : pixels;
            conv_fill_columns(s, x + i * s->ic * conv_in_pixels(s), p, end, columns);
            gemm_f32(GEMM_AS_IS, GEMM_TRANSPOSED, s->oc, depth, end - p, 1, dy + i * s->oc * pixels + p, pixels,
                     columns, end - p, 1, dw + i % s->groups * s->oc * depth, depth);
        }
    }
}

static void data_by_columns(const struct conv_shape *s, const float *w, const float *dy, float *dx, float *columns)
{
    int64_t pixels = conv_out_pixels(s);
    int64_t depth = s->ic * conv_taps(s);
    int64_t tile = tile_pixels(s);

    for (int64_t i = 0; i < s->n * s->groups; i++) {
        for (int64_t p = 0; p < pixels; p += tile) {
            int64_t end = p + tile < pixels ? p + tile : pixels;
            gemm_f32(GEMM_TRANSPOSED, GEMM_AS_IS, depth, end - p, s->oc, 1, w + i % s->groups * s->oc * depth, depth,
                     dy + i * s->oc * pixels + p, pixels, 0, columns, end - p);
            conv_add_columns(s, columns, p, end, dx + i * s->ic * conv_in_pixels(s));
        }
    }
}

/* [groups·oc, ic, taps] → [groups·ic, oc, taps backwards] */
static void flip_weights(const struct conv_shape *s, const float *w, float *flipped)
{
    int64_t taps = conv_taps(s);

    for (int64_t i = 0; i < s->groups * s->oc * s->ic; i++) {
        int64_t c = i % s->ic;
        int64_t oc = i / s->ic % s->oc;
        int64_t group = i / s->ic / s->oc;
        float *to = flipped + ((group * s->ic + c) * s->oc + oc) * taps;
        for (int64_t t = 0; t < taps; t++) {
            to[taps - 1 - t] = w[i * taps + t];
        }
    }
}

static void data_by_flipped(const struct conv_shape *s, const struct conv_shape *flipped, const float *w,
                            const float *dy, float *dx, float *work)
{
    static const struct finish nothing = {0};
    int64_t in = s->groups * s->ic * conv_in_pixels(s);
    int64_t out = s->groups * s->oc * conv_out_pixels(s);
    size_t weight_bytes = 0;
    size_t image_bytes = 0;
    size_t bytes = 0;

    /* They fit: the caller asked before. */
    (void)!add_floats(s->groups * s->oc * s->ic, conv_taps(s), &weight_bytes);
    (void)!add_floats(in, 1, &image_bytes);
    (void)!conv_f32_work_bytes(flipped, 1, &bytes);
    float *image = work + weight_bytes / sizeof *work;
    flip_weights(s, w, work);
    for (int64_t n = 0; n < s->n; n++) {
        conv_f32(flipped, dy + n * out, work, &nothing, image, image + image_bytes / sizeof *image, bytes, NULL);
        for (int64_t i = 0; i < in; i++) {
            dx[n * in + i] += image[i];
        }
    }
}

static void add_bias(const struct conv_shape *s, const float *dy, float *db)
{
    int64_t pixels = conv_out_pixels(s);

    for (int64_t i = 0; i < s->n * s->groups * s->oc; i++) {
        db[i % (s->groups * s->oc)] += lanes_sum(dy + i * pixels, pixels);
    }
}

void conv_backward_f32(const struct conv_shape *s, const float *x, const float *w, const float *dy, float *dx,
                       float *dw, float *db, void *work)
{
    struct conv_shape flipped;

    if (is_empty(s)) {
        return;
    }
    if (db != NULL) {
        add_bias(s, dy, db);
    }
    if (s->ic == 0) {
        return;
    }
    if (conv_is_direct(s)) {
        direct(s, x, w, dy, dx, dw, work);
        return;
    }
    if (conv_is_pointwise(s)) {
        pointwise(s, x, w, dy, dx, dw);
        return;
    }
    if (conv_learn_has_gradients(s)) {
        if (dw != NULL) {
            conv_learn_weight_f32(s, x, dy, dw, work);
        }
        if (dx != NULL) {
            conv_learn_data_f32(s, w, dy, dx, work);
        }
        return;
    }
    if (dw != NULL) {
        weights_by_columns(s, x, dy, dw, work);
    }
    if (dx != NULL && flipped_shape(s, &flipped)) {
        data_by_flipped(s, &flipped, w, dy, dx, work);
    } else if (dx != NULL) {
        data_by_columns(s, w, dy, dx, work);
    }
}
