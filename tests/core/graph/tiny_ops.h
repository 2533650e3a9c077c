/*
 * tiny_ops.h: operators just large enough to test the graph with: a pointwise Conv over [n, c, l], Gemm with transB,
 * BatchNormalization, broadcasting Add, activations, and the Shape → Gather → Concat → Reshape chain.
 *
 * Every forward counts itself in tiny_calls, so that tests can say what ran.
 */
#ifndef TESTS_CORE_GRAPH_TINY_OPS_H
#define TESTS_CORE_GRAPH_TINY_OPS_H

#include <math.h>
#include <string.h>

#include "core/graph/graph.h"

static int tiny_calls;
static int tiny_fused_calls;

#define TINY_FLOATS(tensor) ((float *)(tensor).data)
#define TINY_INTS(tensor) ((int64_t *)(tensor).data)

static inline float tiny_act(const struct op_call *call, float x, int64_t channel)
{
    switch (call->epilogue.act) {
    case EPILOGUE_NONE: return x;
    case EPILOGUE_RELU: return x > 0 ? x : 0;
    case EPILOGUE_PRELU: return x > 0 ? x : x * TINY_FLOATS(call->in[call->epilogue.slope_input])[channel];
    case EPILOGUE_LEAKY: return x > 0 ? x : x * call->epilogue.low;
    case EPILOGUE_CLIP: return fminf(fmaxf(x, call->epilogue.low), call->epilogue.high);
    }
    return NAN;
}

static inline void tiny_count(const struct op_call *call)
{
    tiny_calls++;
    tiny_fused_calls += call->epilogue.act != EPILOGUE_NONE || call->epilogue.residual_input >= 0;
}

static inline float tiny_residual(const struct op_call *call, int64_t at)
{
    return call->epilogue.residual_input < 0 ? 0 : TINY_FLOATS(call->in[call->epilogue.residual_input])[at];
}

static enum err tiny_conv_shape(struct op_call *call, struct err_note *note)
{
    const struct shape *x = &call->in[0].shape;
    const struct shape *w = &call->in[1].shape;

    if (w->rank != 3 || w->dim[2] != 1 || w->dim[1] != x->dim[1]) {
        return ERR_SAY(note, ERR_FORMAT, "channels do not fit");
    }
    call->out[0].type = DTYPE_F32;
    call->out[0].shape = (struct shape){.rank = 3, .dim = {x->dim[0], w->dim[0], x->dim[2]}};
    call->work_bytes = (size_t)(x->dim[1] * 4);
    return ERR_NONE;
}

static enum err tiny_conv_forward(const struct op_call *call)
{
    const struct shape *x = &call->in[0].shape;
    const struct shape *y = &call->out[0].shape;
    bool has_bias = call->n_in > 2 && call->in[2].type != DTYPE_NONE;
    float *column = call->work;

    tiny_count(call);
    for (int64_t n = 0; n < y->dim[0]; n++) {
        for (int64_t l = 0; l < y->dim[2]; l++) {
            for (int64_t c = 0; c < x->dim[1]; c++) {
                column[c] = TINY_FLOATS(call->in[0])[(n * x->dim[1] + c) * x->dim[2] + l];
            }
            for (int64_t o = 0; o < y->dim[1]; o++) {
                int64_t at = (n * y->dim[1] + o) * y->dim[2] + l;
                float sum = has_bias ? TINY_FLOATS(call->in[2])[o] : 0;
                for (int64_t c = 0; c < x->dim[1]; c++) {
                    sum += column[c] * TINY_FLOATS(call->in[1])[o * x->dim[1] + c];
                }
                TINY_FLOATS(call->out[0])[at] = tiny_act(call, sum + tiny_residual(call, at), o);
            }
        }
    }
    return ERR_NONE;
}

struct tiny_gemm {
    int64_t trans_b;
    float beta;
};

