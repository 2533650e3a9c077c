/* op_binary.c: operators that combine numbers at the same place of two or more stretched inputs. */
#include "core/kernel/elementwise_backward.h"
#include "core/op/op_private.h"

/*
 * Up to opset 6 inputs do not stretch by themselves: an attribute says that the second one does, and from which axis on its
 * dimensions match those of the first.
 */
struct old_broadcast {
    bool on;
    bool has_axis;
    int64_t axis;
};

static enum err old_parse(const struct attrs *attrs, int opset, int n_in, int n_out, struct arena *mem, void **ret,
                          struct err_note *note)
{
    struct old_broadcast *old = ARENA_NEW(mem, struct old_broadcast);
    int64_t on = 0;

    if (old == NULL) {
        return arena_why(mem);
    }
    enum err err = attr_int(attrs, "broadcast", 0, &on, note);
    if (err == ERR_NONE) {
        err = attr_int(attrs, "axis", 0, &old->axis, note);
    }
    if (err == ERR_NONE) {
        old->on = on != 0;
        old->has_axis = attr_find(attrs, "axis") != NULL;
        *ret = old;
    }
    return err;
}

/* The shape of the second input with ones put behind it, so that it stretches to the first as the attribute says. */
static enum err old_second(const struct op_call *call, struct shape *ret, struct err_note *note)
{
    const struct old_broadcast *old = call->parsed;
    const struct shape *a = &call->in[0].shape;
    struct shape b = call->in[1].shape;
    char text_a[SHAPE_TEXT_BYTES];
    char text_b[SHAPE_TEXT_BYTES];

    if (old == NULL || (!old->on && shape_equal(a, &b))) {
        *ret = b;
        return ERR_NONE;
    }
    int64_t axis = old->has_axis ? old->axis : a->rank - b.rank;
    axis = axis < 0 ? axis + a->rank : axis;
    if (!old->on || axis < 0 || axis + b.rank > a->rank) {
        return ERR_SAY(note, ERR_FORMAT, "shapes %s and %s do not fit without broadcasting", shape_text(a, text_a),
                       shape_text(&b, text_b));
    }
    while (b.rank < a->rank - axis) {
        b.dim[b.rank++] = 1;
    }
    *ret = b;
    return ERR_NONE;
}

static enum err measure(struct op_call *call, bool to_bool, struct err_note *note)
{
    struct shape b;
    struct shape out;
    enum err err = op_type(call, 1, DTYPE_BIT(call->in[0].type), note);

    err = err != ERR_NONE ? err : old_second(call, &b, note);
    err = err != ERR_NONE ? err : op_broadcast(&call->in[0].shape, &b, &out, note);
    if (err == ERR_NONE && call->parsed != NULL && !shape_equal(&out, &call->in[0].shape)) {
        err = ERR_SAY(note, ERR_FORMAT, "only the second input may stretch before opset 7");
    }
    return err != ERR_NONE ? err : op_set(call, 0, to_bool ? DTYPE_BOOL : call->in[0].type, &out, note);
}

static enum err number_shape(struct op_call *call, struct err_note *note)
{
    return measure(call, false, note);
}

static enum err compare_shape(struct op_call *call, struct err_note *note)
{
    return measure(call, true, note);
}

static void combine(enum binary what, const struct tensor *a, const struct shape *a_shape, const struct tensor *b,
                    const struct shape *b_shape, const struct tensor *out)
{
    struct strided s;

    op_stretch(&s, 0, a_shape, &out->shape);
    op_stretch(&s, 1, b_shape, &out->shape);
    strided_simplify(&s, 2);
    if (a->type == DTYPE_F32) {
        binary_f32(what, &s, a->data, b->data, out->data);
    } else if (a->type == DTYPE_I64) {
        binary_i64(what, &s, a->data, b->data, out->data);
    } else {
        binary_i32(what, &s, a->data, b->data, out->data);
    }
}

static enum err run(const struct op_call *call, enum binary what)
{
    struct shape b = call->in[1].shape;

    if (call->blocked_out) {
        struct strided s = {.rank = 1, .dim = {op_numbers(call)}, .step = {{1}, {1}}};
        binary_f32(what, &s, call->in[0].data, call->in[1].data, call->out[0].data);
        return ERR_NONE;
    }

    (void)!old_second(call, &b, NULL); /* has succeeded in the shape rule */
    combine(what, &call->in[0], &call->in[0].shape, &call->in[1], &b, &call->out[0]);
    return ERR_NONE;
}

