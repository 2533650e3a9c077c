/*
 * split.c: the nodes above a value are those that the outputs need when one stops there; those below, what the value needs.
 *
 * A node may be on both sides only if it depends on constants alone.
 */
#include "core/graph/split.h"

#include <string.h>

#include "core/base/mem.h"
#include "core/base/size.h"
#include "core/graph/graph_private.h"

enum err graph_find(const struct graph *graph, const char *name, value_id *ret, struct err_note *note)
{
    for (value_id id = 0; id < graph->n_values; id++) {
        const struct value *value = &graph->values[id];
        if (strcmp(value->name, name) == 0 && value_is_defined(value)) {
            *ret = id;
            return ERR_NONE;
        }
    }
    return ERR_SAY(note, ERR_NOT_FOUND, "the graph has no value '%.100s'", name);
}

/* Does the node make a marked value?  stop counts as made elsewhere. */
static bool makes_one_of(const struct graph_node *node, value_id stop, const unsigned char *needed)
{
    for (int k = 0; k < node->n_out; k++) {
        if (node->out[k] >= 0 && node->out[k] != stop && needed[node->out[k]] != 0) {
            return true;
        }
    }
    return false;
}

/* Marks all values that the marked ones need, stopping at stop (-1: nowhere). */
static void mark_needed(const struct graph *graph, value_id stop, unsigned char *needed)
{
    for (int i = graph->n_nodes - 1; i >= 0; i--) {
        const struct graph_node *node = &graph->nodes[i]->is;
        bool wanted = makes_one_of(node, stop, needed);
        for (int k = 0; wanted && k < node->n_in; k++) {
            if (node->in[k] >= 0) {
                needed[node->in[k]] = 1;
            }
        }
    }
}

/* ---- Copying one side ---------------------------------------------------------------------------------------------- */

struct side {
    const struct graph *whole;
    struct graph *part;
    const unsigned char *needed;
    value_id stop;
    value_id *id_of; /* in part, of each value of the whole */
};

static enum err copy_constant(struct side *side, value_id id, struct err_note *note)
{
    const struct value *value = &side->whole->values[id];
    struct tensor copy = *value->constant;
    size_t bytes = tensor_bytes(&copy);

    copy.data = arena_alloc(side->part->mem, bytes, 1);
    if (copy.data == NULL) {
        return graph_full(side->part, note);
    }
    if (bytes > 0) {
        memcpy(copy.data, value->constant->data, bytes);
    }
    return graph_add_constant(side->part, value->name, &copy, &side->id_of[id], note);
}

static enum err copy_values(struct side *side, struct err_note *note)
{
    const struct graph *whole = side->whole;
    enum err err = ERR_NONE;

    for (int i = 0; err == ERR_NONE && i < whole->n_opsets; i++) {
        err = graph_set_opset(side->part, whole->opsets[i].domain, whole->opsets[i].version, note);
    }
    for (int i = 0; err == ERR_NONE && side->stop < 0 && i < whole->n_inputs; i++) {
        const struct graph_io *input = &whole->inputs[i];
        err = graph_add_input(side->part, input->name, input->type, &input->shape, &side->id_of[input->value], note);
    }
    for (value_id id = 0; err == ERR_NONE && id < whole->n_values; id++) {
        const struct value *value = &whole->values[id];
        if (id == side->stop) {
            const struct shape undeclared = {.rank = -1};
            err = graph_add_input(side->part, value->name, DTYPE_F32, &undeclared, &side->id_of[id], note);
        } else if (side->needed[id] == 0 || value->is_input) {
            continue;
        } else if (value->constant != NULL) {
            err = copy_constant(side, id, note);
        } else {
            err = graph_value(side->part, value->name, &side->id_of[id], note);
        }
    }
    return err;
}

static enum err copy_node(const struct side *side, const struct graph_node *node, struct err_note *note)
{
    value_id in[OP_MAX_INPUTS];
    value_id out[OP_MAX_OUTPUTS];

    for (int k = 0; k < node->n_in; k++) {
        in[k] = node->in[k] < 0 ? -1 : side->id_of[node->in[k]];
    }
    for (int k = 0; k < node->n_out; k++) {
        /* An output that this side does not need has no value there. */
        out[k] = node->out[k] < 0 || side->needed[node->out[k]] == 0 ? -1 : side->id_of[node->out[k]];
    }
    return graph_add_node(side->part, node->op->domain, node->op->name, node->name, &node->attrs, in, node->n_in, out,
                          node->n_out, note);
}

static enum err copy_side(struct side *side, struct err_note *note)
{
    enum err err = copy_values(side, note);

    for (int i = 0; err == ERR_NONE && i < side->whole->n_nodes; i++) {
        const struct graph_node *node = &side->whole->nodes[i]->is;
        if (makes_one_of(node, side->stop, side->needed)) {
            err = copy_node(side, node, note);
        }
    }
    return err;
}

static enum err finish_lower(struct side *side, value_id value, struct err_note *note)
{
    const struct shape undeclared = {.rank = -1};
    enum err err = copy_side(side, note);