static enum err tiny_gemm_parse(const struct attrs *attrs, int opset, int n_in, int n_out, struct arena *mem,
                                void **ret, struct err_note *note)
{
    struct tiny_gemm *gemm = ARENA_NEW(mem, struct tiny_gemm);

    (void)opset, (void)n_in, (void)n_out;
    if (gemm == NULL) {
        return arena_why(mem);
    }
    enum err err = attr_int(attrs, "transB", 0, &gemm->trans_b, note);
    if (err == ERR_NONE) {
        err = attr_float(attrs, "beta", 1, &gemm->beta, note);
    }
    *ret = gemm;
    return err;
}

static enum err tiny_gemm_shape(struct op_call *call, struct err_note *note)
{
    const struct tiny_gemm *gemm = call->parsed;
    const struct shape *a = &call->in[0].shape;
    const struct shape *b = &call->in[1].shape;

    if (b->rank != 2 || a->dim[1] != b->dim[gemm->trans_b ? 1 : 0]) {
        return ERR_SAY(note, ERR_FORMAT, "[m, k] and [k, n] do not fit");
    }
    call->out[0].type = DTYPE_F32;
    call->out[0].shape = (struct shape){.rank = 2, .dim = {a->dim[0], b->dim[gemm->trans_b ? 0 : 1]}};
    return ERR_NONE;
}

static enum err tiny_gemm_forward(const struct op_call *call)
{
    const struct tiny_gemm *gemm = call->parsed;
    const struct shape *y = &call->out[0].shape;
    int64_t depth = call->in[0].shape.dim[1];
    bool has_bias = call->n_in > 2 && call->in[2].type != DTYPE_NONE;
    bool one_bias = has_bias && shape_elements(&call->in[2].shape) == 1;

    tiny_count(call);
    for (int64_t m = 0; m < y->dim[0]; m++) {
        for (int64_t n = 0; n < y->dim[1]; n++) {
            float sum = has_bias ? gemm->beta * TINY_FLOATS(call->in[2])[one_bias ? 0 : n] : 0;
            for (int64_t k = 0; k < depth; k++) {
                int64_t at = gemm->trans_b ? n * depth + k : k * y->dim[1] + n;
                sum += TINY_FLOATS(call->in[0])[m * depth + k] * TINY_FLOATS(call->in[1])[at];
            }
            int64_t at = m * y->dim[1] + n;
            TINY_FLOATS(call->out[0])[at] = tiny_act(call, sum + tiny_residual(call, at), n);
        }
    }
    return ERR_NONE;
}

/* Output as input 0. */
static enum err tiny_same_shape(struct op_call *call, struct err_note *note)
{
    (void)note;
    for (int i = 0; i < call->n_out; i++) {
        call->out[i].type = call->in[0].type;
        call->out[i].shape = call->in[0].shape;
    }
    return ERR_NONE;
}

static enum err tiny_norm_forward(const struct op_call *call)
{
    const struct shape *x = &call->in[0].shape;
    int64_t inner = x->rank == 3 ? x->dim[2] : 1;

    tiny_count(call);
    for (int64_t i = 0; i < shape_elements(x); i++) {
        int64_t c = i / inner % x->dim[1];
        TINY_FLOATS(call->out[0])
        [i] = (TINY_FLOATS(call->in[0])[i] - TINY_FLOATS(call->in[3])[c]) / sqrtf(TINY_FLOATS(call->in[4])[c] + 1e-5F) *
                  TINY_FLOATS(call->in[1])[c] +
              TINY_FLOATS(call->in[2])[c];
    }
    return ERR_NONE;
}

static enum err tiny_relu_forward(const struct op_call *call)
{
    tiny_count(call);
    for (int64_t i = 0; i < shape_elements(&call->in[0].shape); i++) {
        float x = TINY_FLOATS(call->in[0])[i];
        TINY_FLOATS(call->out[0])[i] = x > 0 ? x : 0;
    }
    return ERR_NONE;
}

