/*
 * tiny_graph.h: building graphs of tiny operators in a line or two, and running them.
 */
#ifndef TESTS_CORE_GRAPH_TINY_GRAPH_H
#define TESTS_CORE_GRAPH_TINY_GRAPH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/base/random.h"
#include "core/graph/session.h"
#include "tiny_ops.h"

#define TINY_CAP ((size_t)8 << 20)

#define SHAPE(...) \
    ((struct shape){.rank = (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), .dim = {__VA_ARGS__}})

static inline struct graph *tiny_graph(void)
{
    struct graph *graph;

    assert_int_equal(graph_new(&tiny_lookup, TINY_CAP, &graph), ERR_NONE);
    assert_int_equal(graph_set_opset(graph, "", 11, NULL), ERR_NONE);
    return graph;
}

static inline value_id tiny_value(struct graph *graph, const char *name)
{
    value_id id = -1;

    if (name != NULL) {
        assert_int_equal(graph_value(graph, name, &id, NULL), ERR_NONE);
    }
    return id;
}

static inline void tiny_input(struct graph *graph, const char *name, enum dtype type, struct shape shape)
{
    value_id id;

    assert_int_equal(graph_add_input(graph, name, type, &shape, &id, NULL), ERR_NONE);
}

static inline void tiny_output(struct graph *graph, const char *name)
{
    assert_int_equal(graph_add_output(graph, tiny_value(graph, name), DTYPE_F32, &(struct shape){.rank = -1}, NULL),
                     ERR_NONE);
}

/* A constant in the graph's own memory. */
static inline struct tensor tiny_constant(struct graph *graph, const char *name, enum dtype type, struct shape shape,
                                          const void *data)
{
    struct tensor tensor = {.type = type, .shape = shape};
    value_id id;

    tensor.data = arena_alloc(graph_arena(graph), tensor_bytes(&tensor), 1);
    assert_non_null(tensor.data);
    if (tensor_bytes(&tensor) > 0) {
        memcpy(tensor.data, data, tensor_bytes(&tensor));
    }
    assert_int_equal(graph_add_constant(graph, name, &tensor, &id, NULL), ERR_NONE);
    return tensor;
}

/* Floats around zero; positive: from 0.5 to 1.5. */
static inline void tiny_random(struct graph *graph, const char *name, struct shape shape, struct random *random,
                               bool positive)
{
    float data[256];

    assert_true(shape_elements(&shape) <= 256);
    for (int64_t i = 0; i < shape_elements(&shape); i++) {
        data[i] = (float)(random_uniform(random) + (positive ? 0.5 : -0.5));
    }
    (void)tiny_constant(graph, name, DTYPE_F32, shape, data);
}

/* A node with up to five inputs and two outputs; NULL ends, "" is an absent one. */
struct tiny_node {
    const char *op;
    const char *in[6];
    const char *out[3];
};

static inline enum err tiny_add(struct graph *graph, const struct tiny_node *node, struct err_note *note)
{
    value_id in[6];
    value_id out[3];
    int n_in = 0;
    int n_out = 0;

    for (; n_in < 6 && node->in[n_in] != NULL; n_in++) {
        in[n_in] = node->in[n_in][0] == '\0' ? -1 : tiny_value(graph, node->in[n_in]);
    }
    for (; n_out < 3 && node->out[n_out] != NULL; n_out++) {
        out[n_out] = node->out[n_out][0] == '\0' ? -1 : tiny_value(graph, node->out[n_out]);
    }
    return graph_add_node(graph, "", node->op, node->out[0] == NULL ? "" : node->out[0], &(struct attrs){0}, in, n_in,
                          out, n_out, note);
}

#define TINY_NODE(graph, ...) \
    assert_int_equal(tiny_add((graph), &(struct tiny_node){__VA_ARGS__}, &(struct err_note){0}), ERR_NONE)

static inline void tiny_finish(struct graph *graph, bool prepared)
{
    struct err_note note = {0};

    if (graph_finish(graph, &note) != ERR_NONE || (prepared && graph_prepare(graph, &note) != ERR_NONE)) {
        fail_msg("%s", note.text);
    }
    graph_seal(graph);
}

static inline struct session *tiny_session(const struct graph *graph)
{
    struct session *session;

    assert_int_equal(session_new(graph, NULL, &session), ERR_NONE);
    return session;
}

#endif
