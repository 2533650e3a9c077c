/*
 * conv_block_winograd.c: 3×3 layers of stride 1 by Winograd's transforms.
 *
 * The tiles of all images stand in one row and are done in chunks: transform the chunk's tiles; for each position of a tile,
 * for each pair of output blocks, multiply all tiles of the chunk; transform back.  The position is the outer loop, because
 * a position's weights are then read from end to end, once, while its tiles stay in the cache.
 *
 * Two sizes of chunks.  Where the weights fit in the second-level cache, a chunk is so small that its tiles fit beside them,
 * and chunks are what threads share.  Where they do not, a chunk takes as many tiles as possible, so that weights are read
 * from memory as seldom as possible, and the threads work on the same chunk, step by step.  Either way each sum is the same
 * sum in the same order.
 */
#include <stdatomic.h>

#include "core/base/size.h"
#include "core/kernel/conv_block_private.h"

#define CACHE_BYTES (1 << 20)           /* of the second-level cache, for weights, and again for tiles */
#define SUM_BLOCKS 8                    /* input blocks of one sum */
#define CHUNK_BYTES ((int64_t)24 << 20) /* of tiles and sums where threads share a chunk */

struct plan {
    int m;
    int64_t positions, in_blocks, out_blocks;
    int64_t tiles_h, tiles_w, tiles; /* of one image; of all */
    int64_t chunk, n_chunks;         /* tiles of a chunk */
    int64_t room;         /* tiles of a chunk as they lie in memory: odd, so that positions use all of the cache */
    bool shared;          /* the threads work on one chunk */
    int64_t table_floats; /* offsets of the input blocks, in front of all slots */
    int64_t slot_floats;  /* tiles and sums of a chunk */
};

static struct plan plan_of(const struct conv_shape *s, int m, int threads)
{
    struct plan p = {
        .m = m, .positions = winograd_positions(m), .in_blocks = block_count(s->ic), .out_blocks = block_count(s->oc)};
    int64_t float_bytes = (int64_t)sizeof(float);
    int64_t tile_bytes = p.positions * (p.in_blocks + p.out_blocks) * BLOCK * float_bytes;
    int64_t weight_bytes = p.positions * p.in_blocks * p.out_blocks * BLOCK * BLOCK * float_bytes;

    p.tiles_h = conv_parts(s->out[1], m);
    p.tiles_w = conv_parts(s->out[2], m);
    p.tiles = s->n * p.tiles_h * p.tiles_w;
    bool small = weight_bytes <= CACHE_BYTES;
    int64_t most = (small ? CACHE_BYTES : CHUNK_BYTES) / tile_bytes;
    most = most > BLOCK_PRODUCT_PIXELS ? most / BLOCK_PRODUCT_PIXELS * BLOCK_PRODUCT_PIXELS : BLOCK_PRODUCT_PIXELS;
    p.n_chunks = conv_parts(p.tiles, most);
    p.chunk = conv_parts(p.tiles, p.n_chunks);
    p.room = p.chunk | 1;
    p.table_floats = conv_parts(p.in_blocks, 8) * 16;
    p.shared = threads > 1 && (!small || p.n_chunks < 2 * threads);
    p.slot_floats = p.positions * (p.in_blocks + p.out_blocks) * p.room * BLOCK;
    return p;
}

int64_t conv_winograd_floats(const struct conv_shape *s, int m)
{
    return winograd_positions(m) * block_count(s->ic) * block_count(s->oc) * BLOCK * BLOCK;
}

/* [position][output block][input channel][16] */
void conv_winograd_pack(const struct conv_shape *s, int m, const float *w, float *ret)
{
    int64_t depth = block_count(s->ic) * BLOCK;
    int64_t out_blocks = block_count(s->oc);

    for (int64_t b = 0; b < out_blocks; b++) {
        int64_t left = s->oc - b * BLOCK;
        for (int64_t i = 0; i < s->ic; i++) {
            winograd_weights(m, w + (b * BLOCK * s->ic + i) * 9, s->ic * 9, (int)(left < BLOCK ? left : BLOCK),
                             ret + (b * depth + i) * BLOCK, out_blocks * depth * BLOCK);
        }
    }
}

bool conv_winograd_work(const struct conv_shape *s, int m, int threads, size_t *ret)
{
    struct plan p = plan_of(s, m, threads);
    int64_t slots = p.shared || threads < 2 ? 1 : threads;

    return size_mul((size_t)(p.table_floats + p.slot_floats * slots), sizeof(float), ret);
}

struct run {
    const struct conv_block_job *job;
    struct plan p;
    int64_t first, count; /* the chunk that the threads share */
    float *tiles, *sums;
    int64_t parts; /* of the tiles of a transform, or of the output blocks of a product */
    const int64_t *offsets;
    float *slots;
    atomic_int next; /* chunk that nobody does yet */
};

