/* conv_byte.c: convolutions of bytes, channels last: padding, packing, and which rows are whose. */
#include "core/kernel/conv_byte.h"

#include <string.h>

#include "core/base/size.h"
#include "core/kernel/kernels.h"

#define SLACK 64 /* bytes that the last stretch may read too much */
#define MAX_RUNS 1024
#define ROW_PIXELS 56 /* sums of so many pixels stay in the first-level cache: 7 KiB */

/* ---- Blocks of output channels ---------------------------------------------------------------------------------------- */

/* What one block of 32 output channels looks at. */
struct view {
    int64_t first, channels; /* input channels, of all groups */
    bool whole;              /* all of them: the taps of a row are one stretch */
};

static int64_t all_in(const struct conv_shape *s)
{
    return s->groups * s->ic;
}

static int64_t n_blocks(const struct conv_shape *s)
{
    return (s->groups * s->oc + BYTE_LANES - 1) / BYTE_LANES;
}

int64_t conv_byte_lanes(const struct conv_shape *s)
{
    return n_blocks(s) * BYTE_LANES;
}

static struct view view_of(const struct conv_shape *s, int64_t block)
{
    int64_t first_group = block * BYTE_LANES / s->oc;
    int64_t last = block * BYTE_LANES + BYTE_LANES - 1;
    int64_t all = s->groups * s->oc - 1;
    int64_t last_group = (last < all ? last : all) / s->oc;
    struct view view = {first_group * s->ic, (last_group - first_group + 1) * s->ic, false};

    view.whole = view.channels == all_in(s) && s->dilation[2] == 1;
    return view;
}

/* All blocks see equally many channels, so that one number says how long a stretch is. */
bool conv_byte_fits(const struct conv_shape *s)
{
    bool even =
        s->groups == 1 || s->oc % BYTE_LANES == 0 || (BYTE_LANES % s->oc == 0 && s->groups * s->oc % BYTE_LANES == 0);

    return even && s->ic > 0 && s->oc > 0 &&
           s->kernel[0] * s->kernel[1] * s->kernel[2] <= MAX_RUNS / CONV_BYTE_MAX_PASSES;
}

static int64_t n_runs(const struct conv_shape *s, const struct view *view)
{
    return s->kernel[0] * s->kernel[1] * (view->whole ? 1 : s->kernel[2]);
}

static int64_t quads(const struct conv_shape *s, const struct view *view)
{
    return (view->channels * (view->whole ? s->kernel[2] : 1) + 3) / 4;
}

/* Of one pass. */
static int64_t block_bytes(const struct conv_shape *s)
{
    struct view view = view_of(s, 0);

    return n_runs(s, &view) * quads(s, &view) * BYTE_LANES * 4;
}

int conv_byte_passes(const int16_t *w, int64_t count)
{
    int low = 0;
    int high = 0;

    for (int64_t i = 0; i < count; i++) {
        low = w[i] < low ? w[i] : low;
        high = w[i] > high ? w[i] : high;
    }
    return low < -2 * 128 || high > 2 * 127 ? 3 : low < -128 || high > 127 ? 2 : 1;
}

bool conv_byte_packed_bytes(const struct conv_shape *s, int passes, size_t *ret)
{
    struct view view = view_of(s, 0);
    size_t bytes = 0;

    return size_mul((size_t)n_runs(s, &view) * (size_t)passes, (size_t)quads(s, &view), &bytes) &&
           size_mul(bytes, (size_t)BYTE_LANES * 4, &bytes) && size_mul(bytes, (size_t)n_blocks(s), ret);
}

void conv_byte_pack(const struct conv_shape *s, int passes, const int16_t *w, int8_t *packed, int32_t *sums)
{
    int64_t taps = conv_taps(s);

    memset(packed, 0, (size_t)(block_bytes(s) * n_blocks(s) * passes));
    memset(sums, 0, (size_t)conv_byte_lanes(s) * sizeof *sums);
    for (int64_t oc = 0; oc < s->groups * s->oc; oc++) {
        struct view view = view_of(s, oc / BYTE_LANES);
        int8_t *block = packed + oc / BYTE_LANES * block_bytes(s) * passes;
        for (int64_t c = 0; c < s->ic; c++) {
            int64_t at = oc / s->oc * s->ic + c - view.first; /* of the channels in view */
            for (int64_t t = 0; t < taps; t++) {
                int64_t run = view.whole ? t / s->kernel[2] : t;
                int64_t byte = view.whole ? t % s->kernel[2] * view.channels + at : at;
                int64_t to = ((run * quads(s, &view) + byte / 4) * BYTE_LANES + oc % BYTE_LANES) * 4 + byte % 4;
                int rest = w[(oc * s->ic + c) * taps + t];
                sums[oc] += rest;
                for (int pass = 0; pass < passes; pass++) {
                    int part = rest < -128 ? -128 : rest > 127 ? 127 : rest;
                    block[pass * block_bytes(s) + to] = (int8_t)part;
                    rest -= part;
                }
            }
        }
    }
}