/* Integers must not be divided by zero; what lies in the data is known only now. */
static bool has_zero(const struct tensor *t)
{
    for (int64_t i = 0; i < shape_elements(&t->shape); i++) {
        if (t->type == DTYPE_I64 ? ((const int64_t *)t->data)[i] == 0 : ((const int32_t *)t->data)[i] == 0) {
            return true;
        }
    }
    return false;
}

static enum err divide(const struct op_call *call)
{
    if (call->in[1].type != DTYPE_F32 && has_zero(&call->in[1])) {
        return ERR_FORMAT;
    }
    return run(call, BINARY_DIV);
}

#define FORWARD(name, what)                          \
    static enum err name(const struct op_call *call) \
    {                                                \
        return run(call, what);                      \
    }
FORWARD(add, BINARY_ADD)
FORWARD(sub, BINARY_SUB)
FORWARD(mul, BINARY_MUL)
FORWARD(pow_forward, BINARY_POW)
FORWARD(equal, BINARY_EQUAL)
FORWARD(less, BINARY_LESS)
FORWARD(greater, BINARY_GREATER)

/* Adds factor · dy [· the other input] to the gradient of input to. */
static void add_back(const struct op_call *call, int to, float factor, bool product, const struct tensor *out_grad,
                     const struct tensor *in_grad)
{
    struct shape shapes[2] = {call->in[0].shape, call->in[1].shape};
    struct strided s;

    if (in_grad[to].data == NULL) {
        return;
    }
    (void)!old_second(call, &shapes[1], NULL); /* has succeeded in the shape rule */
    op_stretch(&s, 0, &shapes[to], &call->out[0].shape);
    op_stretch(&s, 1, &shapes[1 - to], &call->out[0].shape);
    strided_simplify(&s, 2);
    stretched_backward_f32(&s, factor, out_grad[0].data, product ? call->in[1 - to].data : NULL, in_grad[to].data);
}

#define BACKWARD(name, factor, product)                                                                     \
    static enum err name(const struct op_call *call, const struct tensor *out_grad, struct tensor *in_grad) \
    {                                                                                                       \
        add_back(call, 0, 1, product, out_grad, in_grad);                                                   \
        add_back(call, 1, factor, product, out_grad, in_grad);                                              \
        return ERR_NONE;                                                                                    \
    }
BACKWARD(add_backward, 1, false)
BACKWARD(sub_backward, -1, false)
BACKWARD(mul_backward, 1, true)

/* ---- PRelu ------------------------------------------------------------------------------------------------------- */

/* Up to opset 6 a vector of slopes belongs to the channels (dimension 1), later it stretches like everything else. */
static struct shape slope_shape(const struct op_call *call)
{
    const struct shape *x = &call->in[0].shape;
    struct shape slope = call->in[1].shape;

    if (call->opset < 7 && slope.rank == 1 && slope.dim[0] != 1) {
        while (slope.rank < x->rank - 1) {
            slope.dim[slope.rank++] = 1;
        }
    }
    return slope;
}

static enum err prelu_shape(struct op_call *call, struct err_note *note)
{
    struct shape slope = slope_shape(call);
    struct shape out;
    enum err err = op_type(call, 1, OP_F32, note);

    err = err != ERR_NONE ? err : op_broadcast(&call->in[0].shape, &slope, &out, note);
    if (err == ERR_NONE && !shape_equal(&out, &call->in[0].shape)) {
        err = ERR_SAY(note, ERR_FORMAT, "the slope is larger than the data");
    }
    return err != ERR_NONE ? err : op_set(call, 0, DTYPE_F32, &out, note);
}

static enum err prelu(const struct op_call *call)
{
    struct shape slope = slope_shape(call);

    combine(BINARY_PRELU, &call->in[0], &call->in[0].shape, &call->in[1], &slope, &call->out[0]);
    return ERR_NONE;
}

static enum err prelu_backward(const struct op_call *call, const struct tensor *out_grad, struct tensor *in_grad)
{
    struct shape slope = slope_shape(call);
    struct strided s;

    op_stretch(&s, 0, &slope, &call->out[0].shape);
    strided_simplify(&s, 1);
    prelu_backward_f32(&s, call->in[0].data, call->in[1].data, out_grad[0].data, in_grad[0].data, in_grad[1].data);
    return ERR_NONE;
}

/* ---- Any number of inputs: Min, Max, Sum, Mean -------------------------------------------------------------------- */

static enum err many_shape(struct op_call *call, struct err_note *note)
{
    struct shape out = call->in[0].shape;

