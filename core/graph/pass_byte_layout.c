/*
 * pass_byte_layout.c: chains of quantised layers run on images with their channels last, and on packed weights.
 *
 *     QLinearConv(x, ...)     →     ByteConv(x', ...), x' being x with its channels last
 *
 *     DynamicQuantizeLinear(x), ConvInteger, Cast, Mul, Add, PRelu     →     ByteConvDynamic(x'), and MatMulInteger likewise
 *
 * Products of bytes take four channels at once, so channels have to be neighbours; done for one layer alone, turning the
 * images around would cost as much as it gains.  Here every value gets at most one twin with its channels last: what reads
 * it in a chain reads the twin, what does not gets a Transpose.  The layers compute the same bytes either way.
 */
#include <string.h>

#include "core/base/mem.h"
#include "core/graph/byte_layout_private.h"

void layout_put(struct layout *layout, struct node *node)
{
    if (layout->n < layout->list_room) { /* it always is: three nodes for each one, and one for each output */
        layout->list[layout->n++] = node;
    }
}

enum err layout_new_twin(struct layout *layout, value_id value, value_id *ret, struct err_note *note)
{
    enum err err = graph_new_value(layout->graph, layout->graph->values[value].name, ret, note);

    if (err == ERR_NONE) {
        layout->twin[value] = *ret;
    }
    return err;
}

static enum err put_transpose(struct layout *layout, const struct node *near, value_id from, value_id to,
                              const int64_t perm[4], struct err_note *note)
{
    const struct attr list[] = {{.name = "perm", .kind = ATTR_INTS, .ints = perm, .count = 4}};
    const struct attrs attrs = {list, 1};
    struct node *node = NULL;

    enum err err = graph_make_node(layout->graph, layout->transpose, near, &attrs, &from, 1, to, &node, note);
    if (err == ERR_NONE) {
        layout_put(layout, node);
    }
    return err;
}

/* The value with its channels last, turned around here if nobody has it yet. */
enum err layout_twin_of(struct layout *layout, const struct node *near, value_id value, value_id *ret,
                        struct err_note *note)
{
    static const int64_t perm[4] = {0, 2, 3, 1};

    if (layout->twin[value] >= 0) {
        *ret = layout->twin[value];
        return ERR_NONE;
    }
    enum err err = layout_new_twin(layout, value, ret, note);
    return err != ERR_NONE ? err : put_transpose(layout, near, value, *ret, perm, note);
}

/* The value as the file has it, for a reader that is in no chain. */
enum err layout_give_back(struct layout *layout, const struct node *near, value_id value, struct err_note *note)
{
    static const int64_t perm[4] = {0, 3, 1, 2};

    if (value < 0 || value >= layout->room || !layout->lost[value]) {
        return ERR_NONE;
    }
    layout->lost[value] = false;
    return put_transpose(layout, near, layout->twin[value], value, perm, note);
}

/* ---- What works on each byte alone ---------------------------------------------------------------------------------------- */

/*
 * A ByteMap, a QLinearAdd or QLinearMul of two values of the chain (or one and a single number), and an Add of two stay what
 * they are.
 */
static bool is_bytewise(const struct layout *layout, const struct node *node, value_id in[OP_MAX_INPUTS])
{
    bool sum = byte_node_is(node, "com.microsoft", "QLinearAdd") || byte_node_is(node, "com.microsoft", "QLinearMul");
    bool map = byte_node_is(node, GRAPH_OWN_DOMAIN, "ByteMap");
    bool add = byte_node_is(node, "", "Add") && node->is.opset >= 7;

    if ((!sum && !map && !add) || node->in[0] < 0 || layout->twin[node->in[0]] < 0) {
        return false;
    }
    if (add) {
        in[0] = layout->twin[node->in[0]];
        in[1] = node->in[1] < 0 ? -1 : layout->twin[node->in[1]];
        return in[1] >= 0;
    }
    memcpy(in, node->in, (size_t)node->is.n_in * sizeof *in);
    in[0] = layout->twin[node->in[0]];
    if (sum) {
        const struct tensor *constant = node_constant(layout->graph, node, 3);
        if (node->in[3] < 0 || (constant == NULL && layout->twin[node->in[3]] < 0) ||
            (constant != NULL && shape_elements(&constant->shape) != 1)) {
            return false;
        }
        in[3] = constant != NULL ? node->in[3] : layout->twin[node->in[3]];
    }
    return true;
}

