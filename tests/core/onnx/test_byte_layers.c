/*
 * test_byte_layers.c: random networks of quantised layers: prepared (channels last, tables, packed weights) they give the very
 * bytes (and, where they quantise dynamically, the very floats) that they give as written; written with Q/DQ pairs they give
 * the bytes of the QLinear form.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/random.h"
#include "core/graph/session.h"
#include "core/op/op_list.h"

enum {
    C = 64,
    LAYERS = 12,
    NETWORKS = 60,
    SIDE = 11
};

/* A quantised value: bytes, its scale, its zero point. */
struct quantised {
    value_id data, scale, zero;
};

struct making {
    struct graph *graph;
    struct random random;
    enum dtype type;
    int serial;
    bool qdq; /* layers as floats between DequantizeLinear and QuantizeLinear, as exporters write them now */
};

static value_id constant(struct making *m, enum dtype type, struct shape shape, const void *data)
{
    char name[32];
    value_id id;
    struct tensor tensor = {.type = type, .shape = shape};

    tensor.data = arena_alloc(graph_arena(m->graph), tensor_bytes(&tensor), 1);
    assert_non_null(tensor.data);
    memcpy(tensor.data, data, tensor_bytes(&tensor));
    (void)snprintf(name, sizeof name, "c%d", m->serial++);
    assert_int_equal(graph_add_constant(m->graph, name, &tensor, &id, NULL), ERR_NONE);
    return id;
}

static value_id floats(struct making *m, struct shape shape, double middle, double spread)
{
    float data[C];

    assert_true(shape_elements(&shape) <= C);
    for (int64_t i = 0; i < shape_elements(&shape); i++) {
        data[i] = (float)(middle + spread * (random_uniform(&m->random) - 0.5));
    }
    return constant(m, DTYPE_F32, shape, data);
}

static value_id zero_point(struct making *m)
{
    uint8_t zero =
        (uint8_t)(m->type == DTYPE_U8 ? 90 + random_below(&m->random, 60) : random_below(&m->random, 40) - 20);

    return constant(m, m->type, (struct shape){0, {0}}, &zero);
}

static struct quantised quantisation(struct making *m)
{
    return (struct quantised){-1, floats(m, (struct shape){0, {0}}, 0.02, 0.01), zero_point(m)};
}

static value_id node(struct making *m, const char *domain, const char *op, const struct attr *list, int n_attrs,
                     const value_id *in, int n_in)
{
    struct attrs attrs = {list, n_attrs};
    struct err_note note = {0};
    char name[32];
    value_id out;

    (void)snprintf(name, sizeof name, "%s%d", op, m->serial++);
    assert_int_equal(graph_value(m->graph, name, &out, NULL), ERR_NONE);
    if (graph_add_node(m->graph, domain, op, name, &attrs, in, n_in, &out, 1, &note) != ERR_NONE) {
        fail_msg("%s", note.text);
    }
    return out;
}

static value_id dequantized(struct making *m, value_id data, value_id scale, value_id zero)
{
    const struct attr axis = {.name = "axis", .kind = ATTR_INT, .i = 0};

    return node(m, "", "DequantizeLinear", &axis, 1, (value_id[]){data, scale, zero}, 3);
}

/* The scale of a bias is the product of those of the image and of the weights. */
static value_id bias_scale(struct making *m, value_id x_scale, value_id w_scale, struct shape shape)
{
    const float *x = graph_constant(m->graph, x_scale)->data;
    const float *w = graph_constant(m->graph, w_scale)->data;
    float data[C];

    for (int64_t i = 0; i < shape_elements(&shape); i++) {
        data[i] = *x * w[i];
    }
    return constant(m, DTYPE_F32, shape, data);
}

/* The same layer as QLinearConv's inputs say, in floats between quantisers. */
static value_id qdq_conv(struct making *m, const struct attr *list, int n_attrs, const value_id in[9], int n_in)
{
    const struct shape per_channel = graph_constant(m->graph, in[4])->shape;
    const int32_t zeros[C] = {0};
    value_id floats_in[3] = {dequantized(m, in[0], in[1], in[2]), dequantized(m, in[3], in[4], in[5]), -1};

    if (n_in == 9) {
        floats_in[2] =
            dequantized(m, in[8], bias_scale(m, in[1], in[4], per_channel), constant(m, DTYPE_I32, per_channel, zeros));
    }
    value_id y = node(m, "", "Conv", list, n_attrs, floats_in, n_in == 9 ? 3 : 2);
    return node(m, "", "QuantizeLinear", NULL, 0, (value_id[]){y, in[6], in[7]}, 3);
}

