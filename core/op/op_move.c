/* op_move.c: operators that move elements: Transpose, Expand, Slice, Concat, Split. */
#include <string.h>

#include "core/kernel/elementwise_backward.h"
#include "core/op/op_private.h"

/* ---- Transpose ------------------------------------------------------------------------------------------------------ */

struct permutation {
    int count; /* 0: reversed */
    int at[TENSOR_MAX_RANK];
};

static enum err transpose_parse(const struct attrs *attrs, int opset, int n_in, int n_out, struct arena *mem,
                                void **ret, struct err_note *note)
{
    struct permutation *perm = ARENA_NEW(mem, struct permutation);
    const int64_t *list = NULL;
    size_t count = 0;
    bool named[TENSOR_MAX_RANK] = {false};

    if (perm == NULL) {
        return arena_why(mem);
    }
    enum err err = attr_ints(attrs, "perm", &list, &count, note);
    if (err == ERR_NONE && count > TENSOR_MAX_RANK) {
        err = ERR_SAY(note, ERR_UNSUPPORTED, "perm has %zu values; ranks above %d are not supported", count,
                      TENSOR_MAX_RANK);
    }
    err = err != ERR_NONE ? err : op_axes(list, count, (int)count, named, note);
    if (err != ERR_NONE) {
        return err;
    }
    perm->count = (int)count;
    for (int i = 0; i < perm->count; i++) {
        perm->at[i] = (int)(list[i] < 0 ? list[i] + perm->count : list[i]);
    }
    *ret = perm;
    return ERR_NONE;
}

static int permuted(const struct permutation *perm, int rank, int d)
{
    return perm->count > 0 ? perm->at[d] : rank - 1 - d;
}

static enum err transpose_shape(struct op_call *call, struct err_note *note)
{
    const struct permutation *perm = call->parsed;
    const struct shape *x = &call->in[0].shape;
    struct shape out = {.rank = x->rank};

    if (perm->count > 0 && perm->count != x->rank) {
        return ERR_SAY(note, ERR_FORMAT, "perm has %d values for rank %d", perm->count, x->rank);
    }
    for (int d = 0; d < x->rank; d++) {
        out.dim[d] = x->dim[permuted(perm, x->rank, d)];
    }
    return op_set(call, 0, call->in[0].type, &out, note);
}

/* The input as the output walks it. */
static struct strided transposed_view(const struct op_call *call)
{
    const struct shape *x = &call->in[0].shape;
    struct strided s = {.rank = x->rank};

    for (int d = 0; d < x->rank; d++) {
        int from = permuted(call->parsed, x->rank, d);
        s.dim[d] = x->dim[from];
        s.step[0][d] = op_product(x, from + 1, x->rank);
    }
    strided_simplify(&s, 1);
    return s;
}

static enum err transpose_backward(const struct op_call *call, const struct tensor *out_grad, struct tensor *in_grad)
{
    struct strided s = transposed_view(call);

    if (in_grad[0].data != NULL) {
        stretched_backward_f32(&s, 1, out_grad[0].data, NULL, in_grad[0].data);
    }
    return ERR_NONE;
}

static enum err transpose_forward(const struct op_call *call)
{
    struct strided s = transposed_view(call);

    strided_copy(&s, call->in[0].data, call->out[0].data, dtype_bytes(call->in[0].type));
    return ERR_NONE;
}

/* ---- Expand --------------------------------------------------------------------------------------------------------- */

static enum err expand_shape(struct op_call *call, struct err_note *note)
{
    struct shape wanted = {0};
    struct shape out;
    enum err err = op_ints(call, 1, wanted.dim, TENSOR_MAX_RANK, &wanted.rank, note);

    for (int d = 0; err == ERR_NONE && d < wanted.rank; d++) {
        if (wanted.dim[d] < 0) {
            err = ERR_SAY(note, ERR_FORMAT, "dimension %d of the new shape is negative", d);
        }
    }
    err = err != ERR_NONE ? err : op_broadcast(&call->in[0].shape, &wanted, &out, note);
    return err != ERR_NONE ? err : op_set(call, 0, call->in[0].type, &out, note);
}

