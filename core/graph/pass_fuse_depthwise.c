/*
 * pass_fuse_depthwise.c: a depthwise convolution that only a 1×1 one reads becomes its first step.
 *
 *     y = act(depthwise(x))       y is read by the 1×1 convolution alone
 *     z = conv1x1(y)          →   z = conv1x1(depthwise(x)), band by band (core/kernel/conv_separable.h)
 *
 * Each saves two trips of a whole map through memory; a depthwise layer alone does little else.  As with a normalisation, only
 * a plan knows whether both run in blocks, so the fused node keeps what it stands for (pass_fuse_norm.c).
 */
#include <string.h>

#include "core/base/mem.h"
#include "core/graph/byte_nodes.h"

static bool is_float_conv(const struct graph *graph, const struct node *node)
{
    const struct tensor *w = node == NULL || node->is.op->kind != OP_CONV ? NULL : node_constant(graph, node, 1);

    return w != NULL && node->is.op->block != NULL && w->type == DTYPE_F32 && w->shape.rank == 4 &&
           node->is.epilogue.scale_input <= 0 && node->is.epilogue.before.parsed == NULL;
}

/* A group for each channel, or for two or four. */
static bool is_depthwise(const struct graph *graph, const struct node *node)
{
    int64_t group = 0;

    if (!is_float_conv(graph, node) || node->is.epilogue.residual_input >= 0 ||
        attr_int(&node->is.attrs, "group", 1, &group, NULL) != ERR_NONE) {
        return false;
    }
    const struct shape *w = &node_constant(graph, node, 1)->shape;
    return group > 1 && w->dim[1] <= 4 && w->dim[0] == group * w->dim[1];
}

/* That the strides are 1 and nothing is padded is seen by the plan. */
static bool is_pointwise(const struct graph *graph, const struct node *node)
{
    int64_t group = 0;

    if (!is_float_conv(graph, node) || attr_int(&node->is.attrs, "group", 1, &group, NULL) != ERR_NONE || group != 1) {
        return false;
    }
    const struct shape *w = &node_constant(graph, node, 1)->shape;
    return w->dim[2] == 1 && w->dim[3] == 1;
}

static enum err fused_inputs(struct graph *graph, const struct node *first, const struct node *conv, struct node *fused,
                             struct err_note *note)
{
    const struct epilogue *e = &first->is.epilogue;
    struct before *before = &fused->is.epilogue.before;
    value_id in[OP_MAX_INPUTS];
    int n_in = conv->is.n_in;

    memcpy(in, conv->in, (size_t)n_in * sizeof *in);
    for (; n_in < conv->is.op->max_in; n_in++) {
        in[n_in] = -1;
    }
    *before = (struct before){.parsed = first->is.parsed, .act = e->act, .low = e->low, .high = e->high};
    in[0] = first->in[0];
    before->w = n_in;
    in[n_in++] = first->in[1];
    if (first->is.n_in > 2 && first->in[2] >= 0) {
        before->bias = n_in;
        in[n_in++] = first->in[2];
    }
    if (e->act == EPILOGUE_PRELU) {
        before->slope = n_in;
        in[n_in++] = first->in[e->slope_input];
    }
    return node_set_inputs(graph, fused, in, n_in, note);
}

static int plain_count(const struct node *node)
{
    return node->n_plain == 0 ? 1 : node->n_plain;
}

static void add_plain(const struct node *node, const struct node **plain, int *n)
{
    for (int i = 0; i < plain_count(node); i++) {
        plain[(*n)++] = node->n_plain == 0 ? node : node->plain[i];
    }
}

/* Replaces the nodes at first_at and conv_at by one, at conv_at. */
static enum err fuse(struct graph *graph, int first_at, int conv_at, struct err_note *note)
{
    const struct node *first = graph->nodes[first_at];
    const struct node *conv = graph->nodes[conv_at];
    struct node *fused = graph_carve(graph, 1, sizeof *fused);
    const struct node **plain =
        graph_carve(graph, (size_t)plain_count(first) + (size_t)plain_count(conv), sizeof(const struct node *));

    if (fused == NULL || plain == NULL) {
        return graph_full(graph, note);
    }
    *fused = *conv;
    fused->n_plain = 0;
    enum err err = fused_inputs(graph, first, conv, fused, note);
    if (err != ERR_NONE) {
        return err;
    }
    add_plain(first, plain, &fused->n_plain);
    add_plain(conv, plain, &fused->n_plain);
    fused->plain = plain;
    graph->nodes[first_at] = NULL;
    graph->nodes[conv_at] = fused;
    return ERR_NONE;
}

enum err pass_fuse_depthwise(struct graph *graph, struct err_note *note)
{
    int *readers = byte_readers(graph);
    enum err err = ERR_NONE;

    if (readers == NULL) {
        return ERR_SAY(note, ERR_NOMEM, "no memory to prepare the graph");
    }
    for (int i = 0; err == ERR_NONE && i < graph->n_nodes; i++) {
        const struct node *node = graph->nodes[i];
        int at = node != NULL && is_depthwise(graph, node) ? byte_only_reader(graph, readers, node->out[0]) : -1;
        /* The residual may be the same value: then it has two uses, and no only reader. */
        if (at >= 0 && is_pointwise(graph, graph->nodes[at]) && graph->nodes[at]->in[0] == node->out[0] &&
            graph->nodes[at]->is.n_in + 4 <= OP_MAX_INPUTS) {
            err = fuse(graph, i, at, note);
        }
    }
    mem_free(readers);
    graph_sweep(graph);
    return err;
}