/* ---- The three steps --------------------------------------------------------------------------------------------- */

/* Rows (or columns) of a tile that lie inside an image. */
static void inside(int64_t at, int side, int64_t size, int *first, int *end)
{
    *first = at < 0 ? (int)-at : 0;
    *end = size - at < side ? (int)(size - at) : side;
    *end = *end > *first ? *end : *first;
}

/* Tiles [t0, t1) of one block of input channels; tiles [position][block][tile][16], the chunk begins at first. */
static void transform_in(const struct run *run, int64_t first, int64_t t0, int64_t t1, int64_t block, float *tiles)
{
    const struct conv_block_job *job = run->job;
    const struct conv_shape *s = job->s;
    const struct plan *p = &run->p;
    const struct conv_packed *packed = job->packed;
    winograd_input_fn *input = p->m == 2 ? job->kernels->winograd_input2 : job->kernels->winograd_input4;
    const float *scale = packed->scale != NULL ? packed->scale + block * BLOCK : NULL;
    const float *shift = packed->shift != NULL ? packed->shift + block * BLOCK : NULL;
    int64_t per_image = p->tiles_h * p->tiles_w;

    for (int64_t t = t0; t < t1; t++) {
        int64_t image = t / per_image;
        int64_t row = t % per_image / p->tiles_w * p->m - s->pad[1];
        int64_t col = t % p->tiles_w * p->m - s->pad[2];
        const float *x = job->x + (image * p->in_blocks + block) * conv_in_pixels(s) * BLOCK;
        struct winograd_part part;
        inside(row, p->m + 2, s->in[1], &part.row0, &part.row1);
        inside(col, p->m + 2, s->in[2], &part.col0, &part.col1);
        input(x + (row * s->in[2] + col) * BLOCK, s->in[2] * BLOCK, &part, scale, shift,
              tiles + (block * p->room + t - first) * BLOCK, p->in_blocks * p->room * BLOCK);
    }
}

/*
 * One position, output blocks [b0, b1), count tiles; the same blocks of the next position are needed next.  A sum over many
 * channels is a sum of sums over fewer: rounding errors, which the transform back makes larger, grow with the length of a sum.
 */
static void multiply(const struct run *run, int64_t count, int64_t position, int64_t b0, int64_t b1, const float *tiles,
                     float *sums) /* NOLINT(readability-non-const-parameter) it is written through the product */
{
    const struct block_kernels *kernels = run->job->kernels;
    const struct plan *p = &run->p;
    int64_t depth = p->in_blocks * BLOCK;

    for (int64_t b = b0; b < b1;) {
        int blocks = b + kernels->blocks <= b1 ? kernels->blocks : 1;
        struct block_product product = {
            .x = tiles + position * p->in_blocks * p->room * BLOCK,
            .x_step = BLOCK,
            .depth = BLOCK,
            .w_block = depth * BLOCK,
            .y = sums + (position * p->out_blocks + b) * p->room * BLOCK,
            .y_step = BLOCK,
            .y_block = p->room * BLOCK,
        };
        int64_t next = b + blocks < b1 ? blocks : p->out_blocks - (b - b0);
        int64_t parts = conv_parts(p->in_blocks, SUM_BLOCKS);
        for (int64_t i = 0; i < parts; i++) {
            int64_t c0 = conv_part_start(p->in_blocks, parts, i);
            product.offsets = run->offsets + c0;
            product.n_taps = conv_part_start(p->in_blocks, parts, i + 1) - c0;
            product.finish.residual = i > 0 ? product.y : NULL;
            conv_block_weights(run->job->packed, ((position * p->out_blocks + b) * depth + c0 * BLOCK) * BLOCK,
                               next * depth * BLOCK, &product);
            kernels->product(&product, count, blocks);
        }
        b += blocks;
    }
}

/* Tiles [t0, t1) of one block of output channels. */
static void transform_out(const struct run *run, int64_t first, int64_t t0, int64_t t1, int64_t block,
                          const float *sums)
{
    const struct conv_block_job *job = run->job;
    const struct conv_shape *s = job->s;
    const struct plan *p = &run->p;
    winograd_output_fn *output = p->m == 2 ? job->kernels->winograd_output2 : job->kernels->winograd_output4;
    int64_t per_image = p->tiles_h * p->tiles_w;

    for (int64_t t = t0; t < t1; t++) {
        int64_t image = t / per_image;
        int64_t row = t % per_image / p->tiles_w * p->m;
        int64_t col = t % p->tiles_w * p->m;
        float *y = job->y + (((image * p->out_blocks + block) * s->out[1] + row) * s->out[2] + col) * BLOCK;
        struct winograd_part part;
        struct finish finish = conv_block_finish(job, block, y);
        inside(row, p->m, s->out[1], &part.row0, &part.row1);
        inside(col, p->m, s->out[2], &part.col0, &part.col1);
        output(sums + (block * p->room + t - first) * BLOCK, p->out_blocks * p->room * BLOCK, &part, &finish, y,
               s->out[2] * BLOCK);
    }
}

