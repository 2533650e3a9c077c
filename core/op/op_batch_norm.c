/* op_batch_norm.c: BatchNormalization at inference: a factor and a summand for each channel. */
#include <math.h>

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
    return op_set(call, 0, DTYPE_F32, x, note);
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

    for (int64_t i = 0; i < op_product(x, 0, 2); i++) {
        int64_t c = i % x->dim[1];
        const float *in = (const float *)call->in[0].data + i * pixels;
        float *out = (float *)call->out[0].data + i * pixels;
        float factor = scale[c] / sqrtf(variance[c] + norm->epsilon);
        float summand = bias[c] - mean[c] * factor;
        for (int64_t p = 0; p < pixels; p++) {
            out[p] = in[p] * factor + summand;
        }
    }
    return ERR_NONE;
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
     .forward = forward},
};
const struct op_rows op_rows_batch_norm = OP_ROWS(rows);
