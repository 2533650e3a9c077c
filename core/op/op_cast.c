/* op_cast.c: Cast between the types that we know. */
#include <math.h>

#include "core/op/op_private.h"

struct cast {
    enum dtype to;
};

/* The standard numbers its types; opset 1 to 5 spelled them out, which no exporter in use does. */
static enum dtype type_of(int64_t number)
{
    switch (number) {
    case 1: return DTYPE_F32;
    case 2: return DTYPE_U8;
    case 3: return DTYPE_I8;
    case 6: return DTYPE_I32;
    case 7: return DTYPE_I64;
    case 9: return DTYPE_BOOL;
    case 11: return DTYPE_F64;
    default: return DTYPE_NONE;
    }
}

static enum err parse(const struct attrs *attrs, int opset, int n_in, int n_out, struct arena *mem, void **ret,
                      struct err_note *note)
{
    struct cast *cast = ARENA_NEW(mem, struct cast);
    int64_t to = 0;

    if (cast == NULL) {
        return arena_why(mem);
    }
    enum err err = attr_int(attrs, "to", 0, &to, note);
    if (err != ERR_NONE) {
        return err;
    }
    cast->to = type_of(to);
    if (cast->to == DTYPE_NONE) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "a cast to type %lld is not supported", (long long)to);
    }
    *ret = cast;
    return ERR_NONE;
}

static enum err shape(struct op_call *call, struct err_note *note)
{
    const struct cast *cast = call->parsed;

    return op_set(call, 0, cast->to, &call->in[0].shape, note);
}

static bool is_float(enum dtype type)
{
    return type == DTYPE_F32 || type == DTYPE_F64;
}

static double read_float(const struct tensor *t, int64_t i)
{
    return t->type == DTYPE_F32 ? (double)((const float *)t->data)[i] : ((const double *)t->data)[i];
}

static int64_t read_int(const struct tensor *t, int64_t i)
{
    switch (t->type) {
    case DTYPE_I64: return ((const int64_t *)t->data)[i];
    case DTYPE_I32: return ((const int32_t *)t->data)[i];
    case DTYPE_I8: return ((const int8_t *)t->data)[i];
    case DTYPE_U8:
    case DTYPE_BOOL: return ((const uint8_t *)t->data)[i];
    case DTYPE_NONE:
    case DTYPE_F32:
    case DTYPE_F64:
    case DTYPE_COUNT: break;
    }
    return 0;
}

/* Towards zero; what does not fit is left open by the standard and saturates here, NaN becomes 0. */
static int64_t to_int(double v)
{
    if (isnan(v)) {
        return 0;
    }
    return v >= 0x1p63 ? INT64_MAX : v < -0x1p63 ? INT64_MIN : (int64_t)v;
}

static void write_int(const struct tensor *t, int64_t i, int64_t v)
{
    switch (t->type) {
    case DTYPE_I64: ((int64_t *)t->data)[i] = v; break;
    case DTYPE_I32: ((int32_t *)t->data)[i] = (int32_t)v; break;
    case DTYPE_I8: ((int8_t *)t->data)[i] = (int8_t)v; break;
    case DTYPE_U8: ((uint8_t *)t->data)[i] = (uint8_t)v; break;
    case DTYPE_F32: ((float *)t->data)[i] = (float)v; break;
    case DTYPE_F64: ((double *)t->data)[i] = (double)v; break;
    case DTYPE_NONE:
    case DTYPE_BOOL:
    case DTYPE_COUNT: break;
    }
}

static enum err forward(const struct op_call *call)
{
    const struct tensor *in = &call->in[0];
    const struct tensor *out = &call->out[0];

    if (in->type == out->type) {
        return op_copy(call);
    }
    for (int64_t i = 0; i < shape_elements(&in->shape); i++) {
        if (out->type == DTYPE_BOOL) {
            ((uint8_t *)out->data)[i] = is_float(in->type) ? read_float(in, i) != 0 : read_int(in, i) != 0;
        } else if (!is_float(in->type)) {
            write_int(out, i, read_int(in, i));
        } else if (out->type == DTYPE_F32) {
            ((float *)out->data)[i] = (float)read_float(in, i);
        } else if (out->type == DTYPE_F64) {
            ((double *)out->data)[i] = read_float(in, i);
        } else {
            write_int(out, i, to_int(read_float(in, i)));
        }
    }
    return ERR_NONE;
}

static const struct op_def rows[] = {
    {.domain = "",
     .name = "Cast",
     .opset_min = 6,
     .opset_max = OP_LAST,
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = 1,
     .types = OP_ANY,
     .min_rank = 0,
     .max_rank = TENSOR_MAX_RANK,
     .parse = parse,
     .shape = shape,
     .forward = forward},
};
const struct op_rows op_rows_cast = OP_ROWS(rows);
