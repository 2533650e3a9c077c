/*
 * pass_drop_identity.c: whoever reads an Identity (or a Dropout, at inference) reads its input instead.
 *
 * An identity between an input and an output of the graph stays, so that outputs remain memory of the session.
 */
#include "core/base/mem.h"
#include "core/graph/graph_private.h"

static bool may_drop(const struct graph *graph, const struct graph_node *node)
{
    if (node->op->kind != OP_IDENTITY || node->in[0] < 0 || node->out[0] < 0) {
        return false;
    }
    for (int k = 1; k < node->n_out; k++) {
        if (node->out[k] >= 0 && graph->values[node->out[k]].uses > 0) {
            return false; /* somebody wants Dropout's mask */
        }
    }
    return !(graph->values[node->in[0]].is_input && graph_is_output(graph, node->out[0]));
}

enum err pass_drop_identity(struct graph *graph, struct err_note *note)
{
    value_id *stands_for = MEM_ARRAY(value_id, (size_t)graph->n_values);

    if (stands_for == NULL) {
        return ERR_SAY(note, ERR_NOMEM, "no memory to prepare the graph");
    }
    for (value_id id = 0; id < graph->n_values; id++) {
        stands_for[id] = id;
    }
    /* In running order, so that a chain of identities is resolved link by link. */
    for (int i = 0; i < graph->n_nodes; i++) {
        struct node *node = graph->nodes[i];
        for (int k = 0; k < node->is.n_in; k++) {
            node->in[k] = node->in[k] < 0 ? -1 : stands_for[node->in[k]];
        }
        if (may_drop(graph, &node->is)) {
            stands_for[node->out[0]] = node->in[0];
            graph->nodes[i] = NULL;
        }
    }
    for (int i = 0; i < graph->n_outputs; i++) {
        graph->outputs[i].value = stands_for[graph->outputs[i].value];
    }
    mem_free(stands_for);
    graph_sweep(graph);
    return ERR_NONE;
}
