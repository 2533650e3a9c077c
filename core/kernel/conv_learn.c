/* conv_learn.c: which way a convolution of training goes, and into what blocks it is cut. */
#include "core/kernel/conv_learn.h"

#include <stddef.h>

#include "core/base/size.h"
#include "core/kernel/conv_private.h"
#include "core/kernel/gemm.h"
#include "core/kernel/kernels.h"
#include "core/kernel/learn_loops.h"

#define MAX_TAPS 49
#define MAX_ROWS 64                   /* of a block of a dense layer */
#define STAGE_FLOATS (128 * 1024)     /* of a block's left side: half of the second-level cache */
#define MAX_FLOATS ((int64_t)1 << 36) /* of all scratch; what is larger goes the old way, where sizes are checked */

/* The loops in use, if they are better than what conv.h has. */
static bool has_loops(void)
{
    return kernels()->learn_loops != &learn_loops_ref;
}

static int64_t up_to(int64_t count, int64_t multiple)
{
    return (count + multiple - 1) / multiple * multiple;
}

static bool is_empty(const struct conv_shape *s)
{
    return s->n == 0 || s->groups * s->oc == 0 || s->ic == 0 || conv_out_pixels(s) == 0 || conv_in_pixels(s) == 0;
}

/* One group, two dimensions, nothing dilated, of sizes whose products cannot overflow.  Asked by the self-test too: not kernels(). */
static bool is_plain(const struct conv_shape *s)
{
    double floats = (double)s->n * (double)(s->ic + 64) * (double)conv_in_pixels(s) +
                    (double)s->n * (double)(s->oc + 64) * (double)conv_out_pixels(s) +
                    (double)(s->ic + 64) * (double)(s->oc + 64) * (double)(conv_taps(s) + WINOGRAD_TILE);

    return !is_empty(s) && s->groups == 1 && s->in[0] == 1 && s->out[0] == 1 && s->kernel[0] == 1 &&
           s->dilation[1] == 1 && s->dilation[2] == 1 && conv_taps(s) <= MAX_TAPS && s->stride[1] <= 4 &&
           s->stride[2] <= 4 && floats < (double)MAX_FLOATS;
}

/* ---- Winograd ------------------------------------------------------------------------------------------------------ */

static bool is_winograd(const struct conv_shape *s)
{
    if (!is_plain(s) || s->ic < LEARN_CHANNELS || s->oc < LEARN_CHANNELS) {
        return false;
    }
    for (int d = 1; d < 3; d++) {
        int64_t after = s->out[d] + 2 - s->in[d] - s->pad[d];
        if (s->kernel[d] != 3 || s->stride[d] != 1 || s->pad[d] > 2 || after < 0 || after > 2) {
            return false;
        }
    }
    return true;
}

/*
 * Tiles of a block: with few the transformed weights are read again too often, with many the transformed tiles leave the
 * cache before they are used.
 */
static int64_t wanted_tiles(int64_t ic, int64_t oc)
{
    int64_t tiles = (ic + oc) / 2;

    return tiles < 56 ? 56 : tiles > 256 ? 256 : tiles;
}

static struct winograd_sizes winograd_sizes_of(const struct conv_shape *s)
{
    struct winograd_sizes z = {.rows = (s->out[1] + WINOGRAD_OUT - 1) / WINOGRAD_OUT,
                               .columns = (s->out[2] + WINOGRAD_OUT - 1) / WINOGRAD_OUT,
                               .ic = up_to(s->ic, LEARN_CHANNELS),
                               .oc = up_to(s->oc, LEARN_COLUMNS)};
    int64_t rows = s->n * z.rows;
    int64_t blocks = (rows * z.columns + wanted_tiles(z.ic, z.oc) - 1) / wanted_tiles(z.ic, z.oc);

    z.block = (rows + blocks - 1) / blocks;
    z.block = z.block < 1 ? 1 : z.block;
    /* A line of the cache more than a power of two, so that neighbours do not share places in the cache. */
    z.row_x = z.ic + 16;
    z.row_y = z.oc + 16;
    z.point_x = z.block * z.columns * z.row_x + 16;
    z.point_y = z.block * z.columns * z.row_y + 16;
    z.weights = 0;
    z.x = z.weights + WINOGRAD_TILE * z.ic * z.oc;
    z.y = z.x + WINOGRAD_TILE * z.point_x;
    z.stage = z.y + WINOGRAD_TILE * z.point_y;
    int64_t channels = z.ic > z.oc ? z.ic : z.oc;
    int64_t image = WINOGRAD_IN * (z.columns * WINOGRAD_OUT + 2) * channels;
    int64_t weights = LEARN_CHANNELS * 9 * 16;
    z.end = z.stage + (image > weights ? image : weights);
    return z;
}

