/*
 * conv_block.c: which form a blocked convolution takes, and its packed constants.
 *
 * The model counts, for each form, the products (Winograd's are fewer), the numbers that transforms and copies move, and the
 * bytes of weights that have to come from outside the second-level cache, which costs where a layer has few pixels: that is
 * why F(4×4), with four times the weights, loses on small images.
 */
#include "core/kernel/conv_block.h"

#include "core/base/size.h"
#include "core/kernel/conv_block_private.h"
#include "core/kernel/half.h"

static bool is_flat(const struct conv_shape *s)
{
    return s->in[0] == 1 && s->kernel[0] == 1 && s->stride[0] == 1 && s->pad[0] == 0 && s->out[0] == 1;
}

static bool is_lanes(const struct conv_shape *s)
{
    return s->groups > 1 && s->ic == s->oc && (s->ic == 1 || s->ic == 2 || s->ic == 4);
}

static bool is_3x3(const struct conv_shape *s)
{
    for (int d = 1; d < 3; d++) {
        if (s->kernel[d] != 3 || s->stride[d] != 1 || s->dilation[d] != 1) {
            return false;
        }
    }
    return true;
}

bool conv_block_can(const struct conv_shape *s, enum conv_form form)
{
    bool empty = s->n == 0 || s->ic == 0 || s->oc == 0 || conv_out_pixels(s) == 0 || conv_in_pixels(s) == 0;

    if (form == CONV_PLAIN) {
        return true;
    }
    if (empty || !is_flat(s)) {
        return false;
    }
    switch (form) {
    case CONV_PLAIN: return true;
    case CONV_FIRST: return s->groups == 1 && s->ic <= 4;
    case CONV_DIRECT: return s->groups == 1 || (s->ic % BLOCK == 0 && s->oc % BLOCK == 0);
    case CONV_LANES: return is_lanes(s);
    case CONV_WINOGRAD2:
    case CONV_WINOGRAD4: return s->groups == 1 && is_3x3(s);
    }
    return false;
}

/* ---- Cost -------------------------------------------------------------------------------------------------------- */

/* In products that a processor does in the same time. */
#define COST_WEIGHT 24         /* one weight that comes from memory */
#define COST_TRANSFORM 5       /* one number of a transformed tile, in and out */
#define COST_COPY 4            /* one number copied to a padded image */
#define CACHE_FLOATS (1 << 18) /* weights that stay in the second-level cache beside the images */

static double weights_cost(double floats)
{
    return floats > CACHE_FLOATS ? floats * COST_WEIGHT : floats;
}

static double direct_cost(const struct conv_shape *s)
{
    double weights = (double)(s->ic * block_count(s->oc) * BLOCK * conv_taps(s)); /* whole blocks are computed */

    return weights * (double)(s->n * conv_out_pixels(s)) + weights_cost(weights) +
           COST_COPY * (double)(s->n * s->ic * conv_in_pixels(s));
}

static double winograd_cost(const struct conv_shape *s, int m)
{
    double positions = (double)winograd_positions(m);
    double tiles = (double)(s->n * conv_parts(s->out[1], m) * conv_parts(s->out[2], m));
    double weights = (double)(block_count(s->ic) * block_count(s->oc)) * BLOCK * BLOCK;

    return positions * tiles * (weights + COST_TRANSFORM * (double)(s->ic + s->oc)) + weights_cost(positions * weights);
}

enum conv_form conv_block_choose(const struct conv_shape *s)
{
    if (conv_block_can(s, CONV_FIRST)) {
        return CONV_FIRST;
    }
    if (conv_block_can(s, CONV_LANES)) {
        return CONV_LANES;
    }
    if (!conv_block_can(s, CONV_DIRECT)) {
        return CONV_PLAIN;
    }
    if (!conv_block_can(s, CONV_WINOGRAD2)) {
        return CONV_DIRECT;
    }
    double direct = direct_cost(s);
    double f2 = winograd_cost(s, 2);
    double f4 = winograd_cost(s, 4);
    if (f4 < f2 && f4 < direct) {
        return CONV_WINOGRAD4;
    }
    return f2 < direct ? CONV_WINOGRAD2 : CONV_DIRECT;
}

/* ---- Packing ----------------------------------------------------------------------------------------------------- */

#define HEADER_FLOATS 16
_Static_assert(sizeof(struct conv_packed) <= HEADER_FLOATS * sizeof(float), "the arrays begin on a cache line");

