/* op_same_data.c: operators that change a tensor's shape, not its numbers: Reshape, Flatten, Squeeze, Unsqueeze, Identity,
 * Dropout. */
#include <string.h>

#include "core/base/random.h"
#include "core/base/size.h"
#include "core/op/op_private.h"

#define ROW(op, first, last, op_kind, in_min, in_max, rank_min, values, parse_fn, shape_fn, forward_fn, backward_fn,  \
            reads_in)                                                                                                 \
    {                                                                                                                 \
        .domain = "", .name = (op), .opset_min = (first), .opset_max = (last), .kind = (op_kind), .min_in = (in_min), \
        .max_in = (in_max), .min_out = 1, .max_out = 1, .types = OP_ANY, .min_rank = (rank_min),                      \
        .max_rank = TENSOR_MAX_RANK, .value_inputs = (values), .parse = (parse_fn), .shape = (shape_fn),              \
        .forward = (forward_fn), .backward = (backward_fn), .backward_in = (reads_in)                                 \
    }

/* ---- A list of integers, as an attribute or as input 1 ------------------------------------------------------------- */

struct list {
    bool given;
    int count;
    int64_t at[TENSOR_MAX_RANK];
    bool allow_zero; /* Reshape */
};

static enum err parse_list(const struct attrs *attrs, const char *name, struct arena *mem, struct list **ret,
                           struct err_note *note)
{
    struct list *list = ARENA_NEW(mem, struct list);
    const int64_t *values = NULL;
    size_t count = 0;

    if (list == NULL) {
        return arena_why(mem);
    }
    enum err err = attr_ints(attrs, name, &values, &count, note);
    if (err != ERR_NONE) {
        return err;
    }
    if (count > TENSOR_MAX_RANK) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "%s has %zu values; ranks above %d are not supported", name, count,
                       TENSOR_MAX_RANK);
    }
    list->given = attr_find(attrs, name) != NULL;
    list->count = (int)count;
    if (count > 0) {
        memcpy(list->at, values, count * sizeof *values);
    }
    *ret = list;
    return ERR_NONE;
}

static enum err list_of(const struct op_call *call, struct list *ret, struct err_note *note)
{
    struct list list = {0};

    if (call->parsed != NULL) {
        list = *(const struct list *)call->parsed;
    }
    if (op_has(call, 1)) {
        enum err err = op_ints(call, 1, list.at, TENSOR_MAX_RANK, &list.count, note);
        if (err != ERR_NONE) {
            return err;
        }
        list.given = true;
    }
    *ret = list;
    return ERR_NONE;
}

static enum err parse_axes(const struct attrs *attrs, int opset, int n_in, int n_out, struct arena *mem, void **ret,
                           struct err_note *note)
{
    struct list *list = NULL;
    enum err err = parse_list(attrs, "axes", mem, &list, note);

    if (err == ERR_NONE) {
        *ret = list;
    }
    return err;
}

/* ---- Reshape ------------------------------------------------------------------------------------------------------- */

static enum err reshape_parse(const struct attrs *attrs, int opset, int n_in, int n_out, struct arena *mem, void **ret,
                              struct err_note *note)
{
    struct list *list = NULL;
    int64_t allow_zero = 0;
    enum err err = parse_list(attrs, opset < 5 ? "shape" : "", mem, &list, note);

    if (err != ERR_NONE || list == NULL) {
        return err;
    }
    if (opset < 5 && !list->given) {
        err = ERR_SAY(note, ERR_FORMAT, "shape is missing");
    }
    if (err == ERR_NONE && opset >= 14) {
        err = attr_int(attrs, "allowzero", 0, &allow_zero, note);
    }
    if (err == ERR_NONE) {
        list->allow_zero = allow_zero != 0;
        *ret = list;
    }
    return err;
}

static enum err reshape_shape(struct op_call *call, struct err_note *note)
{
    const struct shape *x = &call->in[0].shape;
    struct list wanted;
    char text[SHAPE_TEXT_BYTES];
    enum err err = list_of(call, &wanted, note);

    if (err != ERR_NONE) {
        return err;
    }
    struct shape out = {.rank = wanted.count};
    struct shape known = {.rank = wanted.count};
    int free_dim = -1;
    for (int d = 0; d < out.rank; d++) {
        int64_t size = wanted.at[d];
        if (size == 0 && !wanted.allow_zero) {
            if (d >= x->rank) {
                return ERR_SAY(note, ERR_FORMAT, "dimension %d shall be kept, but the rank is %d", d, x->rank);
            }
            size = x->dim[d];
        }
        if (size < -1 || (size == -1 && free_dim >= 0)) {
            return ERR_SAY(note, ERR_FORMAT, "%s", size < -1 ? "a negative dimension" : "two dimensions are -1");
        }
        free_dim = size == -1 ? d : free_dim;
        out.dim[d] = size;
        known.dim[d] = size == -1 ? 1 : size;
    }
    int64_t count = shape_elements(x);
    int64_t rest = 0;
    if (!shape_count(&known, &rest)) {
        return ERR_SAY(note, ERR_LIMIT, "the new shape is too large");
    }
    if (free_dim >= 0 && rest > 0) {
        out.dim[free_dim] = count / rest;
        rest *= out.dim[free_dim];
    }
    if (rest != count || (free_dim >= 0 && out.dim[free_dim] < 0)) {
        return ERR_SAY(note, ERR_FORMAT, "%s has not as many elements as the shape asked for", shape_text(x, text));
    }
    return op_set(call, 0, call->in[0].type, &out, note);
}

