/* test_onnx_save.c: what is saved loads again, means the same to the bit, and is refused where it cannot be said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/random.h"
#include "core/graph/session.h"
#include "core/onnx/onnx.h"
#include "core/onnx/onnx_save.h"
#include "core/op/op_list.h"

/* ---- One node and its constants ---------------------------------------------------------------------------------- */

#define MOST_CONSTANTS 4

/* An input of the node behind the first: a constant, absent (no numbers), or nothing (type DTYPE_NONE and not absent). */
struct given {
    enum dtype type;
    struct shape shape;
    const void *numbers;
    bool absent;
};

struct row {
    int opset;
    const char *op;
    struct shape x; /* of the graph's input; its first dimension is declared free */
    const struct attr *attrs;
    int n_attrs;
    struct given constants[MOST_CONSTANTS];
    int n_outputs;

    /* What the saved node is, or the words of the refusal. */
    const char *saved_op;
    int saved_inputs;
    const char *refusal;
};

#define INTS(attr_name, ...)                                                            \
    {                                                                                   \
        .name = (attr_name), .kind = ATTR_INTS, .ints = (const int64_t[]){__VA_ARGS__}, \
        .count = sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)               \
    }
#define INT(attr_name, value)                               \
    {                                                       \
        .name = (attr_name), .kind = ATTR_INT, .i = (value) \
    }
#define FLOAT(attr_name, value)                               \
    {                                                         \
        .name = (attr_name), .kind = ATTR_FLOAT, .f = (value) \
    }
#define TEXT(attr_name, value)                                  \
    {                                                           \
        .name = (attr_name), .kind = ATTR_TEXT, .text = (value) \
    }
#define ATTRS(...)                               \
    .attrs = (const struct attr[]){__VA_ARGS__}, \
    .n_attrs = sizeof((const struct attr[]){__VA_ARGS__}) / sizeof(struct attr)

#define IMAGE           \
    {                   \
        4,              \
        {               \
            -1, 3, 4, 6 \
        }               \
    }
#define FLAT      \
    {             \
        2,        \
        {         \
            -1, 6 \
        }         \
    }

static const float three[] = {0.25F, -0.5F, 2};
static const float positive[] = {0.5F, 1, 2};
static const float twelve[] = {1, 2, 3, 4, 5, 6, -1, -2, -3, -4, -5, -6};
static const float scales[] = {1, 1, 2, 2};
static const float zero_f = 0;
static const float six_f = 6;
static const uint8_t no = 0;
static const int64_t pinned[] = {1, -1};
static const int64_t pinned_all[] = {1, 72};
static const int64_t kept[] = {0, -1};
static const int64_t inner[] = {-1, 24};
static const int64_t two_three[] = {2, 3};
static const int64_t one_two[] = {1, 2};

#define F32_3                      \
    {                              \
        DTYPE_F32, {1, {3}}, three \
    }
#define POS_3                         \
    {                                 \
        DTYPE_F32, {1, {3}}, positive \
    }
#define I64_2(numbers)               \
    {                                \
        DTYPE_I64, {1, {2}}, numbers \
    }