static struct quantised conv(struct making *m, struct quantised x)
{
    static const int64_t groups[] = {1, 1, 2, 32, 64, 4};
    static const int64_t pads[] = {1, 1, 1, 1};
    const int64_t group = groups[random_below(&m->random, 6)];
    const int64_t kernel = random_below(&m->random, 2) == 0 ? 3 : 1;
    const struct shape shape = {4, {C, C / group, kernel, kernel}};
    const struct attr list[] = {{.name = "group", .kind = ATTR_INT, .i = group},
                                {.name = "pads", .kind = ATTR_INTS, .ints = pads, .count = 4}};
    const bool unsigned_weights = random_below(&m->random, 4) == 0;
    const bool many = random_below(&m->random, 2) == 0;
    uint8_t *w = MEM_ARRAY(uint8_t, (size_t)shape_elements(&shape));
    uint8_t zeros[C];
    int32_t bias[C];
    struct quantised y = quantisation(m);

    for (int64_t i = 0; i < shape_elements(&shape); i++) {
        w[i] = (uint8_t)random_below(&m->random, 256);
    }
    memset(zeros, unsigned_weights ? 100 : 0, sizeof zeros); /* so far from the middle that they need two passes */
    for (int c = 0; c < C; c++) {
        bias[c] = (int32_t)random_below(&m->random, 4000) - 2000;
    }
    double scale = 0.4 / 50 / sqrt((double)(C / group * kernel * kernel));
    struct shape per_channel = {many ? 1 : 0, {C}};
    const value_id in[9] = {x.data,
                            x.scale,
                            x.zero,
                            constant(m, unsigned_weights ? DTYPE_U8 : DTYPE_I8, shape, w),
                            floats(m, per_channel, scale, scale),
                            constant(m, unsigned_weights ? DTYPE_U8 : DTYPE_I8, per_channel, zeros),
                            y.scale,
                            y.zero,
                            constant(m, DTYPE_I32, (struct shape){1, {C}}, bias)};
    mem_free(w);
    const int n_in = random_below(&m->random, 2) == 0 ? 9 : 8;
    const int n_attrs = kernel == 3 ? 2 : 1;
    y.data = m->qdq ? qdq_conv(m, list, n_attrs, in, n_in) : node(m, "", "QLinearConv", list, n_attrs, in, n_in);
    return y;
}

/* Bytes to floats, one to three operators on them, and back. */
static struct quantised map(struct making *m, struct quantised x)
{
    struct quantised y = quantisation(m);
    value_id f = node(m, "", "DequantizeLinear", NULL, 0, (value_id[]){x.data, x.scale, x.zero}, 3);
    int count = 1 + (int)random_below(&m->random, 2);

    for (int i = 0; i < count; i++) {
        switch (random_below(&m->random, 5)) {
        case 0:
            f = node(m, "", "PRelu", NULL, 0, (value_id[]){f, floats(m, (struct shape){3, {C, 1, 1}}, 0.2, 0.3)}, 2);
            break;
        case 1: f = node(m, "", "Relu", NULL, 0, &f, 1); break;
        case 2: f = node(m, "", "Sigmoid", NULL, 0, &f, 1); break;
        case 3:
            f = node(m, "", "Mul", NULL, 0, (value_id[]){f, floats(m, (struct shape){3, {C, 1, 1}}, 1, 1)}, 2);
            break;
        default: {
            struct shape row = {1, {C}};
            const value_id in[5] = {f, floats(m, row, 1, 0.5), floats(m, row, 0, 1), floats(m, row, 0, 1),
                                    floats(m, row, 1, 1)};
            f = node(m, "", "BatchNormalization", NULL, 0, in, 5);
            break;
        }
        }
    }
    y.data = node(m, "", "QuantizeLinear", NULL, 0, (value_id[]){f, y.scale, y.zero}, 3);
    return y;
}

static struct quantised sum(struct making *m, struct quantised a, struct quantised b)
{
    struct quantised y = quantisation(m);
    const value_id in[8] = {a.data, a.scale, a.zero, b.data, b.scale, b.zero, y.scale, y.zero};

