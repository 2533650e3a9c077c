/*
 * test_blocks.c: a prepared network, which runs in blocks of channels, gives what the same network gives as written, dense;
 * at any size and batch, with every value kept, and after its weights as written have been dropped.
 */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/graph/packing.h"
#include "core/graph/session.h"
#include "core/op/op_list.h"

#define TOLERANCE 2e-5F /* of the largest number of an output */

static uint32_t seed;

static float next_float(void)
{
    seed = seed * 1664525U + 1013904223U;
    return (float)(seed >> 8) / 8388608.0F - 1.0F;
}

struct builder {
    struct graph *graph;
    int n_names;
};

static value_id new_value(struct builder *b)
{
    char name[16];
    value_id id = -1;

    (void)snprintf(name, sizeof name, "v%d", b->n_names++);
    assert_int_equal(graph_value(b->graph, name, &id, NULL), ERR_NONE);
    return id;
}

/* Random numbers around zero, smaller the more of them a sum takes, or from 0.5 to 1.5. */
static value_id constant(struct builder *b, struct shape shape, bool positive)
{
    struct tensor tensor = {.type = DTYPE_F32, .shape = shape};
    char name[16];
    value_id id = -1;

    float *data = ARENA_ARRAY(graph_arena(b->graph), float, shape_elements(&shape));
    float scale = sqrtf((float)shape.dim[0] / (float)shape_elements(&shape));
    assert_non_null(data);
    for (int64_t i = 0; i < shape_elements(&shape); i++) {
        data[i] = positive ? 1 + next_float() / 2 : next_float() * scale;
    }
    tensor.data = data;
    (void)snprintf(name, sizeof name, "c%d", b->n_names++);
    assert_int_equal(graph_add_constant(b->graph, name, &tensor, &id, NULL), ERR_NONE);
    return id;
}

static value_id node(struct builder *b, const char *op, const struct attr *attrs, int n_attrs, const value_id *in,
                     int n_in)
{
    const struct attrs list = {attrs, n_attrs};
    struct err_note note = {.line = 0};
    value_id out = new_value(b);

    if (graph_add_node(b->graph, "", op, op, &list, in, n_in, &out, 1, &note) != ERR_NONE) {
        fail_msg("%s", note.text);
    }
    return out;
}

static value_id conv(struct builder *b, value_id x, int64_t ic, int64_t oc, int64_t k, int64_t stride, int64_t group)
{
    const int64_t strides[2] = {stride, stride};
    const int64_t pads[4] = {k / 2, k / 2, k / 2, k / 2};
    const struct attr attrs[] = {{.name = "strides", .kind = ATTR_INTS, .ints = strides, .count = 2},
                                 {.name = "pads", .kind = ATTR_INTS, .ints = pads, .count = 4},
                                 {.name = "group", .kind = ATTR_INT, .i = group}};
    const value_id in[3] = {x, constant(b, (struct shape){4, {oc, ic / group, k, k}}, false),
                            constant(b, (struct shape){1, {oc}}, false)};

    return node(b, "Conv", attrs, 3, in, 3);
}

static value_id norm(struct builder *b, value_id x, int64_t c)
{
    const struct shape row = {1, {c}};
    const value_id in[5] = {x, constant(b, row, true), constant(b, row, false), constant(b, row, false),
                            constant(b, row, true)};

    return node(b, "BatchNormalization", NULL, 0, in, 5);
}

static value_id prelu(struct builder *b, value_id x, int64_t c)
{
    const value_id in[2] = {x, constant(b, (struct shape){3, {c, 1, 1}}, true)};

    return node(b, "PRelu", NULL, 0, in, 2);
}

static value_id window(struct builder *b, const char *op, value_id x)
{
    const int64_t two[2] = {2, 2};
    const struct attr attrs[] = {{.name = "kernel_shape", .kind = ATTR_INTS, .ints = two, .count = 2},
                                 {.name = "strides", .kind = ATTR_INTS, .ints = two, .count = 2}};

    return node(b, op, attrs, 2, &x, 1);
}

