/* op_quantize.c: DynamicQuantizeLinear, QuantizeLinear, DequantizeLinear. */
#include "core/kernel/quantise.h"
#include "core/op/op_private.h"

/* ---- DynamicQuantizeLinear: the range of the whole tensor, so images of a batch would see each other --------------- */

static enum err dynamic_shape(struct op_call *call, struct err_note *note)
{
    static const struct shape scalar = {0};
    enum err err = op_set(call, 0, DTYPE_U8, &call->in[0].shape, note);

    err = err != ERR_NONE ? err : op_set(call, 1, DTYPE_F32, &scalar, note);
    return err != ERR_NONE ? err : op_set(call, 2, DTYPE_U8, &scalar, note);
}

static enum err dynamic_forward(const struct op_call *call)
{
    const float *x = call->in[0].data;
    int64_t count = shape_elements(&call->in[0].shape);
    float *scale = call->out[1].data;
    uint8_t *zero = call->out[2].data;

    quantise_range_u8(x, count, scale, zero);
    quantise_u8(x, count, *scale, *zero, call->out[0].data);
    return ERR_NONE;
}

/* ---- QuantizeLinear, DequantizeLinear: one scale, or one for each index of an axis (opset 13) ----------------------- */

struct quantize {
    int64_t axis;
};

static enum err parse(const struct attrs *attrs, int opset, int n_in, int n_out, struct arena *mem, void **ret,
                      struct err_note *note)
{
    struct quantize *quantize = ARENA_NEW(mem, struct quantize);

    if (quantize == NULL) {
        return arena_why(mem);
    }
    enum err err = attr_int(attrs, "axis", 1, &quantize->axis, note);
    if (err == ERR_NONE) {
        *ret = quantize;
    }
    return err;
}

/* Scale and zero fit each other and the axis. */
static enum err check(const struct op_call *call, unsigned zero_types, struct err_note *note)
{
    const struct quantize *quantize = call->parsed;
    const struct shape *x = &call->in[0].shape;
    const struct shape *scale = &call->in[1].shape;
    int axis = 0;
    enum err err = op_type(call, 1, OP_F32, note);

    if (err == ERR_NONE && op_has(call, 2)) {
        err = op_type(call, 2, zero_types, note);
        if (err == ERR_NONE && shape_elements(&call->in[2].shape) != shape_elements(scale)) {
            err = ERR_SAY(note, ERR_FORMAT, "scale and zero point have different shapes");
        }
    }
    if (err != ERR_NONE || shape_elements(scale) == 1) {
        return err;
    }
    if (scale->rank != 1 || call->opset < 13) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "scales of rank %d in opset %d", scale->rank, call->opset);
    }
    err = op_axis(quantize->axis, x->rank, &axis, note);
    if (err == ERR_NONE && scale->dim[0] != x->dim[axis]) {
        err = ERR_SAY(note, ERR_FORMAT, "%lld scales for axis %d of %lld", (long long)scale->dim[0], axis,
                      (long long)x->dim[axis]);
    }
    return err;
}

static enum err quantize_shape(struct op_call *call, struct err_note *note)
{
    enum err err = check(call, OP_BYTE, note);

    return err != ERR_NONE ? err
                           : op_set(call, 0, op_has(call, 2) ? call->in[2].type : DTYPE_U8, &call->in[0].shape, note);
}

static enum err dequantize_shape(struct op_call *call, struct err_note *note)
{
    enum err err = check(call, DTYPE_BIT(call->in[0].type), note);

    return err != ERR_NONE ? err : op_set(call, 0, DTYPE_F32, &call->in[0].shape, note);
}

/* The tensor as [outer, scales, inner]. */
struct blocks {
    int64_t outer, scales, inner;
};

static struct blocks blocks_of(const struct op_call *call)
{
    const struct quantize *quantize = call->parsed;
    const struct shape *x = &call->in[0].shape;
    int64_t scales = shape_elements(&call->in[1].shape);

    if (scales == 1) {
        return (struct blocks){1, 1, shape_elements(x)};
    }
    int axis = (int)(quantize->axis < 0 ? quantize->axis + x->rank : quantize->axis);
    return (struct blocks){op_product(x, 0, axis), scales, op_product(x, axis + 1, x->rank)};
}

static int32_t zero_at(const struct op_call *call, int64_t i)
{
    if (!op_has(call, 2)) {
        return 0;
    }
    const void *zero = call->in[2].data;
    return call->in[2].type == DTYPE_U8   ? ((const uint8_t *)zero)[i]
           : call->in[2].type == DTYPE_I8 ? ((const int8_t *)zero)[i]
                                          : ((const int32_t *)zero)[i];
}

static enum err quantize_forward(const struct op_call *call)
{
    struct blocks b = blocks_of(call);
    const float *scale = call->in[1].data;

    for (int64_t i = 0; i < b.outer * b.scales; i++) {
        const float *x = (const float *)call->in[0].data + i * b.inner;
        int64_t s = i % b.scales;
        if (call->out[0].type == DTYPE_U8) {
            quantise_u8(x, b.inner, scale[s], zero_at(call, s), (uint8_t *)call->out[0].data + i * b.inner);
        } else {
            quantise_s8(x, b.inner, scale[s], zero_at(call, s), (int8_t *)call->out[0].data + i * b.inner);
        }
    }
    return ERR_NONE;
}

static enum err dequantize_forward(const struct op_call *call)
{
    struct blocks b = blocks_of(call);
    const float *scale = call->in[1].data;
    const void *data = call->in[0].data;
    enum dtype type = call->in[0].type;

    for (int64_t i = 0; i < b.outer * b.scales; i++) {
        int64_t s = i % b.scales;
        int64_t zero = zero_at(call, s);
        float *y = (float *)call->out[0].data + i * b.inner;
        for (int64_t j = 0; j < b.inner; j++) {
            int64_t at = i * b.inner + j;
            int64_t v = type == DTYPE_U8   ? ((const uint8_t *)data)[at]
                        : type == DTYPE_I8 ? ((const int8_t *)data)[at]
                                           : ((const int32_t *)data)[at];
            y[j] = (float)(v - zero) * scale[s];
        }
    }
    return ERR_NONE;
}

static const struct op_def rows[] = {
    {.domain = "",
     .name = "DynamicQuantizeLinear",
     .opset_min = 11,
     .opset_max = OP_LAST,
     .min_in = 1,
     .max_in = 1,
     .min_out = 3,
     .max_out = 3,
     .types = OP_F32,
     .min_rank = 0,
     .max_rank = TENSOR_MAX_RANK,
     .one_image = true,
     .shape = dynamic_shape,
     .forward = dynamic_forward},
    {.domain = "",
     .name = "QuantizeLinear",
     .opset_min = 10,
     .opset_max = 18,
     .min_in = 2,
     .max_in = 3,
     .min_out = 1,
     .max_out = 1,
     .types = OP_F32,
     .min_rank = 0,
     .max_rank = TENSOR_MAX_RANK,
     .parse = parse,
     .shape = quantize_shape,
     .forward = quantize_forward},
    {.domain = "",
     .name = "DequantizeLinear",
     .opset_min = 10,
     .opset_max = 18,
     .min_in = 2,
     .max_in = 3,
     .min_out = 1,
     .max_out = 1,
     .types = OP_BYTE | DTYPE_BIT(DTYPE_I32),
     .min_rank = 0,
     .max_rank = TENSOR_MAX_RANK,
     .parse = parse,
     .shape = dequantize_shape,
     .forward = dequantize_forward},
};
const struct op_rows op_rows_quantize = OP_ROWS(rows);
