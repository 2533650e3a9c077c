/*
 * op_byte.c: what only the passes make of quantised layers (core/graph/pass_byte_*.c): no file may name these operators.
 *
 * ByteConv: QLinearConv on images with their channels last, with packed weights; and QLinearMatMul, whose rows are images of
 * one pixel.
 * ByteConvDynamic: floats that are quantised by their range, convolved as bytes, and floats again.
 * ByteMap: a table for each channel, or one for all.
 */
#include <string.h>

#include "core/base/size.h"
#include "core/kernel/conv_byte.h"
#include "core/kernel/kernels.h"
#include "core/kernel/quantise.h"
#include "core/op/op_conv_private.h"

/* ---- ByteConv: x [n, h, w, c], packed weights, start and scale of each lane ------------------------------------------------ */

struct byte_conv {
    struct conv_attrs conv;
    int64_t weights[4];
    int64_t x_zero, y_zero, y_signed, passes;
};

static enum err byte_conv_parse(const struct attrs *attrs, int opset, int n_in, int n_out, struct arena *mem,
                                void **ret, struct err_note *note)
{
    struct byte_conv *byte = ARENA_NEW(mem, struct byte_conv);
    const int64_t *weights = NULL;
    size_t count = 0;
    void *conv = NULL;

    if (byte == NULL) {
        return arena_why(mem);
    }
    enum err err = conv_parse(attrs, opset, n_in, n_out, mem, &conv, note);
    err = err != ERR_NONE ? err : attr_ints(attrs, "weights", &weights, &count, note);
    err = err != ERR_NONE ? err : attr_int(attrs, "x_zero", 0, &byte->x_zero, note);
    err = err != ERR_NONE ? err : attr_int(attrs, "y_zero", 0, &byte->y_zero, note);
    err = err != ERR_NONE ? err : attr_int(attrs, "y_signed", 0, &byte->y_signed, note);
    err = err != ERR_NONE ? err : attr_int(attrs, "passes", 1, &byte->passes, note);
    if (err == ERR_NONE && (count != 4 || byte->passes < 1 || byte->passes > CONV_BYTE_MAX_PASSES)) {
        err = ERR_SAY(note, ERR_FORMAT, "weights of %zu dimensions", count);
    }
    if (err != ERR_NONE) {
        return err;
    }
    byte->conv = *(const struct conv_attrs *)conv;
    memcpy(byte->weights, weights, sizeof byte->weights);
    *ret = byte;
    return ERR_NONE;
}

static enum err measure(const struct op_call *call, struct conv_shape *ret, struct shape *ret_out,
                        struct err_note *note)
{
    const struct byte_conv *byte = call->parsed;
    bool matrix = call->in[0].shape.rank == 2;
    const int64_t row[4] = {call->in[0].shape.dim[0], 1, 1, call->in[0].shape.dim[1]};
    const int64_t *x = matrix ? row : call->in[0].shape.dim;
    const struct tensor in[2] = {
        {.type = DTYPE_U8, .shape = {.rank = 4, .dim = {x[0], x[3], x[1], x[2]}}},
        {.type = DTYPE_I8,
         .shape = {.rank = 4, .dim = {byte->weights[0], byte->weights[1], byte->weights[2], byte->weights[3]}}},
    };
    struct op_call conv = *call;

    conv.parsed = &byte->conv;
    conv.in = in;
    conv.n_in = 2;
    enum err err = conv_measure(&conv, ret, ret_out, note);
    if (err == ERR_NONE && matrix) {
        *ret_out = (struct shape){.rank = 2, .dim = {ret_out->dim[0], ret_out->dim[1]}};
    } else if (err == ERR_NONE) {
        *ret_out =
            (struct shape){.rank = 4, .dim = {ret_out->dim[0], ret_out->dim[2], ret_out->dim[3], ret_out->dim[1]}};
    }
    return err;
}

