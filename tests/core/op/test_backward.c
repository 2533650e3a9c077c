/*
 * test_backward.c: the gradients of operators as the training calls them.
 *
 * The kernels are proven in double (tests/core/kernel); here it is shown that attributes, shapes and inputs reach them as
 * forward means it: the gradient times a direction is the difference of the values along it.  Most rows are linear along
 * one input as long as no kink is crossed, so the difference is exact at any distance.  Values that backward says it does
 * not read are replaced by NaN before it runs, and it may not allocate.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/base/random.h"
#include "core/op/op_batch_norm.h"
#include "op_rows.h"

struct row {
    const char *op;
    int opset;
    struct attr attrs[6];
    struct shape in[4]; /* a rank of -1: absent */
    int n_in;
    unsigned fixed; /* bit i: input i has no gradient */
    enum flavour {
        LINEAR, /* along each input alone, if no number passes a multiple of 1/2 */
        SMOOTH,
        TRAINING /* smooth, and the call is in training */
    } flavour;
};

#define D(...)                                                                                    \
    {                                                                                             \
        .rank = (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), .dim = { __VA_ARGS__ } \
    }

/* clang-format off */
static const struct row rows[] = {
    {"Conv", 11, {A_INTS("pads", 4, 1, 1, 1, 1)}, {D(2, 3, 6, 5), D(4, 3, 3, 3), D(4)}, 3, 0, LINEAR},
    {"Conv", 11, {A_INTS("pads", 4, 1, 0, 0, 1), A_INTS("strides", 2, 2, 1)}, {D(2, 3, 7, 5), D(4, 3, 3, 2)}, 2, 0, LINEAR},
    {"Conv", 1, {A_INTS("dilations", 2, 2, 1)}, {D(1, 2, 7, 5), D(3, 2, 3, 2)}, 2, 0, LINEAR},
    {"Conv", 11, {A_INT("group", 4), A_INTS("pads", 4, 1, 1, 1, 1), A_INTS("strides", 2, 2, 2)}, {D(2, 4, 6, 6), D(4, 1, 3, 3), D(4)}, 3, 0, LINEAR},
    {"Conv", 11, {A_INT("group", 2)}, {D(2, 10, 4, 4), D(12, 5, 1, 1)}, 2, 0, LINEAR},
    {"Conv", 11, {A_TEXT("auto_pad", "SAME_UPPER"), A_INTS("strides", 2, 2, 2)}, {D(1, 2, 5, 5), D(2, 2, 3, 3)}, 2, 0, LINEAR},
    {"Conv", 11, {{0}}, {D(1, 2, 9), D(3, 2, 4)}, 2, 0, LINEAR},
    {"Conv", 11, {{0}}, {D(1, 2, 3, 4, 3), D(2, 2, 2, 2, 2)}, 2, 0, LINEAR},
    {"Gemm", 11, {{0}}, {D(3, 4), D(4, 5), D(5)}, 3, 0, LINEAR},
    {"Gemm", 11, {A_FLOAT("alpha", 0.5F), A_FLOAT("beta", 2), A_INT("transA", 1)}, {D(4, 3), D(4, 5), D(3, 1)}, 3, 0, LINEAR},
    {"Gemm", 13, {A_FLOAT("alpha", 1.5F), A_FLOAT("beta", 0.5F), A_INT("transB", 1)}, {D(3, 4), D(5, 4), D(3, 5)}, 3, 0, LINEAR},
    {"Gemm", 9, {A_INT("transA", 1), A_INT("transB", 1)}, {D(4, 3), D(5, 4), D(1, 5)}, 3, 0, LINEAR},
    {"Gemm", 11, {A_INT("transB", 1)}, {D(3, 4), D(5, 4)}, 2, 0, LINEAR},
    {"MatMul", 9, {{0}}, {D(3, 4), D(4, 5)}, 2, 0, LINEAR},
    {"MatMul", 9, {{0}}, {D(2, 3, 4), D(4, 5)}, 2, 0, LINEAR},
    {"MatMul", 9, {{0}}, {D(3, 1, 2, 4), D(2, 4, 5)}, 2, 0, LINEAR},
    {"Add", 7, {{0}}, {D(2, 3, 4), D(2, 3, 4)}, 2, 0, LINEAR},
    {"Add", 7, {{0}}, {D(2, 3, 4), D(3, 1)}, 2, 0, LINEAR},
    {"Add", 6, {A_INT("broadcast", 1), A_INT("axis", 1)}, {D(2, 3, 4), D(3)}, 2, 0, LINEAR},
    {"Sub", 13, {{0}}, {D(4), D(2, 3, 4)}, 2, 0, LINEAR},
    {"Mul", 13, {{0}}, {D(2, 3, 1), D(3, 4)}, 2, 0, LINEAR},
    {"Mul", 13, {{0}}, {D(2, 3), {0}}, 2, 0, LINEAR},
    {"PRelu", 9, {{0}}, {D(2, 3, 4, 4), D(3, 1, 1)}, 2, 0, LINEAR},
    {"PRelu", 9, {{0}}, {D(2, 3), D(3)}, 2, 0, LINEAR},
    {"PRelu", 6, {{0}}, {D(2, 3, 4, 4), D(3)}, 2, 0, LINEAR},
    {"PRelu", 9, {{0}}, {D(2, 3, 4), D(1)}, 2, 0, LINEAR},
    {"Relu", 13, {{0}}, {D(2, 3, 4)}, 1, 0, LINEAR},
    {"LeakyRelu", 6, {A_FLOAT("alpha", 0.25F)}, {D(2, 3, 4)}, 1, 0, LINEAR},
    {"Clip", 6, {A_FLOAT("min", -0.5F), A_FLOAT("max", 0.5F)}, {D(2, 3, 4)}, 1, 0, LINEAR},
    {"Clip", 11, {{0}}, {D(2, 3, 4), {0}, {0}}, 3, 6, LINEAR},
    {"Sigmoid", 13, {{0}}, {D(2, 3, 4)}, 1, 0, SMOOTH},
    {"Tanh", 13, {{0}}, {D(2, 3, 4)}, 1, 0, SMOOTH},
    {"MaxPool", 11, {A_INTS("kernel_shape", 2, 2, 2), A_INTS("strides", 2, 2, 2)}, {D(2, 2, 6, 6)}, 1, 0, LINEAR},
    {"AveragePool", 11, {A_INTS("kernel_shape", 2, 2, 2), A_INTS("strides", 2, 2, 2), A_INT("ceil_mode", 1)}, {D(2, 2, 5, 5)}, 1, 0, LINEAR},
    {"AveragePool", 11, {A_INTS("kernel_shape", 2, 3, 3), A_INTS("pads", 4, 1, 1, 1, 1), A_INT("count_include_pad", 1)}, {D(1, 2, 5, 4)}, 1, 0, LINEAR},
    {"GlobalAveragePool", 1, {{0}}, {D(2, 3, 4, 5)}, 1, 0, LINEAR},
    {"Flatten", 11, {{0}}, {D(2, 3, 4)}, 1, 0, LINEAR},
    {"Squeeze", 11, {A_INTS("axes", 1, 1)}, {D(2, 1, 4)}, 1, 0, LINEAR},
    {"Unsqueeze", 11, {A_INTS("axes", 1, 1)}, {D(2, 4)}, 1, 0, LINEAR},
    {"Identity", 1, {{0}}, {D(2, 4)}, 1, 0, LINEAR},
    {"Dropout", 10, {{0}}, {D(2, 4)}, 1, 0, LINEAR},
    {"Dropout", 10, {A_FLOAT("ratio", 0.25F)}, {D(20, 4)}, 1, 0, TRAINING},
    {"Dropout", 13, {{0}}, {D(20, 4), {0}}, 2, 2, TRAINING},
    {"Transpose", 13, {A_INTS("perm", 4, 0, 2, 3, 1)}, {D(2, 3, 4, 5)}, 1, 0, LINEAR},
    {"Transpose", 13, {{0}}, {D(3, 4)}, 1, 0, LINEAR},
    {"Upsample", 9, {{0}}, {D(1, 2, 3, 4), D(4)}, 2, 2, LINEAR},
    {"Resize", 10, {A_TEXT("mode", "linear")}, {D(2, 3, 2, 4), D(4)}, 2, 2, LINEAR},
    {"Resize", 11, {A_TEXT("coordinate_transformation_mode", "asymmetric"), A_TEXT("nearest_mode", "floor")}, {D(2, 3, 2, 4), D(0), D(4)}, 3, 6, LINEAR},
    {"Resize", 13, {A_TEXT("mode", "linear")}, {D(2, 1, 5, 4), D(0), D(4)}, 3, 6, LINEAR},
    {"Resize", 13, {A_TEXT("mode", "linear"), A_TEXT("coordinate_transformation_mode", "align_corners")}, {D(1, 2, 3, 6), D(0), D(4)}, 3, 6, LINEAR},
    {"Resize", 13, {A_TEXT("mode", "linear")}, {D(2, 3, 4), D(0), D(3)}, 3, 6, LINEAR},
    {"Concat", 11, {A_INT("axis", 1)}, {D(2, 3, 4), D(2, 1, 4), D(2, 2, 4)}, 3, 0, LINEAR},
    {"Concat", 11, {A_INT("axis", -1)}, {D(2, 3), D(2, 1)}, 2, 0, LINEAR},
    {"BatchNormalization", 9, {A_FLOAT("epsilon", 0.25F)}, {D(3, 4, 5, 2), D(4), D(4), D(4)}, 5, 24, LINEAR},
    {"BatchNormalization", 15, {A_FLOAT("epsilon", 0.25F)}, {D(6, 4), D(4), D(4), D(4)}, 5, 24, LINEAR},
    {"BatchNormalization", 9, {A_FLOAT("epsilon", 0.25F)}, {D(3, 4, 5, 2), D(4), D(4), D(4)}, 5, 24, TRAINING},
    {"BatchNormalization", 15, {A_FLOAT("epsilon", 0.25F)}, {D(6, 4), D(4), D(4), D(4)}, 5, 24, TRAINING},
};
/* clang-format on */
#define N_ROWS ((int)(sizeof rows / sizeof rows[0]))