static enum err expand_forward(const struct op_call *call)
{
    struct strided s;

    op_stretch(&s, 0, &call->in[0].shape, &call->out[0].shape);
    strided_simplify(&s, 1);
    strided_copy(&s, call->in[0].data, call->out[0].data, dtype_bytes(call->in[0].type));
    return ERR_NONE;
}

/* ---- Slice: attributes up to opset 9, inputs after ------------------------------------------------------------------- */

struct slice {
    int n_starts, n_ends, n_axes, n_steps;
    int64_t starts[TENSOR_MAX_RANK], ends[TENSOR_MAX_RANK], axes[TENSOR_MAX_RANK], steps[TENSOR_MAX_RANK];
};

static enum err slice_attr(const struct attrs *attrs, const char *name, int64_t *ret, int *ret_count,
                           struct err_note *note)
{
    const int64_t *list = NULL;
    size_t count = 0;
    enum err err = attr_ints(attrs, name, &list, &count, note);

    if (err != ERR_NONE) {
        return err;
    }
    if (count > TENSOR_MAX_RANK) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "%s has %zu values; ranks above %d are not supported", name, count,
                       TENSOR_MAX_RANK);
    }
    if (count > 0) {
        memcpy(ret, list, count * sizeof *list);
    }
    *ret_count = (int)count;
    return ERR_NONE;
}

static enum err slice_parse(const struct attrs *attrs, int opset, int n_in, int n_out, struct arena *mem, void **ret,
                            struct err_note *note)
{
    struct slice *slice = ARENA_NEW(mem, struct slice);

    if (slice == NULL) {
        return arena_why(mem);
    }
    enum err err = slice_attr(attrs, "starts", slice->starts, &slice->n_starts, note);
    err = err != ERR_NONE ? err : slice_attr(attrs, "ends", slice->ends, &slice->n_ends, note);
    err = err != ERR_NONE ? err : slice_attr(attrs, "axes", slice->axes, &slice->n_axes, note);
    if (err == ERR_NONE) {
        *ret = slice;
    }
    return err;
}

static enum err slice_input(const struct op_call *call, int i, int64_t *ret, int *ret_count, struct err_note *note)
{
    return op_has(call, i) ? op_ints(call, i, ret, TENSOR_MAX_RANK, ret_count, note) : ERR_NONE;
}

static int64_t clamp(int64_t v, int64_t low, int64_t high)
{
    return v < low ? low : v > high ? high : v;
}

/* Where the view begins and how it walks; out is its shape. */
static enum err slice_view(const struct op_call *call, struct strided *ret, int64_t *ret_start, struct err_note *note)
{
    const struct shape *x = &call->in[0].shape;
    struct slice s = {0};
    struct strided view = {.rank = x->rank};
    bool named[TENSOR_MAX_RANK] = {false};
    int64_t start = 0;
    enum err err = ERR_NONE;