static value_id add(struct builder *b, value_id x, value_id y)
{
    return node(b, "Add", NULL, 0, (const value_id[]){x, y}, 2);
}

#define N_OUTPUTS 6

/* Channels-last, in one of the two orders of detectors. */
static value_id turned(struct builder *b, value_id x, bool batch_first)
{
    static const int64_t first[4] = {0, 2, 3, 1};
    static const int64_t third[4] = {2, 3, 0, 1};
    const struct attr perm = {.name = "perm", .kind = ATTR_INTS, .ints = batch_first ? first : third, .count = 4};

    return node(b, "Transpose", &perm, 1, &x, 1);
}

/*
 * All that has a blocked form, and some that has not: a first layer, blocks as IResNet's, depthwise, pools, an upsampling, a
 * depthwise layer with the 1×1 one behind it, heads of one map.
 */
static struct graph *network(bool prepared)
{
    static const float twice[4] = {1, 1, 2, 2};
    struct builder b = {.n_names = 0};
    struct err_note note = {.line = 0};
    value_id x;
    struct shape free_image = {4, {-1, 3, -1, -1}};

    seed = 5;
    assert_int_equal(graph_new(op_list(), (size_t)64 << 20, &b.graph), ERR_NONE);
    assert_int_equal(graph_set_opset(b.graph, "", 10, NULL), ERR_NONE);
    assert_int_equal(graph_add_input(b.graph, "x", DTYPE_F32, &free_image, &x, NULL), ERR_NONE);
    value_id y = prelu(&b, conv(&b, x, 3, 24, 3, 1, 1), 24);
    value_id side = conv(&b, y, 24, 40, 1, 2, 1);
    y = prelu(&b, conv(&b, norm(&b, y, 24), 24, 40, 3, 1, 1), 40);
    y = add(&b, conv(&b, y, 40, 40, 3, 2, 1), side);
    y = node(&b, "Relu", NULL, 0, &y, 1);
    y = add(&b, y, conv(&b, norm(&b, y, 40), 40, 40, 3, 1, 40));
    value_id wide = node(&b, "Sigmoid", NULL, 0, &y, 1); /* read dense, and in blocks below */
    value_id scale[2] = {-1, -1};
    struct tensor scales = {.type = DTYPE_F32, .shape = {1, {4}}};
    scales.data = ARENA_ARRAY(graph_arena(b.graph), float, 4);
    assert_non_null(scales.data);
    memcpy(scales.data, twice, sizeof twice);
    assert_int_equal(graph_add_constant(b.graph, "scales", &scales, &scale[1], NULL), ERR_NONE);
    value_id pooled = window(&b, "MaxPool", y);
    scale[0] = conv(&b, window(&b, "AveragePool", y), 40, 40, 3, 1, 1);
    scale[0] = add(&b, scale[0], pooled);
    value_id large = node(&b, "Resize", NULL, 0, scale, 2);
    y = node(&b, "Mul", NULL, 0, (const value_id[]){large, wide}, 2);
    value_id mean = node(&b, "GlobalAveragePool", NULL, 0, &y, 1);
    mean = node(&b, "Flatten", NULL, 0, &mean, 1);
    const struct attr transposed = {.name = "transB", .kind = ATTR_INT, .i = 1};
    const value_id gemm[3] = {mean, constant(&b, (struct shape){2, {64, 40}}, false),
                              constant(&b, (struct shape){1, {64}}, false)};
    value_id last = node(&b, "Gemm", &transposed, 1, gemm, 3);
    value_id thin = prelu(&b, conv(&b, y, 40, 40, 3, 2, 40), 40);
    thin = add(&b, conv(&b, thin, 40, 40, 1, 1, 1), conv(&b, y, 40, 40, 1, 2, 1));
    value_id pairs = conv(&b, conv(&b, thin, 40, 40, 3, 1, 20), 40, 24, 1, 1, 1);
    const value_id heads[3] = {turned(&b, conv(&b, thin, 40, 2, 3, 1, 1), false),
                               turned(&b, conv(&b, thin, 40, 20, 3, 1, 1), true),
                               turned(&b, conv(&b, thin, 40, 8, 3, 1, 1), false)};
    const struct shape unknown = {.rank = -1};
    assert_int_equal(graph_add_output(b.graph, last, DTYPE_F32, &unknown, NULL), ERR_NONE);
    assert_int_equal(graph_add_output(b.graph, y, DTYPE_F32, &unknown, NULL), ERR_NONE);
    assert_int_equal(graph_add_output(b.graph, pairs, DTYPE_F32, &unknown, NULL), ERR_NONE);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(graph_add_output(b.graph, heads[i], DTYPE_F32, &unknown, NULL), ERR_NONE);
    }
    if (graph_finish(b.graph, &note) != ERR_NONE || (prepared && graph_prepare(b.graph, &note) != ERR_NONE)) {
        fail_msg("%s", note.text);
    }
    graph_seal(b.graph);
    return b.graph;
}

