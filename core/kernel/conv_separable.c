/*
 * conv_separable.c: bands of rows, each depthwise into scratch and from there through the 1×1 layer.
 *
 * A band is so small that it stays in the first-level cache, beside a pair of blocks of weights; where there are more weights
 * than fit there they are streamed once for each band, and bands are larger.
 */
#include "core/kernel/conv_separable.h"

#include <stdatomic.h>

#include "core/base/size.h"
#include "core/kernel/conv_block_private.h"
#include "core/kernel/half.h"

#define FEW_WEIGHTS (1 << 13)       /* numbers of the 1×1 layer that stay in the first-level cache */
#define BAND_FLOATS (1 << 13)       /* of a band */
#define LARGE_BAND_FLOATS (1 << 15) /* where the weights do not stay */
#define TASKS_PER_THREAD 4          /* at least, where there are rows enough */

struct packed {
    const float *before_w, *before_bias, *before_slope, *bias, *slope;
    const float *w;
    const uint16_t *half; /* instead of w, which is NULL then */
};

#define HEADER_FLOATS 16
_Static_assert(sizeof(struct packed) <= HEADER_FLOATS * sizeof(float), "the arrays begin on a cache line");

bool conv_separable_can(const struct conv_separable *s)
{
    const struct conv_shape *after = &s->after;

    if (!conv_block_can(&s->before, CONV_LANES) || !conv_block_can(after, CONV_DIRECT) || after->groups != 1) {
        return false;
    }
    for (int d = 0; d < 3; d++) {
        if (after->kernel[d] != 1 || after->stride[d] != 1 || after->pad[d] != 0 || after->in[d] != after->out[d] ||
            after->in[d] != s->before.out[d]) {
            return false;
        }
    }
    return after->n == s->before.n && after->ic == s->before.groups * s->before.oc;
}

static int64_t channels_in(const struct conv_separable *s)
{
    return block_count(s->after.ic) * BLOCK;
}

static int64_t channels_out(const struct conv_separable *s)
{
    return block_count(s->after.oc) * BLOCK;
}

bool conv_separable_pack_bytes(const struct conv_separable *s, size_t *ret)
{
    /* Packing fills up the weights, which are in memory, to whole blocks. */
    int64_t floats = HEADER_FLOATS + conv_lanes_floats(&s->before) + conv_direct_floats(&s->after) +
                     2 * channels_in(s) + 2 * channels_out(s);

    return size_mul((size_t)floats, sizeof(float), ret);
}

static const float *copied(const float *from, int64_t count, int64_t room, float **next)
{
    float *to = *next;

    *next += room;
    for (int64_t c = 0; from != NULL && c < count; c++) {
        to[c] = from[c];
    }
    return from == NULL ? NULL : to;
}

size_t conv_separable_pack(const struct conv_separable *s, const struct conv_separable_constants *constants, bool half,
                           void *ret)
{
    struct packed *packed = ret;
    float *before_w = (float *)ret + HEADER_FLOATS;
    float *next = before_w + conv_lanes_floats(&s->before);
    int64_t floats = conv_direct_floats(&s->after);

    conv_lanes_pack(&s->before, constants->before_w, before_w);
    packed->before_w = before_w;
    packed->before_bias = copied(constants->before_bias, s->after.ic, channels_in(s), &next);
    packed->before_slope = copied(constants->before_slope, s->after.ic, channels_in(s), &next);
    packed->bias = copied(constants->bias, s->after.oc, channels_out(s), &next);
    packed->slope = copied(constants->slope, s->after.oc, channels_out(s), &next);
    conv_direct_pack(&s->after, constants->w, next);
    size_t before = (size_t)(next - (float *)ret) * sizeof(float);
    if (half && half_squeeze(next, floats)) {
        packed->half = (const uint16_t *)next;
        return before + (size_t)floats * sizeof(uint16_t);
    }
    packed->w = next;
    return before + (size_t)floats * sizeof(float);
}

/* ---- Running ------------------------------------------------------------------------------------------------------- */

struct plan {
    int64_t band, n_bands; /* rows of a band; bands of an image */
    int64_t table_floats;  /* the offsets, in front of all slots */
    int64_t slot_floats;
};

static struct plan plan_of(const struct conv_separable *s, int threads)
{
    struct plan p = {.band = 1};
    int64_t rows = s->after.out[1];
    int64_t row_floats = channels_in(s) * s->after.out[2];
    int64_t most = (conv_direct_floats(&s->after) <= FEW_WEIGHTS ? BAND_FLOATS : LARGE_BAND_FLOATS) / row_floats;
    int64_t least_bands = threads < 2 ? 1 : conv_parts((int64_t)TASKS_PER_THREAD * threads, s->after.n);

    p.n_bands = conv_parts(rows, most > 1 ? most : 1);
    p.n_bands = p.n_bands > least_bands ? p.n_bands : least_bands;
    p.n_bands = p.n_bands < rows ? p.n_bands : rows;
    p.band = conv_parts(rows, p.n_bands);
    p.table_floats = conv_parts(block_count(s->after.ic), 8) * 16;
    p.slot_floats = p.band * row_floats;
    return p;
}