    if (call->parsed != NULL) {
        s = *(const struct slice *)call->parsed;
    } else {
        err = slice_input(call, 1, s.starts, &s.n_starts, note);
        err = err != ERR_NONE ? err : slice_input(call, 2, s.ends, &s.n_ends, note);
        err = err != ERR_NONE ? err : slice_input(call, 3, s.axes, &s.n_axes, note);
        err = err != ERR_NONE ? err : slice_input(call, 4, s.steps, &s.n_steps, note);
    }
    if (err != ERR_NONE) {
        return err;
    }
    if (s.n_ends != s.n_starts || (s.n_axes != 0 && s.n_axes != s.n_starts) ||
        (s.n_steps != 0 && s.n_steps != s.n_starts) || s.n_starts > x->rank) {
        return ERR_SAY(note, ERR_FORMAT, "%d starts, %d ends, %d axes and %d steps for rank %d", s.n_starts, s.n_ends,
                       s.n_axes, s.n_steps, x->rank);
    }
    err = op_axes(s.axes, (size_t)s.n_axes, x->rank, named, note);
    if (err != ERR_NONE) {
        return err;
    }
    for (int d = 0; d < x->rank; d++) {
        view.dim[d] = x->dim[d];
        view.step[0][d] = op_product(x, d + 1, x->rank);
    }
    for (int i = 0; i < s.n_starts; i++) {
        int d = s.n_axes == 0 ? i : (int)(s.axes[i] < 0 ? s.axes[i] + x->rank : s.axes[i]);
        int64_t size = x->dim[d];
        int64_t step = s.n_steps == 0 ? 1 : s.steps[i];
        if (step == 0 || step == INT64_MIN) {
            return ERR_SAY(note, ERR_FORMAT, "the step of axis %d is %lld", d, (long long)step);
        }
        /* Backwards, the first element may be the last one and the end may lie before the first (-1). */
        int64_t from = s.starts[i] < 0 ? s.starts[i] + size : s.starts[i];
        int64_t to = s.ends[i] < 0 ? s.ends[i] + size : s.ends[i];
        from = step > 0 ? clamp(from, 0, size) : clamp(from, size > 0 ? 0 : -1, size - 1);
        to = step > 0 ? clamp(to, 0, size) : clamp(to, -1, size - 1);
        int64_t span = step > 0 ? to - from : from - to;
        int64_t stride = step > 0 ? step : -step;
        view.dim[d] = span > 0 ? (span - 1) / stride + 1 : 0;
        start += view.dim[d] > 0 ? from * view.step[0][d] : 0;
        view.step[0][d] = view.dim[d] > 1 ? view.step[0][d] * step : 0;
    }
    *ret = view;
    *ret_start = start;
    return ERR_NONE;
}

static enum err slice_shape(struct op_call *call, struct err_note *note)
{
    struct strided view;
    int64_t start = 0;
    enum err err = slice_view(call, &view, &start, note);

    if (err != ERR_NONE) {
        return err;
    }
    struct shape out = {.rank = view.rank};
    memcpy(out.dim, view.dim, sizeof out.dim);
    return op_set(call, 0, call->in[0].type, &out, note);
}

static enum err slice_forward(const struct op_call *call)
{
    struct strided view;
    int64_t start = 0;
    size_t bytes = dtype_bytes(call->in[0].type);
    enum err err = slice_view(call, &view, &start, NULL);

    if (err == ERR_NONE && shape_elements(&call->out[0].shape) > 0) {
        strided_simplify(&view, 1);
        strided_copy(&view, (const char *)call->in[0].data + (size_t)start * bytes, call->out[0].data, bytes);
    }
    return err;
}

/* ---- Concat, Split --------------------------------------------------------------------------------------------------- */

struct axis {
    int64_t axis;
    int64_t n_outputs; /* Split, opset 18 */
    int count;         /* Split: sizes given as an attribute */
    int64_t sizes[OP_MAX_OUTPUTS];
};

static enum err concat_parse(const struct attrs *attrs, int opset, int n_in, int n_out, struct arena *mem, void **ret,
                             struct err_note *note)
{
    struct axis *axis = ARENA_NEW(mem, struct axis);

    if (axis == NULL) {
        return arena_why(mem);
    }
    enum err err = attr_int(attrs, "axis", 1, &axis->axis, note);
    if (err == ERR_NONE && opset >= 4 && attr_find(attrs, "axis") == NULL) {
        err = ERR_SAY(note, ERR_FORMAT, "axis is missing");
    }
    if (err == ERR_NONE) {
        *ret = axis;
    }
    return err;
}

static enum err concat_shape(struct op_call *call, struct err_note *note)
{
    const struct axis *parsed = call->parsed;
    struct shape out = call->in[0].shape;
    char text_a[SHAPE_TEXT_BYTES];
    char text_b[SHAPE_TEXT_BYTES];
    int axis = 0;
    enum err err = op_axis(parsed->axis, out.rank, &axis, note);

