/*
 * op_qlinear.c: operators on quantised numbers: QLinearConv, QLinearMatMul, and com.microsoft's QLinearAdd and QLinearMul.
 *
 * A quantised tensor is three inputs: bytes, scale, zero point.  Computed as ONNX Runtime does: exact sums, the product of
 * the scales in float, rounding to the nearest even.  With constant weights the passes replace the first two by a faster
 * form with the same result (pass_byte_layout.c).
 */
#include <math.h>
#include <string.h>

#include "core/base/size.h"
#include "core/kernel/gemm_int.h"
#include "core/kernel/kernels.h"
#include "core/kernel/matmul_int.h"
#include "core/op/op_conv_private.h"

/* ---- Quantised inputs -------------------------------------------------------------------------------------------------- */

struct quantised_input {
    int data, scale, zero; /* inputs of the call; data -1: the output's scale and zero */
};

static float scale_of(const struct op_call *call, int i, int64_t channel)
{
    const float *scales = call->in[i].data;

    return scales[shape_elements(&call->in[i].shape) > 1 ? channel : 0];
}

static int32_t zero_of(const struct op_call *call, int i)
{
    if (!op_has(call, i)) {
        return 0;
    }
    return call->in[i].type == DTYPE_U8 ? *(const uint8_t *)call->in[i].data : *(const int8_t *)call->in[i].data;
}

/* Scales and zero points number one, or n. */
static enum err check_input(const struct op_call *call, struct quantised_input q, int64_t n, struct err_note *note)
{
    enum err err = q.data < 0 ? ERR_NONE : op_type(call, q.data, OP_BYTE, note);

    err = err != ERR_NONE ? err : op_type(call, q.scale, OP_F32, note);
    if (err == ERR_NONE && op_has(call, q.zero)) {
        err = op_type(call, q.zero, q.data < 0 ? OP_BYTE : DTYPE_BIT(call->in[q.data].type), note);
    }
    const int list[] = {q.scale, q.zero};
    for (int i = 0; i < 2 && err == ERR_NONE; i++) {
        const struct shape *s = &call->in[list[i]].shape;
        if (!op_has(call, list[i])) {
            continue;
        }
        int64_t count = 0;
        if (!shape_count(s, &count) || (count != 1 && (count != n || s->rank != 1))) {
            err = ERR_SAY(note, ERR_UNSUPPORTED, "input %d: neither one number nor %lld", list[i], (long long)n);
        }
    }
    return err;
}

static struct quantised quantised_of(const struct op_call *call, struct quantised_input q)
{
    struct quantised ret = {.data = call->in[q.data].data,
                            .sign = call->in[q.data].type == DTYPE_U8 ? QUANTISED_U8 : QUANTISED_S8};

    if (op_has(call, q.zero)) {
        ret.zeros = call->in[q.zero].data;
        ret.n_zeros = shape_elements(&call->in[q.zero].shape);
    }
    return ret;
}

/* The output is of the type of its zero point. */
static enum dtype out_type(const struct op_call *call, int zero)
{
    return op_has(call, zero) ? call->in[zero].type : DTYPE_U8;
}

static struct byte_requant requant_of(const struct op_call *call, int zero, const float scale[BYTE_LANES])
{
    bool is_signed = out_type(call, zero) == DTYPE_I8;

    return (struct byte_requant){scale, zero_of(call, zero), is_signed ? -128 : 0, is_signed ? 127 : 255};
}

/* n sums that share one scale, in a row. */
static void requant_row(struct byte_requant how, float scale, const int32_t *sums, int64_t n, uint8_t *y)
{
    float scales[BYTE_LANES];
    int64_t whole = n / BYTE_LANES;

    for (int i = 0; i < BYTE_LANES; i++) {
        scales[i] = scale;
    }
    how.scale = scales;
    kernels()->byte_loops->requant(&how, sums, whole, BYTE_LANES, y, BYTE_LANES);
    if (n > whole * BYTE_LANES) {
        kernels()->byte_loops->requant(&how, sums + whole * BYTE_LANES, 1, n - whole * BYTE_LANES,
                                       y + whole * BYTE_LANES, BYTE_LANES);
    }
}