/* ---- Flatten ------------------------------------------------------------------------------------------------------- */

struct flatten {
    int64_t axis;
};

static enum err flatten_parse(const struct attrs *attrs, int opset, int n_in, int n_out, struct arena *mem, void **ret,
                              struct err_note *note)
{
    struct flatten *flatten = ARENA_NEW(mem, struct flatten);

    if (flatten == NULL) {
        return arena_why(mem);
    }
    enum err err = attr_int(attrs, "axis", 1, &flatten->axis, note);
    if (err == ERR_NONE) {
        *ret = flatten;
    }
    return err;
}

static enum err flatten_shape(struct op_call *call, struct err_note *note)
{
    const struct flatten *flatten = call->parsed;
    const struct shape *x = &call->in[0].shape;
    int64_t axis = flatten->axis < 0 ? flatten->axis + x->rank : flatten->axis;

    if (axis < 0 || axis > x->rank) {
        return ERR_SAY(note, ERR_FORMAT, "axis %lld is outside of rank %d", (long long)flatten->axis, x->rank);
    }
    struct shape left = {.rank = (int)axis};
    struct shape right = {.rank = x->rank - (int)axis};
    memcpy(left.dim, x->dim, (size_t)left.rank * sizeof left.dim[0]);
    memcpy(right.dim, x->dim + axis, (size_t)right.rank * sizeof right.dim[0]);
    struct shape out = {.rank = 2};
    if (!shape_count(&left, &out.dim[0]) || !shape_count(&right, &out.dim[1])) {
        return ERR_SAY(note, ERR_LIMIT, "the flattened shape is too large");
    }
    return op_set(call, 0, call->in[0].type, &out, note);
}

/* ---- Squeeze, Unsqueeze -------------------------------------------------------------------------------------------- */

static enum err squeeze_shape(struct op_call *call, struct err_note *note)
{
    const struct shape *x = &call->in[0].shape;
    struct list axes;
    bool named[TENSOR_MAX_RANK] = {false};
    struct shape out = {0};
    enum err err = list_of(call, &axes, note);

    err = err != ERR_NONE ? err : op_axes(axes.at, (size_t)axes.count, x->rank, named, note);
    if (err != ERR_NONE) {
        return err;
    }
    for (int d = 0; d < x->rank; d++) {
        if (axes.given && named[d] && x->dim[d] != 1) {
            return ERR_SAY(note, ERR_FORMAT, "axis %d of %lld cannot be left out", d, (long long)x->dim[d]);
        }
        if (axes.given ? !named[d] : x->dim[d] != 1) {
            out.dim[out.rank++] = x->dim[d];
        }
    }
    return op_set(call, 0, call->in[0].type, &out, note);
}

static enum err unsqueeze_shape(struct op_call *call, struct err_note *note)
{
    const struct shape *x = &call->in[0].shape;
    struct list axes;
    bool named[TENSOR_MAX_RANK] = {false};
    enum err err = list_of(call, &axes, note);

    if (err != ERR_NONE) {
        return err;
    }
    struct shape out = {.rank = x->rank + axes.count};
    if (!axes.given || out.rank > TENSOR_MAX_RANK) {
        return ERR_SAY(note, axes.given ? ERR_UNSUPPORTED : ERR_FORMAT, "%d axes for rank %d", axes.count, x->rank);
    }
    err = op_axes(axes.at, (size_t)axes.count, out.rank, named, note);
    if (err != ERR_NONE) {
        return err;
    }
    for (int d = 0, from = 0; d < out.rank; d++) {
        out.dim[d] = named[d] ? 1 : x->dim[from++];
    }
    return op_set(call, 0, call->in[0].type, &out, note);
}

/* ---- Identity, Dropout --------------------------------------------------------------------------------------------- */

static enum err identity_shape(struct op_call *call, struct err_note *note)
{
    return op_set(call, 0, call->in[0].type, &call->in[0].shape, note);
}

/* Up to opset 11 the ratio is an attribute. */
struct dropout {
    float ratio;
};

static enum err dropout_parse(const struct attrs *attrs, int opset, int n_in, int n_out, struct arena *mem, void **ret,
                              struct err_note *note)
{
    struct dropout *dropout = ARENA_NEW(mem, struct dropout);

