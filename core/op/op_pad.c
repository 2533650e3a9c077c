/* op_pad.c: Pad: constant, reflect and edge; pads as an attribute up to opset 10, as an input after. */
#include <string.h>

#include "core/op/op_private.h"

struct pad {
    enum pad_mode {
        PAD_CONSTANT,
        PAD_REFLECT,
        PAD_EDGE
    } mode;
    float value;
    int count;
    int64_t at[2 * TENSOR_MAX_RANK];
};

static enum err parse(const struct attrs *attrs, int opset, int n_in, int n_out, struct arena *mem, void **ret,
                      struct err_note *note)
{
    static const char *const names[] = {"constant", "reflect", "edge"};
    struct pad *pad = ARENA_NEW(mem, struct pad);
    const char *mode = NULL;
    const int64_t *list = NULL;
    size_t count = 0;
    int found = -1;

    if (pad == NULL) {
        return arena_why(mem);
    }
    enum err err = attr_text(attrs, "mode", "constant", &mode, note);
    err = err != ERR_NONE ? err : attr_float(attrs, "value", 0, &pad->value, note);
    if (err == ERR_NONE && opset < 11) {
        err = attr_ints(attrs, "pads", &list, &count, note);
    }
    if (err != ERR_NONE) {
        return err;
    }
    for (int i = 0; i < 3; i++) {
        found = strcmp(mode, names[i]) == 0 ? i : found;
    }
    if (found < 0 || count > 2 * TENSOR_MAX_RANK) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "mode '%.40s' with %zu pads is not supported", mode, count);
    }
    pad->mode = (enum pad_mode)found;
    pad->count = (int)count;
    if (count > 0) {
        memcpy(pad->at, list, count * sizeof *list);
    }
    *ret = pad;
    return ERR_NONE;
}

/* The pads of this call, checked against the data. */
static enum err pads_of(const struct op_call *call, struct pad *ret, struct err_note *note)
{
    const struct shape *x = &call->in[0].shape;
    struct pad pad = *(const struct pad *)call->parsed;
    enum err err = ERR_NONE;

    if (op_has(call, 1)) {
        err = op_ints(call, 1, pad.at, 2 * TENSOR_MAX_RANK, &pad.count, note);
    }
    if (err != ERR_NONE) {
        return err;
    }
    if (pad.count != 2 * x->rank) {
        return ERR_SAY(note, ERR_FORMAT, "%d pads for rank %d", pad.count, x->rank);
    }
    for (int i = 0; i < pad.count; i++) {
        int64_t size = x->dim[i % x->rank];
        if (pad.at[i] < 0 || pad.at[i] > INT32_MAX || size > INT64_MAX / 4) {
            return ERR_SAY(note, ERR_UNSUPPORTED, "a pad of %lld is not supported", (long long)pad.at[i]);
        }
        if ((pad.mode == PAD_REFLECT && pad.at[i] > 0 && pad.at[i] >= size) ||
            (pad.mode == PAD_EDGE && pad.at[i] > 0 && size == 0)) {
            return ERR_SAY(note, ERR_FORMAT, "a pad of %lld cannot be taken from %lld elements", (long long)pad.at[i],
                           (long long)size);
        }
    }
    *ret = pad;
    return ERR_NONE;
}

static enum err shape(struct op_call *call, struct err_note *note)
{
    struct shape out = call->in[0].shape;
    struct pad pad;
    enum err err = pads_of(call, &pad, note);

    if (err == ERR_NONE && op_has(call, 2)) {
        err = op_type(call, 2, OP_F32, note);
        if (err == ERR_NONE && shape_elements(&call->in[2].shape) != 1) {
            err = ERR_SAY(note, ERR_FORMAT, "the value to pad with is not one number");
        }
    }
    if (err != ERR_NONE) {
        return err;
    }
    for (int d = 0; d < out.rank; d++) {
        out.dim[d] += pad.at[d] + pad.at[out.rank + d];
    }
    return op_set(call, 0, DTYPE_F32, &out, note);
}

/* Where an output coordinate comes from; -1: from the constant. */
static int64_t source(enum pad_mode mode, int64_t at, int64_t size)
{
    if (at >= 0 && at < size) {
        return at;
    }
    switch (mode) {
    case PAD_CONSTANT: break;
    case PAD_REFLECT: return at < 0 ? -at : 2 * (size - 1) - at;
    case PAD_EDGE: return at < 0 ? 0 : size - 1;
    }
    return -1;
}

static enum err forward(const struct op_call *call)
{
    const struct shape *x = &call->in[0].shape;
    const struct shape *out = &call->out[0].shape;
    const float *in = call->in[0].data;
    float *y = call->out[0].data;
    struct pad pad;
    enum err err = pads_of(call, &pad, NULL);
    int last = x->rank - 1;

    if (err != ERR_NONE) {
        return err;
    }
    float value = op_has(call, 2) ? *(const float *)call->in[2].data : pad.value;
    int64_t row = out->dim[last];
    int64_t rows = op_product(out, 0, last);
    for (int64_t r = 0; r < rows; r++) {
        int64_t start = 0;
        int64_t rest = r;
        bool inside = true;
        for (int d = last - 1; d >= 0; d--) {
            int64_t from = source(pad.mode, rest % out->dim[d] - pad.at[d], x->dim[d]);
            rest /= out->dim[d];
            inside = inside && from >= 0;
            start += from * op_product(x, d + 1, x->rank);
        }
        for (int64_t i = 0; i < row; i++) {
            int64_t from = inside ? source(pad.mode, i - pad.at[last], x->dim[last]) : -1;
            y[r * row + i] = from >= 0 ? in[start + from] : value;
        }
    }
    return ERR_NONE;
}

#define ROW(first, last, in_min, in_max, values)                                                                     \
    {                                                                                                                \
        .domain = "", .name = "Pad", .opset_min = (first), .opset_max = (last), .min_in = (in_min),                  \
        .max_in = (in_max), .min_out = 1, .max_out = 1, .types = OP_F32, .min_rank = 1, .max_rank = TENSOR_MAX_RANK, \
        .value_inputs = (values), .parse = parse, .shape = shape, .forward = forward                                 \
    }

static const struct op_def rows[] = {
    ROW(2, 10, 1, 1, 0),
    ROW(11, OP_LAST, 2, 3, 1U << 1),
};
const struct op_rows op_rows_pad = OP_ROWS(rows);