static struct tensor image(int64_t n, int64_t side)
{
    struct tensor x = {.type = DTYPE_F32, .shape = {4, {n, 3, side, side}}};
    float *data = MEM_ARRAY(float, (size_t)(n * 3 * side * side));

    assert_non_null(data);
    for (int64_t i = 0; i < n * 3 * side * side; i++) {
        data[i] = next_float();
    }
    x.data = data;
    return x;
}

static void must_run(struct session *session, const struct tensor *x, struct tensor out[N_OUTPUTS])
{
    struct err_note note = {.line = 0};

    if (session_run(session, x, 1, out, N_OUTPUTS, &note) != ERR_NONE) {
        fail_msg("%s", note.text);
    }
}

static void same(const struct tensor *a, const struct tensor *b)
{
    const float *x = a->data;
    const float *y = b->data;
    float largest = 1e-6F;

    assert_true(shape_equal(&a->shape, &b->shape));
    for (int64_t i = 0; i < shape_elements(&a->shape); i++) {
        largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
    }
    for (int64_t i = 0; i < shape_elements(&a->shape); i++) {
        if (!(fabsf(x[i] - y[i]) <= TOLERANCE * largest)) {
            fail_msg("%lld: %.9g, not %.9g (largest %.3g)", (long long)i, (double)y[i], (double)x[i], (double)largest);
        }
    }
}

static const struct {
    int64_t n, side;
} sizes[] = {{1, 16}, {2, 28}, {1, 4}, {5, 12}, {1, 68}};

static void blocks_equal_dense(void **state)
{
    struct graph *plain = network(false);
    struct graph *blocked = network(true);
    struct pool *pool = NULL;

    assert_int_equal(pool_new(2, &pool), ERR_NONE);
    for (int run = 0; run < 4; run++) {
        struct session_options options = {.pool = run % 2 == 1 ? pool : NULL, .keep_all = run == 2};
        struct session *a = NULL;
        struct session *b = NULL;
        assert_int_equal(session_new(plain, NULL, &a), ERR_NONE);
        assert_int_equal(session_new(blocked, &options, &b), ERR_NONE);
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            struct tensor x = image(sizes[i].n, sizes[i].side);
            struct tensor want[N_OUTPUTS];
            struct tensor got[N_OUTPUTS];
            must_run(a, &x, want);
            must_run(b, &x, got);
            for (int k = 0; k < N_OUTPUTS; k++) {
                same(&want[k], &got[k]);
            }
            mem_free(x.data);
        }
        session_free(a);
        session_free(b);
        if (run == 2) {
            size_t before = graph_constant_bytes(blocked);
            assert_true(graph_packed_bytes(blocked) > 0);
            graph_drop_packed(blocked);
            assert_true(graph_constant_bytes(blocked) < before);
        }
    }
    pool_free(pool);
    graph_free(plain);
    graph_free(blocked);
    assert_int_equal(mem_live_blocks(), 0);
}