/* The convolution from the outputs' gradient to that of the inputs. */
static struct conv_shape back_of(const struct conv_shape *s)
{
    struct conv_shape back = *s;

    back.ic = s->oc;
    back.oc = s->ic;
    for (int d = 1; d < 3; d++) {
        back.in[d] = s->out[d];
        back.out[d] = s->in[d];
        back.pad[d] = 2 - s->pad[d];
    }
    return back;
}

/* ---- Dense --------------------------------------------------------------------------------------------------------- */

static bool is_dense(const struct conv_shape *s)
{
    return is_plain(s) && !conv_is_pointwise(s) && !is_winograd(s);
}

/* How many rows, then how many images, keep what is laid out of them below the limit; height: rows of an image in all. */
static void cut(struct dense_sizes *z, int64_t n, int64_t height, int64_t row_floats)
{
    z->block = STAGE_FLOATS / row_floats;
    z->block = z->block < 1 ? 1 : z->block > MAX_ROWS ? MAX_ROWS : z->block;
    z->images = 1;
    if (z->block < height) {
        int64_t blocks = (height + z->block - 1) / z->block;
        z->block = (height + blocks - 1) / blocks;
        return;
    }
    z->images = z->block / height < n ? z->block / height : n;
    z->block = height;
}

/* Forward, and the gradient of the weights: left is x. */
static struct dense_sizes dense_sizes_of(const struct conv_shape *s)
{
    struct dense_sizes z = {.ic = s->ic < 8 ? s->ic : up_to(s->ic, LEARN_CHANNELS), .oc = up_to(s->oc, LEARN_COLUMNS)};
    int64_t reach = (s->out[2] - 1) * s->stride[2] + s->kernel[2];

    z.width = reach > s->in[2] + s->pad[2] ? reach : s->in[2] + s->pad[2];
    cut(&z, s->n, s->out[1], s->stride[1] * z.width * z.ic);
    z.rows = (z.block - 1) * s->stride[1] + s->kernel[1];
    z.weights = 0;
    z.left = up_to(conv_taps(s) * z.ic * z.oc, 16);
    z.right = z.left + up_to(z.images * z.rows * z.width * z.ic, 16);
    z.out = z.right; /* one or the other */
    z.end = z.out + z.images * z.block * s->out[2] * z.oc;
    return z;
}

/* The gradient of the data: left is dy, and oc is padded as a left side, ic as a right one. */
static struct dense_sizes data_sizes_of(const struct conv_shape *s)
{
    struct dense_sizes z = {.ic = up_to(s->ic, LEARN_COLUMNS), .oc = up_to(s->oc, LEARN_CHANNELS)};
    int64_t last = (s->in[2] - 1 + s->pad[2]) / s->stride[2]; /* column of the outputs that is seen */

    z.halo = s->kernel[2];
    z.width = z.halo + (last + 1 > s->out[2] ? last + 1 : s->out[2]);
    cut(&z, s->n, s->in[1], (z.width * z.oc + s->stride[1] - 1) / s->stride[1]);
    z.rows = (z.block - 1 + s->kernel[1] - 1) / s->stride[1] + 2;
    z.weights = 0;
    z.left = conv_taps(s) * z.ic * z.oc;
    z.right = z.left + z.images * z.rows * z.width * z.oc;
    z.out = z.right;
    z.end = z.out + z.images * z.block * s->in[2] * z.ic;
    return z;
}

/* ---- Forward ------------------------------------------------------------------------------------------------------- */

bool conv_learn_f32_work_bytes(const struct conv_shape *s, size_t *ret)
{
    *ret = 0;
    if (!has_loops()) {
        return conv_f32_work_bytes(s, 1, ret);
    }
    if (is_winograd(s)) {
        *ret = (size_t)winograd_sizes_of(s).end * sizeof(float);
        return true;
    }
    if (is_dense(s)) {
        *ret = (size_t)dense_sizes_of(s).end * sizeof(float);
        return true;
    }
    return (is_plain(s) && conv_is_pointwise(s)) || conv_f32_work_bytes(s, 1, ret);
}