bool conv_separable_work_bytes(const struct conv_separable *s, int threads, size_t *ret)
{
    struct plan p = plan_of(s, threads);

    return size_mul((size_t)(p.table_floats + p.slot_floats * threads), sizeof(float), ret);
}

struct run {
    const struct block_kernels *kernels;
    const struct conv_separable *s;
    struct plan p;
    const struct packed *packed;
    const float *x;
    const struct finish *finish;
    float *y;
    const int64_t *offsets;
    float *slots;
    int n_tasks;
    atomic_int next; /* task that nobody does yet */
};

/* Rows [r0, r1) of the depthwise part into the slot: [block][row][column][16]. */
static void fill(const struct run *run, int64_t image, int64_t r0, int64_t r1,
                 float *slot) /* NOLINT(readability-non-const-parameter) it is written through the job */
{
    const struct conv_shape *s = &run->s->before;
    const struct packed *packed = run->packed;
    int64_t blocks = block_count(run->s->after.ic);
    int64_t row = s->out[2] * BLOCK;

    for (int64_t b = 0; b < blocks; b++) {
        struct block_lanes lanes = conv_lanes_of(s);

        lanes.x = run->x + (image * blocks + b) * conv_in_pixels(s) * BLOCK;
        lanes.w = packed->before_w + b * BLOCK * conv_taps(s) * s->ic;
        lanes.y = slot + b * run->p.band * row - r0 * row;
        lanes.finish = (struct finish){.bias = packed->before_bias != NULL ? packed->before_bias + b * BLOCK : NULL,
                                       .slope = packed->before_slope != NULL ? packed->before_slope + b * BLOCK : NULL,
                                       .act = run->s->act,
                                       .low = run->s->low,
                                       .high = run->s->high};
        run->kernels->lanes(&lanes, r0, r1);
    }
}

static void multiply(const struct run *run, int64_t image, int64_t r0, int64_t r1, const float *slot)
{
    const struct conv_shape *s = &run->s->after;
    const struct packed *packed = run->packed;
    int64_t out_blocks = block_count(s->oc);
    int64_t weights = s->ic * BLOCK;
    struct block_product product = {
        .x = slot,
        .x_step = BLOCK,
        .offsets = run->offsets,
        .n_taps = s->ic / BLOCK,
        .depth = BLOCK,
        .n_tail = s->ic % BLOCK > 0 ? 1 : 0,
        .tail = s->ic % BLOCK,
        .w_block = weights,
        .y_step = BLOCK,
        .y_block = conv_out_pixels(s) * BLOCK,
        .finish = *run->finish,
    };

    for (int64_t b = 0; b < out_blocks;) {
        int blocks = b + run->kernels->blocks <= out_blocks ? run->kernels->blocks : 1;
        int64_t at = ((image * out_blocks + b) * s->out[1] + r0) * s->out[2] * BLOCK;
        product.w = packed->half == NULL ? packed->w + b * weights : NULL;
        product.half = packed->half == NULL ? NULL : packed->half + b * weights;
        product.ahead =
            (ptrdiff_t)(blocks * weights * (int64_t)(packed->half == NULL ? sizeof(float) : sizeof(uint16_t)));
        product.y = run->y + at;
        product.finish.bias = packed->bias != NULL ? packed->bias + b * BLOCK : NULL;
        product.finish.slope = packed->slope != NULL ? packed->slope + b * BLOCK : NULL;
        product.finish.residual = run->finish->residual != NULL ? run->finish->residual + at : NULL;
        run->kernels->product(&product, (r1 - r0) * s->out[2], blocks);
        b += blocks;
    }
}

static void slot_task(void *context, int i)
{
    struct run *run = context;
    const struct plan *p = &run->p;
    float *slot = run->slots + i * p->slot_floats;

    for (;;) {
        int task = atomic_fetch_add_explicit(&run->next, 1, memory_order_relaxed);
        if (task >= run->n_tasks) {
            return;
        }
        int64_t rows = run->s->after.out[1];
        int64_t r0 = conv_part_start(rows, p->n_bands, task % p->n_bands);
        int64_t r1 = conv_part_start(rows, p->n_bands, task % p->n_bands + 1);
        fill(run, task / p->n_bands, r0, r1, slot);
        multiply(run, task / p->n_bands, r0, r1, slot);
    }
}

void conv_separable_f32(const struct block_kernels *kernels, const struct conv_separable *s, const void *packed,
                        const float *x, const struct finish *finish,
                        float *y, /* NOLINT(readability-non-const-parameter) it is written through the run */
                        void *work, struct pool *pool)
{
    int threads = pool_threads(pool);
    struct run run = {.kernels = kernels,
                      .s = s,
                      .p = plan_of(s, threads),
                      .packed = packed,
                      .x = x,
                      .finish = finish,
                      .y = y,
                      .offsets = work};
    int64_t *offsets = work;

    for (int64_t b = 0; b < block_count(s->after.ic); b++) {
        offsets[b] = b * run.p.band * s->after.out[2] * BLOCK;
    }
    run.slots = (float *)work + run.p.table_floats;
    run.n_tasks = (int)(s->after.n * run.p.n_bands);
    atomic_init(&run.next, 0);
    pool_run(pool, threads, slot_task, &run);
}