struct run {
    const struct row *row;
    int at;
    struct arena *mem;
    const struct op_def *op;
    struct op_call call;
    struct tensor in[5], out[1], out_grad[1], in_grad[5];
};

static float *floats(struct run *run, int64_t count)
{
    float *list = ARENA_ARRAY(run->mem, float, count + 1);

    assert_non_null(list);
    return list;
}

/* All inputs in (-1, 1) and away from multiples of 1/2; a variance is positive, the bounds of Clip are -1/2 and 1/2. */
static void fill_input(struct run *run, int i, struct random *random)
{
    struct tensor *in = &run->in[i];
    int64_t count = shape_elements(&in->shape);
    float *data = floats(run, count);

    for (int64_t k = 0; k < count; k++) {
        do {
            data[k] = (float)(2 * random_uniform(random) - 1);
        } while (fabsf(data[k] - roundf(2 * data[k]) / 2) < 0.05F);
        if (strcmp(run->row->op, "BatchNormalization") == 0 && i == 4) {
            data[k] = 1.5F + data[k];
        } else if (strcmp(run->row->op, "Clip") == 0 && i > 0) {
            data[k] = i == 1 ? -0.5F : 0.5F;
        } else if ((strcmp(run->row->op, "Resize") == 0 || strcmp(run->row->op, "Upsample") == 0) && i > 0) {
            data[k] = k == count - 1 ? 1.5F : count == 3 || k == count - 2 ? 2 : 1; /* scales: of an image, or of all */
        } else if (strcmp(run->row->op, "Dropout") == 0 && i == 1) {
            data[k] = 0.375F;
        } else if (strcmp(run->row->op, "MaxPool") == 0) {
            data[k] = (float)(k * 29 % 97) / 8; /* neighbours differ by more than a step */
        }
    }
    in->data = data;
}