    for (int i = 1; err == ERR_NONE && i < call->n_in; i++) {
        struct shape other = call->in[i].shape;
        err = op_type(call, i, DTYPE_BIT(call->in[0].type), note);
        if (err != ERR_NONE) {
            break;
        }
        int64_t length = other.rank == out.rank ? other.dim[axis] : 0;
        other.dim[axis] = out.dim[axis];
        if (!shape_equal(&other, &out) || length > INT64_MAX - out.dim[axis]) {
            return ERR_SAY(note, ERR_FORMAT, "input %d of shape %s does not fit %s along axis %d", i,
                           shape_text(&call->in[i].shape, text_a), shape_text(&call->in[0].shape, text_b), axis);
        }
        out.dim[axis] += length;
    }
    return err != ERR_NONE ? err : op_set(call, 0, call->in[0].type, &out, note);
}

static enum err concat_forward(const struct op_call *call)
{
    const struct axis *parsed = call->parsed;
    const struct shape *out = &call->out[0].shape;
    size_t bytes = dtype_bytes(call->in[0].type);
    int axis = (int)(parsed->axis < 0 ? parsed->axis + out->rank : parsed->axis);
    size_t out_row = (size_t)op_product(out, axis, out->rank) * bytes;
    size_t at = 0;

    for (int i = 0; i < call->n_in; i++) {
        size_t row = (size_t)op_product(&call->in[i].shape, axis, out->rank) * bytes;
        for (int64_t o = 0; row > 0 && o < op_product(out, 0, axis); o++) {
            memcpy((char *)call->out[0].data + (size_t)o * out_row + at,
                   (const char *)call->in[i].data + (size_t)o * row, row);
        }
        at += row;
    }
    return ERR_NONE;
}

static enum err concat_backward(const struct op_call *call, const struct tensor *out_grad, struct tensor *in_grad)
{
    const struct axis *parsed = call->parsed;
    const struct shape *out = &call->out[0].shape;
    int axis = (int)(parsed->axis < 0 ? parsed->axis + out->rank : parsed->axis);
    int64_t out_row = op_product(out, axis, out->rank);
    const float *from = out_grad[0].data;

    for (int i = 0; i < call->n_in; i++) {
        int64_t row = op_product(&call->in[i].shape, axis, out->rank);
        float *to = in_grad[i].data;
        for (int64_t k = 0; to != NULL && k < row * op_product(out, 0, axis); k++) {
            to[k] += from[k / row * out_row + k % row];
        }
        from += row;
    }
    return ERR_NONE;
}

static enum err split_parse(const struct attrs *attrs, int opset, int n_in, int n_out, struct arena *mem, void **ret,
                            struct err_note *note)
{
    struct axis *axis = ARENA_NEW(mem, struct axis);
    const int64_t *list = NULL;
    size_t count = 0;

    if (axis == NULL) {
        return arena_why(mem);
    }
    enum err err = attr_int(attrs, "axis", 0, &axis->axis, note);
    err = err != ERR_NONE ? err : attr_int(attrs, "num_outputs", 0, &axis->n_outputs, note);
    if (err == ERR_NONE && opset < 13) {
        err = attr_ints(attrs, "split", &list, &count, note);
    }
    if (err != ERR_NONE) {
        return err;
    }
    if (axis->n_outputs != 0 && axis->n_outputs != n_out) {
        return ERR_SAY(note, ERR_FORMAT, "num_outputs is %lld, the node has %d", (long long)axis->n_outputs, n_out);
    }
    if (count > OP_MAX_OUTPUTS) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "more than %d parts are not supported", OP_MAX_OUTPUTS);
    }
    if (count > 0) {
        memcpy(axis->sizes, list, count * sizeof *list);
    }
    axis->count = (int)count;
    *ret = axis;
    return ERR_NONE;
}

static enum err split_shape(struct op_call *call, struct err_note *note)
{
    const struct axis *parsed = call->parsed;
    const struct shape *x = &call->in[0].shape;
    int64_t sizes[OP_MAX_OUTPUTS];
    int count = parsed->count;
    int axis = 0;
    int64_t rest = 0;
    enum err err = op_axis(parsed->axis, x->rank, &axis, note);