static void keeps_values_dense(void **state)
{
    struct graph *plain = network(false);
    struct graph *blocked = network(true);
    const struct session_options keep = {.keep_all = true};
    struct session *a = NULL;
    struct session *b = NULL;
    struct tensor x = image(2, 20);
    struct tensor out[N_OUTPUTS];
    int compared = 0;

    assert_int_equal(session_new(plain, &keep, &a), ERR_NONE);
    assert_int_equal(session_new(blocked, &keep, &b), ERR_NONE);
    must_run(a, &x, out);
    must_run(b, &x, out);
    for (value_id id = 0; id < graph_value_count(plain); id++) {
        const struct tensor *want = session_value(a, id);
        const struct tensor *got = session_value(b, id);
        if (graph_constant(plain, id) == NULL && want != NULL && got != NULL) {
            same(want, got);
            compared++;
        }
    }
    assert_true(compared > 8);
    mem_free(x.data);
    session_free(a);
    session_free(b);
    graph_free(plain);
    graph_free(blocked);
    assert_int_equal(mem_live_blocks(), 0);
}

/* Weights in half precision: half of the memory, and vectors that point where those of single precision do. */
static void halves_are_close(void **state)
{
    size_t bytes[2] = {0, 0};
    struct tensor out[2][N_OUTPUTS];
    struct graph *graph[2];
    struct session *session[2];
    struct tensor x = image(2, 28);
    struct err_note note = {.line = 0};

    for (int half = 0; half < 2; half++) {
        assert_int_equal(packing_choose("small", half != 0 ? "fp16" : "fp32", &note), ERR_NONE);
        graph[half] = network(true);
        assert_int_equal(session_new(graph[half], NULL, &session[half]), ERR_NONE);
        must_run(session[half], &x, out[half]);
        bytes[half] = graph_packed_bytes(graph[half]);
    }
    assert_int_equal(packing_choose("small", "fp32", &note), ERR_NONE);
    assert_true(bytes[1] < bytes[0] * 6 / 10);
    for (int k = 0; k < N_OUTPUTS; k++) {
        const float *a = out[0][k].data;
        const float *b = out[1][k].data;
        double ab = 0;
        double aa = 0;
        double bb = 0;
        for (int64_t i = 0; i < shape_elements(&out[0][k].shape); i++) {
            ab += (double)a[i] * (double)b[i];
            aa += (double)a[i] * (double)a[i];
            bb += (double)b[i] * (double)b[i];
        }
        if (!(ab >= 0.9999 * sqrt(aa * bb)) || memcmp(a, b, tensor_bytes(&out[0][k])) == 0) {
            fail_msg("output %d: cosine %.7f", k, ab / sqrt(aa * bb));
        }
    }
    for (int half = 0; half < 2; half++) {
        session_free(session[half]);
        graph_free(graph[half]);
    }
    mem_free(x.data);
    assert_int_equal(packing_choose("large", "fp32", &note), ERR_MISUSE);
    assert_int_equal(packing_choose("fast", "fp8", &note), ERR_MISUSE);
    assert_false(packing_chosen().fast);
    assert_int_equal(mem_live_blocks(), 0);
}

/* A convolution of many weights, and the mean of an image added to it: for an image of one pixel that is a residual. */
static struct graph *mean_added(void)
{
    struct builder b = {.n_names = 0};
    struct shape free_image = {4, {-1, 48, -1, -1}};
    const struct shape unknown = {.rank = -1};
    struct err_note note = {.line = 0};
    value_id x;

