/* op_reduce.c: ReduceMean, ReduceSum, ReduceMax, ReduceMin, ReduceL2, ReduceSumSquare. */
#include <math.h>
#include <string.h>

#include "core/op/op_private.h"

struct reduce {
    bool keep, noop;
    int count;
    int64_t axes[TENSOR_MAX_RANK];
};

static enum err parse(const struct attrs *attrs, int opset, int n_in, int n_out, struct arena *mem, void **ret,
                      struct err_note *note)
{
    struct reduce *reduce = ARENA_NEW(mem, struct reduce);
    const int64_t *axes = NULL;
    size_t count = 0;
    int64_t keep = 1;
    int64_t noop = 0;

    if (reduce == NULL) {
        return arena_why(mem);
    }
    enum err err = attr_ints(attrs, "axes", &axes, &count, note);
    err = err != ERR_NONE ? err : attr_int(attrs, "keepdims", 1, &keep, note);
    err = err != ERR_NONE ? err : attr_int(attrs, "noop_with_empty_axes", 0, &noop, note);
    if (err != ERR_NONE) {
        return err;
    }
    if (count > TENSOR_MAX_RANK) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "%zu axes; ranks above %d are not supported", count, TENSOR_MAX_RANK);
    }
    if (count > 0) {
        memcpy(reduce->axes, axes, count * sizeof *axes);
    }
    reduce->count = (int)count;
    reduce->keep = keep != 0;
    reduce->noop = noop != 0;
    *ret = reduce;
    return ERR_NONE;
}

static enum err reduced(const struct op_call *call, bool ret[TENSOR_MAX_RANK], struct err_note *note)
{
    const struct reduce *reduce = call->parsed;
    int64_t axes[TENSOR_MAX_RANK];
    int count = reduce->count;
    int rank = call->in[0].shape.rank;
    enum err err = ERR_NONE;

    memcpy(axes, reduce->axes, sizeof axes);
    if (op_has(call, 1)) {
        err = op_ints(call, 1, axes, TENSOR_MAX_RANK, &count, note);
    }
    err = err != ERR_NONE ? err : op_axes(axes, (size_t)count, rank, ret, note);
    for (int d = 0; err == ERR_NONE && count == 0 && !reduce->noop && d < rank; d++) {
        ret[d] = true;
    }
    return err;
}

static enum err measure(struct op_call *call, bool needs_one, struct err_note *note)
{
    const struct reduce *reduce = call->parsed;
    const struct shape *x = &call->in[0].shape;
    bool gone[TENSOR_MAX_RANK] = {false};
    struct shape out = {0};
    enum err err = reduced(call, gone, note);

    if (err != ERR_NONE) {
        return err;
    }
    for (int d = 0; d < x->rank; d++) {
        if (gone[d] && x->dim[d] == 0 && needs_one) {
            return ERR_SAY(note, ERR_UNSUPPORTED, "axis %d is empty: there is nothing to reduce", d);
        }
        if (!gone[d] || reduce->keep) {
            out.dim[out.rank++] = gone[d] ? 1 : x->dim[d];
        }
    }
    return op_set(call, 0, DTYPE_F32, &out, note);
}

static enum err shape_some(struct op_call *call, struct err_note *note)
{
    return measure(call, true, note);
}

static enum err shape_any(struct op_call *call, struct err_note *note)
{
    return measure(call, false, note);
}

enum what {
    REDUCE_MEAN,
    REDUCE_SUM,
    REDUCE_MAX,
    REDUCE_MIN,
    REDUCE_L2,
    REDUCE_SUM_SQUARE
};

/* Sums are kept in double: a mean over a million numbers would lose digits in float. */
static double add(enum what what, double sum, double v)
{
    switch (what) {
    case REDUCE_MEAN:
    case REDUCE_SUM: return sum + v;
    case REDUCE_MAX: return v > sum || isnan(v) ? v : sum;
    case REDUCE_MIN: return v < sum || isnan(v) ? v : sum;
    case REDUCE_L2:
    case REDUCE_SUM_SQUARE: break;
    }
    return sum + v * v;
}