static int64_t weight_floats(const struct conv_shape *s, enum conv_form form)
{
    switch (form) {
    case CONV_PLAIN: return 0;
    case CONV_FIRST: return conv_first_floats(s);
    case CONV_DIRECT: return conv_direct_floats(s);
    case CONV_LANES: return conv_lanes_floats(s);
    case CONV_WINOGRAD2: return conv_winograd_floats(s, 2);
    case CONV_WINOGRAD4: return conv_winograd_floats(s, 4);
    }
    return 0;
}

/* Numbers of the arrays of channels: bias and slope, scale and shift. */
static int64_t channel_floats(const struct conv_shape *s)
{
    return 2 * (block_count(s->groups * s->oc) + block_count(s->groups * s->ic)) * BLOCK;
}

bool conv_pack_bytes(const struct conv_shape *s, enum conv_form form, size_t *ret)
{
    /* Packing multiplies the weights, which are in memory, by 64 at most. */
    return size_mul((size_t)(HEADER_FLOATS + weight_floats(s, form) + channel_floats(s)), sizeof(float), ret);
}

static const float *pack_channels(const float *from, int64_t count, float **next)
{
    float *to = *next;

    *next += block_count(count) * BLOCK;
    for (int64_t c = 0; from != NULL && c < count; c++) {
        to[c] = from[c];
    }
    return from == NULL ? NULL : to;
}

/* Forms whose weights may be in half precision. */
static bool takes_half(enum conv_form form)
{
    return form == CONV_DIRECT || form == CONV_WINOGRAD2 || form == CONV_WINOGRAD4;
}

size_t conv_pack_f32(const struct conv_shape *s, enum conv_form form, const struct conv_constants *constants, bool half,
                     void *ret)
{
    struct conv_packed *packed = ret;
    float *next = (float *)ret + HEADER_FLOATS;
    float *w = next + channel_floats(s);
    int64_t floats = weight_floats(s, form);

    packed->form = form;
    packed->bias = pack_channels(constants->bias, s->groups * s->oc, &next);
    packed->slope = pack_channels(constants->slope, s->groups * s->oc, &next);
    packed->scale = pack_channels(constants->scale, s->groups * s->ic, &next);
    packed->shift = pack_channels(constants->shift, s->groups * s->ic, &next);
    switch (form) {
    case CONV_PLAIN: break;
    case CONV_FIRST: conv_first_pack(s, constants->w, w); break;
    case CONV_DIRECT: conv_direct_pack(s, constants->w, w); break;
    case CONV_LANES: conv_lanes_pack(s, constants->w, w); break;
    case CONV_WINOGRAD2: conv_winograd_pack(s, 2, constants->w, w); break;
    case CONV_WINOGRAD4: conv_winograd_pack(s, 4, constants->w, w); break;
    }
    if (half && takes_half(form) && half_squeeze(w, floats)) {
        packed->half = (const uint16_t *)w;
        return (size_t)(HEADER_FLOATS + channel_floats(s)) * sizeof(float) + (size_t)floats * sizeof(uint16_t);
    }
    packed->w = w;
    return (size_t)(HEADER_FLOATS + channel_floats(s) + floats) * sizeof(float);
}

/* ---- Running ----------------------------------------------------------------------------------------------------- */

bool conv_block_work_bytes(const struct conv_shape *s, enum conv_form form, int threads, size_t *ret)
{
    switch (form) {
    case CONV_FIRST: return conv_direct_work(s, true, threads, ret);
    case CONV_DIRECT: return conv_direct_work(s, false, threads, ret);
    case CONV_WINOGRAD2: return conv_winograd_work(s, 2, threads, ret);
    case CONV_WINOGRAD4: return conv_winograd_work(s, 4, threads, ret);
    case CONV_PLAIN:
    case CONV_LANES: break;
    }
    *ret = 0;
    return true;
}

void conv_block_f32(const struct block_kernels *kernels, const struct conv_shape *s, const struct conv_packed *packed,
                    const float *x, const struct finish *finish,
                    float *y, /* NOLINT(readability-non-const-parameter) it is written through the job */
                    void *work, struct pool *pool)
{
    struct conv_block_job job = {
        .s = s, .packed = packed, .x = x, .finish = finish, .y = y, .work = work, .pool = pool, .kernels = kernels};

    switch (packed->form) {
    case CONV_PLAIN: break;
    case CONV_FIRST:
    case CONV_DIRECT: conv_direct_run(&job); break;
    case CONV_LANES: conv_lanes_run(&job); break;
    case CONV_WINOGRAD2: conv_winograd_run(&job, 2); break;
    case CONV_WINOGRAD4: conv_winograd_run(&job, 4); break;
    }
}