/* ---- The padded copy of the image -------------------------------------------------------------------------------------- */

/* Padded lengths: as far as any tap reaches. */
static void padded(const struct conv_shape *s, int64_t ret[3])
{
    for (int d = 0; d < 3; d++) {
        int64_t reach = (s->out[d] - 1) * s->stride[d] + (s->kernel[d] - 1) * s->dilation[d] + 1;
        ret[d] = reach > s->in[d] + s->pad[d] ? reach : s->in[d] + s->pad[d];
    }
}

static bool needs_copy(const struct conv_byte_call *call)
{
    const struct conv_shape *s = call->shape;
    int64_t size[3];

    padded(s, size); /* the product reads four bytes at a time: of groups too, whose last ends with the image */
    return call->flip != 0 || view_of(s, 0).channels % 4 != 0 || all_in(s) % 4 != 0 || size[0] != s->in[0] ||
           size[1] != s->in[1] || size[2] != s->in[2];
}

static bool copy_bytes(const struct conv_shape *s, size_t *ret)
{
    int64_t size[3];
    size_t bytes = 0;

    padded(s, size);
    return size_mul((size_t)size[0], (size_t)size[1], &bytes) && size_mul(bytes, (size_t)size[2], &bytes) &&
           size_mul(bytes, (size_t)all_in(s), &bytes) && size_mul(bytes, (size_t)s->n, &bytes) &&
           size_add(bytes, SLACK, &bytes) && size_round_up(bytes, 64, ret);
}

#define SUMS_BYTES ((size_t)ROW_PIXELS * BYTE_LANES * sizeof(int32_t))

bool conv_byte_work_bytes(const struct conv_shape *s, int threads, size_t *ret)
{
    size_t copy = 0;
    size_t sums = 0;

    return copy_bytes(s, &copy) && size_mul(SUMS_BYTES, (size_t)threads, &sums) && size_add(copy, sums, ret);
}

uint8_t *conv_byte_place(const struct conv_shape *s, void *work, int64_t n, int64_t d, int64_t h)
{
    int64_t size[3];

    padded(s, size);
    return (uint8_t *)work +
           (((n * size[0] + d + s->pad[0]) * size[1] + h + s->pad[1]) * size[2] + s->pad[2]) * all_in(s);
}

void conv_byte_fill(const struct conv_shape *s, uint8_t zero, void *work)
{
    size_t bytes = 0;

    if (copy_bytes(s, &bytes)) { /* it does: the caller has asked for conv_byte_work_bytes */
        memset(work, zero, bytes);
    }
}

static void copy_image(const struct conv_byte_call *call, void *work)
{
    const struct conv_shape *s = call->shape;
    int64_t row = s->in[2] * all_in(s);
    const uint8_t *x = call->x;

    conv_byte_fill(s, call->zero, work);
    for (int64_t i = 0; i < s->n * s->in[0] * s->in[1]; i++, x += row) {
        uint8_t *to = conv_byte_place(s, work, i / s->in[1] / s->in[0], i / s->in[1] % s->in[0], i % s->in[1]);
        if (call->flip == 0) {
            memcpy(to, x, (size_t)row);
            continue;
        }
        for (int64_t j = 0; j < row; j++) {
            to[j] = x[j] ^ call->flip;
        }
    }
}

/* ---- Rows ---------------------------------------------------------------------------------------------------------------- */

struct job {
    const struct conv_byte_call *call;
    const uint8_t *x; /* padded */
    int64_t size[3];
    int64_t bands; /* of rows, for each block of channels */
    unsigned char *sums;
    int n_tasks;
};

