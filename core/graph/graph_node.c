/* graph_node.c: a node is described, checked and added. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "core/graph/graph_private.h"

/* ---- For notes ---------------------------------------------------------------------------------------------------- */

/* Copies at most room-1 bytes, never half a UTF-8 character. */
static void cut_text(const char *text, char *ret, size_t room)
{
    size_t len = strlen(text);

    if (len >= room) {
        len = room - 1;
        while (len > 0 && ((unsigned char)text[len] & 0xC0U) == 0x80U) {
            len--;
        }
    }
    memcpy(ret, text, len);
    ret[len] = '\0';
}

const char *node_text(const struct node *node, char text[NODE_TEXT_BYTES])
{
    char name[64];
    char op[48];

    cut_text(node->is.name, name, sizeof name);
    cut_text(node->is.op->name, op, sizeof op);
    if (name[0] == '\0') {
        (void)snprintf(text, NODE_TEXT_BYTES, "node %d (%s)", node->number, op);
    } else {
        (void)snprintf(text, NODE_TEXT_BYTES, "node %d '%s' (%s)", node->number, name, op);
    }
    return text;
}

/* ---- Describing ---------------------------------------------------------------------------------------------------- */

static void *copy_bytes(struct graph *graph, const void *bytes, size_t count, size_t size)
{
    void *copy = graph_carve(graph, count, size);

    if (copy != NULL && count > 0) {
        memcpy(copy, bytes, count * size);
    }
    return copy;
}

/* Replaces what an attribute borrows by copies. */
static bool own_attr(struct graph *graph, struct attr *attr)
{
    attr->name = graph_copy_text(graph, attr->name);
    bool copied = attr->name != NULL;
    switch (attr->kind) {
    case ATTR_TEXT: copied = copied && (attr->text = graph_copy_text(graph, attr->text)) != NULL; break;
    case ATTR_INTS:
        copied = copied && (attr->ints = copy_bytes(graph, attr->ints, attr->count, sizeof *attr->ints)) != NULL;
        break;
    case ATTR_FLOATS:
        copied = copied && (attr->floats = copy_bytes(graph, attr->floats, attr->count, sizeof *attr->floats)) != NULL;
        break;
    case ATTR_TENSOR: {
        size_t bytes = tensor_bytes(&attr->tensor);
        void *data = arena_alloc(graph->mem, bytes, 1);
        if (data != NULL && bytes > 0) {
            memcpy(data, attr->tensor.data, bytes);
        }
        attr->tensor.data = data;
        copied = copied && data != NULL;
        break;
    }
    case ATTR_INT:
    case ATTR_FLOAT:
    case ATTR_OTHER: break;
    }
    return copied;
}

static enum err copy_attrs(struct graph *graph, const struct attrs *attrs, struct attrs *ret, struct err_note *note)
{
    struct attr *list = graph_carve(graph, (size_t)attrs->count, sizeof *list);

    if (list == NULL) {
        return graph_full(graph, note);
    }
    for (int i = 0; i < attrs->count; i++) {
        list[i] = attrs->list[i];
        if (!own_attr(graph, &list[i])) {
            return graph_full(graph, note);
        }
    }
    *ret = (struct attrs){.list = list, .count = attrs->count};
    return ERR_NONE;
}

/* Trailing absent ones do not count. */
static int trim_absent(const value_id *list, int count)
{
    while (count > 0 && list[count - 1] < 0) {
        count--;
    }
    return count;
}

static enum err check_counts(const struct op_def *op, const value_id *in, int n_in, int n_out, struct err_note *note)
{
    if (n_in < op->min_in || n_in > op->max_in) {
        return ERR_SAY(note, n_in < op->min_in ? ERR_FORMAT : ERR_UNSUPPORTED,
                       "%d inputs, where %d to %d are supported", n_in, op->min_in, op->max_in);
    }
    for (int i = 0; i < op->min_in; i++) {
        if (in[i] < 0) {
            return ERR_SAY(note, ERR_FORMAT, "input %d is absent, but needed", i);
        }
    }
    if (n_out < op->min_out || n_out > op->max_out) {
        return ERR_SAY(note, n_out < op->min_out ? ERR_FORMAT : ERR_UNSUPPORTED,
                       "%d outputs, where %d to %d are supported", n_out, op->min_out, op->max_out);
    }
    return ERR_NONE;
}

static enum err find_op(const struct graph *graph, const char *domain, const char *op, const struct op_def **ret,
                        int *ret_opset, struct err_note *note)
{
    const struct opset *opset = graph_opset(graph, graph_short_domain(domain));

    if (opset == NULL) {
        return ERR_SAY(note, ERR_FORMAT, "its domain '%.60s' is not imported", domain);
    }
    const struct op_def *found =
        strcmp(opset->domain, GRAPH_OWN_DOMAIN) == 0 ? NULL : graph->ops->find(opset->domain, op, opset->version);
    if (found == NULL) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "this operator of opset %d%s%.60s is not supported", opset->version,
                       opset->domain[0] == '\0' ? "" : " of ", opset->domain);
    }
    *ret = found;
    *ret_opset = opset->version;
    return ERR_NONE;
}

/* Fills a node whose operator, opset and counts are there already. */
static enum err fill_node(struct graph *graph, const struct attrs *attrs, const value_id *in, const value_id *out,
                          struct node *node, struct err_note *note)
{
    struct graph_node *is = &node->is;
    enum err err = check_counts(is->op, in, is->n_in, is->n_out, note);

