/*
 * pass_fold_constants.c: what depends on constants alone is computed once, now.
 *
 * A small file may describe a huge constant (Expand, ConstantOfShape).  Results far larger than what they are made of are
 * therefore left to the plan, whose memory limit the owner of the session chose.
 */
#include "core/graph/node_call.h"

#define FOLD_FREE_BYTES ((size_t)1 << 20)
#define FOLD_GROWTH 8 /* int8 weights, widened to doubles */

/* Collects the inputs if all of them are constants. */
static bool gather_constants(const struct graph *graph, const struct node *node, struct tensor *in, size_t *ret_bytes)
{
    size_t bytes = 0;

    for (int k = 0; k < node->is.n_in; k++) {
        if (node->in[k] < 0) {
            in[k] = (struct tensor){.type = DTYPE_NONE};
            continue;
        }
        const struct tensor *constant = graph->values[node->in[k]].constant;
        if (constant == NULL) {
            return false;
        }
        in[k] = *constant;
        bytes += tensor_bytes(constant);
    }
    *ret_bytes = bytes;
    return true;
}

static enum err fold_node(struct graph *graph, const struct node *node, const struct tensor *in, size_t limit_bytes,
                          struct err_note *note)
{
    struct tensor out[OP_MAX_OUTPUTS];
    struct op_call call = node_call(node, in, out, NULL);

    enum err err = node_shape(node, &call, limit_bytes, note);
    if (err == ERR_NONE) {
        err = node_evaluate(node, &call, graph->mem, note);
    }
    for (int k = 0; err == ERR_NONE && k < node->is.n_out; k++) {
        if (node->out[k] < 0) {
            continue;
        }
        struct tensor *constant = graph_carve(graph, 1, sizeof *constant);
        if (constant == NULL) {
            return graph_full(graph, note);
        }
        *constant = out[k];
        graph->values[node->out[k]].constant = constant;
    }
    return err;
}

enum err pass_fold_constants(struct graph *graph, struct err_note *note)
{
    struct tensor in[OP_MAX_INPUTS];

    for (int i = 0; i < graph->n_nodes; i++) {
        size_t bytes;
        if (!gather_constants(graph, graph->nodes[i], in, &bytes)) {
            continue;
        }
        struct err_note why = {0};
        enum err err = fold_node(graph, graph->nodes[i], in, FOLD_FREE_BYTES + FOLD_GROWTH * bytes, &why);
        if (err == ERR_NONE) {
            graph->nodes[i] = NULL;
        } else if (err != ERR_LIMIT) {
            if (note != NULL && note->text[0] == '\0') {
                *note = why;
            }
            graph_sweep(graph);
            return err;
        }
    }
    graph_sweep(graph);
    return ERR_NONE;
}