static void finish_row(const struct conv_byte_call *call, const int32_t *sums, int64_t block, int64_t n, int64_t at)
{
    const struct conv_byte_end *end = &call->end;
    int64_t channels = call->shape->groups * call->shape->oc;
    int64_t c = block * BYTE_LANES;
    int64_t wanted = channels - c < BYTE_LANES ? channels - c : BYTE_LANES;

    if (end->as_float) {
        kernels()->byte_loops->to_float(end->scale + c, end->bias == NULL ? NULL : end->bias + c,
                                        end->slope == NULL ? NULL : end->slope + c, sums, n, wanted,
                                        (float *)call->y + at * channels + c, channels);
        return;
    }
    struct byte_requant how = end->requant;
    how.scale += c;
    kernels()->byte_loops->requant(&how, sums, n, wanted, (uint8_t *)call->y + at * channels + c, channels);
}

/* Output row number `row` (over images, depths and heights) of one block of channels. */
static void one_row(const struct job *job, int64_t block, int64_t row, int32_t *sums)
{
    const struct conv_shape *s = job->call->shape;
    struct view view = view_of(s, block);
    int64_t run_at[MAX_RUNS];
    int64_t d = row / s->out[1] % s->out[0] * s->stride[0];
    int64_t h = row % s->out[1] * s->stride[1];
    int64_t n = row / s->out[1] / s->out[0];
    int64_t runs = n_runs(s, &view);
    int64_t across = view.whole ? 1 : s->kernel[2];

    for (int64_t r = 0; r < runs; r++) {
        int64_t kd = r / across / s->kernel[1] * s->dilation[0];
        int64_t kh = r / across % s->kernel[1] * s->dilation[1];
        run_at[r] = ((kd * job->size[1] + kh) * job->size[2] + r % across * s->dilation[2]) * all_in(s);
        for (int pass = 1; pass < job->call->passes; pass++) {
            run_at[pass * runs + r] = run_at[r];
        }
    }
    struct byte_rows rows = {
        .x = job->x + ((n * job->size[0] + d) * job->size[1] + h) * job->size[2] * all_in(s) + view.first,
        .pixel_step = s->stride[2] * all_in(s),
        .run_at = run_at,
        .n_runs = runs * job->call->passes,
        .quads = quads(s, &view),
        .w = job->call->packed + block * block_bytes(s) * job->call->passes,
        .start = job->call->start + block * BYTE_LANES,
    };
    for (int64_t p = 0; p < s->out[2]; p += ROW_PIXELS) {
        int64_t pixels = s->out[2] - p < ROW_PIXELS ? s->out[2] - p : ROW_PIXELS;
        kernels()->byte_product(&rows, pixels, sums);
        finish_row(job->call, sums, block, pixels, row * s->out[2] + p);
        rows.x += pixels * rows.pixel_step;
    }
}

/* All rows of a block one after the other: its weights stay in the second-level cache. */
static void some_rows(void *context, int i)
{
    const struct job *job = context;
    const struct conv_shape *s = job->call->shape;
    int64_t rows = s->n * s->out[0] * s->out[1];
    int32_t *sums = (int32_t *)(void *)(job->sums + (size_t)i * SUMS_BYTES);

    for (int64_t t = i; t < n_blocks(s) * job->bands; t += job->n_tasks) {
        int64_t band = t % job->bands;
        for (int64_t row = rows * band / job->bands; row < rows * (band + 1) / job->bands; row++) {
            one_row(job, t / job->bands, row, sums);
        }
    }
}

void conv_byte(const struct conv_byte_call *call, void *work, struct pool *pool)
{
    const struct conv_shape *s = call->shape;
    struct job job = {.call = call, .x = call->x, .n_tasks = pool_threads(pool), .bands = 1};
    size_t copy = 0;

    if (!copy_bytes(s, &copy)) { /* cannot be: the caller has asked for conv_byte_work_bytes */
        return;
    }
    if (call->x == NULL || needs_copy(call)) {
        if (call->x != NULL) {
            copy_image(call, work);
        }
        job.x = work;
    }
    padded(s, job.size);
    job.sums = (unsigned char *)work + copy;
    if (n_blocks(s) % job.n_tasks != 0) { /* channels do not part evenly: rows do */
        job.bands = job.n_tasks;
    }
    pool_run(pool, job.n_tasks, some_rows, &job);
}