static enum err byte_conv_rule(struct op_call *call, struct err_note *note)
{
    const struct byte_conv *byte = call->parsed;
    struct conv_shape s;
    struct shape out;
    size_t packed = 0;
    enum err err = call->in[0].shape.rank == 3 ? ERR_SAY(note, ERR_UNSUPPORTED, "images of one dimension")
                                               : measure(call, &s, &out, note);

    err = err != ERR_NONE ? err : op_type(call, 1, DTYPE_BIT(DTYPE_I8), note);
    err = err != ERR_NONE ? err : op_type(call, 2, DTYPE_BIT(DTYPE_I32), note);
    err = err != ERR_NONE ? err : op_type(call, 3, OP_F32, note);
    if (err != ERR_NONE) {
        return err;
    }
    if (!conv_byte_fits(&s) || !conv_byte_packed_bytes(&s, (int)byte->passes, &packed) ||
        shape_elements(&call->in[1].shape) != (int64_t)packed ||
        shape_elements(&call->in[2].shape) != conv_byte_lanes(&s) ||
        shape_elements(&call->in[3].shape) != conv_byte_lanes(&s)) {
        return ERR_SAY(note, ERR_FORMAT, "the packed weights are of another convolution");
    }
    if (!conv_byte_work_bytes(&s, pool_threads(call->pool), &call->work_bytes)) {
        return ERR_SAY(note, ERR_LIMIT, "the scratch of this convolution is too large");
    }
    return op_set(call, 0, byte->y_signed != 0 ? DTYPE_I8 : DTYPE_U8, &out, note);
}

static enum err byte_conv_forward(const struct op_call *call)
{
    const struct byte_conv *byte = call->parsed;
    struct conv_shape s;
    struct shape out;
    bool flipped = call->in[0].type == DTYPE_I8;

    (void)!measure(call, &s, &out, NULL); /* has succeeded in the shape rule */
    if (s.n == 0) {
        return ERR_NONE;
    }
    const struct conv_byte_call conv = {
        .shape = &s,
        .x = call->in[0].data,
        .flip = flipped ? 128 : 0,
        .zero = (uint8_t)(byte->x_zero + (flipped ? 128 : 0)),
        .passes = (int)byte->passes,
        .packed = call->in[1].data,
        .start = call->in[2].data,
        .end = {.requant = {.scale = call->in[3].data,
                            .zero = (int32_t)byte->y_zero,
                            .low = byte->y_signed != 0 ? -128 : 0,
                            .high = byte->y_signed != 0 ? 127 : 255}},
        .y = call->out[0].data,
    };
    conv_byte(&conv, call->work, call->pool);
    return ERR_NONE;
}

/*
 * ---- ByteConvDynamic: floats x [n, h, w, c] or [n, c], packed weights, sums and scale of each lane, bias and slope or none ----
 *
 * The range of the whole tensor decides how it is quantised, as DynamicQuantizeLinear says.
 */

/* Behind the convolution's own scratch: what the sums begin with, and their scales. */
static size_t dynamic_rows(const struct conv_shape *s)
{
    return (size_t)conv_byte_lanes(s) * (sizeof(int32_t) + sizeof(float));
}

static enum err dynamic_rule(struct op_call *call, struct err_note *note)
{
    const struct byte_conv *byte = call->parsed;
    struct conv_shape s;
    struct shape out;
    size_t packed = 0;
    enum err err = call->in[0].shape.rank == 3 ? ERR_SAY(note, ERR_UNSUPPORTED, "images of one dimension")
                                               : measure(call, &s, &out, note);

