/* op_constant.c: values that come from the file or from a shape alone: Constant, ConstantOfShape, Shape. */
#include <string.h>

#include "core/op/op_private.h"

static enum err take_value(const struct attr *attr, struct tensor *ret, struct err_note *note)
{
    struct shape vector = {.rank = 1, .dim = {(int64_t)attr->count}};

    if (strcmp(attr->name, "value") == 0 && attr->kind == ATTR_TENSOR) {
        *ret = attr->tensor;
    } else if (strcmp(attr->name, "value_float") == 0 && attr->kind == ATTR_FLOAT) {
        *ret = (struct tensor){.type = DTYPE_F32, .data = (void *)&attr->f};
    } else if (strcmp(attr->name, "value_int") == 0 && attr->kind == ATTR_INT) {
        *ret = (struct tensor){.type = DTYPE_I64, .data = (void *)&attr->i};
    } else if (strcmp(attr->name, "value_floats") == 0 && attr->kind == ATTR_FLOATS) {
        *ret = (struct tensor){.type = DTYPE_F32, .shape = vector, .data = (void *)attr->floats};
    } else if (strcmp(attr->name, "value_ints") == 0 && attr->kind == ATTR_INTS) {
        *ret = (struct tensor){.type = DTYPE_I64, .shape = vector, .data = (void *)attr->ints};
    } else {
        return ERR_SAY(note, ERR_UNSUPPORTED, "a constant given as '%.40s' is not supported", attr->name);
    }
    return ERR_NONE;
}

/* The node keeps a copy of its own, so that nothing depends on where the attributes live. */
static enum err keep(const struct tensor *value, struct arena *mem, void **ret)
{
    struct tensor *kept = ARENA_NEW(mem, struct tensor);
    size_t bytes = tensor_bytes(value);

    if (kept == NULL) {
        return arena_why(mem);
    }
    *kept = *value;
    kept->data = arena_alloc(mem, bytes, 1);
    if (kept->data == NULL) {
        return arena_why(mem);
    }
    if (bytes > 0) {
        memcpy(kept->data, value->data, bytes);
    }
    *ret = kept;
    return ERR_NONE;
}

static enum err constant_parse(const struct attrs *attrs, int opset, int n_in, int n_out, struct arena *mem, void **ret,
                               struct err_note *note)
{
    struct tensor value;

    if (attrs->count != 1) {
        return ERR_SAY(note, ERR_FORMAT, "a constant needs one value, there are %d", attrs->count);
    }
    enum err err = take_value(&attrs->list[0], &value, note);
    return err != ERR_NONE ? err : keep(&value, mem, ret);
}

static enum err constant_shape(struct op_call *call, struct err_note *note)
{
    const struct tensor *value = call->parsed;

    return op_set(call, 0, value->type, &value->shape, note);
}

static enum err constant_forward(const struct op_call *call)
{
    const struct tensor *value = call->parsed;
    size_t bytes = tensor_bytes(value);

    if (bytes > 0) {
        memcpy(call->out[0].data, value->data, bytes);
    }
    return ERR_NONE;
}

static enum err filled_parse(const struct attrs *attrs, int opset, int n_in, int n_out, struct arena *mem, void **ret,
                             struct err_note *note)
{
    const struct attr *attr = attr_find(attrs, "value");
    float zero = 0;
    struct tensor value = {.type = DTYPE_F32, .data = &zero};

    if (attr != NULL) {
        if (attr->kind != ATTR_TENSOR || shape_elements(&attr->tensor.shape) != 1) {
            return ERR_SAY(note, ERR_FORMAT, "value is not one number");
        }
        value = attr->tensor;
    }
    return keep(&value, mem, ret);
}

static enum err filled_shape(struct op_call *call, struct err_note *note)
{
    const struct tensor *value = call->parsed;
    struct shape out = {0};
    enum err err = op_ints(call, 0, out.dim, TENSOR_MAX_RANK, &out.rank, note);

    for (int d = 0; err == ERR_NONE && d < out.rank; d++) {
        if (out.dim[d] < 0) {
            err = ERR_SAY(note, ERR_FORMAT, "dimension %d is negative", d);
        }
    }
    return err != ERR_NONE ? err : op_set(call, 0, value->type, &out, note);
}

static enum err filled_forward(const struct op_call *call)
{
    const struct tensor *value = call->parsed;
    size_t bytes = dtype_bytes(value->type);

    for (int64_t i = 0; i < shape_elements(&call->out[0].shape); i++) {
        memcpy((char *)call->out[0].data + (size_t)i * bytes, value->data, bytes);
    }
    return ERR_NONE;
}

/* Shape, since opset 15 of a range of dimensions. */
struct range {
    int64_t start, end;
};

static enum err shape_parse(const struct attrs *attrs, int opset, int n_in, int n_out, struct arena *mem, void **ret,
                            struct err_note *note)
{
    struct range *range = ARENA_NEW(mem, struct range);

    if (range == NULL) {
        return arena_why(mem);
    }
    *range = (struct range){0, TENSOR_MAX_RANK};
    if (opset >= 15) {
        enum err err = attr_int(attrs, "start", 0, &range->start, note);
        err = err != ERR_NONE ? err : attr_int(attrs, "end", TENSOR_MAX_RANK, &range->end, note);
        if (err != ERR_NONE) {
            return err;
        }
    }
    *ret = range;
    return ERR_NONE;
}

static int64_t place(int64_t at, int rank)
{
    at = at < 0 ? at + rank : at;
    return at < 0 ? 0 : at > rank ? rank : at;
}

static enum err shape_shape(struct op_call *call, struct err_note *note)
{
    const struct range *range = call->parsed;
    int rank = call->in[0].shape.rank;
    int64_t count = place(range->end, rank) - place(range->start, rank);
    struct shape out = {.rank = 1, .dim = {count > 0 ? count : 0}};

    return op_set(call, 0, DTYPE_I64, &out, note);
}

static enum err shape_forward(const struct op_call *call)
{
    const struct range *range = call->parsed;
    int64_t first = place(range->start, call->in[0].shape.rank);
    int64_t *out = call->out[0].data;

    for (int64_t i = 0; i < call->out[0].shape.dim[0]; i++) {
        out[i] = call->in[0].shape.dim[first + i];
    }
    return ERR_NONE;
}

static const struct op_def rows[] = {
    {.domain = "",
     .name = "Constant",
     .opset_min = 1,
     .opset_max = OP_LAST,
     .min_out = 1,
     .max_out = 1,
     .types = OP_ANY,
     .max_rank = TENSOR_MAX_RANK,
     .parse = constant_parse,
     .shape = constant_shape,
     .forward = constant_forward},
    {.domain = "",
     .name = "ConstantOfShape",
     .opset_min = 9,
     .opset_max = OP_LAST,
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = 1,
     .types = DTYPE_BIT(DTYPE_I64),
     .min_rank = 1,
     .max_rank = 1,
     .value_inputs = 1U << 0,
     .parse = filled_parse,
     .shape = filled_shape,
     .forward = filled_forward},
    {.domain = "",
     .name = "Shape",
     .opset_min = 1,
     .opset_max = OP_LAST,
     .kind = OP_SHAPE,
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = 1,
     .types = OP_ANY,
     .min_rank = 0,
     .max_rank = TENSOR_MAX_RANK,
     .parse = shape_parse,
     .shape = shape_shape,
     .forward = shape_forward},
};
const struct op_rows op_rows_constant = OP_ROWS(rows);