static void finish_all(const struct conv_shape *s, const struct finish *finish, float *y)
{
    if (finish->bias == NULL && finish->residual == NULL && finish->act == FINISH_NONE) {
        return;
    }
    for (int64_t n = 0; n < s->n; n++) {
        finish_rows(finish, y, 0, s->oc, conv_out_pixels(s), y + n * s->oc * conv_out_pixels(s), conv_out_pixels(s));
    }
}

static void as_conv(const struct conv_shape *s, const float *x, const float *w, const struct finish *finish, float *y,
                    void *work)
{
    size_t bytes = 0;

    (void)!conv_f32_work_bytes(s, 1, &bytes); /* fits: the caller asked before */
    conv_f32(s, x, w, finish, y, work, bytes, NULL);
}

void conv_learn_f32(const struct conv_shape *s, const float *x, const float *w, const struct finish *finish, float *y,
                    void *work)
{
    if (has_loops()) {
        conv_learn_f32_by(kernels()->learn_loops, s, x, w, finish, y, work);
    } else {
        as_conv(s, x, w, finish, y, work);
    }
}

void conv_learn_f32_by(const struct learn_loops *loops, const struct conv_shape *s, const float *x, const float *w,
                       const struct finish *finish, float *y, void *work)
{
    if (is_winograd(s)) {
        struct winograd_sizes z = winograd_sizes_of(s);
        loops->winograd(s, &z, false, x, w, false, y, work);
        finish_all(s, finish, y);
    } else if (is_dense(s)) {
        struct dense_sizes z = dense_sizes_of(s);
        loops->dense(s, &z, x, w, y, work);
        finish_all(s, finish, y);
    } else if (is_plain(s)) {
        int64_t pixels = conv_out_pixels(s);
        for (int64_t n = 0; n < s->n; n++) {
            gemm_f32(GEMM_AS_IS, GEMM_AS_IS, s->oc, pixels, s->ic, 1, w, s->ic, x + n * s->ic * pixels, pixels, 0,
                     y + n * s->oc * pixels, pixels);
        }
        finish_all(s, finish, y);
    } else {
        as_conv(s, x, w, finish, y, work);
    }
}

/* ---- Back ---------------------------------------------------------------------------------------------------------- */

bool conv_learn_has_gradients(const struct conv_shape *s)
{
    return has_loops() && (is_winograd(s) || is_dense(s));
}

bool conv_learn_backward_work_bytes(const struct conv_shape *s, size_t *ret)
{
    int64_t floats = 0;

    if (is_winograd(s)) {
        struct conv_shape back = back_of(s);
        int64_t weight = winograd_sizes_of(s).end;
        int64_t data = winograd_sizes_of(&back).end;
        floats = weight > data ? weight : data;
    } else if (is_dense(s)) {
        int64_t weight = dense_sizes_of(s).end;
        int64_t data = data_sizes_of(s).end;
        floats = weight > data ? weight : data;
    }
    return size_mul((size_t)floats, sizeof(float), ret);
}

void conv_learn_data_f32(const struct conv_shape *s, const float *w, const float *dy, float *dx, void *work)
{
    conv_learn_data_f32_by(kernels()->learn_loops, s, w, dy, dx, work);
}

void conv_learn_data_f32_by(const struct learn_loops *loops, const struct conv_shape *s, const float *w,
                            const float *dy, float *dx, void *work)
{
    if (is_winograd(s)) {
        struct conv_shape back = back_of(s);
        struct winograd_sizes z = winograd_sizes_of(&back);
        loops->winograd(&back, &z, true, dy, w, true, dx, work);
        return;
    }
    struct dense_sizes z = data_sizes_of(s);
    loops->dense_data(s, &z, w, dy, dx, work);
}

void conv_learn_weight_f32(const struct conv_shape *s, const float *x, const float *dy, float *dw, void *work)
{
    conv_learn_weight_f32_by(kernels()->learn_loops, s, x, dy, dw, work);
}

void conv_learn_weight_f32_by(const struct learn_loops *loops, const struct conv_shape *s, const float *x,
                              const float *dy, float *dw, void *work)
{
    if (is_winograd(s)) {
        struct winograd_sizes z = winograd_sizes_of(s);
        loops->winograd_weight(s, &z, x, dy, dw, work);
        return;
    }
    struct dense_sizes z = dense_sizes_of(s);
    loops->dense_weight(s, &z, x, dy, dw, work);
}
