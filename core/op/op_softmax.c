/* op_softmax.c: Softmax and LogSoftmax: over everything behind an axis up to opset 12, along one axis since 13. */
#include <math.h>

#include "core/op/op_private.h"

struct softmax {
    int64_t axis;
};

static enum err parse(const struct attrs *attrs, int opset, int n_in, int n_out, struct arena *mem, void **ret,
                      struct err_note *note)
{
    struct softmax *softmax = ARENA_NEW(mem, struct softmax);

    if (softmax == NULL) {
        return arena_why(mem);
    }
    enum err err = attr_int(attrs, "axis", opset < 13 ? 1 : -1, &softmax->axis, note);
    if (err == ERR_NONE) {
        *ret = softmax;
    }
    return err;
}

static enum err shape(struct op_call *call, struct err_note *note)
{
    const struct softmax *softmax = call->parsed;
    const struct shape *x = &call->in[0].shape;
    int axis = 0;

    /* Old axes may lie right behind the last dimension: every number is then alone. */
    if (call->opset >= 13 || softmax->axis != x->rank) {
        enum err err = op_axis(softmax->axis, x->rank, &axis, note);
        if (err != ERR_NONE) {
            return err;
        }
    }
    return op_set(call, 0, DTYPE_F32, x, note);
}

static void one(const float *x, float *y, int64_t count, int64_t step, bool logarithm)
{
    float top = x[0];
    float sum = 0;

    for (int64_t i = 1; i < count; i++) {
        top = x[i * step] > top ? x[i * step] : top;
    }
    for (int64_t i = 0; i < count; i++) {
        float e = expf(x[i * step] - top);
        y[i * step] = e;
        sum += e;
    }
    float shift = logarithm ? top + logf(sum) : 0;
    for (int64_t i = 0; i < count; i++) {
        y[i * step] = logarithm ? x[i * step] - shift : y[i * step] / sum;
    }
}

static enum err run(const struct op_call *call, bool logarithm)
{
    const struct softmax *softmax = call->parsed;
    const struct shape *x = &call->in[0].shape;
    int axis = (int)(softmax->axis < 0 ? softmax->axis + x->rank : softmax->axis);
    int end = call->opset < 13 ? x->rank : axis + 1;
    int64_t count = op_product(x, axis, end);
    int64_t step = op_product(x, end, x->rank);
    int64_t outer = op_product(x, 0, axis);

    for (int64_t i = 0; count > 0 && i < outer * step; i++) {
        int64_t at = i / step * count * step + i % step;
        one((const float *)call->in[0].data + at, (float *)call->out[0].data + at, count, step, logarithm);
    }
    return ERR_NONE;
}

static enum err softmax_forward(const struct op_call *call)
{
    return run(call, false);
}

static enum err log_softmax_forward(const struct op_call *call)
{
    return run(call, true);
}

#define ROW(op, forward_fn)                                                                                        \
    {                                                                                                              \
        .domain = "", .name = (op), .opset_min = 1, .opset_max = OP_LAST, .min_in = 1, .max_in = 1, .min_out = 1,  \
        .max_out = 1, .types = OP_F32, .min_rank = 1, .max_rank = TENSOR_MAX_RANK, .parse = parse, .shape = shape, \
        .forward = (forward_fn)                                                                                    \
    }

static const struct op_def rows[] = {
    ROW("Softmax", softmax_forward),
    ROW("LogSoftmax", log_softmax_forward),
};
const struct op_rows op_rows_softmax = OP_ROWS(rows);
