/*
 * conv.c: which variant computes a float convolution, and the one by matrix products.
 *
 * Dense layers: the patches under a tile of output pixels become the columns of a matrix [ic·taps, pixels] that fits in the
 * second-level cache (im2col), and OpenBLAS multiplies the weights with it.  A 1×1 kernel with stride 1 needs no copy: the
 * image is that matrix already.
 */
#include "core/kernel/conv.h"

#include <string.h>

#include "core/base/size.h"
#include "core/kernel/conv_direct.h"
#include "core/kernel/conv_private.h"
#include "core/kernel/gemm.h"
#include "core/kernel/kernels.h"

#define COLUMN_BYTES (384 * 1024) /* of one tile's matrix: it and OpenBLAS's packed copy share the second-level cache */
#define TILE_MIN 64               /* pixels; fewer starve the product's inner loop */
#define TILE_PRODUCTS (1 << 21)   /* multiplications that make a task of a pointwise layer worth its start */

struct job {
    const struct conv_shape *s;
    const float *x, *w;
    const struct finish *finish;
    float *y;
    float *work; /* slot_floats for each task that runs */
    int64_t slot_floats;
    int64_t tile, n_tiles; /* pixels of a tile, tiles of one image and group */
    int n_tasks;           /* task i does the tiles i, i + n_tasks, ... */
    conv_direct_f32_fn *direct;
};

/* Tiles of equal size, as few as the limits allow; a function of the shape alone. */
static int64_t tile_pixels(const struct conv_shape *s)
{
    int64_t pixels = conv_out_pixels(s);
    int64_t depth = s->ic * conv_taps(s);
    int64_t wanted =
        conv_is_pointwise(s) ? TILE_PRODUCTS / s->oc / depth : COLUMN_BYTES / (int64_t)sizeof(float) / depth;

    wanted = wanted > TILE_MIN ? wanted : TILE_MIN;
    int64_t n_tiles = (pixels + wanted - 1) / wanted;
    int64_t tile = (pixels + n_tiles - 1) / n_tiles;
    tile = (tile + 15) / 16 * 16;
    return tile < pixels ? tile : pixels;
}

static bool is_empty(const struct conv_shape *s)
{
    return s->n == 0 || s->groups * s->oc == 0 || conv_out_pixels(s) == 0;
}

static bool slot_bytes(const struct conv_shape *s, size_t *ret)
{
    size_t depth = 0;
    size_t floats = 0;
    size_t bytes = 0;

    *ret = 0;
    if (is_empty(s) || conv_is_direct(s) || conv_is_pointwise(s) || s->ic == 0) {
        return true;
    }
    return size_mul((size_t)s->ic, (size_t)conv_taps(s), &depth) && size_mul(depth, (size_t)tile_pixels(s), &floats) &&
           size_mul(floats, sizeof(float), &bytes) && size_round_up(bytes, 64, ret);
}

bool conv_f32_work_bytes(const struct conv_shape *s, int threads, size_t *ret)
{
    size_t slot = 0;

    return slot_bytes(s, &slot) && size_mul(slot, (size_t)threads, ret);
}

static void product_tile(const struct job *job, int64_t image_group, int64_t p0, int64_t p1, float *columns)
{
    const struct conv_shape *s = job->s;
    int64_t depth = s->ic * conv_taps(s);
    int64_t pixels = conv_out_pixels(s);
    int64_t group = image_group % s->groups;
    const float *x = job->x + image_group * s->ic * conv_in_pixels(s);
    const float *b = x + p0;
    int64_t ldb = pixels;
    float *y = job->y + image_group * s->oc * pixels + p0;

    if (columns != NULL) { /* not pointwise */
        conv_fill_columns(s, x, p0, p1, columns);
        b = columns;
        ldb = p1 - p0;
    }
    gemm_f32(GEMM_AS_IS, GEMM_AS_IS, s->oc, p1 - p0, depth, 1, job->w + group * s->oc * depth, depth, b, ldb, 0, y,
             pixels);
    finish_rows(job->finish, job->y, group * s->oc, s->oc, p1 - p0, y, pixels);
}

static void product_task(void *context, int i)
{
    const struct job *job = context;
    const struct conv_shape *s = job->s;
    float *columns = job->slot_floats > 0 ? job->work + i * job->slot_floats : NULL;

    for (int64_t t = i; t < s->n * s->groups * job->n_tiles; t += job->n_tasks) {
        int64_t p0 = t % job->n_tiles * job->tile;
        int64_t p1 = p0 + job->tile < conv_out_pixels(s) ? p0 + job->tile : conv_out_pixels(s);
        product_tile(job, t / job->n_tiles, p0, p1, columns);
    }
}

static void direct_task(void *context, int i)
{
    const struct job *job = context;
    const struct conv_shape *s = job->s;
    int64_t channels = s->groups * s->oc;

    for (int64_t t = i; t < s->n * channels; t += job->n_tasks) {
        float *y = job->y + t * conv_out_pixels(s);
        job->direct(s, job->x, job->w, t / channels, t % channels, y);
        finish_rows(job->finish, job->y, t % channels, 1, conv_out_pixels(s), y, 0);
    }
}

/* NOLINTNEXTLINE(readability-non-const-parameter) y is written through the job */
void conv_f32(const struct conv_shape *s, const float *x, const float *w, const struct finish *finish, float *y,
              void *work, size_t work_bytes, struct pool *pool)
{
    struct job job = {.s = s, .x = x, .w = w, .finish = finish, .y = y, .work = work, .n_tasks = pool_threads(pool)};
    size_t slot = 0;

    if (is_empty(s)) {
        return;
    }
    if (s->ic == 0 || conv_is_direct(s)) {
        job.direct = kernels()->conv_direct_f32;
        pool_run(pool, job.n_tasks, direct_task, &job);
        return;
    }
    (void)slot_bytes(s, &slot); /* fits: the caller asked before */
    if (slot > 0 && (size_t)job.n_tasks > work_bytes / slot) {
        job.n_tasks = (int)(work_bytes / slot);
    }
    job.slot_floats = (int64_t)(slot / sizeof(float));
    job.tile = tile_pixels(s);
    job.n_tiles = (conv_out_pixels(s) + job.tile - 1) / job.tile;
    pool_run(pool, job.n_tasks, product_task, &job);
}