static enum err take_bytewise(struct layout *layout, const struct node *node, bool *ret_done, struct err_note *note)
{
    struct attr list[LAYOUT_MAX_ATTRS];
    struct attrs attrs = {list, 0};
    value_id in[OP_MAX_INPUTS];
    struct node *made = NULL;
    value_id out = -1;

    if (!is_bytewise(layout, node, in) || node->is.attrs.count >= LAYOUT_MAX_ATTRS) {
        return ERR_NONE;
    }
    for (; attrs.count < node->is.attrs.count; attrs.count++) {
        list[attrs.count] = node->is.attrs.list[attrs.count];
    }
    list[attrs.count++] = (struct attr){.name = "channels_last", .kind = ATTR_INT, .i = 1};
    enum err err = layout_new_twin(layout, node->out[0], &out, note);
    err = err != ERR_NONE
              ? err
              : graph_make_node(layout->graph, node->is.op, node, &attrs, in, node->is.n_in, out, &made, note);
    if (err == ERR_NONE) {
        layout_put(layout, made);
        layout->lost[node->out[0]] = true;
        *ret_done = true;
    }
    return err;
}

/* ---- The pass ---------------------------------------------------------------------------------------------------------------- */

static enum err walk(struct layout *layout, struct err_note *note)
{
    struct graph *graph = layout->graph;
    enum err err = ERR_NONE;

    for (int i = 0; err == ERR_NONE && i < graph->n_nodes; i++) {
        struct node *node = graph->nodes[i];
        bool done = false;
        if (layout->taken[i]) {
            continue;
        }
        err = layout_take_conv(layout, node, &done, note);
        if (err == ERR_NONE && !done) {
            err = layout_take_matmul(layout, node, &done, note);
        }
        if (err == ERR_NONE && !done) {
            err = layout_take_dynamic(layout, node, &done, note);
        }
        if (err == ERR_NONE && !done) {
            err = take_bytewise(layout, node, &done, note);
        }
        for (int k = 0; err == ERR_NONE && !done && k < node->is.n_in; k++) {
            err = layout_give_back(layout, node, node->in[k], note);
        }
        if (err == ERR_NONE && !done) {
            layout_put(layout, node);
        }
    }
    for (int i = 0; err == ERR_NONE && i < graph->n_outputs; i++) {
        err = layout_give_back(layout, graph->nodes[graph->n_nodes - 1], graph->outputs[i].value, note);
    }
    return err;
}

static bool has_quantised(const struct graph *graph)
{
    for (int i = 0; i < graph->n_nodes; i++) {
        if (byte_node_is(graph->nodes[i], "", "ConvInteger") || layout_is_static(graph, graph->nodes[i])) {
            return true;
        }
    }
    return false;
}

static enum err run(struct layout *layout, struct err_note *note)
{
    struct graph *graph = layout->graph;

    layout->twin = MEM_ARRAY(value_id, (size_t)layout->room);
    layout->lost = MEM_ARRAY(bool, (size_t)layout->room);
    layout->taken = MEM_ARRAY(bool, (size_t)graph->n_nodes);
    layout->readers = byte_readers(graph);
    layout->list = ARENA_ARRAY(graph->mem, struct node *, layout->list_room);
    if (layout->twin == NULL || layout->lost == NULL || layout->taken == NULL || layout->readers == NULL ||
        layout->list == NULL) {
        return layout->list == NULL ? graph_full(graph, note) : ERR_NOMEM;
    }
    for (int i = 0; i < layout->room; i++) {
        layout->twin[i] = -1;
    }
    enum err err = walk(layout, note);
    if (err == ERR_NONE) {
        graph->nodes = layout->list;
        graph->n_nodes = layout->n;
        graph->room_nodes = layout->list_room;
    }
    return err;
}

enum err pass_byte_layout(struct graph *graph, struct err_note *note)
{
    struct layout layout = {.graph = graph,
                            .conv = graph_own_op(graph, "ByteConv"),
                            .map = graph_own_op(graph, "ByteMap"),
                            .dynamic = graph_own_op(graph, "ByteConvDynamic"),
                            .transpose = graph->ops->find("", "Transpose", 13),
                            .room = graph->n_values,
                            .list_room = 4 * graph->n_nodes + graph->n_outputs};

    if (layout.conv == NULL || layout.map == NULL || layout.transpose == NULL || !has_quantised(graph)) {
        return ERR_NONE;
    }
    enum err err = run(&layout, note);
    mem_free(layout.twin);
    mem_free(layout.lost);
    mem_free(layout.taken);
    mem_free((void *)layout.readers);
    graph_sweep(graph);
    return err;
}