static enum err check_depth(int64_t depth, struct err_note *note)
{
    if (depth > GEMM_INT_MAX_K) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "sums of %lld products may not fit in 32 bits", (long long)depth);
    }
    return ERR_NONE;
}

/* ---- QLinearConv: x, its scale and zero, w, its, y's, bias ---------------------------------------------------------------- */

static const struct quantised_input conv_x = {0, 1, 2};
static const struct quantised_input conv_w = {3, 4, 5};
static const struct quantised_input conv_y = {-1, 6, 7};

/* conv_measure looks at inputs 0 and 1. */
static struct op_call as_conv(const struct op_call *call, struct tensor in[2])
{
    struct op_call conv = *call;

    in[0] = call->in[0];
    in[1] = call->in[3];
    conv.in = in;
    conv.n_in = 2;
    return conv;
}

static enum err conv_rule(struct op_call *call, struct err_note *note)
{
    struct tensor in[2];
    struct conv_shape s;
    struct shape out;
    size_t sums = 0;
    struct op_call conv = as_conv(call, in);

    if (call->in[3].shape.rank != call->in[0].shape.rank) {
        return ERR_SAY(note, ERR_FORMAT, "data of rank %d, weights of rank %d", call->in[0].shape.rank,
                       call->in[3].shape.rank);
    }
    enum err err = conv_measure(&conv, &s, &out, note);
    err = err != ERR_NONE ? err : check_input(call, conv_x, 1, note);
    err = err != ERR_NONE ? err : check_input(call, conv_w, out.dim[1], note);
    err = err != ERR_NONE ? err : check_input(call, conv_y, 1, note);
    err = err != ERR_NONE ? err : check_depth(s.ic * conv_taps(&s), note);
    if (err == ERR_NONE && op_has(call, 8)) {
        err = op_type(call, 8, DTYPE_BIT(DTYPE_I32), note);
        if (err == ERR_NONE && (call->in[8].shape.rank != 1 || call->in[8].shape.dim[0] != out.dim[1])) {
            err = ERR_SAY(note, ERR_FORMAT, "the bias has not one value for each of %lld channels",
                          (long long)out.dim[1]);
        }
    }
    if (err != ERR_NONE) {
        return err;
    }
    int64_t count = 0;
    if (!shape_count(&out, &count) || !size_mul((size_t)count, sizeof(int32_t), &sums) ||
        !size_round_up(sums, 64, &sums) || !conv_int_work_bytes(&s, pool_threads(call->pool), &call->work_bytes) ||
        !size_add(call->work_bytes, sums, &call->work_bytes)) {
        return ERR_SAY(note, ERR_LIMIT, "the scratch of this convolution is too large");
    }
    return op_set(call, 0, out_type(call, 7), &out, note);
}

static enum err conv_forward(const struct op_call *call)
{
    struct tensor in[2];
    struct op_call as = as_conv(call, in);
    struct conv_shape s = conv_sizes(&as);
    struct quantised x = quantised_of(call, conv_x);
    struct quantised w = quantised_of(call, conv_w);
    struct byte_requant how = requant_of(call, 7, NULL);
    int32_t *sums = call->work;
    size_t sums_bytes = ((size_t)shape_elements(&call->out[0].shape) * sizeof *sums + 63) / 64 * 64;

    conv_int(&s, &x, &w, sums, (unsigned char *)call->work + sums_bytes, call->work_bytes - sums_bytes, call->pool);
    for (int64_t i = 0; i < s.n * s.groups * s.oc; i++) {
        int64_t c = i % (s.groups * s.oc);
        int32_t *plane = sums + i * conv_out_pixels(&s);
        if (op_has(call, 8)) {
            uint32_t bias = ((const uint32_t *)call->in[8].data)[c];
            for (int64_t p = 0; p < conv_out_pixels(&s); p++) {
                plane[p] = (int32_t)((uint32_t)plane[p] + bias);
            }
        }
        float scale = scale_of(call, 1, 0) * scale_of(call, 4, c) / scale_of(call, 6, 0);
        requant_row(how, scale, plane, conv_out_pixels(&s), (uint8_t *)call->out[0].data + i * conv_out_pixels(&s));
    }
    return ERR_NONE;
}