static void start(struct run *run, int at)
{
    const struct row *row = &rows[at];
    struct attrs attrs = {.list = row->attrs};
    struct err_note note = {0};
    struct random random = random_seeded(17, (uint64_t)at);
    void *parsed = NULL;

    *run =
        (struct run){.row = row, .at = at, .mem = arena_new((size_t)16 << 20), .op = op_find("", row->op, row->opset)};
    assert_non_null(run->mem);
    assert_non_null(run->op);
    assert_non_null(run->op->backward);
    while (attrs.count < 6 && row->attrs[attrs.count].name != NULL) {
        attrs.count++;
    }
    for (int i = 0; i < row->n_in; i++) {
        run->in[i] = (struct tensor){.type = DTYPE_F32, .shape = row->in[i < 4 ? i : 3]};
        fill_input(run, i, &random);
    }
    run->call = (struct op_call){.opset = row->opset,
                                 .n_in = row->n_in,
                                 .n_out = 1,
                                 .in = run->in,
                                 .out = run->out,
                                 .learning = true,
                                 .training = row->flavour == TRAINING,
                                 .seed = 99};
    enum err err =
        run->op->parse == NULL ? ERR_NONE : run->op->parse(&attrs, row->opset, row->n_in, 1, run->mem, &parsed, &note);
    run->call.parsed = parsed;
    err = err == ERR_NONE ? run->op->shape(&run->call, &note) : err;
    if (err != ERR_NONE) {
        fail_msg("row %d, %s: %s", at, row->op, note.text);
    }
    int64_t n_out = shape_elements(&run->out[0].shape);
    run->out[0].data = floats(run, n_out);
    run->out_grad[0] = (struct tensor){.type = DTYPE_F32, .shape = run->out[0].shape, .data = floats(run, n_out)};
    for (int64_t k = 0; k < n_out; k++) {
        ((float *)run->out_grad[0].data)[k] = (float)(2 * random_uniform(&random) - 1);
    }
    for (int i = 0; i < row->n_in; i++) {
        run->in_grad[i] = run->in[i];
        run->in_grad[i].data = (row->fixed >> i & 1U) != 0 ? NULL : floats(run, shape_elements(&run->in[i].shape));
    }
    run->call.saved = arena_alloc(run->mem, run->call.saved_bytes, 1);
    run->call.work = arena_alloc(run->mem, run->call.work_bytes + run->call.backward_bytes, 1);
    assert_true(run->call.saved != NULL && run->call.work != NULL);
}