    if (dropout == NULL) {
        return arena_why(mem);
    }
    enum err err = attr_float(attrs, "ratio", 0.5F, &dropout->ratio, note);
    if (err == ERR_NONE) {
        *ret = dropout;
    }
    return err;
}

static float dropout_ratio(const struct op_call *call)
{
    const struct dropout *dropout = call->parsed;

    if (dropout != NULL) {
        return dropout->ratio;
    }
    return op_has(call, 1) ? *(const float *)call->in[1].data : 0.5F;
}

/* What survives is enlarged, so that the mean stays.  Which ones is drawn again by backward: nothing is kept. */
static enum err dropout_forward(const struct op_call *call)
{
    if (!call->training) {
        return op_copy(call);
    }
    struct random random = random_seeded(call->seed, 0);
    float ratio = dropout_ratio(call);
    const float *x = call->in[0].data;
    float *y = call->out[0].data;
    if (!(ratio >= 0 && ratio < 1)) {
        return ERR_FORMAT;
    }
    for (int64_t i = 0; i < shape_elements(&call->out[0].shape); i++) {
        y[i] = random_uniform(&random) < (double)ratio ? 0 : x[i] / (1 - ratio);
    }
    return ERR_NONE;
}

static enum err dropout_backward(const struct op_call *call, const struct tensor *out_grad, struct tensor *in_grad)
{
    if (!call->training || in_grad[0].data == NULL) {
        return op_copy_backward(call, out_grad, in_grad);
    }
    struct random random = random_seeded(call->seed, 0);
    float ratio = dropout_ratio(call);
    const float *dy = out_grad[0].data;
    float *dx = in_grad[0].data;
    for (int64_t i = 0; i < shape_elements(&call->out[0].shape); i++) {
        dx[i] += random_uniform(&random) < (double)ratio ? 0 : dy[i] / (1 - ratio);
    }
    return ERR_NONE;
}

/*
 * From opset 12 on the third input says whether it is training; files say no, and the call decides.  The mask is asked for
 * by nobody.
 */
static enum err dropout_shape(struct op_call *call, struct err_note *note)
{
    if (call->training) {
        enum err err = op_type(call, 0, OP_F32, note);
        err = err == ERR_NONE && op_has(call, 1) ? op_type(call, 1, OP_F32, note) : err;
        if (err != ERR_NONE) {
            return err;
        }
    }
    if (op_has(call, 2)) {
        const struct tensor *training = &call->in[2];
        enum err err = op_type(call, 2, DTYPE_BIT(DTYPE_BOOL), note);
        if (err != ERR_NONE) {
            return err;
        }
        if (training->data == NULL || shape_elements(&training->shape) != 1 || *(const uint8_t *)training->data != 0) {
            return ERR_SAY(note, ERR_UNSUPPORTED, "training_mode is not supported");
        }
    }
    return identity_shape(call, note);
}

static const struct op_def rows[] = {
    ROW("Reshape", 1, 4, OP_OTHER, 1, 1, 0, 0, reshape_parse, reshape_shape, op_copy, op_copy_backward, 0),
    ROW("Reshape", 5, OP_LAST, OP_OTHER, 2, 2, 0, 1U << 1, reshape_parse, reshape_shape, op_copy, op_copy_backward, 0),
    ROW("Flatten", 1, OP_LAST, OP_OTHER, 1, 1, 0, 0, flatten_parse, flatten_shape, op_copy, op_copy_backward, 0),
    ROW("Squeeze", 1, 12, OP_OTHER, 1, 1, 0, 0, parse_axes, squeeze_shape, op_copy, op_copy_backward, 0),
    ROW("Squeeze", 13, OP_LAST, OP_OTHER, 1, 2, 0, 1U << 1, NULL, squeeze_shape, op_copy, op_copy_backward, 0),
    ROW("Unsqueeze", 1, 12, OP_OTHER, 1, 1, 0, 0, parse_axes, unsqueeze_shape, op_copy, op_copy_backward, 0),
    ROW("Unsqueeze", 13, OP_LAST, OP_OTHER, 2, 2, 0, 1U << 1, NULL, unsqueeze_shape, op_copy, op_copy_backward, 0),
    ROW("Identity", 1, OP_LAST, OP_IDENTITY, 1, 1, 0, 0, NULL, identity_shape, op_copy, op_copy_backward, 0),
    ROW("Dropout", 1, 11, OP_IDENTITY, 1, 1, 0, 0, dropout_parse, dropout_shape, dropout_forward, dropout_backward, 0),
    ROW("Dropout", 12, OP_LAST, OP_IDENTITY, 1, 3, 0, 1U << 2, NULL, dropout_shape, dropout_forward, dropout_backward,
        1U << 1),
};
const struct op_rows op_rows_same_data = OP_ROWS(rows);