static enum err tiny_leaky_forward(const struct op_call *call)
{
    tiny_count(call);
    for (int64_t i = 0; i < shape_elements(&call->in[0].shape); i++) {
        float x = TINY_FLOATS(call->in[0])[i];
        TINY_FLOATS(call->out[0])[i] = x > 0 ? x : x * 0.01F;
    }
    return ERR_NONE;
}

static enum err tiny_clip_forward(const struct op_call *call)
{
    tiny_count(call);
    for (int64_t i = 0; i < shape_elements(&call->in[0].shape); i++) {
        float x = TINY_FLOATS(call->in[0])[i];
        if (call->n_in > 1 && call->in[1].type != DTYPE_NONE) {
            x = fmaxf(x, TINY_FLOATS(call->in[1])[0]);
        }
        if (call->n_in > 2) {
            x = fminf(x, TINY_FLOATS(call->in[2])[0]);
        }
        TINY_FLOATS(call->out[0])[i] = x;
    }
    return ERR_NONE;
}

/* Where element i of the larger shape lies in the smaller one, which is broadcast from the right. */
static inline int64_t tiny_broadcast(const struct shape *large, const struct shape *small, int64_t i)
{
    int64_t at = 0;
    int64_t stride = 1;

    for (int d = 1; d <= large->rank; d++) {
        int64_t index = i % large->dim[large->rank - d];
        i /= large->dim[large->rank - d];
        if (d <= small->rank) {
            int64_t dim = small->dim[small->rank - d];
            at += dim == 1 ? 0 : index * stride;
            stride *= dim;
        }
    }
    return at;
}

static enum err tiny_prelu_forward(const struct op_call *call)
{
    tiny_count(call);
    for (int64_t i = 0; i < shape_elements(&call->in[0].shape); i++) {
        float x = TINY_FLOATS(call->in[0])[i];
        float slope = TINY_FLOATS(call->in[1])[tiny_broadcast(&call->in[0].shape, &call->in[1].shape, i)];
        TINY_FLOATS(call->out[0])[i] = x > 0 ? x : x * slope;
    }
    return ERR_NONE;
}

static enum err tiny_add_shape(struct op_call *call, struct err_note *note)
{
    const struct shape *a = &call->in[0].shape;
    const struct shape *b = &call->in[1].shape;
    struct shape y = {.rank = a->rank > b->rank ? a->rank : b->rank};

    for (int d = 1; d <= y.rank; d++) {
        int64_t left = d <= a->rank ? a->dim[a->rank - d] : 1;
        int64_t right = d <= b->rank ? b->dim[b->rank - d] : 1;
        if (left != right && left != 1 && right != 1) {
            return ERR_SAY(note, ERR_FORMAT, "%d and %d do not broadcast", (int)left, (int)right);
        }
        y.dim[y.rank - d] = left == 1 ? right : left;
    }
    call->out[0].type = call->in[0].type;
    call->out[0].shape = y;
    return ERR_NONE;
}

static enum err tiny_add_forward(const struct op_call *call)
{
    const struct shape *y = &call->out[0].shape;

    tiny_count(call);
    for (int64_t i = 0; i < shape_elements(y); i++) {
        TINY_FLOATS(call->out[0])
        [i] = TINY_FLOATS(call->in[0])[tiny_broadcast(y, &call->in[0].shape, i)] +
              TINY_FLOATS(call->in[1])[tiny_broadcast(y, &call->in[1].shape, i)];
    }
    return ERR_NONE;
}

/* Output 0 as input 0; output 1, the mask, of bytes. */
static enum err tiny_dropout_shape(struct op_call *call, struct err_note *note)
{
    enum err err = tiny_same_shape(call, note);

    if (call->n_out > 1) {
        call->out[1].type = DTYPE_BOOL;
    }
    return err;
}

static enum err tiny_identity_forward(const struct op_call *call)
{
    tiny_count(call);
    memcpy(call->out[0].data, call->in[0].data, tensor_bytes(&call->in[0]));
    if (call->n_out > 1) {
        memset(call->out[1].data, 1, tensor_bytes(&call->out[1]));
    }
    return ERR_NONE;
}