/* ---- QLinearMatMul ------------------------------------------------------------------------------------------------------------ */

static const struct quantised_input matmul_a = {0, 1, 2};
static const struct quantised_input matmul_b = {3, 4, 5};
static const struct quantised_input matmul_y = {-1, 6, 7};

/* b is one matrix, or a stack as high as a's. */
static enum err matmul_rule(struct op_call *call, struct err_note *note)
{
    const struct shape *a = &call->in[0].shape;
    const struct shape *b = &call->in[3].shape;
    struct shape out = *a;
    char text_a[SHAPE_TEXT_BYTES];
    char text_b[SHAPE_TEXT_BYTES];

    if (b->rank < 2 ||
        (b->rank != 2 && (b->rank != a->rank || memcmp(a->dim, b->dim, (size_t)(a->rank - 2) * 8) != 0))) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "matrices %s and %s are not supported together", shape_text(a, text_a),
                       shape_text(b, text_b));
    }
    if (a->dim[a->rank - 1] != b->dim[b->rank - 2]) {
        return ERR_SAY(note, ERR_FORMAT, "matrices %s and %s do not fit", shape_text(a, text_a), shape_text(b, text_b));
    }
    int64_t n = b->dim[b->rank - 1];
    out.dim[out.rank - 1] = n;
    enum err err = check_input(call, matmul_a, 1, note);
    err = err != ERR_NONE ? err : check_input(call, matmul_b, n, note);
    err = err != ERR_NONE ? err : check_input(call, matmul_y, 1, note);
    err = err != ERR_NONE ? err : check_depth(a->dim[a->rank - 1], note);
    err = err != ERR_NONE ? err : op_work(call, n, sizeof(int32_t), note);
    return err != ERR_NONE ? err : op_set(call, 0, out_type(call, 7), &out, note);
}

static enum err matmul_forward(const struct op_call *call)
{
    const struct shape *a = &call->in[0].shape;
    const struct shape *b = &call->in[3].shape;
    struct quantised left = quantised_of(call, matmul_a);
    struct quantised right = quantised_of(call, matmul_b);
    struct byte_requant how = requant_of(call, 7, NULL);
    int64_t k = a->dim[a->rank - 1];
    int64_t n = b->dim[b->rank - 1];
    int64_t rows = op_product(a, 0, a->rank - 1);
    int64_t rows_of_b = b->rank == 2 ? rows : a->dim[a->rank - 2];
    bool one_scale = shape_elements(&call->in[4].shape) == 1;

    for (int64_t i = 0; i < rows; i++) {
        uint8_t *y = (uint8_t *)call->out[0].data + i * n;
        left.data = (const uint8_t *)call->in[0].data + i * k;
        right.data = (const uint8_t *)call->in[3].data + i / rows_of_b * k * n;
        matmul_int(1, n, k, &left, &right, call->work);
        for (int64_t j = 0; j < n; j += one_scale ? n : 1) {
            float scale = scale_of(call, 1, 0) * scale_of(call, 4, j) / scale_of(call, 6, 0);
            requant_row(how, scale, (const int32_t *)call->work + j, one_scale ? n : 1, y + j);
        }
    }
    return ERR_NONE;
}

/* ---- QLinearAdd, QLinearMul: a, its scale and zero, b, its, y's --------------------------------------------------------------- */

static const struct quantised_input sum_a = {0, 1, 2};
static const struct quantised_input sum_b = {3, 4, 5};
static const struct quantised_input sum_y = {-1, 6, 7};

static enum err sum_rule(struct op_call *call, struct err_note *note)
{
    struct shape out;
    enum err err = check_input(call, sum_a, 1, note);

