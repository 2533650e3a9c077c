/* op_gather.c: Gather: slices picked by index along one axis; Where: numbers picked by a condition. */
#include <string.h>

#include "core/op/op_private.h"

struct gather {
    int64_t axis;
};

static enum err gather_parse(const struct attrs *attrs, int opset, int n_in, int n_out, struct arena *mem, void **ret,
                             struct err_note *note)
{
    struct gather *gather = ARENA_NEW(mem, struct gather);

    if (gather == NULL) {
        return arena_why(mem);
    }
    enum err err = attr_int(attrs, "axis", 0, &gather->axis, note);
    if (err == ERR_NONE) {
        *ret = gather;
    }
    return err;
}

static enum err gather_shape(struct op_call *call, struct err_note *note)
{
    const struct gather *gather = call->parsed;
    const struct shape *x = &call->in[0].shape;
    const struct shape *picks = &call->in[1].shape;
    struct shape out = {0};
    int axis = 0;
    enum err err = op_type(call, 1, OP_INDEX, note);

    err = err != ERR_NONE ? err : op_axis(gather->axis, x->rank, &axis, note);
    if (err != ERR_NONE) {
        return err;
    }
    if (x->rank - 1 + picks->rank > TENSOR_MAX_RANK) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "the output would have rank %d", x->rank - 1 + picks->rank);
    }
    for (int d = 0; d < axis; d++) {
        out.dim[out.rank++] = x->dim[d];
    }
    for (int d = 0; d < picks->rank; d++) {
        out.dim[out.rank++] = picks->dim[d];
    }
    for (int d = axis + 1; d < x->rank; d++) {
        out.dim[out.rank++] = x->dim[d];
    }
    return op_set(call, 0, call->in[0].type, &out, note);
}

static enum err gather_forward(const struct op_call *call)
{
    const struct gather *gather = call->parsed;
    const struct shape *x = &call->in[0].shape;
    const struct tensor *picks = &call->in[1];
    int axis = (int)(gather->axis < 0 ? gather->axis + x->rank : gather->axis);
    int64_t size = x->dim[axis];
    int64_t n_picks = shape_elements(&picks->shape);
    size_t row = (size_t)op_product(x, axis + 1, x->rank) * dtype_bytes(call->in[0].type);
    char *out = call->out[0].data;

    for (int64_t o = 0; o < op_product(x, 0, axis); o++) {
        for (int64_t i = 0; i < n_picks; i++) {
            int64_t pick =
                picks->type == DTYPE_I64 ? ((const int64_t *)picks->data)[i] : ((const int32_t *)picks->data)[i];
            pick = pick < 0 ? pick + size : pick;
            if (pick < 0 || pick >= size) {
                return ERR_FORMAT;
            }
            if (row > 0) {
                memcpy(out, (const char *)call->in[0].data + (size_t)(o * size + pick) * row, row);
                out += row;
            }
        }
    }
    return ERR_NONE;
}

static enum err where_shape(struct op_call *call, struct err_note *note)
{
    struct shape out;
    enum err err = op_type(call, 1, OP_NUMBER, note);

    err = err != ERR_NONE ? err : op_type(call, 2, DTYPE_BIT(call->in[1].type), note);
    err = err != ERR_NONE ? err : op_broadcast(&call->in[0].shape, &call->in[1].shape, &out, note);
    err = err != ERR_NONE ? err : op_broadcast(&out, &call->in[2].shape, &out, note);
    return err != ERR_NONE ? err : op_set(call, 0, call->in[1].type, &out, note);
}

static enum err where_forward(const struct op_call *call)
{
    const struct tensor *out = &call->out[0];
    size_t bytes = dtype_bytes(out->type);
    struct strided s;

    for (int k = 0; k < 3; k++) {
        op_stretch(&s, k, &call->in[k].shape, &out->shape);
    }
    strided_simplify(&s, 3);
    int64_t row = strided_row(&s);
    int64_t rows = row > 0 ? strided_rows(&s) : 0;
    for (int64_t i = 0; i < rows * row; i++) {
        int64_t at[3];
        for (int k = 0; k < 3; k++) {
            at[k] = strided_start(&s, k, i / row) + i % row * s.step[k][s.rank - 1];
        }
        int k = ((const uint8_t *)call->in[0].data)[at[0]] != 0 ? 1 : 2;
        memcpy((char *)out->data + (size_t)i * bytes, (const char *)call->in[k].data + (size_t)at[k] * bytes, bytes);
    }
    return ERR_NONE;
}

static const struct op_def rows[] = {
    {.domain = "",
     .name = "Gather",
     .opset_min = 1,
     .opset_max = OP_LAST,
     .min_in = 2,
     .max_in = 2,
     .min_out = 1,
     .max_out = 1,
     .types = OP_ANY,
     .min_rank = 1,
     .max_rank = TENSOR_MAX_RANK,
     .parse = gather_parse,
     .shape = gather_shape,
     .forward = gather_forward},
    {.domain = "",
     .name = "Where",
     .opset_min = 9,
     .opset_max = OP_LAST,
     .min_in = 3,
     .max_in = 3,
     .min_out = 1,
     .max_out = 1,
     .types = DTYPE_BIT(DTYPE_BOOL),
     .min_rank = 0,
     .max_rank = TENSOR_MAX_RANK,
     .shape = where_shape,
     .forward = where_forward},
};
const struct op_rows op_rows_gather = OP_ROWS(rows);