    assert_int_equal(graph_new(op_list(), (size_t)64 << 20, &b.graph), ERR_NONE);
    assert_int_equal(graph_set_opset(b.graph, "", 10, NULL), ERR_NONE);
    assert_int_equal(graph_add_input(b.graph, "x", DTYPE_F32, &free_image, &x, NULL), ERR_NONE);
    value_id y = add(&b, conv(&b, x, 48, 48, 3, 1, 1), node(&b, "GlobalAveragePool", NULL, 0, &x, 1));
    assert_int_equal(graph_add_output(b.graph, y, DTYPE_F32, &unknown, NULL), ERR_NONE);
    if (graph_finish(b.graph, &note) != ERR_NONE || graph_prepare(b.graph, &note) != ERR_NONE) {
        fail_msg("%s", note.text);
    }
    graph_seal(b.graph);
    return b.graph;
}

/* Once the weights as written are given back, sizes that would need them are refused by name, and the others go on. */
static void refuses_sizes_without_weights(void **state)
{
    struct graph *graph = mean_added();
    struct session *session = NULL;
    float data[48 * 4] = {1, 2, 3};
    struct tensor one = {.type = DTYPE_F32, .shape = {4, {1, 48, 1, 1}}, .data = data};
    struct tensor four = {.type = DTYPE_F32, .shape = {4, {1, 48, 2, 2}}, .data = data};
    struct tensor out;
    struct err_note note = {.line = 0};
    float before[48];

    assert_int_equal(session_new(graph, NULL, &session), ERR_NONE);
    assert_int_equal(session_run(session, &one, 1, &out, 1, &note), ERR_NONE);
    memcpy(before, out.data, sizeof before);
    graph_drop_packed(graph);
    assert_int_equal(session_run(session, &four, 1, &out, 1, &note), ERR_UNSUPPORTED);
    assert_non_null(strstr(note.text, "(Conv): its weights were packed for other sizes"));
    assert_int_equal(session_run(session, &one, 1, &out, 1, &note), ERR_NONE);
    assert_memory_equal(out.data, before, sizeof before);
    session_free(session);
    graph_free(graph);
    assert_int_equal(mem_live_blocks(), 0);
}

static int count_ops(const struct graph *graph, const char *name)
{
    int count = 0;

    for (int i = 0; i < graph_node_count(graph); i++) {
        count += strcmp(graph_node(graph, i)->op->name, name) == 0;
    }
    return count;
}

/* Three heads are one convolution, two depthwise layers are part of the 1×1 ones behind them. */
static void joins_and_fuses(void **state)
{
    struct graph *plain = network(false);
    struct graph *blocked = network(true);

    assert_int_equal(count_ops(plain, "Transpose"), 3);
    assert_int_equal(count_ops(blocked, "Transpose"), 0);
    assert_int_equal(count_ops(blocked, "ChannelPart"), 3);
    assert_int_equal(count_ops(plain, "Conv") - count_ops(blocked, "Conv"), 2 + 2);
    graph_free(plain);
    graph_free(blocked);
    assert_int_equal(mem_live_blocks(), 0);
}

/* The second run of one size allocates nothing, in blocks as well. */
static void runs_again_without_allocating(void **state)
{
    struct graph *graph = network(true);
    struct session *session = NULL;
    struct tensor x = image(1, 24);
    struct tensor out[N_OUTPUTS];

    assert_int_equal(session_new(graph, NULL, &session), ERR_NONE);
    must_run(session, &x, out);
    mem_fail_at(0);
    enum err err = session_run(session, &x, 1, out, N_OUTPUTS, NULL);
    mem_fail_at(-1);
    assert_int_equal(err, ERR_NONE);
    mem_free(x.data);
    session_free(session);
    graph_free(graph);
    assert_int_equal(mem_live_blocks(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_equal_dense),
        cmocka_unit_test(keeps_values_dense),
        cmocka_unit_test(joins_and_fuses),
        cmocka_unit_test(halves_are_close),
        cmocka_unit_test(refuses_sizes_without_weights),
        cmocka_unit_test(runs_again_without_allocating),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
