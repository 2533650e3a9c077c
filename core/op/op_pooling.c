/* op_pooling.c: MaxPool, AveragePool and their global forms. */
#include <string.h>

#include "core/kernel/block.h"
#include "core/kernel/pooling.h"
#include "core/kernel/pooling_backward.h"
#include "core/op/op_window_private.h"

struct pooling {
    struct window window;
    bool count_padding;
};

static enum err pooling_parse(const struct attrs *attrs, int opset, int n_in, int n_out, struct arena *mem, void **ret,
                              struct err_note *note)
{
    struct pooling *pooling = ARENA_NEW(mem, struct pooling);
    int64_t count = 0;
    int64_t order = 0;

    if (pooling == NULL) {
        return arena_why(mem);
    }
    enum err err = window_parse(attrs, &pooling->window, note);
    if (err == ERR_NONE) {
        err = attr_int(attrs, "count_include_pad", 0, &count, note);
    }
    if (err == ERR_NONE) {
        err = attr_int(attrs, "storage_order", 0, &order, note);
    }
    if (err != ERR_NONE) {
        return err;
    }
    if (order != 0) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "storage_order %lld is not supported", (long long)order);
    }
    pooling->count_padding = count != 0;
    *ret = pooling;
    return ERR_NONE;
}

static enum err measure(const struct op_call *call, struct pooling_shape *ret, struct shape *ret_out,
                        struct err_note *note)
{
    const struct pooling *pooling = call->parsed;
    const struct shape *x = &call->in[0].shape;
    struct window_sizes sizes;
    enum err err = window_measure(&pooling->window, x, NULL, &sizes, note);

    if (err != ERR_NONE) {
        return err;
    }
    struct pooling_shape s = {.planes = x->dim[0] * x->dim[1]};
    memcpy(s.in, sizes.in, sizeof s.in);
    memcpy(s.kernel, sizes.kernel, sizeof s.kernel);
    memcpy(s.stride, sizes.stride, sizeof s.stride);
    memcpy(s.dilation, sizes.dilation, sizeof s.dilation);
    memcpy(s.pad, sizes.pad, sizeof s.pad);
    memcpy(s.pad_end, sizes.pad_end, sizeof s.pad_end);
    memcpy(s.out, sizes.out, sizeof s.out);
    *ret = s;
    *ret_out = window_out_shape(&sizes, x, x->dim[1]);
    return ERR_NONE;
}

static enum err pooling_shape_rule(struct op_call *call, struct err_note *note)
{
    struct pooling_shape s;
    struct shape out;
    enum err err = measure(call, &s, &out, note);

    return err != ERR_NONE ? err : op_set(call, 0, DTYPE_F32, &out, note);
}

/* Images of two dimensions that are there in blocks already. */
static bool pooling_block(struct op_call *call, struct op_block *ret)
{
    return call->in[0].shape.rank == 4 && op_block_one(call, ret);
}

static enum err max_forward(const struct op_call *call)
{
    struct pooling_shape s = {0};
    struct shape out = {0};

    (void)!measure(call, &s, &out, NULL); /* has succeeded in the shape rule */
    if (call->blocked_out) {
        s.planes = out.dim[0] * block_count(out.dim[1]);
        pooling_max_block(&s, call->in[0].data, call->out[0].data);
    } else {
        pooling_max_ref(&s, call->in[0].data, call->out[0].data);
    }
    return ERR_NONE;
}

static enum err mean_forward(const struct op_call *call)
{
    const struct pooling *pooling = call->parsed;
    struct pooling_shape s = {0};
    struct shape out = {0};

    (void)!measure(call, &s, &out, NULL); /* has succeeded in the shape rule */
    if (call->blocked_out) {
        s.planes = out.dim[0] * block_count(out.dim[1]);
        pooling_mean_block(&s, pooling->count_padding, call->in[0].data, call->out[0].data);
    } else {
        pooling_mean_ref(&s, pooling->count_padding, call->in[0].data, call->out[0].data);
    }
    return ERR_NONE;
}

static enum err max_backward(const struct op_call *call, const struct tensor *out_grad, struct tensor *in_grad)
{
    struct pooling_shape s = {0};
    struct shape out = {0};

