/* order.c: the order in which a graph's nodes run, and which of them are needed. */
#include <assert.h>

#include "core/base/mem.h"
#include "core/graph/graph_private.h"

/* ---- Sweeping ---------------------------------------------------------------------------------------------------- */

/* Counts producers and uses from the nodes and outputs as they are. */
static void count_uses(struct graph *graph)
{
    for (value_id id = 0; id < graph->n_values; id++) {
        graph->values[id].producer = -1;
        graph->values[id].uses = 0;
    }
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct graph_node *is = &graph->nodes[i]->is;
        for (int k = 0; k < is->n_in; k++) {
            if (is->in[k] >= 0) {
                graph->values[is->in[k]].uses++;
            }
        }
        for (int k = 0; k < is->n_out; k++) {
            if (is->out[k] >= 0) {
                graph->values[is->out[k]].producer = i;
            }
        }
    }
    for (int i = 0; i < graph->n_outputs; i++) {
        graph->values[graph->outputs[i].value].uses++;
    }
}

static bool is_needed(const struct graph *graph, const struct graph_node *node)
{
    for (int k = 0; k < node->n_out; k++) {
        if (node->out[k] >= 0 && graph->values[node->out[k]].uses > 0) {
            return true;
        }
    }
    return false;
}

static void drop_holes(struct graph *graph)
{
    int kept = 0;

    for (int i = 0; i < graph->n_nodes; i++) {
        if (graph->nodes[i] != NULL) {
            graph->nodes[kept++] = graph->nodes[i];
        }
    }
    graph->n_nodes = kept;
}

void graph_sweep(struct graph *graph)
{
    drop_holes(graph);
    count_uses(graph);
    /* From the end, so that what only a dropped node read is seen to be unused as well. */
    for (int i = graph->n_nodes - 1; i >= 0; i--) {
        const struct graph_node *is = &graph->nodes[i]->is;
        if (is_needed(graph, is)) {
            continue;
        }
        for (int k = 0; k < is->n_in; k++) {
            if (is->in[k] >= 0) {
                graph->values[is->in[k]].uses--;
            }
        }
        graph->nodes[i] = NULL;
    }
    drop_holes(graph);
    count_uses(graph);
}

/* ---- Ordering ---------------------------------------------------------------------------------------------------- */

static enum err check_inputs(const struct graph *graph, const struct node *node, struct err_note *note)
{
    char text[NODE_TEXT_BYTES];

    for (int k = 0; k < node->is.n_in; k++) {
        if (node->in[k] < 0) {
            continue;
        }
        const struct value *value = &graph->values[node->in[k]];
        if (!value->is_input && value->constant == NULL && value->producer < 0) {
            return ERR_SAY(note, ERR_FORMAT, "%s: reads '%.60s', which nothing defines", node_text(node, text),
                           value->name);
        }
    }
    return ERR_NONE;
}

static enum err check_outputs(const struct graph *graph, struct err_note *note)
{
    if (graph->n_outputs == 0) {
        return ERR_SAY(note, ERR_FORMAT, "the graph has no outputs");
    }
    for (int i = 0; i < graph->n_outputs; i++) {
        const struct value *value = &graph->values[graph->outputs[i].value];
        if (!value->is_input && value->constant == NULL && value->producer < 0) {
            return ERR_SAY(note, ERR_FORMAT, "the output '%.100s' is produced by no node", value->name);
        }
    }
    return ERR_NONE;
}

/* A depth-first walk without recursion: a chain of thousands of nodes must not be a chain of stack frames. */
struct walk {
    const struct graph *graph;
    struct visit {
        int node;
        int next_in; /* the input to follow next */
    } * stack;
    int depth;
    unsigned char *mark; /* per node: 0 not seen, 1 on the stack, 2 ordered */
    struct node **order;
    int n_ordered;
};

/* Orders node after everything it reads. */
static enum err walk_from(struct walk *walk, int start, struct err_note *note)
{
    char text[NODE_TEXT_BYTES];

    walk->stack[0] = (struct visit){.node = start};
    walk->depth = 1;
    walk->mark[start] = 1;
    while (walk->depth > 0) {
        struct visit *top = &walk->stack[walk->depth - 1];
        struct node *node = walk->graph->nodes[top->node];
        if (top->next_in == node->is.n_in) {
            walk->mark[top->node] = 2;
            walk->order[walk->n_ordered++] = node;
            walk->depth--;
            continue;
        }
        value_id read = node->in[top->next_in++];
        int producer = read < 0 ? -1 : walk->graph->values[read].producer;
        if (producer < 0 || walk->mark[producer] == 2) {
            continue;
        }
        if (walk->mark[producer] == 1) {
            return ERR_SAY(note, ERR_FORMAT, "%s: is part of a cycle, through '%.60s'", node_text(node, text),
                           walk->graph->values[read].name);
        }
        walk->mark[producer] = 1;
        walk->stack[walk->depth++] = (struct visit){.node = producer};
    }
    return ERR_NONE;
}

/* Starting from the nodes in the file's order keeps that order wherever it is already a right one. */
static enum err order_nodes(struct graph *graph, struct err_note *note)
{
    size_t count = (size_t)graph->n_nodes;
    struct walk walk = {
        .graph = graph,
        .stack = MEM_ARRAY(struct visit, count),
        .mark = MEM_ARRAY(unsigned char, count),
        .order = MEM_ARRAY(struct node *, count),
    };
    enum err err = ERR_NONE;

    if (walk.stack == NULL || walk.mark == NULL || walk.order == NULL) {
        err = ERR_SAY(note, ERR_NOMEM, "no memory to order the graph");
    }
    for (int i = 0; err == ERR_NONE && i < graph->n_nodes; i++) {
        if (walk.mark[i] == 0) {
            err = walk_from(&walk, i, note);
        }
    }
    for (int i = 0; err == ERR_NONE && i < graph->n_nodes; i++) {
        graph->nodes[i] = walk.order[i];
    }
    mem_free(walk.stack);
    mem_free(walk.mark);
    mem_free(walk.order);
    return err;
}

enum err graph_finish(struct graph *graph, struct err_note *note)
{
    assert(graph->state == GRAPH_BUILDING);
    for (int i = 0; i < graph->n_nodes; i++) {
        enum err err = check_inputs(graph, graph->nodes[i], note);
        if (err != ERR_NONE) {
            return err;
        }
    }
    enum err err = check_outputs(graph, note);
    if (err == ERR_NONE) {
        err = order_nodes(graph, note);
    }
    if (err == ERR_NONE) {
        graph_sweep(graph);
        graph->state = GRAPH_FINISHED;
    }
    return err;
}
