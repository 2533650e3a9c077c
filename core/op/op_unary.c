/* op_unary.c: operators that map each number by itself: activations and simple functions. */
#include <math.h>

#include "core/kernel/elementwise_backward.h"
#include "core/op/op_private.h"

struct unary_attrs {
    float alpha, beta;
};

static enum err same_shape(struct op_call *call, struct err_note *note)
{
    return op_set(call, 0, call->in[0].type, &call->in[0].shape, note);
}

static enum err run(const struct op_call *call, enum unary what, float alpha, float beta)
{
    unary_f32(what, alpha, beta, call->in[0].data, call->out[0].data, op_numbers(call));
    return ERR_NONE;
}

static enum err parse_alpha_beta(const struct attrs *attrs, float alpha, float beta, struct arena *mem, void **ret,
                                 struct err_note *note)
{
    struct unary_attrs *unary = ARENA_NEW(mem, struct unary_attrs);

    if (unary == NULL) {
        return arena_why(mem);
    }
    enum err err = attr_float(attrs, "alpha", alpha, &unary->alpha, note);
    if (err == ERR_NONE) {
        err = attr_float(attrs, "beta", beta, &unary->beta, note);
    }
    if (err == ERR_NONE) {
        *ret = unary;
    }
    return err;
}

#define PARSE(name, alpha, beta)                                                                                   \
    static enum err name(const struct attrs *attrs, int opset, int n_in, int n_out, struct arena *mem, void **ret, \
                         struct err_note *note)                                                                    \
    {                                                                                                              \
        return parse_alpha_beta(attrs, alpha, beta, mem, ret, note);                                               \
    }
PARSE(leaky_parse, 0.01F, 0)
PARSE(elu_parse, 1, 0)
PARSE(hard_sigmoid_parse, 0.2F, 0.5F)

#define FORWARD(name, what)                                                                        \
    static enum err name(const struct op_call *call)                                               \
    {                                                                                              \
        const struct unary_attrs *unary = call->parsed;                                            \
        return run(call, what, unary != NULL ? unary->alpha : 0, unary != NULL ? unary->beta : 0); \
    }
FORWARD(relu, UNARY_RELU)
FORWARD(leaky_relu, UNARY_LEAKY_RELU)
FORWARD(sigmoid, UNARY_SIGMOID)
FORWARD(tanh_forward, UNARY_TANH)
FORWARD(floor_forward, UNARY_FLOOR)
FORWARD(ceil_forward, UNARY_CEIL)
FORWARD(exp_forward, UNARY_EXP)
FORWARD(log_forward, UNARY_LOG)
FORWARD(sqrt_forward, UNARY_SQRT)
FORWARD(abs_forward, UNARY_ABS)
FORWARD(neg, UNARY_NEG)
FORWARD(reciprocal, UNARY_RECIPROCAL)
FORWARD(elu, UNARY_ELU)
FORWARD(hard_sigmoid, UNARY_HARD_SIGMOID)
FORWARD(hard_swish, UNARY_HARD_SWISH)
FORWARD(softplus, UNARY_SOFTPLUS)
FORWARD(erf_forward, UNARY_ERF)

static enum err back(const struct op_call *call, enum unary what, float alpha, float beta, const void *at,
                     const struct tensor *out_grad, struct tensor *in_grad)
{
    if (in_grad[0].data != NULL) {
        unary_backward_f32(what, alpha, beta, at, out_grad[0].data, in_grad[0].data,
                           shape_elements(&call->in[0].shape));
    }
    return ERR_NONE;
}

#define BACKWARD(name, what, at)                                                                                 \
    static enum err name(const struct op_call *call, const struct tensor *out_grad, struct tensor *in_grad)      \
    {                                                                                                            \
        const struct unary_attrs *unary = call->parsed;                                                          \
        return back(call, what, unary != NULL ? unary->alpha : 0, unary != NULL ? unary->beta : 0, at, out_grad, \
                    in_grad);                                                                                    \
    }
BACKWARD(relu_backward, UNARY_RELU, call->out[0].data)
BACKWARD(leaky_relu_backward, UNARY_LEAKY_RELU, call->in[0].data)
BACKWARD(sigmoid_backward, UNARY_SIGMOID, call->out[0].data)
BACKWARD(tanh_backward, UNARY_TANH, call->out[0].data)
BACKWARD(clip_attr_backward, UNARY_CLIP, call->out[0].data)

/* Clip: bounds as attributes up to opset 10, as inputs after. */
static enum err clip_parse(const struct attrs *attrs, int opset, int n_in, int n_out, struct arena *mem, void **ret,
                           struct err_note *note)
{
    struct unary_attrs *clip = ARENA_NEW(mem, struct unary_attrs);

    if (clip == NULL) {
        return arena_why(mem);
    }
    enum err err = attr_float(attrs, "min", -INFINITY, &clip->alpha, note);
    if (err == ERR_NONE) {
        err = attr_float(attrs, "max", INFINITY, &clip->beta, note);
    }
    if (err == ERR_NONE) {
        *ret = clip;
    }
    return err;
}

