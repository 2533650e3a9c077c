/*
 * op_batch_norm.c: BatchNormalization: a factor and a summand for each channel, from stored statistics or, in training, from
 * those of the batch.
 */
#include "core/op/op_batch_norm.h"

#include <math.h>

#include "core/kernel/batch_norm.h"
#include "core/kernel/block.h"
#include "core/op/op_private.h"

struct batch_norm {
    float epsilon;
};

static enum err parse(const struct attrs *attrs, int opset, int n_in, int n_out, struct arena *mem, void **ret,
                      struct err_note *note)
{
    struct batch_norm *norm = ARENA_NEW(mem, struct batch_norm);
    int64_t training = 0;

    if (norm == NULL) {
        return arena_why(mem);
    }
    enum err err = attr_float(attrs, "epsilon", 1e-5F, &norm->epsilon, note);
    if (err == ERR_NONE) {
        err = attr_int(attrs, "training_mode", 0, &training, note);
    }
    if (err != ERR_NONE) {
        return err;
    }
    if (training != 0) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "training_mode is not supported");
    }
    *ret = norm;
    return ERR_NONE;
}

/* What training keeps of each channel: mean, unbiased variance, 1 / √(biased variance + ε). */
enum {
    SAVED_MEAN,
    SAVED_VARIANCE,
    SAVED_INVERSE,
    SAVED_COUNT
};

/*
 * Some exporters add ε to the stored variances and write ε = 0.  In training a channel that is constant over the batch (they
 * have dead ones) would then be divided by 0.  So the batch's variances get an ε too, and what is said to have been seen
 * contains it, as the stored ones do: at inference with the file's own ε nothing changes.
 */
#define TRAINING_EPSILON 1e-5F

static struct norm_shape norm_of(const struct op_call *call)
{
    const struct shape *x = &call->in[0].shape;

    return (struct norm_shape){.n = x->dim[0], .channels = x->dim[1], .pixels = op_product(x, 2, x->rank)};
}

/* Old exports say spatial = 0 but give one parameter for each channel, which is what spatial = 1 means. */
static enum err shape(struct op_call *call, struct err_note *note)
{
    const struct shape *x = &call->in[0].shape;

    for (int i = 1; i < 5; i++) {
        const struct shape *p = &call->in[i].shape;
        enum err err = op_type(call, i, OP_F32, note);
        if (err != ERR_NONE) {
            return err;
        }
        if (p->rank != 1 || p->dim[0] != x->dim[1]) {
            return ERR_SAY(note, p->rank > 1 ? ERR_UNSUPPORTED : ERR_FORMAT,
                           "parameter %d has not one value for each of %lld channels", i, (long long)x->dim[1]);
        }
    }
    struct norm_shape s = norm_of(call);
    if (call->training && s.channels > 0 && s.n * s.pixels < 2) {
        return ERR_SAY(note, ERR_UNSUPPORTED,
                       "one value of each channel has no variance: training needs a larger batch or frozen statistics");
    }
    call->saved_bytes = call->training ? (size_t)s.channels * SAVED_COUNT * sizeof(float) : 0;
    call->backward_bytes = call->training ? 0 : (size_t)s.channels * sizeof(float);
    return op_set(call, 0, DTYPE_F32, x, note);
}

static bool block(struct op_call *call, struct op_block *ret)
{
    return !call->training && call->in[0].shape.rank == 4 && op_block_one(call, ret);
}

/* The same sums as below; channels that fill up the last block become 0. */
static void forward_blocked(const struct op_call *call)
{
    const struct batch_norm *norm = call->parsed;
    const struct shape *x = &call->in[0].shape;
    const float *scale = call->in[1].data;
    const float *bias = call->in[2].data;
    const float *mean = call->in[3].data;
    const float *variance = call->in[4].data;
    const float *in = call->in[0].data;
    float *out = call->out[0].data;

    for (int64_t i = 0; i < x->dim[0] * block_count(x->dim[1]); i++) {
        float factor[BLOCK] = {0};
        float summand[BLOCK] = {0};
        int64_t c0 = i % block_count(x->dim[1]) * BLOCK;
        for (int64_t c = c0; c < x->dim[1] && c < c0 + BLOCK; c++) {
            factor[c - c0] = scale[c] / sqrtf(variance[c] + norm->epsilon);
            summand[c - c0] = bias[c] - mean[c] * factor[c - c0];
        }
        for (int64_t p = 0; p < x->dim[2] * x->dim[3]; p++, in += BLOCK, out += BLOCK) {
            for (int k = 0; k < BLOCK; k++) {
                out[k] = in[k] * factor[k] + summand[k];
            }
        }
    }
}