    err = err != ERR_NONE ? err : graph_add_output(side->part, side->id_of[value], DTYPE_F32, &undeclared, note);
    err = err != ERR_NONE ? err : graph_finish(side->part, note);
    err = err != ERR_NONE ? err : graph_prepare(side->part, note);
    if (err == ERR_NONE) {
        graph_seal(side->part);
    }
    return err;
}

static enum err finish_upper(struct side *side, struct err_note *note)
{
    enum err err = copy_side(side, note);

    for (int i = 0; err == ERR_NONE && i < side->whole->n_outputs; i++) {
        const struct graph_io *output = &side->whole->outputs[i];
        err = graph_add_output(side->part, side->id_of[output->value], output->type, &output->shape, note);
    }
    return err != ERR_NONE ? err : graph_finish(side->part, note);
}

/* ---- Splitting ----------------------------------------------------------------------------------------------------- */

static enum err check_value(const struct graph *graph, value_id value, struct err_note *note)
{
    char text[NODE_TEXT_BYTES];
    const char *name = graph->values[value].name;

    if (graph->values[value].producer < 0 || graph_is_output(graph, value)) {
        return ERR_SAY(note, ERR_UNSUPPORTED,
                       "the graph cannot be cut at '%.100s': it is an input, an output or a constant", name);
    }
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct node *node = graph->nodes[i];
        if (node->n_plain > 0 || node->is.epilogue.act != EPILOGUE_NONE || node->is.epilogue.residual_input >= 0) {
            return ERR_SAY(note, ERR_UNSUPPORTED, "%s is fused: only a graph as written can be cut",
                           node_text(node, text));
        }
    }
    return ERR_NONE;
}

/* Nothing above reads an input of the graph. */
static enum err check_upper(const struct graph *graph, value_id value, const unsigned char *needed,
                            struct err_note *note)
{
    char text[NODE_TEXT_BYTES];

    for (int i = 0; i < graph->n_inputs; i++) {
        value_id input = graph->inputs[i].value;
        if (needed[input] == 0) {
            continue;
        }
        for (int n = 0; n < graph->n_nodes; n++) {
            const struct node *node = graph->nodes[n];
            for (int k = 0; makes_one_of(&node->is, value, needed) && k < node->is.n_in; k++) {
                if (node->in[k] == input) {
                    return ERR_SAY(note, ERR_UNSUPPORTED,
                                   "the graph cannot be cut at '%.60s': %s goes past it, from '%.40s' to an output",
                                   graph->values[value].name, node_text(node, text), graph->inputs[i].name);
                }
            }
        }
        return ERR_SAY(note, ERR_UNSUPPORTED, "the graph cannot be cut at '%.60s': '%.60s' is an output itself",
                       graph->values[value].name, graph->inputs[i].name);
    }
    return ERR_NONE;
}

static size_t cap_of(const struct graph *graph)
{
    size_t bytes = graph_constant_bytes(graph);

    /* Prepared constants may be there twice; the rest is names, nodes and attributes. */
    if (!size_mul(bytes, 3, &bytes) || !size_add(bytes, (size_t)64 << 20, &bytes)) {
        return SIZE_MAX;
    }
    return bytes;
}

enum err graph_split(const struct graph *graph, value_id value, struct graph **ret_lower, struct graph **ret_upper,
                     struct err_note *note)
{
    struct graph *lower = NULL;
    struct graph *upper = NULL;
    enum err err = check_value(graph, value, note);

    if (err != ERR_NONE) {
        return err;
    }
    unsigned char *below = mem_new((size_t)graph->n_values, 1);
    unsigned char *above = mem_new((size_t)graph->n_values, 1);
    value_id *id_of = MEM_ARRAY(value_id, (size_t)graph->n_values);
    if (below == NULL || above == NULL || id_of == NULL) {
        err = ERR_NOMEM;
    }
    if (err == ERR_NONE) {
        below[value] = 1;
        mark_needed(graph, -1, below);
        for (int i = 0; i < graph->n_outputs; i++) {
            above[graph->outputs[i].value] = 1;
        }
        mark_needed(graph, value, above);
        err = check_upper(graph, value, above, note);
    }
    err = err != ERR_NONE ? err : graph_new(graph->ops, cap_of(graph), &lower);
    err = err != ERR_NONE ? err : graph_new(graph->ops, cap_of(graph), &upper);
    if (err == ERR_NONE) {
        struct side side = {.whole = graph, .part = lower, .needed = below, .stop = -1, .id_of = id_of};
        err = finish_lower(&side, value, note);
    }
    if (err == ERR_NONE) {
        struct side side = {.whole = graph, .part = upper, .needed = above, .stop = value, .id_of = id_of};
        err = finish_upper(&side, note);
    }
    mem_free(below);
    mem_free(above);
    mem_free(id_of);
    if (err != ERR_NONE) {
        graph_free(lower);
        graph_free(upper);
        return err;
    }
    *ret_lower = lower;
    *ret_upper = upper;
    return ERR_NONE;
}