/* ---- Chunks for each thread -------------------------------------------------------------------------------------- */

static void chunk_task(void *context, int i)
{
    struct run *run = context;
    const struct plan *p = &run->p;
    float *tiles = run->slots + i * p->slot_floats;
    float *sums = tiles + p->positions * p->in_blocks * p->room * BLOCK;

    for (;;) {
        int64_t c = atomic_fetch_add_explicit(&run->next, 1, memory_order_relaxed);
        if (c >= p->n_chunks) {
            return;
        }
        int64_t first = conv_part_start(p->tiles, p->n_chunks, c);
        int64_t end = conv_part_start(p->tiles, p->n_chunks, c + 1);
        for (int64_t b = 0; b < p->in_blocks; b++) {
            transform_in(run, first, first, end, b, tiles);
        }
        for (int64_t q = 0; q < p->positions; q++) {
            multiply(run, end - first, q, 0, p->out_blocks, tiles, sums);
        }
        for (int64_t b = 0; b < p->out_blocks; b++) {
            transform_out(run, first, first, end, b, sums);
        }
    }
}

/* ---- One chunk for all threads ------------------------------------------------------------------------------------ */

/*
 * In each of the three loops the tasks of the first blocks of channels come first, so that a thread's share of them (pool.h) is
 * the same blocks: the sums that it transforms back, and mostly the image that it transforms next, are in its own cache.
 */

static void in_task(void *context, int i)
{
    const struct run *run = context;
    int64_t part = i % run->parts;

    transform_in(run, run->first, run->first + conv_part_start(run->count, run->parts, part),
                 run->first + conv_part_start(run->count, run->parts, part + 1), i / run->parts, run->tiles);
}

static void multiply_task(void *context, int i)
{
    const struct run *run = context;
    int64_t part = i / run->p.positions;
    int64_t pairs = conv_parts(run->p.out_blocks, BLOCK_PRODUCT_BLOCKS);
    int64_t b0 = conv_part_start(pairs, run->parts, part) * BLOCK_PRODUCT_BLOCKS;
    int64_t b1 = conv_part_start(pairs, run->parts, part + 1) * BLOCK_PRODUCT_BLOCKS;

    multiply(run, run->count, i % run->p.positions, b0, b1 < run->p.out_blocks ? b1 : run->p.out_blocks, run->tiles,
             run->sums);
}

static void out_task(void *context, int i)
{
    const struct run *run = context;
    int64_t part = i % run->parts;

    transform_out(run, run->first, run->first + conv_part_start(run->count, run->parts, part),
                  run->first + conv_part_start(run->count, run->parts, part + 1), i / run->parts, run->sums);
}

static void run_shared(struct run *run)
{
    const struct plan *p = &run->p;
    struct pool *pool = run->job->pool;
    int64_t pairs = conv_parts(p->out_blocks, BLOCK_PRODUCT_BLOCKS);
    int64_t parts = 2 * (int64_t)pool_threads(pool); /* small enough that nobody waits long for the last one */

    run->tiles = run->slots;
    run->sums = run->tiles + p->positions * p->in_blocks * p->room * BLOCK;
    for (int64_t c = 0; c < p->n_chunks; c++) {
        run->first = conv_part_start(p->tiles, p->n_chunks, c);
        run->count = conv_part_start(p->tiles, p->n_chunks, c + 1) - run->first;
        run->parts = conv_parts(run->count, 64);
        pool_run(pool, (int)(p->in_blocks * run->parts), in_task, run);
        run->parts = pairs < parts ? pairs : parts;
        pool_run(pool, (int)(p->positions * run->parts), multiply_task, run);
        run->parts = conv_parts(run->count, 64);
        pool_run(pool, (int)(p->out_blocks * run->parts), out_task, run);
    }
}

void conv_winograd_run(const struct conv_block_job *job, int m)
{
    int threads = pool_threads(job->pool);
    struct run run = {.job = job, .p = plan_of(job->s, m, threads)};
    int64_t *offsets = job->work;

    for (int64_t b = 0; b < run.p.in_blocks; b++) {
        offsets[b] = b * run.p.room * BLOCK;
    }
    run.offsets = offsets;
    run.slots = (float *)job->work + run.p.table_floats;
    atomic_init(&run.next, 0);
    if (run.p.shared) {
        run_shared(&run);
    } else {
        pool_run(job->pool, threads, chunk_task, &run);
    }
}
