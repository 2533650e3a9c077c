/*
 * test_prepare.c: the passes over random networks of real operators: prepared and as written agree, at any size.
 *
 * Every value has four channels and the image's size or 1×1 (behind a GlobalAveragePool), so that any two can be added,
 * with and without broadcasting.
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

#define C 4
#define NODES 24

struct making {
    struct graph *graph;
    struct random random;
    value_id values[NODES + 1];
    int count;
    int serial;
};

static value_id named(struct making *making, const char *prefix)
{
    char name[32];
    value_id id;

    (void)snprintf(name, sizeof name, "%s%d", prefix, making->serial++);
    assert_int_equal(graph_value(making->graph, name, &id, NULL), ERR_NONE);
    return id;
}

/* Normal around middle. */
static value_id constant(struct making *making, struct shape shape, float middle, float spread)
{
    char name[32];
    value_id id;
    struct tensor tensor = {.type = DTYPE_F32, .shape = shape};
    int64_t count = shape_elements(&shape);
    float *data = ARENA_ARRAY(graph_arena(making->graph), float, count);

    assert_non_null(data);
    for (int64_t i = 0; i < count; i++) {
        data[i] = middle + spread * (float)random_uniform(&making->random) - spread / 2;
    }
    tensor.data = data;
    (void)snprintf(name, sizeof name, "c%d", making->serial++);
    assert_int_equal(graph_add_constant(making->graph, name, &tensor, &id, NULL), ERR_NONE);
    return id;
}

static void node(struct making *making, const char *op, const struct attr *list, int n_attrs, const value_id *in,
                 int n_in)
{
    struct attrs attrs = {list, n_attrs};
    struct err_note note = {0};
    value_id out = named(making, op);

    if (graph_add_node(making->graph, "", op, op, &attrs, in, n_in, &out, 1, &note) != ERR_NONE) {
        fail_msg("%s", note.text);
    }
    making->values[making->count++] = out;
}

static void conv(struct making *making, value_id x)
{
    static const int64_t pads[] = {1, 1, 1, 1};
    bool wide = random_below(&making->random, 2) == 0;
    bool depthwise = random_below(&making->random, 3) == 0;
    int64_t kernel = wide ? 3 : 1;
    const struct attr list[] = {{.name = "group", .kind = ATTR_INT, .i = depthwise ? C : 1},
                                {.name = "pads", .kind = ATTR_INTS, .ints = pads, .count = 4}};
    struct shape weight = {4, {C, depthwise ? 1 : C, kernel, kernel}};
    value_id in[3] = {x, constant(making, weight, 0, 0.7F), -1};
    int n_in = 2;

    if (random_below(&making->random, 2) == 0) {
        in[n_in++] = constant(making, (struct shape){1, {C}}, 0, 1);
    }
    node(making, "Conv", list, wide ? 2 : 1, in, n_in);
}

static void any_node(struct making *making)
{
    struct shape row = {1, {C}};
    struct shape column = {3, {C, 1, 1}};
    /* Mostly the latest value, so that chains form that can be fused. */
    value_id latest = making->values[making->count - 1];
    value_id other = making->values[random_below(&making->random, (uint64_t)making->count)];
    value_id x = random_below(&making->random, 4) == 0 ? other : latest;

    switch (random_below(&making->random, 12)) {
    case 0: node(making, "Relu", NULL, 0, &x, 1); break;
    case 1: node(making, "LeakyRelu", NULL, 0, &x, 1); break;
    case 2: node(making, "PRelu", NULL, 0, (value_id[]){x, constant(making, column, 0, 1)}, 2); break;
    case 3:
        node(making, "Clip", NULL, 0,
             (value_id[]){x, constant(making, (struct shape){0, {0}}, -1, 0.5F),
                          constant(making, (struct shape){0, {0}}, 1, 0.5F)},
             3);
        break;
    case 4:
    case 5: node(making, "Add", NULL, 0, (value_id[]){latest, other}, 2); break;
    case 6: node(making, "Add", NULL, 0, (value_id[]){x, constant(making, column, 0, 1)}, 2); break;
    case 7: node(making, "Identity", NULL, 0, &x, 1); break;
    case 8:
        node(making, "BatchNormalization", NULL, 0,
             (value_id[]){x, constant(making, row, 1, 1), constant(making, row, 0, 1), constant(making, row, 0, 1),
                          constant(making, row, 1, 1)},
             5);
        break;
    case 9:
        if (random_below(&making->random, 3) == 0) {
            node(making, "GlobalAveragePool", NULL, 0, &x, 1);
            break;
        }
        conv(making, x);
        break;
    default: conv(making, x); break;
    }
}

