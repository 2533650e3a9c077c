/* op_integer.c: ConvInteger and MatMulInteger: bytes in, exact 32-bit sums out. */
#include "core/kernel/gemm_int.h"
#include "core/kernel/matmul_int.h"
#include "core/op/op_conv_private.h"

/* Input i with its zeros in input zeros, as the kernels take it. */
static struct quantised quantised_of(const struct op_call *call, int i, int zeros)
{
    struct quantised q = {.data = call->in[i].data, .sign = call->in[i].type == DTYPE_U8 ? QUANTISED_U8 : QUANTISED_S8};

    if (op_has(call, zeros)) {
        q.zeros = call->in[zeros].data;
        q.n_zeros = shape_elements(&call->in[zeros].shape);
    }
    return q;
}

/* The zero points are of the type of what they belong to: one, or (of weights) one for each of n channels. */
static enum err check_zeros(const struct op_call *call, int i, int zeros, int64_t n, struct err_note *note)
{
    if (!op_has(call, zeros)) {
        return ERR_NONE;
    }
    const struct shape *s = &call->in[zeros].shape;
    enum err err = op_type(call, zeros, DTYPE_BIT(call->in[i].type), note);
    if (err == ERR_NONE && (s->rank > 1 || (shape_elements(s) != 1 && shape_elements(s) != n))) {
        err = ERR_SAY(note, ERR_UNSUPPORTED, "zero points of input %d: neither one nor %lld", i, (long long)n);
    }
    return err;
}

static enum err check_depth(int64_t depth, struct err_note *note)
{
    if (depth > GEMM_INT_MAX_K) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "sums of %lld products may not fit in 32 bits", (long long)depth);
    }
    return ERR_NONE;
}

static enum err conv_rule(struct op_call *call, struct err_note *note)
{
    struct conv_shape s;
    struct shape out;
    enum err err = op_type(call, 1, OP_BYTE, note);

    err = err != ERR_NONE ? err : conv_measure(call, &s, &out, note);
    err = err != ERR_NONE ? err : check_zeros(call, 0, 2, 1, note);
    err = err != ERR_NONE ? err : check_zeros(call, 1, 3, out.dim[1], note);
    err = err != ERR_NONE ? err : check_depth(s.ic * conv_taps(&s), note);
    if (err != ERR_NONE) {
        return err;
    }
    if (!conv_int_work_bytes(&s, pool_threads(call->pool), &call->work_bytes)) {
        return ERR_SAY(note, ERR_LIMIT, "the scratch of this convolution is too large");
    }
    return op_set(call, 0, DTYPE_I32, &out, note);
}

static enum err conv_forward(const struct op_call *call)
{
    struct conv_shape s = conv_sizes(call);
    struct quantised x = quantised_of(call, 0, 2);
    struct quantised w = quantised_of(call, 1, 3);

    conv_int(&s, &x, &w, call->out[0].data, call->work, call->work_bytes, call->pool);
    return ERR_NONE;
}

/* The right side is one matrix; the left one may be a stack, which is then just a taller matrix. */
static enum err matmul_rule(struct op_call *call, struct err_note *note)
{
    const struct shape *a = &call->in[0].shape;
    const struct shape *b = &call->in[1].shape;
    struct shape out = *a;
    char text_a[SHAPE_TEXT_BYTES];
    char text_b[SHAPE_TEXT_BYTES];
    enum err err = op_type(call, 1, OP_BYTE, note);

    if (err != ERR_NONE) {
        return err;
    }
    if (b->rank != 2) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "a right side of rank %d is not supported", b->rank);
    }
    if (a->dim[a->rank - 1] != b->dim[0]) {
        return ERR_SAY(note, ERR_FORMAT, "matrices %s and %s do not fit", shape_text(a, text_a), shape_text(b, text_b));
    }
    out.dim[out.rank - 1] = b->dim[1];
    err = check_zeros(call, 0, 2, 1, note);
    err = err != ERR_NONE ? err : check_zeros(call, 1, 3, b->dim[1], note);
    err = err != ERR_NONE ? err : check_depth(b->dim[0], note);
    return err != ERR_NONE ? err : op_set(call, 0, DTYPE_I32, &out, note);
}

static enum err matmul_forward(const struct op_call *call)
{
    const struct shape *a = &call->in[0].shape;
    const struct shape *b = &call->in[1].shape;
    struct quantised left = quantised_of(call, 0, 2);
    struct quantised right = quantised_of(call, 1, 3);

    matmul_int(op_product(a, 0, a->rank - 1), b->dim[1], b->dim[0], &left, &right, call->out[0].data);
    return ERR_NONE;
}

static const struct op_def rows[] = {
    {.domain = "",
     .name = "ConvInteger",
     .opset_min = 10,
     .opset_max = OP_LAST,
     .min_in = 2,
     .max_in = 4,
     .min_out = 1,
     .max_out = 1,
     .types = OP_BYTE,
     .min_rank = 3,
     .max_rank = 5,
     .parse = conv_parse,
     .shape = conv_rule,
     .forward = conv_forward},
    {.domain = "",
     .name = "MatMulInteger",
     .opset_min = 10,
     .opset_max = OP_LAST,
     .min_in = 2,
     .max_in = 4,
     .min_out = 1,
     .max_out = 1,
     .types = OP_BYTE,
     .min_rank = 2,
     .max_rank = TENSOR_MAX_RANK,
     .shape = matmul_rule,
     .forward = matmul_forward},
};
const struct op_rows op_rows_integer = OP_ROWS(rows);