/* clang-format off */
static const struct row rows[] = {
    /* The same in every set, attributes without meaning left out. */
    {9, "Relu", IMAGE, .saved_op = "Relu", .saved_inputs = 1},
    {1, "Relu", IMAGE, ATTRS(INTS("consumed_inputs", 0)), .saved_op = "Relu", .saved_inputs = 1},
    {18, "AveragePool", IMAGE, ATTRS(INTS("kernel_shape", 2, 2), INTS("dilations", 1, 1)), .saved_op = "AveragePool", .saved_inputs = 1},
    {7, "LeakyRelu", IMAGE, ATTRS(FLOAT("alpha", 0.3F)), .saved_op = "LeakyRelu", .saved_inputs = 1},
    {8, "BatchNormalization", IMAGE, ATTRS(FLOAT("epsilon", 2e-5F), INT("spatial", 0), FLOAT("momentum", 0.9F)),
     {F32_3, F32_3, F32_3, POS_3}, .saved_op = "BatchNormalization", .saved_inputs = 5},
    {15, "BatchNormalization", IMAGE, ATTRS(INT("training_mode", 0)), {F32_3, F32_3, F32_3, POS_3}, .saved_op = "BatchNormalization", .saved_inputs = 5},
    {6, "Gemm", FLAT, ATTRS(INT("broadcast", 1), INT("transB", 1)), {{DTYPE_F32, {2, {2, 6}}, twelve}, {DTYPE_F32, {1, {2}}, three}},
     .saved_op = "Gemm", .saved_inputs = 3},
    {3, "Concat", IMAGE, .saved_op = "Concat", .saved_inputs = 1},

    /* Attributes that became inputs. */
    {6, "Clip", IMAGE, ATTRS(FLOAT("min", -0.5F), FLOAT("max", 0.75F)), .saved_op = "Clip", .saved_inputs = 3},
    {6, "Clip", IMAGE, ATTRS(FLOAT("max", 0.75F)), .saved_op = "Clip", .saved_inputs = 3},
    {10, "Clip", IMAGE, .saved_op = "Clip", .saved_inputs = 1},
    {18, "Clip", IMAGE, .constants = {{DTYPE_F32, {0}, &zero_f}, {DTYPE_F32, {0}, &six_f}}, .saved_op = "Clip", .saved_inputs = 3},
    {18, "Clip", IMAGE, .constants = {{.absent = true}, {DTYPE_F32, {0}, &six_f}}, .saved_op = "Clip", .saved_inputs = 3},
    {7, "Dropout", IMAGE, ATTRS(FLOAT("ratio", 0.4F)), .saved_op = "Dropout", .saved_inputs = 2},
    {6, "Dropout", IMAGE, ATTRS(FLOAT("ratio", 0.4F), INT("is_test", 1)), .saved_op = "Dropout", .saved_inputs = 2},
    {12, "Dropout", IMAGE, ATTRS(INT("seed", 4)), {{DTYPE_F32, {0}, &zero_f}, {DTYPE_BOOL, {0}, &no}}, .saved_op = "Dropout", .saved_inputs = 3},
    {11, "Unsqueeze", IMAGE, ATTRS(INTS("axes", 1)), .saved_op = "Unsqueeze", .saved_inputs = 2},
    {11, "Squeeze", {4, {-1, 3, 1, 1}}, ATTRS(INTS("axes", 2, 3)), .saved_op = "Squeeze", .saved_inputs = 2},
    {11, "Squeeze", {4, {-1, 3, 1, 2}}, ATTRS(INTS("axes", 2)), .saved_op = "Squeeze", .saved_inputs = 2},
    {17, "Squeeze", {4, {-1, 3, 1, 1}}, .constants = {I64_2(two_three)}, .saved_op = "Squeeze", .saved_inputs = 2},
    {9, "Slice", IMAGE, ATTRS(INTS("starts", 1, 1), INTS("ends", 3, 5), INTS("axes", 2, 3)), .saved_op = "Slice", .saved_inputs = 4},
    {9, "Slice", IMAGE, ATTRS(INTS("starts", 0, 1), INTS("ends", 9, 3)), .saved_op = "Slice", .saved_inputs = 3},
    {10, "Slice", IMAGE, .constants = {I64_2(one_two), I64_2(two_three), I64_2(two_three)}, .saved_op = "Slice", .saved_inputs = 4},
    {10, "Pad", IMAGE, ATTRS(INTS("pads", 0, 0, 1, 2, 0, 0, 2, 1), FLOAT("value", 3)), .saved_op = "Pad", .saved_inputs = 3},
    {10, "Pad", IMAGE, ATTRS(INTS("pads", 0, 0, 1, 2, 0, 0, 2, 1), TEXT("mode", "edge")), .saved_op = "Pad", .saved_inputs = 2},
    {11, "Split", IMAGE, ATTRS(INT("axis", 1), INTS("split", 2, 1)), .n_outputs = 2, .saved_op = "Split", .saved_inputs = 2},
    {12, "ReduceSum", IMAGE, ATTRS(INTS("axes", 2, 3), INT("keepdims", 0)), .saved_op = "ReduceSum", .saved_inputs = 2},
    {4, "Reshape", IMAGE, ATTRS(INTS("shape", 0, -1)), .saved_op = "Reshape", .saved_inputs = 2},

    /* An input that was an attribute. */
    {18, "ReduceMean", IMAGE, ATTRS(INT("keepdims", 0)), {I64_2(two_three)}, .saved_op = "ReduceMean", .saved_inputs = 1},
    {18, "ReduceMean", IMAGE, ATTRS(INT("noop_with_empty_axes", 1)), {I64_2(two_three)}, .saved_op = "ReduceMean", .saved_inputs = 1},
    {13, "ReduceMean", IMAGE, ATTRS(INTS("axes", 2, 3)), .saved_op = "ReduceMean", .saved_inputs = 1},

    /* Other meanings of the same words. */
    {11, "Softmax", FLAT, .saved_op = "Softmax", .saved_inputs = 1},
    {11, "Softmax", IMAGE, ATTRS(INT("axis", 3)), .saved_op = "Softmax", .saved_inputs = 1},
    {13, "Softmax", IMAGE, ATTRS(INT("axis", 1)), .saved_op = "Softmax", .saved_inputs = 1},
    {6, "PRelu", IMAGE, .constants = {F32_3}, .saved_op = "PRelu", .saved_inputs = 2},
    {9, "PRelu", IMAGE, .constants = {{DTYPE_F32, {3, {3, 1, 1}}, three}}, .saved_op = "PRelu", .saved_inputs = 2},
    {16, "PRelu", IMAGE, .constants = {{DTYPE_F32, {4, {1, 3, 1, 1}}, three}}, .saved_op = "PRelu", .saved_inputs = 2},
    {9, "PRelu", FLAT, .constants = {{DTYPE_F32, {1, {6}}, twelve}}, .saved_op = "PRelu", .saved_inputs = 2},
    {6, "Add", IMAGE, ATTRS(INT("broadcast", 1), INT("axis", 1)), {F32_3}, .saved_op = "Add", .saved_inputs = 2},
    {6, "Mul", IMAGE, ATTRS(INT("broadcast", 1)), {{DTYPE_F32, {1, {6}}, twelve}}, .saved_op = "Mul", .saved_inputs = 2},
    {14, "Add", IMAGE, .constants = {{DTYPE_F32, {3, {3, 1, 1}}, three}}, .saved_op = "Add", .saved_inputs = 2},
    {7, "Upsample", IMAGE, ATTRS(TEXT("mode", "nearest"), {.name = "scales", .kind = ATTR_FLOATS, .floats = scales, .count = 4}),
     .saved_op = "Resize", .saved_inputs = 3},
    {9, "Upsample", IMAGE, ATTRS(TEXT("mode", "linear")), {{DTYPE_F32, {1, {4}}, scales}}, .saved_op = "Resize", .saved_inputs = 3},
    {10, "Resize", IMAGE, ATTRS(TEXT("mode", "linear")), {{DTYPE_F32, {1, {4}}, scales}}, .saved_op = "Resize", .saved_inputs = 3},
    {11, "Resize", IMAGE, ATTRS(TEXT("mode", "nearest"), TEXT("nearest_mode", "floor"), TEXT("coordinate_transformation_mode", "asymmetric")),
     {{.absent = true}, {DTYPE_F32, {1, {4}}, scales}}, .saved_op = "Resize", .saved_inputs = 3},

    /* The batch. */
    {11, "Reshape", IMAGE, .constants = {I64_2(kept)}, .saved_op = "Reshape", .saved_inputs = 2},
    {18, "Reshape", IMAGE, ATTRS(INT("allowzero", 0)), {I64_2(inner)}, .saved_op = "Reshape", .saved_inputs = 2},
    {18, "Reshape", IMAGE, ATTRS(INT("allowzero", 1)), {I64_2(inner)}, .saved_op = "Reshape", .saved_inputs = 2},

    /* What set 13 cannot say. */
    {19, "AveragePool", IMAGE, ATTRS(INTS("kernel_shape", 2, 2), INTS("dilations", 2, 2)), .refusal = "dilations"},
    {10, "Pad", IMAGE, .refusal = "an attribute that it needs is missing"},
    {11, "Unsqueeze", IMAGE, .refusal = "an attribute that it needs is missing"},
    {14, "HardSwish", IMAGE, .refusal = "no such operator"},
    {11, "Softmax", IMAGE, ATTRS(INT("axis", 1)), .refusal = "several dimensions"},
    {18, "ReduceMean", IMAGE, ATTRS(INT("noop_with_empty_axes", 1)), .refusal = "does nothing without axes"},
    {18, "Split", IMAGE, ATTRS(INT("axis", 1), INT("num_outputs", 2)), .n_outputs = 2, .refusal = "its parts may differ"},
    {4, "Reshape", {4, {1, 3, 4, 6}}, ATTRS(INTS("shape", 1, 72)), .refusal = "pins the batch"},
    {15, "Shape", IMAGE, ATTRS(INT("start", 1)), .refusal = "a part of the shape"},
    {9, "Relu", IMAGE, ATTRS(INT("bend", 1)), .refusal = "attribute 'bend'"},
    {11, "DynamicQuantizeLinear", IMAGE, .n_outputs = 3, .refusal = "an integer network"},
};
/* clang-format on */