    (void)!measure(call, &s, &out, NULL); /* has succeeded in the shape rule */
    if (in_grad[0].data != NULL) {
        pooling_max_backward_ref(&s, call->in[0].data, out_grad[0].data, in_grad[0].data);
    }
    return ERR_NONE;
}

static enum err mean_backward(const struct op_call *call, const struct tensor *out_grad, struct tensor *in_grad)
{
    const struct pooling *pooling = call->parsed;
    struct pooling_shape s = {0};
    struct shape out = {0};

    (void)!measure(call, &s, &out, NULL); /* has succeeded in the shape rule */
    if (in_grad[0].data != NULL) {
        pooling_mean_backward_ref(&s, pooling->count_padding, out_grad[0].data, in_grad[0].data);
    }
    return ERR_NONE;
}

static enum err global_shape_rule(struct op_call *call, struct err_note *note)
{
    struct shape out = call->in[0].shape;

    for (int d = 2; d < out.rank; d++) {
        if (out.dim[d] == 0) {
            return ERR_SAY(note, ERR_FORMAT, "an image without pixels has no mean and no maximum");
        }
        out.dim[d] = 1;
    }
    return op_set(call, 0, DTYPE_F32, &out, note);
}

static enum err global_mean_forward(const struct op_call *call)
{
    const struct shape *x = &call->in[0].shape;
    const float *in = call->in[0].data;
    float *out = call->out[0].data;
    int64_t pixels = op_product(x, 2, x->rank);

    for (int64_t i = 0; i < shape_elements(&call->out[0].shape); i++) {
        double sum = 0;
        for (int64_t p = 0; p < pixels; p++) {
            sum += (double)in[i * pixels + p];
        }
        out[i] = (float)(sum / (double)pixels);
    }
    return ERR_NONE;
}

static enum err global_mean_backward(const struct op_call *call, const struct tensor *out_grad, struct tensor *in_grad)
{
    const struct shape *x = &call->in[0].shape;
    const float *dy = out_grad[0].data;
    float *dx = in_grad[0].data;
    int64_t pixels = op_product(x, 2, x->rank);

    for (int64_t i = 0; dx != NULL && i < shape_elements(x); i++) {
        dx[i] += dy[i / pixels] / (float)pixels;
    }
    return ERR_NONE;
}

static enum err global_max_forward(const struct op_call *call)
{
    const struct shape *x = &call->in[0].shape;
    const float *in = call->in[0].data;
    float *out = call->out[0].data;
    int64_t pixels = op_product(x, 2, x->rank);

    for (int64_t i = 0; i < shape_elements(&call->out[0].shape); i++) {
        float best = in[i * pixels];
        for (int64_t p = 1; p < pixels; p++) {
            float v = in[i * pixels + p];
            best = v > best || v != v ? v : best;
        }
        out[i] = best;
    }
    return ERR_NONE;
}

#define POOL(op, parse_fn, shape_fn, forward_fn, backward_fn, reads_in, block_fn)                                 \
    {                                                                                                             \
        .domain = "", .name = (op), .opset_min = 1, .opset_max = OP_LAST, .min_in = 1, .max_in = 1, .min_out = 1, \
        .max_out = 1, .types = OP_F32, .min_rank = 3, .max_rank = 5, .parse = (parse_fn), .shape = (shape_fn),    \
        .forward = (forward_fn), .backward = (backward_fn), .backward_in = (reads_in), .block = (block_fn)        \
    }

static const struct op_def rows[] = {
    POOL("MaxPool", pooling_parse, pooling_shape_rule, max_forward, max_backward, 1U, pooling_block),
    POOL("AveragePool", pooling_parse, pooling_shape_rule, mean_forward, mean_backward, 0, pooling_block),
    POOL("GlobalAveragePool", NULL, global_shape_rule, global_mean_forward, global_mean_backward, 0, NULL),
    POOL("GlobalMaxPool", NULL, global_shape_rule, global_max_forward, NULL, 0, NULL),
};
const struct op_rows op_rows_pooling = OP_ROWS(rows);
