/*
 * conv_int.c: integer convolutions: direct loops for groups of few channels, products of matrices for the rest.
 *
 * For the product an image is first turned to [pixels, channels] in 16 bits with its zero subtracted; a patch is then a
 * few contiguous runs of channels, and the weights are stored in the same order [taps, channels].
 */
#include "core/kernel/conv_int.h"

#include <string.h>

#include "core/base/size.h"
#include "core/kernel/conv_direct.h"
#include "core/kernel/gemm_int.h"
#include "core/kernel/kernels.h"

#define TILE 64 /* output pixels of one product */

struct job {
    const struct conv_shape *s;
    const struct quantised *x;
    int32_t *y;
    const int16_t *weights; /* of all groups, zero subtracted */
    const int16_t *image;   /* [in pixels, ic] of the present image and group */
    int16_t *patches;       /* slot_words for each task that runs */
    int64_t slot_words;
    int64_t image_group;
    int n_tasks;
};

static bool is_direct(const struct conv_shape *s)
{
    return s->groups > 1 && (s->oc <= 4 || s->ic * s->oc <= 16);
}

static bool is_pointwise(const struct conv_shape *s)
{
    for (int d = 0; d < 3; d++) {
        if (s->kernel[d] != 1 || s->stride[d] != 1 || s->pad[d] != 0 || s->out[d] != s->in[d]) {
            return false;
        }
    }
    return true;
}

static bool words(int64_t a, int64_t b, int64_t c, size_t *ret_bytes)
{
    size_t product = 0;

    return size_mul((size_t)a, (size_t)b, &product) && size_mul(product, (size_t)c, &product) &&
           size_mul(product, sizeof(int16_t), &product) && size_round_up(product, 64, ret_bytes);
}

struct sizes {
    size_t weights, image, slot; /* bytes */
};

static bool measure(const struct conv_shape *s, struct sizes *ret)
{
    *ret = (struct sizes){0};
    if (!words(s->groups * s->oc, s->ic, conv_taps(s), &ret->weights)) {
        return false;
    }
    return is_direct(s) || (words(conv_in_pixels(s), s->ic, 1, &ret->image) &&
                            (is_pointwise(s) || words(TILE, s->ic, conv_taps(s), &ret->slot)));
}

bool conv_int_work_bytes(const struct conv_shape *s, int threads, size_t *ret)
{
    struct sizes sizes;
    size_t sum = 0;

    return measure(s, &sizes) && size_mul(sizes.slot, (size_t)threads, &sum) && size_add(sum, sizes.image, &sum) &&
           size_add(sum, sizes.weights, ret);
}

static void widen(const struct quantised *q, int64_t at, int64_t count, int32_t zero, int16_t *to, int64_t step)
{
    if (q->sign == QUANTISED_U8) {
        widen_u8((const uint8_t *)q->data + at, count, zero, to, step);
    } else {
        widen_s8((const int8_t *)q->data + at, count, zero, to, step);
    }
}

/* [oc, ic, taps] → [oc, taps, ic] for the product, unchanged order for the direct loops. */
static void store_weights(const struct conv_shape *s, const struct quantised *w, int16_t *to)
{
    int64_t taps = conv_taps(s);

    for (int64_t oc = 0; oc < s->groups * s->oc; oc++) {
        int32_t zero = quantised_zero(w, oc);
        int16_t *row = to + oc * s->ic * taps;
        if (is_direct(s)) {
            widen(w, oc * s->ic * taps, s->ic * taps, zero, row, 1);
            continue;
        }
        for (int64_t c = 0; c < s->ic; c++) {
            widen(w, (oc * s->ic + c) * taps, taps, zero, row + c, s->ic);
        }
    }
}