/* The graph of a row; what is declared of the outputs is nothing. */
static struct graph *graph_of(const struct row *row, size_t number)
{
    static const char *const out_names[] = {"y", "y1", "y2"};
    struct err_note note = {0};
    struct graph *graph;
    value_id in[1 + MOST_CONSTANTS];
    value_id out[3];
    struct attrs attrs = {row->attrs, row->n_attrs};
    int n_in = 1;
    int n_out = row->n_outputs == 0 ? 1 : row->n_outputs;
    struct shape nothing = {.rank = -1};

    assert_int_equal(graph_new(op_list(), (size_t)1 << 20, &graph), ERR_NONE);
    assert_int_equal(graph_set_opset(graph, "", row->opset, &note), ERR_NONE);
    assert_int_equal(graph_add_input(graph, "x", DTYPE_F32, &row->x, &in[0], &note), ERR_NONE);
    for (; n_in <= MOST_CONSTANTS; n_in++) {
        const struct given *given = &row->constants[n_in - 1];
        char name[16];
        if (given->type == DTYPE_NONE && !given->absent) {
            break;
        }
        in[n_in] = -1;
        if (!given->absent) {
            struct tensor tensor = {given->type, given->shape, NULL};
            tensor.data = arena_alloc(graph_arena(graph), tensor_bytes(&tensor), 1);
            memcpy(tensor.data, given->numbers, tensor_bytes(&tensor));
            (void)snprintf(name, sizeof name, "c%d", n_in);
            assert_int_equal(graph_add_constant(graph, name, &tensor, &in[n_in], &note), ERR_NONE);
        }
    }
    for (int i = 0; i < n_out; i++) {
        assert_int_equal(graph_value(graph, out_names[i], &out[i], &note), ERR_NONE);
    }
    if (graph_add_node(graph, "", row->op, "the node", &attrs, in, n_in, out, n_out, &note) != ERR_NONE) {
        fail_msg("row %zu: %s", number, note.text);
    }
    for (int i = 0; i < n_out; i++) {
        assert_int_equal(graph_add_output(graph, out[i], DTYPE_F32, &nothing, &note), ERR_NONE);
    }
    assert_int_equal(graph_finish(graph, &note), ERR_NONE);
    graph_seal(graph);
    return graph;
}