    for (int i = 1; i < call->n_in; i++) {
        enum err err = op_type(call, i, DTYPE_BIT(call->in[0].type), note);
        if (err == ERR_NONE && call->opset < 8 && !shape_equal(&out, &call->in[i].shape)) {
            err = ERR_SAY(note, ERR_FORMAT, "input %d has another shape; inputs do not stretch before opset 8", i);
        }
        err = err != ERR_NONE ? err : op_broadcast(&out, &call->in[i].shape, &out, note);
        if (err != ERR_NONE) {
            return err;
        }
    }
    return op_set(call, 0, call->in[0].type, &out, note);
}

/* The output is its own first operand from the second input on; both sides are read before the place is written. */
static enum err fold(const struct op_call *call, enum binary what)
{
    const struct tensor *out = &call->out[0];
    struct strided s;

    op_stretch(&s, 0, &call->in[0].shape, &out->shape);
    strided_simplify(&s, 1);
    strided_copy(&s, call->in[0].data, out->data, dtype_bytes(out->type));
    for (int i = 1; i < call->n_in; i++) {
        combine(what, out, &out->shape, &call->in[i], &call->in[i].shape, out);
    }
    return ERR_NONE;
}

static enum err min_forward(const struct op_call *call)
{
    return fold(call, BINARY_MIN);
}

static enum err max_forward(const struct op_call *call)
{
    return fold(call, BINARY_MAX);
}

static enum err sum_forward(const struct op_call *call)
{
    return fold(call, BINARY_ADD);
}

static enum err mean_forward(const struct op_call *call)
{
    float *y = call->out[0].data;
    int64_t count = shape_elements(&call->out[0].shape);
    enum err err = fold(call, BINARY_ADD);

    for (int64_t i = 0; i < count; i++) {
        y[i] /= (float)call->n_in;
    }
    return err;
}

#define ROW(op, first, last, op_kind, in_types, parse_fn, shape_fn, forward_fn, backward_fn, reads_in, block_fn)  \
    {                                                                                                             \
        .domain = "", .name = (op), .opset_min = (first), .opset_max = (last), .kind = (op_kind), .min_in = 2,    \
        .max_in = 2, .min_out = 1, .max_out = 1, .types = (in_types), .min_rank = 0, .max_rank = TENSOR_MAX_RANK, \
        .parse = (parse_fn), .shape = (shape_fn), .forward = (forward_fn), .backward = (backward_fn),             \
        .backward_in = (reads_in), .block = (block_fn)                                                            \
    }
#define TWO_ROWS(op, op_kind, in_types, shape_fn, forward_fn, backward_fn, reads_in, block_fn)          \
    ROW(op, 1, 6, op_kind, in_types, old_parse, shape_fn, forward_fn, backward_fn, reads_in, block_fn), \
        ROW(op, 7, OP_LAST, op_kind, in_types, NULL, shape_fn, forward_fn, backward_fn, reads_in, block_fn)
#define MANY(op, in_types, forward_fn)                                                                          \
    {                                                                                                           \
        .domain = "", .name = (op), .opset_min = 1, .opset_max = OP_LAST, .min_in = 1, .max_in = OP_MAX_INPUTS, \
        .min_out = 1, .max_out = 1, .types = (in_types), .min_rank = 0, .max_rank = TENSOR_MAX_RANK,            \
        .shape = many_shape, .forward = (forward_fn)                                                            \
    }

static const struct op_def rows[] = {
    TWO_ROWS("Add", OP_ADD, OP_NUMBER, number_shape, add, add_backward, 0, op_block_two),
    TWO_ROWS("Sub", OP_OTHER, OP_NUMBER, number_shape, sub, sub_backward, 0, op_block_two),
    TWO_ROWS("Mul", OP_OTHER, OP_NUMBER, number_shape, mul, mul_backward, 3U, op_block_two),
    TWO_ROWS("Div", OP_OTHER, OP_NUMBER, number_shape, divide, NULL, 0, NULL),
    TWO_ROWS("Pow", OP_OTHER, OP_F32, number_shape, pow_forward, NULL, 0, NULL),
    TWO_ROWS("Equal", OP_OTHER, OP_NUMBER, compare_shape, equal, NULL, 0, NULL),
    TWO_ROWS("Less", OP_OTHER, OP_NUMBER, compare_shape, less, NULL, 0, NULL),
    TWO_ROWS("Greater", OP_OTHER, OP_NUMBER, compare_shape, greater, NULL, 0, NULL),
    ROW("PRelu", 1, OP_LAST, OP_PRELU, OP_F32, NULL, prelu_shape, prelu, prelu_backward, 3U, NULL),
    MANY("Min", OP_NUMBER, min_forward),
    MANY("Max", OP_NUMBER, max_forward),
    MANY("Sum", OP_F32, sum_forward),
    MANY("Mean", OP_F32, mean_forward),
};
const struct op_rows op_rows_binary = OP_ROWS(rows);