static enum err forward(const struct op_call *call)
{
    const struct batch_norm *norm = call->parsed;
    const struct shape *x = &call->in[0].shape;
    const float *scale = call->in[1].data;
    const float *bias = call->in[2].data;
    const float *mean = call->in[3].data;
    const float *variance = call->in[4].data;
    int64_t pixels = op_product(x, 2, x->rank);

    if (call->training) {
        struct norm_shape s = norm_of(call);
        float *saved = call->saved;
        float epsilon = norm->epsilon > TRAINING_EPSILON ? norm->epsilon : TRAINING_EPSILON;
        batch_norm_statistics_f32(&s, epsilon, call->in[0].data, saved + SAVED_MEAN * s.channels,
                                  saved + SAVED_VARIANCE * s.channels, saved + SAVED_INVERSE * s.channels);
        for (int64_t c = 0; c < s.channels; c++) {
            saved[SAVED_VARIANCE * s.channels + c] += epsilon - norm->epsilon;
        }
        batch_norm_f32(&s, saved + SAVED_MEAN * s.channels, saved + SAVED_INVERSE * s.channels, scale, bias,
                       call->in[0].data, call->out[0].data);
        return ERR_NONE;
    }
    if (call->blocked_out) {
        forward_blocked(call);
        return ERR_NONE;
    }
    for (int64_t i = 0; i < op_product(x, 0, 2); i++) {
        int64_t c = i % x->dim[1];
        const float *in = (const float *)call->in[0].data + i * pixels;
        float *out = (float *)call->out[0].data + i * pixels;
        /* Rounded in the order of other runtimes, so that quantised neighbours round to the same bytes. */
        float factor = scale[c] * (1 / sqrtf(variance[c] + norm->epsilon));
        float summand = bias[c] - mean[c] * factor;
        for (int64_t p = 0; p < pixels; p++) {
            out[p] = in[p] * factor + summand;
        }
    }
    return ERR_NONE;
}

/* Running statistics have no gradient: they are followed, not learnt. */
static enum err backward(const struct op_call *call, const struct tensor *out_grad, struct tensor *in_grad)
{
    const struct batch_norm *norm = call->parsed;
    struct norm_shape s = norm_of(call);
    const float *saved = call->saved;
    const float *mean = call->training ? saved + SAVED_MEAN * s.channels : call->in[3].data;
    const float *inverse = call->training ? saved + SAVED_INVERSE * s.channels : call->work;

    if (!call->training) {
        batch_norm_inverse_f32(s.channels, norm->epsilon, call->in[4].data, call->work);
    }
    batch_norm_backward_f32(&s, call->training, mean, inverse, call->in[1].data, call->in[0].data, out_grad[0].data,
                            in_grad[0].data, in_grad[1].data, in_grad[2].data);
    return ERR_NONE;
}

void batch_norm_seen(const struct op_call *call, const float **ret_mean, const float **ret_variance)
{
    const float *saved = call->saved;
    int64_t channels = call->in[0].shape.dim[1];

    *ret_mean = saved + SAVED_MEAN * channels;
    *ret_variance = saved + SAVED_VARIANCE * channels;
}

float batch_norm_epsilon(const struct op_call *call)
{
    return ((const struct batch_norm *)call->parsed)->epsilon;
}

static const struct op_def rows[] = {
    {.domain = "",
     .name = "BatchNormalization",
     .opset_min = 1,
     .opset_max = OP_LAST,
     .kind = OP_BATCH_NORM,
     .min_in = 5,
     .max_in = 5,
     .min_out = 1,
     .max_out = 1,
     .types = OP_F32,
     .min_rank = 2,
     .max_rank = 5,
     .parse = parse,
     .shape = shape,
     .forward = forward,
     .block = block,
     .backward = backward,
     .backward_in = 1U << 0 | 1U << 1 | 1U << 3 | 1U << 4},
};
const struct op_rows op_rows_batch_norm = OP_ROWS(rows);