/* Runs both graphs on count images of numbers and compares all outputs to the bit. */
static void same_outputs(const struct graph *a, const struct graph *b, int64_t count, size_t number)
{
    struct shape shape = graph_input(a, 0)->shape;
    struct session *session[2];
    struct tensor out[2][3];
    struct err_note note = {0};
    struct random random = random_seeded(number, 0);
    int n_out = graph_output_count(a);

    shape.dim[0] = count;
    int64_t floats = shape_elements(&shape);
    float *data = MEM_ARRAY(float, (size_t)floats);
    for (int64_t i = 0; i < floats; i++) {
        data[i] = (float)random_normal(&random);
    }
    struct tensor x = {DTYPE_F32, shape, data};
    assert_int_equal(graph_output_count(b), n_out);
    for (int k = 0; k < 2; k++) {
        assert_int_equal(session_new(k == 0 ? a : b, NULL, &session[k]), ERR_NONE);
        if (session_run(session[k], &x, 1, out[k], n_out, &note) != ERR_NONE) {
            fail_msg("row %zu, %lld images, %s: %s", number, (long long)count, k == 0 ? "before" : "after", note.text);
        }
    }
    for (int i = 0; i < n_out; i++) {
        if (out[0][i].type != out[1][i].type || !shape_equal(&out[0][i].shape, &out[1][i].shape) ||
            memcmp(out[0][i].data, out[1][i].data, tensor_bytes(&out[0][i])) != 0) {
            fail_msg("row %zu, %lld images: output %d differs", number, (long long)count, i);
        }
    }
    session_free(session[0]);
    session_free(session[1]);
    mem_free(data);
}