static enum err tiny_shape_shape(struct op_call *call, struct err_note *note)
{
    (void)note;
    call->out[0].type = DTYPE_I64;
    call->out[0].shape = (struct shape){.rank = 1, .dim = {call->in[0].shape.rank}};
    return ERR_NONE;
}

static enum err tiny_shape_forward(const struct op_call *call)
{
    tiny_count(call);
    for (int i = 0; i < call->in[0].shape.rank; i++) {
        TINY_INTS(call->out[0])[i] = call->in[0].shape.dim[i];
    }
    return ERR_NONE;
}

/* One element of a row of integers. */
static enum err tiny_gather_shape(struct op_call *call, struct err_note *note)
{
    (void)note;
    call->out[0].type = DTYPE_I64;
    call->out[0].shape = (struct shape){.rank = 1, .dim = {1}};
    return ERR_NONE;
}

static enum err tiny_gather_forward(const struct op_call *call)
{
    int64_t index = TINY_INTS(call->in[1])[0];

    tiny_count(call);
    if (index < 0 || index >= call->in[0].shape.dim[0]) {
        return ERR_FORMAT;
    }
    TINY_INTS(call->out[0])[0] = TINY_INTS(call->in[0])[index];
    return ERR_NONE;
}

/* Rows of integers, one behind the other. */
static enum err tiny_concat_shape(struct op_call *call, struct err_note *note)
{
    (void)note;
    call->out[0].type = DTYPE_I64;
    call->out[0].shape.rank = 1;
    for (int i = 0; i < call->n_in; i++) {
        call->out[0].shape.dim[0] += call->in[i].shape.dim[0];
    }
    return ERR_NONE;
}

static enum err tiny_concat_forward(const struct op_call *call)
{
    unsigned char *to = call->out[0].data;

    tiny_count(call);
    for (int i = 0; i < call->n_in; i++) {
        memcpy(to, call->in[i].data, tensor_bytes(&call->in[i]));
        to += tensor_bytes(&call->in[i]);
    }
    return ERR_NONE;
}

/* Target dimensions as they are; no -1. */
static enum err tiny_reshape_shape(struct op_call *call, struct err_note *note)
{
    call->out[0].type = call->in[0].type;
    call->out[0].shape.rank = (int)call->in[1].shape.dim[0];
    memcpy(call->out[0].shape.dim, call->in[1].data, tensor_bytes(&call->in[1]));
    int64_t count;
    if (!shape_count(&call->out[0].shape, &count) || count != shape_elements(&call->in[0].shape)) {
        return ERR_SAY(note, ERR_FORMAT, "the target has another size");
    }
    return ERR_NONE;
}

/* [rows given by a value] of zeros. */
static enum err tiny_zeros_shape(struct op_call *call, struct err_note *note)
{
    (void)note;
    call->out[0].type = DTYPE_F32;
    call->out[0].shape = (struct shape){.rank = 1, .dim = {TINY_INTS(call->in[0])[0]}};
    return ERR_NONE;
}

static enum err tiny_zeros_forward(const struct op_call *call)
{
    tiny_count(call);
    memset(call->out[0].data, 0, tensor_bytes(&call->out[0]));
    return ERR_NONE;
}

#define TINY_F32 DTYPE_BIT(DTYPE_F32)
#define TINY_I64 DTYPE_BIT(DTYPE_I64)
#define TINY_ANY (TINY_F32 | TINY_I64)