    const bool times = random_below(&m->random, 4) == 0;
    if (m->qdq && !times) {
        const value_id floats_in[2] = {dequantized(m, a.data, a.scale, a.zero),
                                       dequantized(m, b.data, b.scale, b.zero)};
        value_id f = node(m, "", "Add", NULL, 0, floats_in, 2);
        y.data = node(m, "", "QuantizeLinear", NULL, 0, (value_id[]){f, y.scale, y.zero}, 3);
        return y;
    }
    y.data = node(m, "com.microsoft", times ? "QLinearMul" : "QLinearAdd", NULL, 0, in, 8);
    return y;
}

/* Outputs: two values somewhere inside and the last, so that some have to be turned back. */
static struct graph *network(uint64_t seed, bool prepared, bool qdq)
{
    struct making m = {.random = random_seeded(seed, 3), .type = seed % 2 == 0 ? DTYPE_U8 : DTYPE_I8, .qdq = qdq};
    struct shape image = {4, {-1, C, -1, -1}};
    struct shape unknown = {.rank = -1};
    struct quantised made[LAYERS + 1];
    struct err_note note = {0};
    value_id input;

    assert_int_equal(graph_new(op_list(), (size_t)64 << 20, &m.graph), ERR_NONE);
    assert_int_equal(graph_set_opset(m.graph, "", 13, NULL), ERR_NONE);
    assert_int_equal(graph_set_opset(m.graph, "com.microsoft", 1, NULL), ERR_NONE);
    assert_int_equal(graph_add_input(m.graph, "x", DTYPE_F32, &image, &input, NULL), ERR_NONE);
    made[0] = quantisation(&m);
    made[0].data = node(&m, "", "QuantizeLinear", NULL, 0, (value_id[]){input, made[0].scale, made[0].zero}, 3);
    for (int i = 1; i <= LAYERS; i++) {
        struct quantised latest = made[i - 1];
        struct quantised other = made[random_below(&m.random, (uint64_t)i)];
        switch (i == 1 ? 0 : random_below(&m.random, 4)) {
        case 0:
        case 1: made[i] = conv(&m, latest); break;
        case 2: made[i] = map(&m, latest); break;
        default: made[i] = sum(&m, latest, other); break;
        }
    }
    const int outputs[] = {LAYERS, 3, LAYERS / 2};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(graph_add_output(m.graph, made[outputs[i]].data, m.type, &unknown, NULL), ERR_NONE);
    }
    enum err err = graph_finish(m.graph, &note);
    if (err == ERR_NONE && prepared) {
        err = graph_prepare(m.graph, &note);
    }
    if (err != ERR_NONE) {
        fail_msg("network %d: %s", (int)seed, note.text);
    }
    graph_seal(m.graph);
    return m.graph;
}

static void run(struct session *session, const struct tensor *x, struct tensor out[3], int network_number)
{
    struct err_note note = {0};

    if (session_run(session, x, 1, out, 3, &note) != ERR_NONE) {
        fail_msg("network %d: %s", network_number, note.text);
    }
}

static int count_nodes(const struct graph *graph, const char *op)
{
    int count = 0;

    for (int i = 0; i < graph_node_count(graph); i++) {
        count += strcmp(graph_node(graph, i)->op->name, op) == 0;
    }
    return count;
}

/* Runs both on one image; expects the same bytes. */
static void compare(struct graph *written, struct graph *prepared, int i, struct random *random)
{
    struct session *a = NULL;
    struct session *b = NULL;
    struct tensor x = {.type = DTYPE_F32, .shape = {4, {1 + i % 2, C, SIDE, SIDE - i % 3}}};
    struct tensor expected[3];
    struct tensor got[3];

    x.data = MEM_ARRAY(float, (size_t)shape_elements(&x.shape));
    for (int64_t k = 0; k < shape_elements(&x.shape); k++) {
        ((float *)x.data)[k] = (float)random_uniform(random) * 4 - 2;
    }
    assert_int_equal(session_new(written, NULL, &a), ERR_NONE);
    assert_int_equal(session_new(prepared, NULL, &b), ERR_NONE);
    run(a, &x, expected, i);
    run(b, &x, got, i);
    for (int k = 0; k < 3; k++) {
        assert_int_equal(expected[k].type, got[k].type);
        assert_true(shape_equal(&expected[k].shape, &got[k].shape));
        if (memcmp(expected[k].data, got[k].data, tensor_bytes(&got[k])) != 0) {
            fail_msg("network %d: output %d differs", i, k);
        }
    }
    session_free(a);
    session_free(b);
    mem_free(x.data);
}