    err = err != ERR_NONE ? err : op_type(call, 1, DTYPE_BIT(DTYPE_I8), note);
    err = err != ERR_NONE ? err : op_type(call, 2, DTYPE_BIT(DTYPE_I32), note);
    for (int i = 3; i < 6 && err == ERR_NONE; i++) {
        err = op_has(call, i) ? op_type(call, i, OP_F32, note) : ERR_NONE;
        if (err == ERR_NONE && op_has(call, i) && shape_elements(&call->in[i].shape) != conv_byte_lanes(&s)) {
            err = ERR_SAY(note, ERR_FORMAT, "input %d is of another convolution", i);
        }
    }
    if (err != ERR_NONE) {
        return err;
    }
    if (!conv_byte_fits(&s) || !conv_byte_packed_bytes(&s, (int)byte->passes, &packed) ||
        shape_elements(&call->in[1].shape) != (int64_t)packed ||
        shape_elements(&call->in[2].shape) != conv_byte_lanes(&s)) {
        return ERR_SAY(note, ERR_FORMAT, "the packed weights are of another convolution");
    }
    if (!conv_byte_work_bytes(&s, pool_threads(call->pool), &call->work_bytes) ||
        !size_add(call->work_bytes, dynamic_rows(&s), &call->work_bytes)) {
        return ERR_SAY(note, ERR_LIMIT, "the scratch of this convolution is too large");
    }
    return op_set(call, 0, DTYPE_F32, &out, note);
}

static enum err dynamic_forward(const struct op_call *call)
{
    struct conv_shape s;
    struct shape out;
    float scale = 0;
    uint8_t zero = 0;
    const float *x = call->in[0].data;

    (void)!measure(call, &s, &out, NULL); /* has succeeded in the shape rule */
    const int64_t lanes = conv_byte_lanes(&s);
    const int64_t row = s.in[2] * s.groups * s.ic;
    int32_t *start = (int32_t *)(void *)((unsigned char *)call->work + call->work_bytes - dynamic_rows(&s));
    float *scales = (float *)(void *)(start + lanes);
    quantise_range_u8(x, shape_elements(&call->in[0].shape), &scale, &zero);
    for (int64_t i = 0; i < lanes; i++) {
        start[i] = -(int32_t)zero * ((const int32_t *)call->in[2].data)[i];
        scales[i] = scale * ((const float *)call->in[3].data)[i];
    }
    conv_byte_fill(&s, zero, call->work);
    for (int64_t i = 0; i < s.n * s.in[1]; i++) {
        quantise_u8(x + i * row, row, scale, zero, conv_byte_place(&s, call->work, i / s.in[1], 0, i % s.in[1]));
    }
    const struct conv_byte_call conv = {.shape = &s,
                                        .zero = zero,
                                        .passes = (int)((const struct byte_conv *)call->parsed)->passes,
                                        .packed = call->in[1].data,
                                        .start = start,
                                        .end = {.as_float = true,
                                                .scale = scales,
                                                .bias = op_has(call, 4) ? call->in[4].data : NULL,
                                                .slope = op_has(call, 5) ? call->in[5].data : NULL},
                                        .y = call->out[0].data};
    if (s.n > 0) {
        conv_byte(&conv, call->work, call->pool);
    }
    return ERR_NONE;
}

/* ---- ByteMap: x, tables [channels or 1, 256], lines [4, channels] that give the same, if there are such --------------------------------------------------------------------------------- */

struct byte_map {
    int64_t is_signed, channels_last, split, zero;
};

static enum err map_parse(const struct attrs *attrs, int opset, int n_in, int n_out, struct arena *mem, void **ret,
                          struct err_note *note)
{
    struct byte_map *map = ARENA_NEW(mem, struct byte_map);

    if (map == NULL) {
        return arena_why(mem);
    }
    enum err err = attr_int(attrs, "signed", 0, &map->is_signed, note);
    err = err != ERR_NONE ? err : attr_int(attrs, "channels_last", 0, &map->channels_last, note);
    err = err != ERR_NONE ? err : attr_int(attrs, "split", 0, &map->split, note);
    err = err != ERR_NONE ? err : attr_int(attrs, "zero", 0, &map->zero, note);
    if (err == ERR_NONE) {
        *ret = map;
    }
    return err;
}