static struct graph *load(const unsigned char *bytes, size_t n_bytes, size_t number)
{
    struct err_note note = {0};
    struct onnx_info info;
    struct graph *graph;

    if (onnx_load(bytes, n_bytes, ONNX_AS_WRITTEN, &graph, &info, &note) != ERR_NONE) {
        fail_msg("row %zu: %s", number, note.text);
    }
    assert_int_equal(info.opset, 13);
    assert_int_equal(info.ir_version, 7);
    assert_string_equal(info.producer, "arcfaced");
    graph_seal(graph);
    return graph;
}

/* Saves, loads, compares, and saves again.  Returns what was loaded. */
static struct graph *round_trip(const struct graph *graph, size_t number)
{
    struct err_note note = {0};
    unsigned char *bytes;
    unsigned char *again;
    size_t n_bytes;
    size_t n_again;

    if (onnx_save(graph, NULL, &bytes, &n_bytes, &note) != ERR_NONE) {
        fail_msg("row %zu: %s", number, note.text);
    }
    struct graph *loaded = load(bytes, n_bytes, number);
    assert_int_equal(onnx_save(loaded, NULL, &again, &n_again, &note), ERR_NONE);
    if (n_again != n_bytes || memcmp(bytes, again, n_bytes) != 0) {
        fail_msg("row %zu: saving what was saved gives other bytes", number);
    }
    mem_free(bytes);
    mem_free(again);
    return loaded;
}

static void test_rows(void **state)
{
    size_t blocks = mem_live_blocks();

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *row = &rows[i];
        struct graph *graph = graph_of(row, i);
        unsigned char *bytes;
        size_t n_bytes;
        struct err_note note = {0};

        if (row->refusal != NULL) {
            assert_int_equal(onnx_save(graph, NULL, &bytes, &n_bytes, &note), ERR_UNSUPPORTED);
            if (strstr(note.text, row->refusal) == NULL || strstr(note.text, "'the node'") == NULL) {
                fail_msg("row %zu: refused with \"%s\"", i, note.text);
            }
            graph_free(graph);
            continue;
        }
        struct graph *loaded = round_trip(graph, i);
        assert_int_equal(graph_node_count(loaded), 1);
        const struct graph_node *node = graph_node(loaded, 0);
        if (strcmp(node->op->name, row->saved_op) != 0 || node->n_in != row->saved_inputs) {
            fail_msg("row %zu: saved as %s of %d inputs", i, node->op->name, node->n_in);
        }
        same_outputs(graph, loaded, 1, i);
        same_outputs(graph, loaded, 3, i);
        graph_free(loaded);
        graph_free(graph);
    }
    assert_int_equal(mem_live_blocks(), blocks);
}

/* ---- The batch --------------------------------------------------------------------------------------------------- */