    memcpy(sizes, parsed->sizes, sizeof sizes);
    if (err == ERR_NONE && op_has(call, 1)) {
        err = op_ints(call, 1, sizes, OP_MAX_OUTPUTS, &count, note);
    }
    if (err != ERR_NONE) {
        return err;
    }
    rest = x->dim[axis];
    if (count == 0) {
        /* Only from opset 18 on may the last part be smaller. */
        int64_t part = (rest + call->n_out - 1) / call->n_out;
        if (part * call->n_out != rest && parsed->n_outputs == 0) {
            return ERR_SAY(note, ERR_FORMAT, "axis %d of %lld does not split into %d equal parts", axis,
                           (long long)rest, call->n_out);
        }
        for (; count < call->n_out; count++) {
            int64_t left = rest - part * count;
            sizes[count] = left < part ? (left > 0 ? left : 0) : part;
        }
    }
    for (int i = 0; i < count && rest >= 0; i++) {
        rest = sizes[i] < 0 || sizes[i] > rest ? -1 : rest - sizes[i];
    }
    if (count != call->n_out || rest != 0) {
        return ERR_SAY(note, ERR_FORMAT, "%d sizes for %d outputs, or they do not sum up to %lld", count, call->n_out,
                       (long long)x->dim[axis]);
    }
    for (int i = 0; i < count && err == ERR_NONE; i++) {
        struct shape out = *x;
        out.dim[axis] = sizes[i];
        err = op_set(call, i, call->in[0].type, &out, note);
    }
    return err;
}

static enum err split_forward(const struct op_call *call)
{
    const struct axis *parsed = call->parsed;
    const struct shape *x = &call->in[0].shape;
    size_t bytes = dtype_bytes(call->in[0].type);
    int axis = (int)(parsed->axis < 0 ? parsed->axis + x->rank : parsed->axis);
    size_t in_row = (size_t)op_product(x, axis, x->rank) * bytes;
    size_t at = 0;

    for (int i = 0; i < call->n_out; i++) {
        size_t row = (size_t)op_product(&call->out[i].shape, axis, x->rank) * bytes;
        for (int64_t o = 0; row > 0 && o < op_product(x, 0, axis); o++) {
            memcpy((char *)call->out[i].data + (size_t)o * row,
                   (const char *)call->in[0].data + (size_t)o * in_row + at, row);
        }
        at += row;
    }
    return ERR_NONE;
}

#define ROW(op, first, last, in_min, in_max, out_max, rank_min, values, parse_fn, shape_fn, forward_fn, backward_fn)   \
    {                                                                                                                  \
        .domain = "", .name = (op), .opset_min = (first), .opset_max = (last), .min_in = (in_min), .max_in = (in_max), \
        .min_out = 1, .max_out = (out_max), .types = OP_ANY, .min_rank = (rank_min), .max_rank = TENSOR_MAX_RANK,      \
        .value_inputs = (values), .parse = (parse_fn), .shape = (shape_fn), .forward = (forward_fn),                   \
        .backward = (backward_fn)                                                                                      \
    }

static const struct op_def rows[] = {
    ROW("Transpose", 1, OP_LAST, 1, 1, 1, 0, 0, transpose_parse, transpose_shape, transpose_forward,
        transpose_backward),
    ROW("Expand", 8, OP_LAST, 2, 2, 1, 0, 1U << 1, NULL, expand_shape, expand_forward, NULL),
    ROW("Slice", 1, 9, 1, 1, 1, 1, 0, slice_parse, slice_shape, slice_forward, NULL),
    ROW("Slice", 10, OP_LAST, 3, 5, 1, 1, 30U, NULL, slice_shape, slice_forward, NULL),
    ROW("Concat", 1, OP_LAST, 1, OP_MAX_INPUTS, 1, 1, 0, concat_parse, concat_shape, concat_forward, concat_backward),
    ROW("Split", 2, 12, 1, 1, OP_MAX_OUTPUTS, 1, 0, split_parse, split_shape, split_forward, NULL),
    ROW("Split", 13, OP_LAST, 1, 2, OP_MAX_OUTPUTS, 1, 1U << 1, split_parse, split_shape, split_forward, NULL),
};
const struct op_rows op_rows_move = OP_ROWS(rows);