/* The patch under output pixel p: [taps, ic]. */
static void fill_patch(const struct job *job, int64_t p, int16_t *patch)
{
    const struct conv_shape *s = job->s;
    size_t run = (size_t)s->ic * sizeof *patch;

    for (int64_t t = 0; t < conv_taps(s); t++, patch += s->ic) {
        int64_t d =
            p / s->out[2] / s->out[1] * s->stride[0] + t / s->kernel[2] / s->kernel[1] * s->dilation[0] - s->pad[0];
        int64_t h =
            p / s->out[2] % s->out[1] * s->stride[1] + t / s->kernel[2] % s->kernel[1] * s->dilation[1] - s->pad[1];
        int64_t w = p % s->out[2] * s->stride[2] + t % s->kernel[2] * s->dilation[2] - s->pad[2];
        if (d < 0 || d >= s->in[0] || h < 0 || h >= s->in[1] || w < 0 || w >= s->in[2]) {
            memset(patch, 0, run);
        } else {
            memcpy(patch, job->image + ((d * s->in[1] + h) * s->in[2] + w) * s->ic, run);
        }
    }
}

static void product_task(void *context, int i)
{
    const struct job *job = context;
    const struct conv_shape *s = job->s;
    int64_t depth = s->ic * conv_taps(s);
    int64_t pixels = conv_out_pixels(s);
    int16_t *patches = job->patches + i * job->slot_words;

    for (int64_t p0 = (int64_t)i * TILE; p0 < pixels; p0 += (int64_t)job->n_tasks * TILE) {
        int64_t p1 = p0 + TILE < pixels ? p0 + TILE : pixels;
        const int16_t *b = job->image + p0 * depth;
        if (job->slot_words > 0) {
            for (int64_t p = p0; p < p1; p++) {
                fill_patch(job, p, patches + (p - p0) * depth);
            }
            b = patches;
        }
        kernels()->gemm_int(s->oc, p1 - p0, depth, job->weights + job->image_group % s->groups * s->oc * depth, b,
                            job->y + job->image_group * s->oc * pixels + p0, pixels);
    }
}

static void direct_task(void *context, int i)
{
    const struct job *job = context;
    const struct conv_shape *s = job->s;
    int64_t channels = s->groups * s->oc;
    int32_t zero = quantised_zero(job->x, 0);

    for (int64_t t = i; t < s->n * channels; t += job->n_tasks) {
        int32_t *y = job->y + t * conv_out_pixels(s);
        if (job->x->sign == QUANTISED_U8) {
            kernels()->conv_direct_u8(s, job->x->data, zero, job->weights, t / channels, t % channels, y);
        } else {
            kernels()->conv_direct_s8(s, job->x->data, zero, job->weights, t / channels, t % channels, y);
        }
    }
}

/* NOLINTNEXTLINE(readability-non-const-parameter) y is written through the job */
void conv_int(const struct conv_shape *s, const struct quantised *x, const struct quantised *w, int32_t *y, void *work,
              size_t work_bytes, struct pool *pool)
{
    struct sizes sizes;
    unsigned char *bytes = work;

    if (!measure(s, &sizes)) { /* cannot be: the caller has asked for conv_int_work_bytes */
        return;
    }
    struct job job = {.s = s, .x = x, .y = y, .n_tasks = pool_threads(pool)};
    int16_t *weights = (int16_t *)bytes;
    int16_t *image = (int16_t *)(bytes + sizes.weights);
    size_t fixed = sizes.weights + sizes.image;
    store_weights(s, w, weights);
    job.weights = weights;
    job.image = image;
    if (is_direct(s)) {
        pool_run(pool, job.n_tasks, direct_task, &job);
        return;
    }
    job.patches = (int16_t *)(bytes + fixed);
    job.slot_words = (int64_t)(sizes.slot / sizeof(int16_t));
    if (sizes.slot > 0 && (size_t)job.n_tasks > (work_bytes - fixed) / sizes.slot) {
        job.n_tasks = (int)((work_bytes - fixed) / sizes.slot);
    }
    for (job.image_group = 0; job.image_group < s->n * s->groups; job.image_group++) {
        for (int64_t c = 0; c < s->ic; c++) {
            widen(x, (job.image_group * s->ic + c) * conv_in_pixels(s), conv_in_pixels(s), quantised_zero(x, 0),
                  image + c, s->ic);
        }
        pool_run(pool, job.n_tasks, product_task, &job);
    }
}