/* A batch pinned by its declaration and by the target is freed; each image then gives what it gave alone. */
static void test_pinned_batch(void **state)
{
    static const struct row pins[] = {
        {11, "Reshape", {4, {1, 3, 4, 6}}, .constants = {I64_2(pinned)}},
        {18, "Reshape", {4, {1, 3, 4, 6}}, .constants = {I64_2(pinned_all)}},
    };
    size_t blocks = mem_live_blocks();

    for (size_t i = 0; i < sizeof pins / sizeof *pins; i++) {
        struct graph *graph = graph_of(&pins[i], i);
        struct graph *loaded = round_trip(graph, i);
        struct session *session;
        float data[2 * 72];
        struct tensor x = {DTYPE_F32, {4, {2, 3, 4, 6}}, data};
        struct tensor y;

        same_outputs(graph, loaded, 1, i);
        assert_int_equal(graph_input(loaded, 0)->shape.dim[0], -1);
        for (int k = 0; k < 2 * 72; k++) {
            data[k] = (float)k;
        }
        assert_int_equal(session_new(loaded, NULL, &session), ERR_NONE);
        assert_int_equal(session_run(session, &x, 1, &y, 1, NULL), ERR_NONE);
        assert_int_equal(y.shape.rank, 2);
        assert_int_equal(y.shape.dim[0], 2);
        assert_int_equal(y.shape.dim[1], 72);
        assert_memory_equal(y.data, data, sizeof data);
        assert_int_equal(graph_output(loaded, 0)->shape.rank, 2);
        assert_int_equal(graph_output(loaded, 0)->shape.dim[0], -1);
        assert_int_equal(graph_output(loaded, 0)->shape.dim[1], 72);
        session_free(session);
        graph_free(loaded);
        graph_free(graph);
    }
    assert_int_equal(mem_live_blocks(), blocks);
}

/* ---- A small recogniser ------------------------------------------------------------------------------------------ */

static value_id add(struct graph *graph, const char *op, const char *out, const struct attrs *attrs, const value_id *in,
                    int n_in)
{
    struct attrs none = {0};
    value_id id;

    assert_int_equal(graph_value(graph, out, &id, NULL), ERR_NONE);
    assert_int_equal(graph_add_node(graph, "", op, out, attrs == NULL ? &none : attrs, in, n_in, &id, 1, NULL),
                     ERR_NONE);
    return id;
}

static value_id floats(struct graph *graph, const char *name, struct shape shape, uint64_t seed)
{
    struct random random = random_seeded(seed, 0);
    struct tensor tensor = {DTYPE_F32, shape, NULL};
    value_id id;

    tensor.data = arena_alloc(graph_arena(graph), tensor_bytes(&tensor), 1);
    for (int64_t i = 0; i < shape_elements(&shape); i++) {
        ((float *)tensor.data)[i] = 0.5F + (float)random_uniform(&random);
    }
    assert_int_equal(graph_add_constant(graph, name, &tensor, &id, NULL), ERR_NONE);
    return id;
}

/*
 * Conv, BatchNormalization, PRelu of set 6's kind, a residual sum, and a flattening by the exporter's chain of Shape, Gather,
 * Unsqueeze, Concat and Reshape; bounds from Constant nodes; a constant nobody reads.
 */
static struct graph *recogniser(int opset, bool finish)
{
    static const float zero = 0;
    static const int64_t index = 0;
    static const int64_t last[] = {-1};
    struct graph *graph;
    value_id x;
    struct shape declared = {4, {1, 3, 4, 6}};
    struct shape wrong = {2, {1, 48}};
    const struct attr pads = INTS("pads", 1, 1, 1, 1);
    const struct attr epsilon = FLOAT("epsilon", 2e-5F);
    const struct attr bound = FLOAT("value_float", 1.5F);
    const struct attr list = {.name = "value", .kind = ATTR_TENSOR, .tensor = {DTYPE_I64, {1, {1}}, (void *)last}};
    const struct attr scalar = {.name = "value", .kind = ATTR_TENSOR, .tensor = {DTYPE_I64, {0}, (void *)&index}};
    const struct attr low = {.name = "value", .kind = ATTR_TENSOR, .tensor = {DTYPE_F32, {0}, (void *)&zero}};
    const struct attr axes = INTS("axes", 0);
    const struct attr axis = INT("axis", 0);