    if (err == ERR_NONE) {
        err = copy_attrs(graph, attrs, &is->attrs, note);
    }
    if (err != ERR_NONE) {
        return err;
    }
    node->out = copy_bytes(graph, out, (size_t)is->n_out, sizeof *out);
    if (node->out == NULL) {
        return graph_full(graph, note);
    }
    is->out = node->out;
    is->epilogue = (struct epilogue){.slope_input = -1, .residual_input = -1};
    err = node_set_inputs(graph, node, in, is->n_in, note);
    if (err == ERR_NONE && is->op->parse != NULL) {
        void *parsed = NULL;
        err = is->op->parse(&is->attrs, is->opset, is->n_in, is->n_out, graph->mem, &parsed, note);
        is->parsed = parsed;
    }
    return err;
}

static enum err describe_node(struct graph *graph, const char *domain, const char *op, const struct attrs *attrs,
                              const value_id *in, const value_id *out, struct node *node, struct err_note *note)
{
    enum err err = find_op(graph, domain, op, &node->is.op, &node->is.opset, note);

    return err != ERR_NONE ? err : fill_node(graph, attrs, in, out, node, note);
}

enum err graph_make_node(struct graph *graph, const struct op_def *op, const struct node *after,
                         const struct attrs *attrs, const value_id *in, int n_in, value_id out, struct node **ret,
                         struct err_note *note)
{
    char text[NODE_TEXT_BYTES];
    struct node *node = graph_carve(graph, 1, sizeof *node);

    if (node == NULL) {
        return graph_full(graph, note);
    }
    node->number = after->number;
    node->is.op = op;
    node->is.opset = op->opset_min;
    node->is.name = after->is.name;
    node->is.n_in = trim_absent(in, n_in);
    node->is.n_out = 1;
    enum err err = fill_node(graph, attrs, in, &out, node, note);
    if (err != ERR_NONE) {
        err_prefix(note, "%s: ", node_text(node, text));
        return err;
    }
    *ret = node;
    return ERR_NONE;
}

/* ---- Adding -------------------------------------------------------------------------------------------------------- */

static enum err check_outputs(const struct graph *graph, const value_id *out, int n_out, struct err_note *note)
{
    for (int i = 0; i < n_out; i++) {
        bool twice = out[i] >= 0 && value_is_defined(&graph->values[out[i]]);
        for (int j = 0; j < i; j++) {
            twice = twice || (out[i] >= 0 && out[i] == out[j]);
        }
        if (twice) {
            return ERR_SAY(note, ERR_FORMAT, "its output '%.60s' is defined twice", graph->values[out[i]].name);
        }
    }
    return ERR_NONE;
}

enum err graph_add_node(struct graph *graph, const char *domain, const char *op, const char *name,
                        const struct attrs *attrs, const value_id *in, int n_in, const value_id *out, int n_out,
                        struct err_note *note)
{
    static const struct op_def unknown = {.name = "?"};
    char text[NODE_TEXT_BYTES];

    assert(graph->state == GRAPH_BUILDING);
    if (graph->n_nodes == GRAPH_MAX_NODES) {
        return ERR_SAY(note, ERR_LIMIT, "the graph has more than %d nodes", GRAPH_MAX_NODES);
    }
    struct node *node = graph_carve(graph, 1, sizeof *node);
    const char *copy = graph_copy_text(graph, name);
    if (node == NULL || copy == NULL) {
        return graph_full(graph, note);
    }
    /* Until the operator is known, notes name it by the file's own word. */
    struct op_def as_written = unknown;
    as_written.name = op;
    node->number = graph->n_nodes;
    node->is.op = &as_written;
    node->is.name = copy;
    node->is.n_in = trim_absent(in, n_in);
    node->is.n_out = trim_absent(out, n_out);

    enum err err = ERR_NONE;
    if (node->is.n_in > OP_MAX_INPUTS || node->is.n_out > OP_MAX_OUTPUTS) {
        err = ERR_SAY(note, ERR_LIMIT, "%d inputs and %d outputs, where %d and %d are the most", node->is.n_in,
                      node->is.n_out, OP_MAX_INPUTS, OP_MAX_OUTPUTS);
    }
    if (err == ERR_NONE) {
        err = check_outputs(graph, out, node->is.n_out, note);
    }
    if (err == ERR_NONE) {
        err = describe_node(graph, domain, op, attrs, in, out, node, note);
    }
    if (err == ERR_NONE) {
        err = graph_grow(graph, &graph->nodes, graph->n_nodes, &graph->room_nodes, sizeof(struct node *), note);
    }
    if (err != ERR_NONE) {
        err_prefix(note, "%s: ", node_text(node, text));
        return err;
    }
    for (int i = 0; i < node->is.n_out; i++) {
        if (out[i] >= 0) {
            graph->values[out[i]].producer = graph->n_nodes;
        }
    }
    graph->nodes[graph->n_nodes++] = node;
    return ERR_NONE;
}

enum err node_set_inputs(struct graph *graph, struct node *node, const value_id *in, int n_in, struct err_note *note)
{
    value_id *copy = copy_bytes(graph, in, (size_t)n_in, sizeof *in);

    if (copy == NULL) {
        return graph_full(graph, note);
    }
    node->in = copy;
    node->is.in = copy;
    node->is.n_in = n_in;
    return ERR_NONE;
}