static void same_bytes(void **state)
{
    size_t blocks = mem_live_blocks();
    struct random random = random_seeded(77, 1);
    int convs = 0;
    int maps = 0;

    for (int i = 0; i < NETWORKS; i++) {
        struct graph *written = network((uint64_t)i, false, false);
        struct graph *prepared = network((uint64_t)i, true, false);
        compare(written, prepared, i, &random);
        assert_int_equal(count_nodes(prepared, "QLinearConv"), 0);
        convs += count_nodes(prepared, "ByteConv");
        maps += count_nodes(prepared, "ByteMap");
        graph_free(written);
        graph_free(prepared);
    }
    assert_true(convs > NETWORKS && maps > NETWORKS);
    assert_int_equal(mem_live_blocks(), blocks);
}

/* The same networks written with Q/DQ pairs run as integers, and give the bytes of the QLinear form. */
static void qdq_is_the_qlinear_form(void **state)
{
    size_t blocks = mem_live_blocks();
    struct random random = random_seeded(79, 1);
    int adds = 0;

    for (int i = 0; i < NETWORKS; i++) {
        struct graph *qlinear = network((uint64_t)i, false, false);
        struct graph *written = network((uint64_t)i, false, true);
        struct graph *prepared = network((uint64_t)i, true, true);
        compare(qlinear, prepared, i, &random);
        assert_true(count_nodes(written, "Conv") > 0);
        assert_int_equal(count_nodes(prepared, "Conv"), 0);
        assert_int_equal(count_nodes(prepared, "Add"), 0);
        assert_int_equal(count_nodes(prepared, "ByteConv"), count_nodes(qlinear, "QLinearConv"));
        adds += count_nodes(written, "Add");
        graph_free(qlinear);
        graph_free(written);
        graph_free(prepared);
    }
    assert_true(adds > NETWORKS / 2);
    assert_int_equal(mem_live_blocks(), blocks);
}

/* ---- Dynamically quantised layers ------------------------------------------------------------------------------------------- */

static value_id dynamic_conv(struct making *m, value_id x)
{
    const int64_t group = random_below(&m->random, 3) == 0 ? C : 1;
    const int64_t kernel = random_below(&m->random, 2) == 0 ? 3 : 1;
    static const int64_t pads[] = {1, 1, 1, 1};
    const struct attr list[] = {{.name = "group", .kind = ATTR_INT, .i = group},
                                {.name = "pads", .kind = ATTR_INTS, .ints = pads, .count = 4}};
    const struct attr to = {.name = "to", .kind = ATTR_INT, .i = 1};
    const struct attrs cast = {&to, 1};
    const struct shape shape = {4, {C, C / group, kernel, kernel}};
    const uint8_t zero = (uint8_t)random_below(&m->random, 256);
    uint8_t *w = MEM_ARRAY(uint8_t, (size_t)shape_elements(&shape));
    value_id q[3];
    char name[32];

    for (int64_t i = 0; i < shape_elements(&shape); i++) {
        w[i] = (uint8_t)random_below(&m->random, 256);
    }
    for (int k = 0; k < 3; k++) {
        (void)snprintf(name, sizeof name, "q%d", m->serial++);
        assert_int_equal(graph_value(m->graph, name, &q[k], NULL), ERR_NONE);
    }
    assert_int_equal(graph_add_node(m->graph, "", "DynamicQuantizeLinear", name, &(struct attrs){0}, &x, 1, q, 3, NULL),
                     ERR_NONE);
    value_id scale =
        node(m, "", "Mul", NULL, 0, (value_id[]){q[1], floats(m, (struct shape){0, {0}}, 0.002, 0.001)}, 2);
    value_id y = node(
        m, "", "ConvInteger", list, kernel == 3 ? 2 : 1,
        (value_id[]){q[0], constant(m, DTYPE_U8, shape, w), q[2], constant(m, DTYPE_U8, (struct shape){0, {0}}, &zero)},
        4);
    mem_free(w);
    y = node(m, "", "Cast", cast.list, 1, &y, 1);
    y = node(m, "", "Mul", NULL, 0, (value_id[]){y, scale}, 2);
    if (random_below(&m->random, 3) != 0) {
        y = node(m, "", "Add", NULL, 0, (value_id[]){y, floats(m, (struct shape){4, {1, C, 1, 1}}, 0, 1)}, 2);
    }
    if (random_below(&m->random, 3) != 0) {
        y = node(m, "", "PRelu", NULL, 0, (value_id[]){y, floats(m, (struct shape){3, {C, 1, 1}}, 0.2, 0.3)}, 2);
    }
    return y;
}

