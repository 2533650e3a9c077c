/*
 * conv_block_direct.c: any window, stride and dilation as one product per run of output pixels.
 *
 * A run is a row of outputs, whose inputs stand at a constant step.  A window of 1×1 with stride 1 makes the whole image one
 * run.  Where the window reaches over the edge, a band of input rows is copied into scratch with zeros around it (and a
 * BatchNorm applied on the way, since its shift must not reach the padding): as many rows as stay in the second-level cache
 * with the outputs made of them.  A first layer is the same over a plain image, one tap for each number of the window.
 *
 * Tasks are bands; where there are fewer than threads, they are split by output blocks, and each copies its own band.
 */
#include <stdatomic.h>
#include <string.h>

#include "core/base/size.h"
#include "core/kernel/conv_block_private.h"

#define CACHE_FLOATS (1 << 18)      /* weights that stay in the second-level cache beside a band */
#define BAND_FLOATS (1 << 16)       /* of a band's inputs */
#define LARGE_BAND_FLOATS (1 << 18) /* where the weights do not stay */
#define TASKS_PER_THREAD 4          /* at least, so that a thread that is held up delays little */

struct plan {
    bool first;                          /* x is plain */
    bool copies;                         /* bands are copied into scratch */
    bool one_run;                        /* 1×1: an image is one run */
    int64_t planes, lanes;               /* of the input: blocks of 16, or plain channels of 1 */
    int64_t in_blocks, out_blocks;       /* of one group */
    int64_t rows, row;                   /* runs of an image, pixels of one */
    int64_t band, n_bands;               /* runs of a band; for one_run, pixels */
    int64_t parts;                       /* of the output blocks */
    int64_t width, height;               /* pixels of a band's inputs */
    int64_t n_taps, depth, n_tail, tail; /* as in block_product.h */
    int64_t table_floats, slot_floats;
};

static int64_t reach(const struct conv_shape *s, int d, int64_t count)
{
    return (count - 1) * s->stride[d] + (s->kernel[d] - 1) * s->dilation[d] + 1;
}

static bool stays_inside(const struct conv_shape *s)
{
    for (int d = 1; d < 3; d++) {
        if (s->pad[d] != 0 || reach(s, d, s->out[d]) > s->in[d]) {
            return false;
        }
    }
    return true;
}

static void plan_taps(const struct conv_shape *s, struct plan *p)
{
    int64_t window = conv_taps(s);

    if (p->first) {
        p->n_taps = s->ic * window;
        p->depth = 1;
    } else {
        p->n_taps = s->ic / BLOCK * window;
        p->depth = BLOCK;
        p->tail = s->ic % BLOCK;
        p->n_tail = p->tail > 0 ? window : 0;
    }
    p->table_floats = conv_parts(p->n_taps + p->n_tail, 8) * 16;
}

static struct plan plan_of(const struct conv_shape *s, bool first, bool scaled, int threads)
{
    struct plan p = {.first = first, .in_blocks = block_count(s->ic), .out_blocks = block_count(s->oc)};

    p.planes = first ? s->ic : p.in_blocks;
    p.lanes = first ? 1 : BLOCK;
    p.copies = scaled || !stays_inside(s);
    p.one_run = !p.copies && conv_taps(s) == 1 && s->stride[1] == 1 && s->stride[2] == 1 && s->in[2] == s->out[2];
    p.rows = p.one_run ? 1 : s->out[1];
    p.row = p.one_run ? s->out[1] * s->out[2] : s->out[2];
    p.width = p.copies ? reach(s, 2, s->out[2]) : s->in[2];
    plan_taps(s, &p);

    int64_t unit = p.planes * p.lanes * (p.one_run ? 1 : p.width * s->stride[1]);
    int64_t units = p.one_run ? p.row : p.rows;
    bool small = s->ic * s->oc * conv_taps(s) <= CACHE_FLOATS; /* else every band streams the weights once more */
    int64_t most = (small ? BAND_FLOATS : LARGE_BAND_FLOATS) / unit;
    int64_t least = p.one_run ? (int64_t)4 * BLOCK_PRODUCT_PIXELS : 1;
    most = most > least ? most : least;
    p.n_bands = conv_parts(units, most);
    p.band = conv_parts(units, p.n_bands);
    p.height = p.copies ? reach(s, 1, p.band) : 0;
    p.slot_floats = p.copies ? conv_parts(p.planes * p.height * p.width * p.lanes, 16) * 16 : 0;
    int64_t pairs = conv_parts(p.out_blocks, BLOCK_PRODUCT_BLOCKS);
    int64_t bands = s->n * s->groups * p.n_bands;
    p.parts = threads < 2 || bands >= (int64_t)TASKS_PER_THREAD * threads
                  ? 1
                  : conv_parts((int64_t)TASKS_PER_THREAD * threads, bands);
    p.parts = p.parts < pairs ? p.parts : pairs;
    return p;
}