static double value(struct run *run)
{
    const float *y = run->out[0].data;
    const float *dy = run->out_grad[0].data;
    double sum = 0;

    assert_int_equal(run->op->forward(&run->call), ERR_NONE);
    for (int64_t k = 0; k < shape_elements(&run->out[0].shape); k++) {
        sum += (double)y[k] * (double)dy[k];
    }
    return sum;
}

/* Returns the tensor with NaN everywhere, unless it is read. */
static struct tensor hidden(struct run *run, const struct tensor *tensor, bool read)
{
    struct tensor copy = *tensor;

    if (!read) {
        float *data = floats(run, shape_elements(&tensor->shape));
        for (int64_t k = 0; k < shape_elements(&tensor->shape); k++) {
            data[k] = NAN;
        }
        copy.data = data;
    }
    return copy;
}

static void run_backward(struct run *run)
{
    struct tensor in[5];
    struct tensor out[1];
    struct op_call call = run->call;

    for (int i = 0; i < run->row->n_in; i++) {
        in[i] = hidden(run, &run->in[i], (run->op->backward_in >> i & 1U) != 0);
    }
    out[0] = hidden(run, &run->out[0], (run->op->backward_out & 1U) != 0);
    call.in = in;
    call.out = out;
    mem_fail_at(0);
    assert_int_equal(run->op->backward(&call, run->out_grad, run->in_grad), ERR_NONE);
    mem_fail_at(-1);
}

/* Along a random direction of input i. */
static void check_input(struct run *run, int i)
{
    struct random random = random_seeded(5, (uint64_t)i);
    int64_t count = shape_elements(&run->in[i].shape);
    double h = run->row->flavour == LINEAR ? 1.0 / 32 : 1.0 / 128;
    float *here = run->in[i].data;
    float *above = floats(run, count);
    float *below = floats(run, count);
    const float *gradient = run->in_grad[i].data;
    double expected = 0;
    double scale = 0;

    for (int64_t k = 0; k < count; k++) {
        double direction = 2 * random_uniform(&random) - 1;
        above[k] = (float)((double)here[k] + h * direction);
        below[k] = (float)((double)here[k] - h * direction);
        expected += (double)gradient[k] * ((double)above[k] - (double)below[k]);
        scale += pow((double)gradient[k] * h, 2);
    }
    run->in[i].data = above;
    double difference = value(run);
    run->in[i].data = below;
    difference -= value(run);
    run->in[i].data = here;
    /* The rounding of both values, and the third derivative over a step of 1/128. */
    double bound = (run->row->flavour == LINEAR ? 2e-4 : 1e-3) * sqrt(scale) + 2e-6;
    if (!(fabs(difference - expected) <= bound)) {
        fail_msg("row %d, %s, input %d: the gradient says %.9g, the difference is %.9g (bound %g)", run->at,
                 run->row->op, i, expected, difference, bound);
    }
}