static struct graph *dynamic_network(uint64_t seed, bool prepared)
{
    struct making m = {.random = random_seeded(seed, 5)};
    struct shape image = {4, {1, C, -1, -1}};
    struct shape unknown = {.rank = -1};
    struct err_note note = {0};
    value_id made[5];

    assert_int_equal(graph_new(op_list(), (size_t)64 << 20, &m.graph), ERR_NONE);
    assert_int_equal(graph_set_opset(m.graph, "", 13, NULL), ERR_NONE);
    assert_int_equal(graph_add_input(m.graph, "x", DTYPE_F32, &image, &made[0], NULL), ERR_NONE);
    for (int i = 1; i < 5; i++) {
        made[i] =
            i == 3 ? node(&m, "", "Add", NULL, 0, (value_id[]){made[2], made[1]}, 2) : dynamic_conv(&m, made[i - 1]);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(graph_add_output(m.graph, made[4 - i], DTYPE_F32, &unknown, NULL), ERR_NONE);
    }
    enum err err = graph_finish(m.graph, &note);
    if (err == ERR_NONE && prepared) {
        err = graph_prepare(m.graph, &note);
    }
    if (err != ERR_NONE) {
        fail_msg("network %d: %s", (int)seed, note.text);
    }
    graph_seal(m.graph);
    return m.graph;
}

static void same_floats(void **state)
{
    size_t blocks = mem_live_blocks();
    struct random random = random_seeded(78, 1);

    for (int i = 0; i < NETWORKS / 2; i++) {
        struct graph *written = dynamic_network((uint64_t)i, false);
        struct graph *prepared = dynamic_network((uint64_t)i, true);
        struct session *a = NULL;
        struct session *b = NULL;
        struct tensor x = {.type = DTYPE_F32, .shape = {4, {1, C, SIDE, SIDE - i % 3}}};
        struct tensor expected[3];
        struct tensor got[3];

        x.data = MEM_ARRAY(float, (size_t)shape_elements(&x.shape));
        for (int64_t k = 0; k < shape_elements(&x.shape); k++) {
            ((float *)x.data)[k] = (float)random_uniform(&random) * 4 - 2;
        }
        assert_int_equal(count_nodes(prepared, "ByteConvDynamic"), 3);
        assert_int_equal(count_nodes(prepared, "Cast"), 0);
        assert_true(graph_one_image(prepared));
        assert_int_equal(session_new(written, NULL, &a), ERR_NONE);
        assert_int_equal(session_new(prepared, NULL, &b), ERR_NONE);
        run(a, &x, expected, i);
        run(b, &x, got, i);
        for (int k = 0; k < 3; k++) {
            assert_true(shape_equal(&expected[k].shape, &got[k].shape));
            for (int64_t e = 0; e < shape_elements(&got[k].shape); e++) {
                if (((const float *)expected[k].data)[e] != ((const float *)got[k].data)[e]) {
                    fail_msg("network %d: output %d, number %d: %.9g, not %.9g", i, k, (int)e,
                             (double)((const float *)got[k].data)[e], (double)((const float *)expected[k].data)[e]);
                }
            }
        }
        session_free(a);
        session_free(b);
        graph_free(written);
        graph_free(prepared);
        mem_free(x.data);
    }
    assert_int_equal(mem_live_blocks(), blocks);
}

/* What passes make, files may not. */
static void own_domain_is_refused(void **state)
{
    struct graph *graph = NULL;
    struct err_note note = {0};
    value_id x;
    value_id y;
    struct shape image = {4, {1, 1, 1, 1}};

    assert_int_equal(graph_new(op_list(), (size_t)1 << 20, &graph), ERR_NONE);
    assert_int_equal(graph_set_opset(graph, "arcfaced", 1, NULL), ERR_NONE);
    assert_int_equal(graph_add_input(graph, "x", DTYPE_U8, &image, &x, NULL), ERR_NONE);
    assert_int_equal(graph_value(graph, "y", &y, NULL), ERR_NONE);
    assert_int_equal(graph_add_node(graph, "arcfaced", "ByteMap", "n", NULL, (value_id[]){x, x}, 2, &y, 1, &note),
                     ERR_UNSUPPORTED);
    assert_non_null(strstr(note.text, "ByteMap"));
    graph_free(graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bytes),
        cmocka_unit_test(qdq_is_the_qlinear_form),
        cmocka_unit_test(same_floats),
        cmocka_unit_test(own_domain_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