    err = err != ERR_NONE ? err : check_input(call, sum_b, 1, note);
    err = err != ERR_NONE ? err : check_input(call, sum_y, 1, note);
    if (err == ERR_NONE &&
        (call->in[3].type != call->in[0].type || (op_has(call, 7) && call->in[7].type != call->in[0].type))) {
        err = ERR_SAY(note, ERR_UNSUPPORTED, "signed and unsigned bytes together are not supported");
    }
    err = err != ERR_NONE ? err : op_broadcast(&call->in[0].shape, &call->in[3].shape, &out, note);
    if (err == ERR_NONE && !shape_equal(&out, &call->in[3].shape)) { /* b is stretched to the scratch first */
        int64_t count = 0;
        err = shape_count(&out, &count) ? op_work(call, count, 1, note) : ERR_SAY(note, ERR_LIMIT, "too large");
    }
    if (err == ERR_NONE && !shape_equal(&out, &call->in[0].shape)) {
        err = ERR_SAY(note, ERR_UNSUPPORTED, "the first input must have the shape of the output");
    }
    return err != ERR_NONE ? err : op_set(call, 0, call->in[0].type, &out, note);
}

static const uint8_t *stretched(const struct op_call *call)
{
    struct strided s;

    if (call->work_bytes == 0) {
        return call->in[3].data;
    }
    op_stretch(&s, 0, &call->in[3].shape, &call->out[0].shape);
    strided_simplify(&s, 1);
    strided_copy(&s, call->in[3].data, call->work, 1);
    return call->work;
}

/* The order of operations is that of ONNX Runtime's loops. */
static enum err add_forward(const struct op_call *call)
{
    struct byte_sum how = {.is_signed = call->in[0].type == DTYPE_I8,
                           .scale_a = scale_of(call, 1, 0) / scale_of(call, 6, 0),
                           .scale_b = scale_of(call, 4, 0) / scale_of(call, 6, 0)};

    how.fixed =
        (float)zero_of(call, 7) - fmaf(how.scale_a, (float)zero_of(call, 2), how.scale_b * (float)zero_of(call, 5));
    kernels()->byte_loops->add(&how, call->in[0].data, stretched(call), shape_elements(&call->out[0].shape),
                               call->out[0].data);
    return ERR_NONE;
}

static enum err multiply_forward(const struct op_call *call)
{
    const struct byte_times how = {.is_signed = call->in[0].type == DTYPE_I8,
                                   .zero_a = zero_of(call, 2),
                                   .zero_b = zero_of(call, 5),
                                   .zero = zero_of(call, 7),
                                   .scale = scale_of(call, 1, 0) * scale_of(call, 4, 0) / scale_of(call, 6, 0)};

    kernels()->byte_loops->multiply(&how, call->in[0].data, stretched(call), shape_elements(&call->out[0].shape),
                                    call->out[0].data);
    return ERR_NONE;
}

#define ROW(of_domain, op, first, last, in_min, in_max, rank_min, rank_max, parse_fn, shape_fn, forward_fn) \
    {                                                                                                       \
        .domain = (of_domain), .name = (op), .opset_min = (first), .opset_max = (last), .min_in = (in_min), \
        .max_in = (in_max), .min_out = 1, .max_out = 1, .types = OP_BYTE, .min_rank = (rank_min),           \
        .max_rank = (rank_max), .parse = (parse_fn), .shape = (shape_fn), .forward = (forward_fn)           \
    }

static const struct op_def rows[] = {
    ROW("", "QLinearConv", 10, OP_LAST, 8, 9, 3, 5, conv_parse, conv_rule, conv_forward),
    ROW("", "QLinearMatMul", 10, 20, 8, 8, 2, TENSOR_MAX_RANK, NULL, matmul_rule, matmul_forward),
    ROW("com.microsoft", "QLinearAdd", 1, 1, 7, 8, 0, TENSOR_MAX_RANK, NULL, sum_rule, add_forward),
    ROW("com.microsoft", "QLinearMul", 1, 1, 7, 8, 0, TENSOR_MAX_RANK, NULL, sum_rule, multiply_forward),
};
const struct op_rows op_rows_qlinear = OP_ROWS(rows);