static void gradients_follow_forward(void **state)
{
    size_t live = mem_live_blocks();

    for (int at = 0; at < N_ROWS; at++) {
        struct run run;
        start(&run, at);
        (void)value(&run);
        run_backward(&run);
        for (int i = 0; i < run.row->n_in; i++) {
            if (run.in_grad[i].data != NULL) {
                check_input(&run, i);
            }
        }
        /* A second time: everything doubles, since gradients are added; unwanted ones are left out. */
        (void)value(&run);
        for (int i = 0; i < run.row->n_in; i++) {
            float *gradient = run.in_grad[i].data;
            if (gradient == NULL) {
                continue;
            }
            struct tensor all[5];
            memcpy(all, run.in_grad, sizeof all);
            for (int k = 0; k < run.row->n_in; k++) {
                run.in_grad[k].data = k == i ? gradient : NULL;
            }
            int64_t count = shape_elements(&run.in[i].shape);
            float *before = floats(&run, count);
            memcpy(before, gradient, (size_t)count * sizeof *before);
            run_backward(&run);
            for (int64_t k = 0; k < count; k++) {
                if (fabsf(gradient[k] - 2 * before[k]) > 1e-4F * (1 + fabsf(before[k]))) {
                    fail_msg("row %d, %s, input %d: not added", at, run.row->op, i);
                }
            }
            memcpy(run.in_grad, all, sizeof all);
        }
        arena_free(run.mem);
    }
    assert_int_equal(mem_live_blocks(), live);
}

/* Reshape needs a known shape, which the rows above cannot give. */
static void reshape_passes_through(void **state)
{
    const struct op_def *op = op_find("", "Reshape", 13);
    float x[6] = {1, 2, 3, 4, 5, 6};
    float y[6];
    float dy[6] = {6, 5, 4, 3, 2, 1};
    float dx[6] = {1, 1, 1, 1, 1, 1};
    struct tensor in[2] = {{DTYPE_F32, D(2, 3), x}, {DTYPE_I64, D(1), (int64_t[]){-1}}};
    struct tensor out[1] = {{DTYPE_F32, D(6), y}};
    struct tensor out_grad[1] = {{DTYPE_F32, D(6), dy}};
    struct tensor in_grad[2] = {{DTYPE_F32, D(2, 3), dx}, {0}};
    struct op_call call = {.opset = 13, .in = in, .out = out, .n_in = 2, .n_out = 1};

    assert_int_equal(op->backward(&call, out_grad, in_grad), ERR_NONE);
    for (int i = 0; i < 6; i++) {
        assert_true(dx[i] == 7 - (float)i);
    }
}

static void batch_norm_says_what_it_has_seen(void **state)
{
    struct run run;
    const float *mean;
    const float *variance;
    double sum = 0;
    double squares = 0;

    start(&run, N_ROWS - 1); /* [6, 4] in training */
    (void)value(&run);
    batch_norm_seen(&run.call, &mean, &variance);
    const float *x = run.in[0].data;
    for (int n = 0; n < 6; n++) {
        sum += (double)x[n * 4 + 1];
    }
    for (int n = 0; n < 6; n++) {
        squares += pow((double)x[n * 4 + 1] - sum / 6, 2);
    }
    assert_float_equal(mean[1], sum / 6, 1e-6);
    assert_float_equal(variance[1], squares / 5, 1e-6);
    /* One image of a vector has no variance. */
    struct err_note note = {0};
    run.in[0].shape.dim[0] = 1;
    assert_int_equal(run.op->shape(&run.call, &note), ERR_UNSUPPORTED);
    assert_non_null(strstr(note.text, "variance"));
    arena_free(run.mem);
}

