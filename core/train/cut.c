/* cut.c: in running order, a value is a cut when after its node nothing else is still waited for. */
#include "core/train/cut.h"

#include <stdbool.h>

#include "core/base/mem.h"

/* Fills last_use: the last node that reads each value; outputs of the graph are read behind the last node. */
static void find_last_uses(const struct graph *graph, int *last_use)
{
    int nodes = graph_node_count(graph);

    for (int i = 0; i < nodes; i++) {
        const struct graph_node *node = graph_node(graph, i);
        for (int k = 0; k < node->n_in; k++) {
            if (node->in[k] >= 0) {
                last_use[node->in[k]] = i;
            }
        }
    }
    for (int i = 0; i < graph_output_count(graph); i++) {
        last_use[graph_output(graph, i)->value] = nodes;
    }
}

/* True if values depends on an input, so that it is made anew for each image. */
static bool flows(const struct graph *graph, const struct graph_node *node, const bool *varies)
{
    for (int k = 0; k < node->n_in; k++) {
        if (node->in[k] >= 0 && graph_constant(graph, node->in[k]) == NULL && varies[node->in[k]]) {
            return true;
        }
    }
    return false;
}

/* The only value that is waited for after a node, or -1. */
static value_id only_waited(int n_values, const int *last_use, const bool *made, int node)
{
    value_id only = -1;

    for (value_id v = 0; v < n_values; v++) {
        if (made[v] && last_use[v] > node) {
            if (only >= 0) {
                return -1;
            }
            only = v;
        }
    }
    return only;
}

static bool is_convolution(const struct graph_node *node)
{
    return node->op->kind == OP_CONV;
}

static value_id search(const struct graph *graph, double share, int *last_use, bool *made)
{
    int nodes = graph_node_count(graph);
    int values = graph_value_count(graph);
    int convolutions = 0;
    int below = 0;

    find_last_uses(graph, last_use);
    for (int i = 0; i < graph_input_count(graph); i++) {
        made[graph_input(graph, i)->value] = true;
    }
    for (int i = 0; i < nodes; i++) {
        convolutions += is_convolution(graph_node(graph, i));
    }
    for (int i = 0; i < nodes; i++) {
        const struct graph_node *node = graph_node(graph, i);
        bool varies = flows(graph, node, made);
        for (int k = 0; k < node->n_out; k++) {
            if (node->out[k] >= 0) {
                made[node->out[k]] = varies;
            }
        }
        below += is_convolution(node);
        if ((double)(convolutions - below) <= share * convolutions && i + 1 < nodes) {
            value_id only = only_waited(values, last_use, made, i);
            if (only >= 0 && node->out[0] == only) {
                return only;
            }
        }
    }
    return -1;
}

enum err cut_find(const struct graph *graph, double share, const char **ret, struct err_note *note)
{
    int *last_use = MEM_ARRAY(int, graph_value_count(graph));
    bool *made = MEM_ARRAY(bool, graph_value_count(graph));
    value_id found = -1;
    enum err err = last_use == NULL || made == NULL ? ERR_NOMEM : ERR_NONE;

    if (err == ERR_NONE) {
        found = search(graph, share, last_use, made);
        err = found >= 0 ? ERR_NONE
                         : ERR_SAY(note, ERR_NOT_FOUND,
                                   "the network has no value that everything passes with at most %.0f %% of the "
                                   "convolutions above it",
                                   100 * share);
    }
    mem_free(last_use);
    mem_free(made);
    if (err == ERR_NONE) {
        *ret = graph_value_name(graph, found);
    }
    return err;
}