int64_t conv_direct_floats(const struct conv_shape *s)
{
    return s->groups * block_count(s->oc) * BLOCK * s->ic * conv_taps(s);
}

int64_t conv_first_floats(const struct conv_shape *s)
{
    return conv_direct_floats(s);
}

/* [group][output block]{[input block][tap][16] for whole blocks, [tap][rest]}[16] */
void conv_direct_pack(const struct conv_shape *s, const float *w, float *ret)
{
    int64_t taps = conv_taps(s);
    int64_t out_blocks = block_count(s->oc);

    for (int64_t o = 0; o < s->groups * s->oc; o++) {
        int64_t block = o / s->oc * out_blocks + o % s->oc / BLOCK;
        float *to = ret + block * s->ic * taps * BLOCK + o % s->oc % BLOCK;
        for (int64_t i = 0; i < s->ic; i++) {
            int64_t depth = s->ic - i / BLOCK * BLOCK < BLOCK ? s->ic % BLOCK : BLOCK;
            for (int64_t t = 0; t < taps; t++) {
                to[(i / BLOCK * BLOCK * taps + t * depth + i % BLOCK) * BLOCK] = w[(o * s->ic + i) * taps + t];
            }
        }
    }
}

/* [output block][input][tap][16] */
void conv_first_pack(const struct conv_shape *s, const float *w, float *ret)
{
    int64_t depth = s->ic * conv_taps(s);

    for (int64_t o = 0; o < s->oc; o++) {
        for (int64_t k = 0; k < depth; k++) {
            ret[(o / BLOCK * depth + k) * BLOCK + o % BLOCK] = w[o * depth + k];
        }
    }
}

bool conv_direct_work(const struct conv_shape *s, bool first, int threads, size_t *ret)
{
    struct plan p = plan_of(s, first, true, threads); /* a scale may come later: the larger of both */

    return size_mul((size_t)(p.table_floats + p.slot_floats * threads), sizeof(float), ret);
}

struct run {
    const struct conv_block_job *job;
    struct plan p;
    const int64_t *offsets;
    float *slots;
    int n_tasks;
    atomic_int next; /* task that nobody does yet */
};

/* One plane of the input rows from row0 on, with what lies outside zero. */
static void copy_plane(const struct run *run, const float *x, int64_t plane, int64_t row0, int64_t height, float *to)
{
    const struct conv_shape *s = run->job->s;
    const struct plan *p = &run->p;
    const struct conv_packed *packed = run->job->packed;
    int64_t left = s->pad[2] * p->lanes;
    int64_t room = p->width * p->lanes;
    int64_t inner = s->in[2] * p->lanes < room - left ? s->in[2] * p->lanes : room - left;

    for (int64_t i = 0; i < height; i++, to += room) {
        int64_t row = row0 + i;
        if (row < 0 || row >= s->in[1] || inner <= 0) {
            memset(to, 0, (size_t)room * sizeof *to);
            continue;
        }
        memset(to, 0, (size_t)left * sizeof *to);
        memcpy(to + left, x + row * s->in[2] * p->lanes, (size_t)inner * sizeof *to);
        memset(to + left + inner, 0, (size_t)(room - left - inner) * sizeof *to);
        if (packed->scale == NULL) {
            continue;
        }
        for (int64_t k = 0; k < inner; k++) {
            int64_t channel = p->first ? plane : plane * BLOCK + k % BLOCK;
            to[left + k] = to[left + k] * packed->scale[channel] + packed->shift[channel];
        }
    }
}

/* One run from pixel p0 to p1: x is its first input. */
static void multiply(const struct run *run, int64_t block, int blocks, const float *x, int64_t p0, int64_t p1,
                     bool first,
                     float *y) /* NOLINT(readability-non-const-parameter) it is written through the product */
{
    const struct conv_block_job *job = run->job;
    const struct plan *p = &run->p;
    int64_t weights = (p->n_taps * p->depth + p->n_tail * p->tail) * BLOCK;
    int64_t step = (p->one_run ? 1 : job->s->stride[2]) * p->lanes;
    struct block_product product = {
        .x = x + p0 * step,
        .x_step = step,
        .offsets = run->offsets,
        .n_taps = p->n_taps,
        .depth = p->depth,
        .n_tail = p->n_tail,
        .tail = p->tail,
        .w_block = weights,
        .y = y + p0 * BLOCK,
        .y_step = BLOCK,
        .y_block = conv_out_pixels(job->s) * BLOCK,
    };

    product.finish = conv_block_finish(job, block, product.y);
    conv_block_weights(job->packed, block * weights, first ? blocks * weights : 0, &product);
    job->kernels->product(&product, p1 - p0, blocks);
}