/* As exporters write it that have merged epsilon into the variances. */
static void a_constant_channel_without_epsilon_stays_finite(void **state)
{
    const struct op_def *op = op_find("", "BatchNormalization", 9);
    struct arena *mem = arena_new((size_t)1 << 20);
    struct attrs attrs = {.list = (struct attr[]){A_FLOAT("epsilon", 0)}, .count = 1};
    float x[3] = {2, 2, 2};
    float y[3];
    float one = 1;
    float bias = 0.5F;
    float dy[3] = {1, 2, 3};
    float dx[3] = {0};
    float saved[3];
    struct tensor in[5] = {{DTYPE_F32, D(3, 1), x},
                           {DTYPE_F32, D(1), &one},
                           {DTYPE_F32, D(1), &bias},
                           {DTYPE_F32, D(1), &one},
                           {DTYPE_F32, D(1), &one}};
    struct tensor out[1] = {{DTYPE_F32, D(3, 1), y}};
    struct tensor out_grad[1] = {{DTYPE_F32, D(3, 1), dy}};
    struct tensor in_grad[5] = {{DTYPE_F32, D(3, 1), dx}};
    struct op_call call = {.opset = 9, .in = in, .out = out, .n_in = 5, .n_out = 1, .training = true, .saved = saved};
    const float *mean;
    const float *variance;
    void *parsed = NULL;

    assert_int_equal(op->parse(&attrs, 9, 5, 1, mem, &parsed, NULL), ERR_NONE);
    call.parsed = parsed;
    assert_int_equal(op->shape(&call, NULL), ERR_NONE);
    assert_true(call.saved_bytes <= sizeof saved);
    assert_int_equal(op->forward(&call), ERR_NONE);
    assert_int_equal(op->backward(&call, out_grad, in_grad), ERR_NONE);
    for (int i = 0; i < 3; i++) {
        assert_true(y[i] == bias && isfinite(dx[i]));
    }
    batch_norm_seen(&call, &mean, &variance);
    assert_true(mean[0] == 2 && fabsf(variance[0] - 1e-5F) < 1e-9F);
    arena_free(mem);
}

static void dropout_keeps_the_mean(void **state)
{
    const struct op_def *op = op_find("", "Dropout", 10);
    struct arena *mem = arena_new((size_t)1 << 20);
    struct attrs attrs = {.list = (struct attr[]){A_FLOAT("ratio", 0.25F)}, .count = 1};
    float *x = ARENA_ARRAY(mem, float, 20000);
    float *y = ARENA_ARRAY(mem, float, 20000);
    float *again = ARENA_ARRAY(mem, float, 20000);
    struct tensor in[1] = {{DTYPE_F32, D(20000), x}};
    struct tensor out[1] = {{DTYPE_F32, D(20000), y}};
    struct op_call call = {.opset = 10, .in = in, .out = out, .n_in = 1, .n_out = 1, .training = true, .seed = 4};
    void *parsed = NULL;
    int dropped = 0;

    assert_int_equal(op->parse(&attrs, 10, 1, 1, mem, &parsed, NULL), ERR_NONE);
    call.parsed = parsed;
    for (int i = 0; i < 20000; i++) {
        x[i] = 3;
    }
    assert_int_equal(op->forward(&call), ERR_NONE);
    for (int i = 0; i < 20000; i++) {
        assert_true(y[i] == 0 || y[i] == 4);
        dropped += y[i] == 0;
    }
    assert_in_range(dropped, 4700, 5300); /* five deviations of 61 around 5000 */
    out[0].data = again;
    assert_int_equal(op->forward(&call), ERR_NONE);
    assert_memory_equal(y, again, 20000 * sizeof *y); /* the seed decides, nothing else */
    call.seed = 5;
    assert_int_equal(op->forward(&call), ERR_NONE);
    assert_memory_not_equal(y, again, 20000 * sizeof *y);
    call.training = false;
    assert_int_equal(op->forward(&call), ERR_NONE);
    assert_memory_equal(x, again, 20000 * sizeof *x);
    arena_free(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_follow_forward),
        cmocka_unit_test(reshape_passes_through),
        cmocka_unit_test(batch_norm_says_what_it_has_seen),
        cmocka_unit_test(a_constant_channel_without_epsilon_stays_finite),
        cmocka_unit_test(dropout_keeps_the_mean),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