static enum err clip_attr_forward(const struct op_call *call)
{
    const struct unary_attrs *clip = call->parsed;

    return run(call, UNARY_CLIP, clip->alpha, clip->beta);
}

static enum err clip_input_shape(struct op_call *call, struct err_note *note)
{
    for (int i = 1; i < call->n_in; i++) {
        if (op_has(call, i)) {
            enum err err = op_type(call, i, OP_F32, note);
            if (err != ERR_NONE) {
                return err;
            }
            if (shape_elements(&call->in[i].shape) != 1) {
                return ERR_SAY(note, ERR_FORMAT, "bound %d is not one number", i);
            }
        }
    }
    return same_shape(call, note);
}

static float bound(const struct op_call *call, int i, float absent)
{
    return op_has(call, i) ? *(const float *)call->in[i].data : absent;
}

static enum err clip_input_forward(const struct op_call *call)
{
    return run(call, UNARY_CLIP, bound(call, 1, -INFINITY), bound(call, 2, INFINITY));
}

/* The bounds themselves are not learnt. */
static enum err clip_input_backward(const struct op_call *call, const struct tensor *out_grad, struct tensor *in_grad)
{
    return back(call, UNARY_CLIP, bound(call, 1, -INFINITY), bound(call, 2, INFINITY), call->out[0].data, out_grad,
                in_grad);
}

#define TRAINED(op, first, op_kind, parse_fn, forward_fn, backward_fn, reads_in, reads_out, block_fn)           \
    {                                                                                                           \
        .domain = "", .name = (op), .opset_min = (first), .opset_max = OP_LAST, .kind = (op_kind), .min_in = 1, \
        .max_in = 1, .min_out = 1, .max_out = 1, .types = OP_F32, .min_rank = 0, .max_rank = TENSOR_MAX_RANK,   \
        .parse = (parse_fn), .shape = same_shape, .forward = (forward_fn), .backward = (backward_fn),           \
        .backward_in = (reads_in), .backward_out = (reads_out), .block = (block_fn)                             \
    }

#define ROW(op, first, op_kind, parse_fn, forward_fn) \
    TRAINED(op, first, op_kind, parse_fn, forward_fn, NULL, 0, 0, NULL)

static const struct op_def rows[] = {
    TRAINED("Relu", 1, OP_RELU, NULL, relu, relu_backward, 0, 1U, op_block_one),
    TRAINED("LeakyRelu", 1, OP_LEAKY_RELU, leaky_parse, leaky_relu, leaky_relu_backward, 1U, 0, op_block_one),
    TRAINED("Sigmoid", 1, OP_OTHER, NULL, sigmoid, sigmoid_backward, 0, 1U, NULL),
    TRAINED("Tanh", 1, OP_OTHER, NULL, tanh_forward, tanh_backward, 0, 1U, NULL),
    ROW("Floor", 1, OP_OTHER, NULL, floor_forward),
    ROW("Ceil", 1, OP_OTHER, NULL, ceil_forward),
    ROW("Exp", 1, OP_OTHER, NULL, exp_forward),
    ROW("Log", 1, OP_OTHER, NULL, log_forward),
    ROW("Sqrt", 1, OP_OTHER, NULL, sqrt_forward),
    ROW("Abs", 1, OP_OTHER, NULL, abs_forward),
    ROW("Neg", 1, OP_OTHER, NULL, neg),
    ROW("Reciprocal", 1, OP_OTHER, NULL, reciprocal),
    ROW("Elu", 1, OP_OTHER, elu_parse, elu),
    ROW("HardSigmoid", 1, OP_OTHER, hard_sigmoid_parse, hard_sigmoid),
    ROW("HardSwish", 14, OP_OTHER, NULL, hard_swish),
    ROW("Softplus", 1, OP_OTHER, NULL, softplus),
    ROW("Erf", 9, OP_OTHER, NULL, erf_forward),
    {.domain = "",
     .name = "Clip",
     .opset_min = 1,
     .opset_max = 10,
     .kind = OP_CLIP,
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = 1,
     .types = OP_F32,
     .min_rank = 0,
     .max_rank = TENSOR_MAX_RANK,
     .parse = clip_parse,
     .shape = same_shape,
     .forward = clip_attr_forward,
     .block = op_block_one,
     .backward = clip_attr_backward,
     .backward_out = 1U << 0},
    {.domain = "",
     .name = "Clip",
     .opset_min = 11,
     .opset_max = OP_LAST,
     .kind = OP_CLIP,
     .min_in = 1,
     .max_in = 3,
     .min_out = 1,
     .max_out = 1,
     .types = OP_F32,
     .min_rank = 0,
     .max_rank = TENSOR_MAX_RANK,
     .shape = clip_input_shape,
     .forward = clip_input_forward,
     .block = op_block_one,
     .backward = clip_input_backward,
     .backward_in = 1U << 1 | 1U << 2,
     .backward_out = 1U << 0},
};
const struct op_rows op_rows_unary = OP_ROWS(rows);