static enum err run(const struct op_call *call, enum what what)
{
    const struct shape *x = &call->in[0].shape;
    bool gone[TENSOR_MAX_RANK] = {false};
    struct strided inner = {.rank = 0}; /* the dimensions that go */
    struct strided outer = {.rank = 0}; /* those that stay, and one more of 1: strided_start counts rows */
    float *y = call->out[0].data;
    enum err err = reduced(call, gone, NULL);

    if (err != ERR_NONE) {
        return err;
    }
    for (int d = 0; d < x->rank; d++) {
        struct strided *s = gone[d] ? &inner : &outer;
        s->dim[s->rank] = x->dim[d];
        s->step[0][s->rank++] = op_product(x, d + 1, x->rank);
    }
    strided_simplify(&inner, 1);
    int64_t n_out = op_product(&call->out[0].shape, 0, call->out[0].shape.rank);
    outer.rank++;
    int64_t row = strided_row(&inner);
    int64_t rows = strided_rows(&inner);
    int64_t step = inner.step[0][inner.rank - 1];
    for (int64_t i = 0; i < n_out; i++) {
        const float *base = (const float *)call->in[0].data + strided_start(&outer, 0, i);
        double sum = what == REDUCE_MAX ? (double)-INFINITY : what == REDUCE_MIN ? (double)INFINITY : 0;
        for (int64_t r = 0; r < rows; r++) {
            const float *in = base + strided_start(&inner, 0, r);
            for (int64_t j = 0; j < row; j++) {
                sum = add(what, sum, (double)in[j * step]);
            }
        }
        sum = what == REDUCE_MEAN ? sum / (double)(row * rows) : what == REDUCE_L2 ? sqrt(sum) : sum;
        y[i] = (float)sum;
    }
    return ERR_NONE;
}

#define FORWARD(name, what)                          \
    static enum err name(const struct op_call *call) \
    {                                                \
        return run(call, what);                      \
    }
FORWARD(mean_forward, REDUCE_MEAN)
FORWARD(sum_forward, REDUCE_SUM)
FORWARD(max_forward, REDUCE_MAX)
FORWARD(min_forward, REDUCE_MIN)
FORWARD(l2_forward, REDUCE_L2)
FORWARD(square_forward, REDUCE_SUM_SQUARE)

/* Axes are an attribute up to `last_attr`, an input after. */
#define ROW(op, first, last, in_max, values, shape_fn, forward_fn)                                              \
    {                                                                                                           \
        .domain = "", .name = (op), .opset_min = (first), .opset_max = (last), .min_in = 1, .max_in = (in_max), \
        .min_out = 1, .max_out = 1, .types = OP_F32, .min_rank = 0, .max_rank = TENSOR_MAX_RANK,                \
        .value_inputs = (values), .parse = parse, .shape = (shape_fn), .forward = (forward_fn)                  \
    }
#define ROWS(op, last_attr, shape_fn, forward_fn)      \
    ROW(op, 1, last_attr, 1, 0, shape_fn, forward_fn), \
        ROW(op, (last_attr) + 1, OP_LAST, 2, 1U << 1, shape_fn, forward_fn)

static const struct op_def rows[] = {
    ROWS("ReduceMean", 17, shape_some, mean_forward), ROWS("ReduceSum", 12, shape_any, sum_forward),
    ROWS("ReduceMax", 17, shape_some, max_forward),   ROWS("ReduceMin", 17, shape_some, min_forward),
    ROWS("ReduceL2", 17, shape_any, l2_forward),      ROWS("ReduceSumSquare", 17, shape_any, square_forward),
};
const struct op_rows op_rows_reduce = OP_ROWS(rows);