static enum err map_rule(struct op_call *call, struct err_note *note)
{
    const struct byte_map *map = call->parsed;
    const struct shape *x = &call->in[0].shape;
    const struct shape *table = &call->in[1].shape;
    enum err err = op_type(call, 1, DTYPE_BIT(DTYPE_U8), note);

    if (err != ERR_NONE) {
        return err;
    }
    if (table->rank != 2 || table->dim[1] != 256 ||
        (table->dim[0] != 1 && table->dim[0] != x->dim[map->channels_last != 0 ? 3 : 1])) {
        return ERR_SAY(note, ERR_FORMAT, "the tables do not fit the channels");
    }
    if (op_has(call, 2) && (call->in[2].type != DTYPE_F32 || shape_elements(&call->in[2].shape) != 4 * table->dim[0])) {
        return ERR_SAY(note, ERR_FORMAT, "the lines do not fit the channels");
    }
    return op_set(call, 0, map->is_signed != 0 ? DTYPE_I8 : DTYPE_U8, x, note);
}

static enum err map_forward(const struct op_call *call)
{
    const struct byte_map *map = call->parsed;
    const struct shape *x = &call->in[0].shape;
    const uint8_t *table = call->in[1].data;
    int64_t n_tables = call->in[1].shape.dim[0];

    if (map->channels_last != 0 && n_tables > 1 && op_has(call, 2)) {
        const float *numbers = call->in[2].data;
        const struct byte_lines lines = {.a0 = numbers,
                                         .b0 = numbers + n_tables,
                                         .a1 = numbers + 2 * n_tables,
                                         .b1 = numbers + 3 * n_tables,
                                         .split = (int32_t)map->split,
                                         .zero = (int32_t)map->zero,
                                         .x_signed = call->in[0].type == DTYPE_I8,
                                         .y_signed = map->is_signed != 0};
        kernels()->byte_loops->follow(&lines, n_tables, call->in[0].data, shape_elements(x), call->out[0].data);
        return ERR_NONE;
    }

    if (map->channels_last != 0 || n_tables == 1) {
        kernels()->byte_loops->look_up(table, n_tables, call->in[0].data, shape_elements(x), call->out[0].data);
        return ERR_NONE;
    }
    int64_t pixels = x->dim[2] * x->dim[3];
    for (int64_t i = 0; i < x->dim[0] * n_tables; i++) {
        kernels()->byte_loops->look_up(table + i % n_tables * 256, 1, (const uint8_t *)call->in[0].data + i * pixels,
                                       pixels, (uint8_t *)call->out[0].data + i * pixels);
    }
    return ERR_NONE;
}

static const struct op_def rows[] = {
    {.domain = "arcfaced",
     .name = "ByteConv",
     .opset_min = 1,
     .opset_max = 1,
     .min_in = 4,
     .max_in = 4,
     .min_out = 1,
     .max_out = 1,
     .types = OP_BYTE,
     .min_rank = 2,
     .max_rank = 4,
     .parse = byte_conv_parse,
     .shape = byte_conv_rule,
     .forward = byte_conv_forward},
    {.domain = "arcfaced",
     .name = "ByteConvDynamic",
     .opset_min = 1,
     .opset_max = 1,
     .min_in = 4,
     .max_in = 6,
     .min_out = 1,
     .max_out = 1,
     .types = OP_F32,
     .min_rank = 2,
     .max_rank = 4,
     .one_image = true,
     .parse = byte_conv_parse,
     .shape = dynamic_rule,
     .forward = dynamic_forward},
    {.domain = "arcfaced",
     .name = "ByteMap",
     .opset_min = 1,
     .opset_max = 1,
     .min_in = 2,
     .max_in = 3,
     .min_out = 1,
     .max_out = 1,
     .types = OP_BYTE,
     .min_rank = 4,
     .max_rank = 4,
     .parse = map_parse,
     .shape = map_rule,
     .forward = map_forward},
};
const struct op_rows op_rows_byte = OP_ROWS(rows);
