/*
 * tiny_graph.h: networks of a few nodes for the tests of this folder, made of the real operators.
 */
#ifndef TESTS_CORE_FACE_TINY_GRAPH_H
#define TESTS_CORE_FACE_TINY_GRAPH_H

#include <stdio.h>
#include <string.h>

#include "core/graph/graph.h"
#include "core/op/op_list.h"

static inline struct graph *tiny_new(void)
{
    struct graph *graph;

    assert_int_equal(graph_new(op_list(), (size_t)8 << 20, &graph), ERR_NONE);
    assert_int_equal(graph_set_opset(graph, "", 11, NULL), ERR_NONE);
    return graph;
}

static inline value_id tiny_input(struct graph *graph, int64_t n, int64_t c, int64_t h, int64_t w)
{
    const struct shape shape = {.rank = 4, .dim = {n, c, h, w}};
    value_id value;

    assert_int_equal(graph_add_input(graph, "x", DTYPE_F32, &shape, &value, NULL), ERR_NONE);
    return value;
}

/* A name of its own for each value. */
static inline const char *tiny_name(struct graph *graph, const char *what)
{
    const char *name = arena_format(graph_arena(graph), "%s_%d", what, graph_value_count(graph));

    assert_non_null(name);
    return name;
}

static inline value_id tiny_floats(struct graph *graph, struct shape shape, const float *values)
{
    const size_t count = (size_t)shape_elements(&shape);
    struct tensor tensor = {.type = DTYPE_F32, .shape = shape, .data = ARENA_ARRAY(graph_arena(graph), float, count)};
    value_id value;

    assert_non_null(tensor.data);
    memcpy(tensor.data, values, count * sizeof *values);
    assert_int_equal(graph_add_constant(graph, tiny_name(graph, "c"), &tensor, &value, NULL), ERR_NONE);
    return value;
}

static inline value_id tiny_ints(struct graph *graph, int64_t count, const int64_t *values)
{
    struct tensor tensor = {.type = DTYPE_I64,
                            .shape = {.rank = 1, .dim = {count}},
                            .data = ARENA_ARRAY(graph_arena(graph), int64_t, count)};
    value_id value;

    assert_non_null(tensor.data);
    memcpy(tensor.data, values, (size_t)count * sizeof *values);
    assert_int_equal(graph_add_constant(graph, tiny_name(graph, "i"), &tensor, &value, NULL), ERR_NONE);
    return value;
}

/* Adds a node with up to three inputs (-1: none) and one output, which it returns. */
static inline value_id tiny_node(struct graph *graph, const char *op, const struct attr *attr, int n_attrs, value_id a,
                                 value_id b, value_id c)
{
    const struct attrs attrs = {.list = attr, .count = n_attrs};
    const value_id in[3] = {a, b, c};
    const int n_in = b < 0 ? 1 : (c < 0 ? 2 : 3);
    struct err_note note = {0};
    value_id out;

    assert_int_equal(graph_value(graph, tiny_name(graph, op), &out, NULL), ERR_NONE);
    const char *name = graph_value_name(graph, out);
    if (graph_add_node(graph, "", op, name, &attrs, in, n_in, &out, 1, &note) != ERR_NONE) {
        fail_msg("%s", note.text);
    }
    return out;
}

/* A convolution with 1 × 1 kernels that looks at every stride-th pixel; weights are [out, in]. */
static inline value_id tiny_conv(struct graph *graph, value_id x, int64_t stride, int64_t n_out, int64_t n_in,
                                 const float *weights, const float *bias)
{
    const int64_t strides[2] = {stride, stride};
    const struct attr attr = {.name = "strides", .kind = ATTR_INTS, .ints = strides, .count = 2};
    const value_id w = tiny_floats(graph, (struct shape){.rank = 4, .dim = {n_out, n_in, 1, 1}}, weights);
    const value_id b = tiny_floats(graph, (struct shape){.rank = 1, .dim = {n_out}}, bias);

    return tiny_node(graph, "Conv", &attr, 1, x, w, b);
}

static inline void tiny_output(struct graph *graph, value_id value)
{
    const struct shape undeclared = {.rank = -1};

    assert_int_equal(graph_add_output(graph, value, DTYPE_F32, &undeclared, NULL), ERR_NONE);
}

static inline struct graph *tiny_seal(struct graph *graph)
{
    struct err_note note = {0};

    if (graph_finish(graph, &note) != ERR_NONE || graph_prepare(graph, &note) != ERR_NONE) {
        fail_msg("%s", note.text);
    }
    graph_seal(graph);
    return graph;
}

#endif