    assert_int_equal(graph_new(op_list(), (size_t)1 << 20, &graph), ERR_NONE);
    assert_int_equal(graph_set_opset(graph, "", opset, NULL), ERR_NONE);
    assert_int_equal(graph_add_input(graph, "image", DTYPE_F32, &declared, &x, NULL), ERR_NONE);
    (void)floats(graph, "unused", (struct shape){1, {5}}, 1);
    value_id w = floats(graph, "conv.weight", (struct shape){4, {3, 3, 3, 3}}, 2);
    value_id conv = add(graph, "Conv", "conv", &(struct attrs){&pads, 1}, (value_id[]){x, w}, 2);
    value_id in[5] = {conv};
    for (int i = 1; i < 5; i++) {
        static const char *const names[] = {"", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"};
        in[i] = floats(graph, names[i], (struct shape){1, {3}}, (uint64_t)i + 2);
    }
    value_id norm = add(graph, "BatchNormalization", "bn", &(struct attrs){&epsilon, 1}, in, 5);
    value_id slope = floats(graph, "slope", (struct shape){3, {3, 1, 1}}, 9);
    value_id act = add(graph, "PRelu", "act", NULL, (value_id[]){norm, slope}, 2);
    value_id sum = add(graph, "Add", "sum", NULL, (value_id[]){act, x}, 2);
    value_id high = add(graph, "Constant", "high", &(struct attrs){&bound, 1}, NULL, 0);
    value_id bottom = add(graph, "Constant", "low", &(struct attrs){&low, 1}, NULL, 0);
    value_id clip = add(graph, "Clip", "clip", NULL, (value_id[]){sum, bottom, high}, 3);

    value_id shape = add(graph, "Shape", "shape", NULL, &clip, 1);
    value_id first = add(graph, "Constant", "first", &(struct attrs){&scalar, 1}, NULL, 0);
    value_id batch = add(graph, "Gather", "batch", &(struct attrs){&axis, 1}, (value_id[]){shape, first}, 2);
    value_id row = add(graph, "Unsqueeze", "row", &(struct attrs){&axes, 1}, &batch, 1);
    value_id rest = add(graph, "Constant", "rest", &(struct attrs){&list, 1}, NULL, 0);
    value_id target = add(graph, "Concat", "target", &(struct attrs){&axis, 1}, (value_id[]){row, rest}, 2);
    value_id flat = add(graph, "Reshape", "embedding", NULL, (value_id[]){clip, target}, 2);
    assert_int_equal(graph_add_output(graph, flat, DTYPE_F32, &wrong, NULL), ERR_NONE);
    if (finish) {
        assert_int_equal(graph_finish(graph, NULL), ERR_NONE);
        graph_seal(graph);
    }
    return graph;
}

static value_id find(const struct graph *graph, const char *name)
{
    for (value_id id = 0; id < graph_value_count(graph); id++) {
        if (strcmp(graph_value_name(graph, id), name) == 0) {
            return id;
        }
    }
    return -1;
}

static void test_recogniser(void **state)
{
    size_t blocks = mem_live_blocks();
    struct graph *graph = recogniser(12, true);
    struct graph *loaded = round_trip(graph, 0);

    same_outputs(graph, loaded, 1, 0);
    same_outputs(graph, loaded, 3, 0);
    /* The declarations are the truth now: a batch, and 72 numbers where 48 were claimed. */
    assert_int_equal(graph_input(loaded, 0)->shape.dim[0], -1);
    assert_int_equal(graph_input(loaded, 0)->shape.dim[3], 6);
    assert_int_equal(graph_output(loaded, 0)->shape.dim[0], -1);
    assert_int_equal(graph_output(loaded, 0)->shape.dim[1], 72);
    assert_string_equal(graph_input(loaded, 0)->name, "image");
    /* BatchNormalization stands as it is, under its names; Constant nodes are initialisers; the unused one is gone. */
    assert_int_equal(graph_node_count(loaded), 10);
    assert_non_null(graph_constant(loaded, find(loaded, "bn.running_var")));
    assert_non_null(graph_constant(loaded, find(loaded, "high")));
    assert_int_equal(find(loaded, "unused"), -1);
    graph_free(loaded);
    graph_free(graph);
    assert_int_equal(mem_live_blocks(), blocks);
}

/* ---- Other weights ----------------------------------------------------------------------------------------------- */

struct other {
    value_id value;
    const float *numbers;
};

static const void *other_of(const void *context, value_id constant)
{
    const struct other *other = context;

    return constant == other->value ? other->numbers : NULL;
}

static void test_weights(void **state)
{
    static const float numbers[] = {7, 8, 9};
    size_t blocks = mem_live_blocks();
    struct graph *graph = recogniser(12, true);
    struct other other = {find(graph, "bn.bias"), numbers};
    struct onnx_weights weights = {other_of, &other};
    unsigned char *bytes;
    unsigned char *plain;
    size_t n_bytes;
    size_t n_plain;
    size_t differ = 0;

    assert_int_equal(onnx_save(graph, &weights, &bytes, &n_bytes, NULL), ERR_NONE);
    assert_int_equal(onnx_save(graph, NULL, &plain, &n_plain, NULL), ERR_NONE);
    struct graph *loaded = load(bytes, n_bytes, 0);
    assert_memory_equal(graph_constant(loaded, find(loaded, "bn.bias"))->data, numbers, sizeof numbers);
    assert_int_equal(n_bytes, n_plain);
    for (size_t i = 0; i < n_bytes; i++) {
        differ += bytes[i] != plain[i];
    }
    assert_in_range(differ, 1, sizeof numbers);
    mem_free(bytes);
    mem_free(plain);
    graph_free(loaded);
    graph_free(graph);
    assert_int_equal(mem_live_blocks(), blocks);
}

/* ---- Refusals, failures, files ----------------------------------------------------------------------------------- */

static void test_refusals(void **state)
{
    size_t blocks = mem_live_blocks();
    struct err_note note = {0};
    unsigned char *bytes;
    size_t n_bytes;

    /* The product of two passes: the activation is part of the convolution. */
    struct graph *prepared = recogniser(12, false);
    assert_int_equal(graph_finish(prepared, NULL), ERR_NONE);
    assert_int_equal(graph_prepare(prepared, NULL), ERR_NONE);
    graph_seal(prepared);
    assert_int_equal(onnx_save(prepared, NULL, &bytes, &n_bytes, &note), ERR_MISUSE);
    assert_non_null(strstr(note.text, "prepared"));
    graph_free(prepared);

    /* No shape, no batch. */
    static const struct row shapeless = {.opset = 11, .op = "Relu", .x = {.rank = -1}};
    struct graph *graph = graph_of(&shapeless, 0);
    note = (struct err_note){0};
    assert_int_equal(onnx_save(graph, NULL, &bytes, &n_bytes, &note), ERR_UNSUPPORTED);
    assert_non_null(strstr(note.text, "input 'x'"));
    graph_free(graph);
    assert_int_equal(mem_live_blocks(), blocks);
}

static void test_no_memory(void **state)
{
    size_t blocks = mem_live_blocks();
    struct graph *graph = recogniser(12, true);

    for (long n = 0;; n++) {
        unsigned char *bytes = NULL;
        size_t n_bytes = 0;
        struct err_note note = {0};
        mem_fail_at(n);
        enum err err = onnx_save(graph, NULL, &bytes, &n_bytes, &note);
        mem_fail_at(-1);
        if (err == ERR_NONE) {
            assert_true(n >= 3);
            mem_free(bytes);
            break;
        }
        assert_int_equal(err, ERR_NOMEM);
        assert_null(bytes);
        assert_string_not_equal(note.text, "");
    }
    graph_free(graph);
    assert_int_equal(mem_live_blocks(), blocks);
}

static void test_file(void **state)
{
    size_t blocks = mem_live_blocks();
    struct graph *graph = recogniser(12, true);
    char folder[] = "/tmp/arcfaced-save-XXXXXX";
    char path[64];
    unsigned char *bytes;
    unsigned char *read;
    size_t n_bytes;
    size_t n_read;
    struct err_note note = {0};

    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/model.onnx", folder);
    assert_int_equal(onnx_save(graph, NULL, &bytes, &n_bytes, NULL), ERR_NONE);
    assert_int_equal(onnx_save_file(graph, NULL, path, NULL), ERR_NONE);
    assert_int_equal(file_read(path, 1 << 20, &read, &n_read, NULL), ERR_NONE);
    assert_int_equal(n_read, n_bytes);
    assert_memory_equal(read, bytes, n_bytes);
    mem_free(read);
    mem_free(bytes);
    assert_int_equal(file_remove(path, NULL), ERR_NONE);
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(onnx_save_file(graph, NULL, path, &note), ERR_NOT_FOUND);
    assert_string_not_equal(note.text, "");
    graph_free(graph);
    assert_int_equal(mem_live_blocks(), blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),    cmocka_unit_test(test_pinned_batch), cmocka_unit_test(test_recogniser),
        cmocka_unit_test(test_weights), cmocka_unit_test(test_refusals),     cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
