/*
 * pass_fuse_norm.c: a BatchNormalization before a convolution is done by the convolution, as it reads its input.
 *
 * It cannot become part of the weights (pass_fold_batch_norm.c says why): padding comes behind it.  But a convolution on
 * blocks reads its input once anyway, into padded rows or into tiles, and there x · scale + shift costs next to nothing,
 * where a step of its own takes the whole image through memory once more.  Face networks have one in every residual block.
 *
 * Only such a convolution can do it, and only a plan knows whether it will be one: the fused node keeps what it stands for,
 * as those of pass_fuse_epilogue.c do.
 */
#include <math.h>
#include <string.h>

#include "core/graph/graph_private.h"

/* scale, shift, mean, variance: constant rows of one length */
struct norm {
    const float *row[4];
    int64_t channels;
    double epsilon;
};

static bool read_norm(const struct graph *graph, const struct node *node, struct norm *ret)
{
    float epsilon;

    if (node->is.op->kind != OP_BATCH_NORM || node->is.n_out != 1 || node->is.n_in < 5 ||
        attr_float(&node->is.attrs, "epsilon", 1e-5F, &epsilon, NULL) != ERR_NONE) {
        return false;
    }
    for (int i = 0; i < 4; i++) {
        const struct tensor *row = node->in[i + 1] < 0 ? NULL : graph->values[node->in[i + 1]].constant;
        if (row == NULL || row->type != DTYPE_F32 || row->shape.rank != 1 ||
            (i > 0 && row->shape.dim[0] != ret->channels)) {
            return false;
        }
        ret->channels = row->shape.dim[0];
        ret->row[i] = row->data;
    }
    ret->epsilon = epsilon;
    return true;
}

/* One group over images of as many channels, and not normalised yet. */
static bool takes_norm(const struct graph *graph, const struct node *node, value_id normal, int64_t channels)
{
    const struct graph_node *is = &node->is;

    if (is->op->kind != OP_CONV || is->op->block == NULL || is->epilogue.scale_input > 0 || node->in[0] != normal ||
        is->n_in + 2 > OP_MAX_INPUTS) {
        return false;
    }
    const struct tensor *weight = graph->values[node->in[1]].constant;
    return weight != NULL && weight->shape.rank == 4 && weight->shape.dim[1] == channels;
}

static enum err add_row(struct graph *graph, const char *name, int64_t channels, float **ret_row, value_id *ret,
                        struct err_note *note)
{
    struct tensor row = {.type = DTYPE_F32, .shape = {.rank = 1, .dim = {channels}}};

    *ret_row = ARENA_ARRAY(graph->mem, float, channels);
    if (*ret_row == NULL) {
        return graph_full(graph, note);
    }
    row.data = *ret_row;
    return graph_derive_constant(graph, name, &row, ret, note);
}

static enum err fused_inputs(struct graph *graph, const struct node *conv, const struct node *norm,
                             const struct norm *rows, struct node *fused, struct err_note *note)
{
    const char *name = graph->values[norm->out[0]].name;
    value_id in[OP_MAX_INPUTS];
    float *scale = NULL;
    float *shift = NULL;
    int n_in = conv->is.n_in;

    memcpy(in, conv->in, (size_t)n_in * sizeof *in);
    for (; n_in < conv->is.op->max_in; n_in++) {
        in[n_in] = -1;
    }
    in[0] = norm->in[0];
    fused->is.epilogue.scale_input = n_in;
    fused->is.epilogue.shift_input = n_in + 1;
    enum err err = add_row(graph, name, rows->channels, &scale, &in[n_in], note);
    if (err == ERR_NONE) {
        err = add_row(graph, name, rows->channels, &shift, &in[n_in + 1], note);
    }
    if (err != ERR_NONE) {
        return err;
    }
    for (int64_t c = 0; c < rows->channels; c++) {
        double factor = (double)rows->row[0][c] / sqrt((double)rows->row[3][c] + rows->epsilon);
        scale[c] = (float)factor;
        shift[c] = (float)((double)rows->row[1][c] - (double)rows->row[2][c] * factor);
    }
    return node_set_inputs(graph, fused, in, n_in + 2, note);
}

/* Replaces the nodes at norm_at and conv_at by one, at conv_at. */
static enum err fuse(struct graph *graph, int norm_at, int conv_at, const struct norm *rows, struct err_note *note)
{
    const struct node *norm = graph->nodes[norm_at];
    const struct node *conv = graph->nodes[conv_at];
    int n_plain = conv->n_plain == 0 ? 1 : conv->n_plain;
    struct node *fused = graph_carve(graph, 1, sizeof *fused);
    const struct node **plain = graph_carve(graph, (size_t)n_plain + 1, sizeof(const struct node *));

    if (fused == NULL || plain == NULL) {
        return graph_full(graph, note);
    }
    *fused = *conv;
    enum err err = fused_inputs(graph, conv, norm, rows, fused, note);
    if (err != ERR_NONE) {
        return err;
    }
    plain[0] = norm;
    for (int i = 0; i < n_plain; i++) {
        plain[i + 1] = conv->n_plain == 0 ? conv : conv->plain[i];
    }
    fused->plain = plain;
    fused->n_plain = n_plain + 1;
    graph->nodes[norm_at] = NULL;
    graph->nodes[conv_at] = fused;
    return ERR_NONE;
}

enum err pass_fuse_norm(struct graph *graph, struct err_note *note)
{
    enum err err = ERR_NONE;

    for (int i = 0; err == ERR_NONE && i < graph->n_nodes; i++) {
        const struct node *node = graph->nodes[i];
        int norm_at = node == NULL || node->is.n_in == 0 || node->in[0] < 0 ? -1 : graph->values[node->in[0]].producer;
        struct norm rows = {.channels = 0};
        if (norm_at < 0 || graph->nodes[norm_at] == NULL || graph->values[node->in[0]].uses != 1 ||
            !read_norm(graph, graph->nodes[norm_at], &rows) || !takes_norm(graph, node, node->in[0], rows.channels)) {
            continue;
        }
        err = fuse(graph, norm_at, i, &rows, note);
    }
    graph_sweep(graph);
    return err;
}