/* name, kind, inputs, outputs, types, ranks, value inputs, epilogue, parse, shape, forward */
#define TINY(NAME, KIND, MIN_IN, MAX_IN, MAX_OUT, TYPES, MIN_RANK, MAX_RANK, VALUES, EPILOGUE, PARSE, SHAPE, FORWARD) \
    {                                                                                                                 \
        .domain = "", .name = (NAME), .opset_min = 1, .opset_max = 13, .kind = (KIND), .min_in = (MIN_IN),            \
        .max_in = (MAX_IN), .min_out = 1, .max_out = (MAX_OUT), .types = (TYPES), .min_rank = (MIN_RANK),             \
        .max_rank = (MAX_RANK), .value_inputs = (VALUES), .takes_epilogue = (EPILOGUE), .parse = (PARSE),             \
        .shape = (SHAPE), .forward = (FORWARD)                                                                        \
    }

static const struct op_def tiny_ops[] = {
    TINY("Conv", OP_CONV, 2, 3, 1, TINY_F32, 3, 3, 0, true, NULL, tiny_conv_shape, tiny_conv_forward),
    TINY("Gemm", OP_GEMM, 2, 3, 1, TINY_F32, 2, 2, 0, true, tiny_gemm_parse, tiny_gemm_shape, tiny_gemm_forward),
    TINY("PlainConv", OP_CONV, 2, 3, 1, TINY_F32, 3, 3, 0, false, NULL, tiny_conv_shape, tiny_conv_forward),
    TINY("BatchNormalization", OP_BATCH_NORM, 5, 5, 1, TINY_F32, 2, 3, 0, false, NULL, tiny_same_shape,
         tiny_norm_forward),
    TINY("Relu", OP_RELU, 1, 1, 1, TINY_F32, 0, 8, 0, false, NULL, tiny_same_shape, tiny_relu_forward),
    TINY("LeakyRelu", OP_LEAKY_RELU, 1, 1, 1, TINY_F32, 0, 8, 0, false, NULL, tiny_same_shape, tiny_leaky_forward),
    TINY("Clip", OP_CLIP, 1, 3, 1, TINY_F32, 0, 8, 0, false, NULL, tiny_same_shape, tiny_clip_forward),
    TINY("PRelu", OP_PRELU, 2, 2, 1, TINY_F32, 0, 8, 0, false, NULL, tiny_same_shape, tiny_prelu_forward),
    TINY("Add", OP_ADD, 2, 2, 1, TINY_F32, 0, 8, 0, false, NULL, tiny_add_shape, tiny_add_forward),
    TINY("Identity", OP_IDENTITY, 1, 1, 1, TINY_ANY, 0, 8, 0, false, NULL, tiny_same_shape, tiny_identity_forward),
    TINY("Dropout", OP_IDENTITY, 1, 1, 2, TINY_F32, 0, 8, 0, false, NULL, tiny_dropout_shape, tiny_identity_forward),
    TINY("Shape", OP_SHAPE, 1, 1, 1, TINY_ANY, 0, 8, 0, false, NULL, tiny_shape_shape, tiny_shape_forward),
    TINY("Gather", OP_OTHER, 2, 2, 1, TINY_I64, 1, 1, 0, false, NULL, tiny_gather_shape, tiny_gather_forward),
    TINY("Concat", OP_OTHER, 1, 8, 1, TINY_I64, 1, 1, 0, false, NULL, tiny_concat_shape, tiny_concat_forward),
    TINY("Reshape", OP_OTHER, 2, 2, 1, TINY_ANY, 0, 8, 2, false, NULL, tiny_reshape_shape, tiny_identity_forward),
    TINY("Zeros", OP_OTHER, 1, 1, 1, TINY_I64, 1, 1, 1, false, NULL, tiny_zeros_shape, tiny_zeros_forward),
};

static const struct op_def *tiny_find(const char *domain, const char *name, int opset)
{
    for (size_t i = 0; i < sizeof tiny_ops / sizeof *tiny_ops; i++) {
        if (strcmp(tiny_ops[i].domain, domain) == 0 && strcmp(tiny_ops[i].name, name) == 0 &&
            opset >= tiny_ops[i].opset_min && opset <= tiny_ops[i].opset_max) {
            return &tiny_ops[i];
        }
    }
    return NULL;
}

static const struct op_lookup tiny_lookup = {tiny_find};

#endif