static void do_task(const struct run *run, int64_t task, float *slot)
{
    const struct conv_block_job *job = run->job;
    const struct conv_shape *s = job->s;
    const struct plan *p = &run->p;
    const struct block_kernels *kernels = job->kernels;
    int64_t part = task % p->parts;
    int64_t band = task / p->parts % p->n_bands;
    int64_t image_group = task / p->parts / p->n_bands;
    int64_t group = image_group % s->groups;
    int64_t units = p->one_run ? p->row : p->rows;
    int64_t u0 = conv_part_start(units, p->n_bands, band);
    int64_t u1 = conv_part_start(units, p->n_bands, band + 1);
    int64_t plane = conv_in_pixels(s) * p->lanes;
    const float *x = job->x + image_group * p->planes * plane;
    int64_t row_floats = s->in[2] * p->lanes;
    int64_t row0 = 0; /* input row that x points to */

    if (p->copies) {
        row0 = u0 * s->stride[1] - s->pad[1];
        for (int64_t c = 0; c < p->planes; c++) {
            copy_plane(run, x + c * plane, group * p->planes + c, row0, reach(s, 1, u1 - u0),
                       slot + c * p->height * p->width * p->lanes);
        }
        x = slot;
        row_floats = p->width * p->lanes;
    }
    int64_t pairs = conv_parts(p->out_blocks, kernels->blocks);
    int64_t b1 = conv_part_start(pairs, p->parts, part + 1) * kernels->blocks;
    b1 = b1 < p->out_blocks ? b1 : p->out_blocks;
    for (int64_t b = conv_part_start(pairs, p->parts, part) * kernels->blocks; b < b1; b += kernels->blocks) {
        int blocks = b + kernels->blocks <= b1 ? kernels->blocks : 1;
        float *y = job->y + (image_group * p->out_blocks + b) * conv_out_pixels(s) * BLOCK;
        if (p->one_run) {
            multiply(run, group * p->out_blocks + b, blocks, x, u0, u1, true, y);
            continue;
        }
        for (int64_t row = u0; row < u1; row++) {
            int64_t from = p->copies ? row * s->stride[1] - s->pad[1] - row0 : row * s->stride[1];
            multiply(run, group * p->out_blocks + b, blocks, x + from * row_floats, 0, p->row, row == u0,
                     y + row * s->out[2] * BLOCK);
        }
    }
}

static void slot_task(void *context, int i)
{
    struct run *run = context;

    for (;;) {
        int task = atomic_fetch_add_explicit(&run->next, 1, memory_order_relaxed);
        if (task >= run->n_tasks) {
            return;
        }
        do_task(run, task, run->slots + i * run->p.slot_floats);
    }
}

/* Where each tap looks, from the first input of an output's window. */
static void fill_offsets(const struct conv_shape *s, const struct plan *p, int64_t *offsets)
{
    int64_t plane = (p->copies ? p->height * p->width : conv_in_pixels(s)) * p->lanes;
    int64_t row = p->width * p->lanes;

    for (int64_t c = 0; c < p->planes; c++) {
        for (int64_t ky = 0; ky < s->kernel[1]; ky++) {
            for (int64_t kx = 0; kx < s->kernel[2]; kx++) {
                *offsets++ = c * plane + ky * s->dilation[1] * row + kx * s->dilation[2] * p->lanes;
            }
        }
    }
}

void conv_direct_run(const struct conv_block_job *job)
{
    const struct conv_shape *s = job->s;
    int threads = pool_threads(job->pool);
    struct run run = {.job = job,
                      .p = plan_of(s, job->packed->form == CONV_FIRST, job->packed->scale != NULL, threads)};
    int64_t *offsets = job->work;

    fill_offsets(s, &run.p, offsets);
    run.offsets = offsets;
    run.slots = (float *)job->work + run.p.table_floats;
    run.n_tasks = (int)(s->n * s->groups * run.p.n_bands * run.p.parts);
    atomic_init(&run.next, 0);
    pool_run(job->pool, threads, slot_task, &run);
}