static struct graph *network(uint64_t seed, bool prepared)
{
    struct making making = {.random = random_seeded(seed, 1)};
    struct shape free_image = {4, {-1, C, -1, -1}};
    struct shape unknown = {.rank = -1};
    struct err_note note = {0};

    assert_int_equal(graph_new(op_list(), (size_t)4 << 20, &making.graph), ERR_NONE);
    assert_int_equal(graph_set_opset(making.graph, "", 11, NULL), ERR_NONE);
    assert_int_equal(graph_add_input(making.graph, "x", DTYPE_F32, &free_image, &making.values[0], NULL), ERR_NONE);
    making.count = 1;
    while (making.count <= NODES) {
        any_node(&making);
    }
    /* The last value and a random one, which may be in the middle of what would be fused. */
    value_id middle = making.values[1 + random_below(&making.random, NODES - 1)];
    assert_int_equal(graph_add_output(making.graph, making.values[NODES], DTYPE_F32, &unknown, NULL), ERR_NONE);
    assert_int_equal(graph_add_output(making.graph, middle, DTYPE_F32, &unknown, NULL), ERR_NONE);
    if (graph_finish(making.graph, &note) != ERR_NONE || (prepared && graph_prepare(making.graph, &note) != ERR_NONE)) {
        fail_msg("seed %llu: %s", (unsigned long long)seed, note.text);
    }
    graph_seal(making.graph);
    return making.graph;
}

/* Relative to the largest of the output: rounding grows with it through the layers. */
static void compare(const struct tensor *a, const struct tensor *b, uint64_t seed)
{
    double largest = 1;
    double worst = 0;

    assert_true(shape_equal(&a->shape, &b->shape));
    for (int64_t i = 0; i < shape_elements(&a->shape); i++) {
        double x = (double)((const float *)a->data)[i];
        double y = (double)((const float *)b->data)[i];
        largest = fmax(largest, fabs(x));
        worst = fabs(x - y) <= worst ? worst : fabs(x - y);
    }
    if (!(worst <= 1e-4 * largest)) {
        fail_msg("seed %llu: off by %g of %g", (unsigned long long)seed, worst, largest);
    }
}

static void prepared_networks_agree_with_themselves(void **state)
{
    size_t blocks = mem_live_blocks();
    int nodes[2] = {0};
    int fused = 0;

    for (uint64_t seed = 0; seed < 200; seed++) {
        struct random random = random_seeded(seed, 2);
        struct graph *graph[2] = {network(seed, false), network(seed, true)};
        struct session *session[2];
        for (int k = 0; k < 2; k++) {
            assert_int_equal(session_new(graph[k], NULL, &session[k]), ERR_NONE);
            nodes[k] += graph_node_count(graph[k]);
        }
        for (int i = 0; i < graph_node_count(graph[1]); i++) {
            const struct epilogue *epilogue = &graph_node(graph[1], i)->epilogue;
            fused += epilogue->act != EPILOGUE_NONE || epilogue->residual_input >= 0;
        }
        for (int round = 0; round < 3; round++) {
            float x[2 * C * 6 * 6];
            struct tensor in = {DTYPE_F32, {4, {1, C, 1, 1}}, x};
            struct tensor out[2][2];
            if (round > 0) { /* first 1×1, where every residual has the right shape */
                in.shape.dim[0] = 1 + (int64_t)random_below(&random, 2);
                in.shape.dim[2] = 1 + (int64_t)random_below(&random, 6);
                in.shape.dim[3] = 1 + (int64_t)random_below(&random, 6);
            }
            for (int64_t i = 0; i < shape_elements(&in.shape); i++) {
                x[i] = (float)random_normal(&random);
            }
            for (int k = 0; k < 2; k++) {
                struct err_note note = {0};
                if (session_run(session[k], &in, 1, out[k], 2, &note) != ERR_NONE) {
                    fail_msg("seed %llu: %s", (unsigned long long)seed, note.text);
                }
            }
            compare(&out[0][0], &out[1][0], seed);
            compare(&out[0][1], &out[1][1], seed);
        }
        for (int k = 0; k < 2; k++) {
            session_free(session[k]);
            graph_free(graph[k]);
        }
    }
    printf("# %d nodes as written, %d prepared, %d of them fused\n", nodes[0], nodes[1], fused);
    assert_true(nodes[1] < nodes[0] * 9 / 10 && fused > 200); /* the networks are such that passes apply */
    assert_int_equal(mem_live_blocks(), blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(prepared_networks_agree_with_themselves)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
