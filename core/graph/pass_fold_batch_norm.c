/*
 * pass_fold_batch_norm.c: a BatchNormalization behind a convolution or product becomes part of its weights.
 *
 *     s = scale / sqrt(variance + epsilon)         y = s (W x + b) + (shift - s mean) = (s W) x + (s b + shift - s mean)
 *
 * Computed in double, so that what differs from the two-step result is one rounding of each weight.  Only where nobody
 * else reads the convolution's output, and all five tensors are constants.  Not for one that stands before a convolution:
 * zero padding is inserted behind the normalisation, so that its shift is missing at the border and no bias can say that.
 */
#include <math.h>
#include <string.h>

#include "core/graph/graph_private.h"

/* A constant of type float with exactly count elements in one dimension; NULL for anything else. */
static const float *float_row(const struct graph *graph, const struct graph_node *node, int input, int64_t count)
{
    if (input >= node->n_in || node->in[input] < 0) {
        return NULL;
    }
    const struct tensor *tensor = graph->values[node->in[input]].constant;
    if (tensor == NULL || tensor->type != DTYPE_F32 || tensor->shape.rank != 1 || tensor->shape.dim[0] != count) {
        return NULL;
    }
    return tensor->data;
}

/* What is to be folded where. */
struct fold {
    struct graph *graph;
    struct node *product; /* Conv or Gemm */
    const struct graph_node *norm;
    const struct tensor *weight;
    int64_t channels;
    bool channel_first;        /* weight is [channels, rest], else [rest, channels] */
    const struct tensor *bias; /* NULL: none */
    float bias_factor;         /* Gemm's beta */
    double epsilon;
    const float *scale, *shift, *mean, *variance;
};

/* Which dimension of the weights the channels are. */
static bool read_layout(struct fold *fold)
{
    const struct graph_node *is = &fold->product->is;
    const struct shape *shape = &fold->weight->shape;

    fold->bias_factor = 1;
    fold->channel_first = true;
    if (is->op->kind == OP_GEMM) {
        int64_t transposed;
        if (shape->rank != 2 || attr_int(&is->attrs, "transB", 0, &transposed, NULL) != ERR_NONE ||
            attr_float(&is->attrs, "beta", 1, &fold->bias_factor, NULL) != ERR_NONE) {
            return false;
        }
        fold->channel_first = transposed != 0;
    } else if (shape->rank < 3) {
        return false;
    }
    fold->channels = fold->channel_first ? shape->dim[0] : shape->dim[1];
    return fold->channels > 0 && fold->bias_factor != 0;
}

static bool read_norm(struct fold *fold)
{
    float epsilon;

    if (fold->norm->n_out != 1 || attr_float(&fold->norm->attrs, "epsilon", 1e-5F, &epsilon, NULL) != ERR_NONE) {
        return false;
    }
    fold->epsilon = epsilon;
    fold->scale = float_row(fold->graph, fold->norm, 1, fold->channels);
    fold->shift = float_row(fold->graph, fold->norm, 2, fold->channels);
    fold->mean = float_row(fold->graph, fold->norm, 3, fold->channels);
    fold->variance = float_row(fold->graph, fold->norm, 4, fold->channels);
    return fold->scale != NULL && fold->shift != NULL && fold->mean != NULL && fold->variance != NULL;
}

/* The bias as it was: one value per channel, one for all, or none. */
static bool read_bias(struct fold *fold)
{
    const struct graph_node *is = &fold->product->is;

    if (is->op->max_in < 3) {
        return false;
    }
    if (is->n_in < 3 || is->in[2] < 0) {
        return true;
    }
    const struct tensor *bias = fold->graph->values[is->in[2]].constant;
    if (bias == NULL || bias->type != DTYPE_F32) {
        return false;
    }
    int64_t count = shape_elements(&bias->shape);
    int rank = bias->shape.rank;
    bool whole_row = count == fold->channels && (rank == 1 || (rank == 2 && bias->shape.dim[0] == 1));
    fold->bias = bias;
    return whole_row || (count == 1 && rank <= 2);
}

/* Is this node a BatchNormalization that can be folded into what produces its input? */
static bool find_fold(struct graph *graph, const struct node *norm, struct fold *ret)
{
    if (norm->is.op->kind != OP_BATCH_NORM) {
        return false;
    }
    const struct value *between = &graph->values[norm->in[0]];
    if (between->producer < 0 || between->uses != 1) {
        return false; /* read by others too, or an output of the graph */
    }
    struct node *product = graph->nodes[between->producer];
    if (product == NULL || (product->is.op->kind != OP_CONV && product->is.op->kind != OP_GEMM)) {
        return false;
    }
    const struct tensor *weight = graph->values[product->in[1]].constant;
    *ret = (struct fold){.graph = graph, .product = product, .norm = &norm->is, .weight = weight};
    return weight != NULL && weight->type == DTYPE_F32 && read_layout(ret) && read_norm(ret) && read_bias(ret);
}

static double channel_scale(const struct fold *fold, int64_t channel)
{
    return (double)fold->scale[channel] / sqrt((double)fold->variance[channel] + fold->epsilon);
}

static enum err fold_bias(const struct fold *fold, value_id *ret, struct err_note *note)
{
    const struct tensor *bias = fold->bias;
    struct graph *graph = fold->graph;
    const float *old = bias == NULL ? NULL : bias->data;
    bool one_for_all = bias != NULL && shape_elements(&bias->shape) == 1;
    float *folded = ARENA_ARRAY(graph->mem, float, fold->channels);

    if (folded == NULL) {
        return graph_full(graph, note);
    }
    for (int64_t c = 0; c < fold->channels; c++) {
        double before = old == NULL ? 0 : (double)fold->bias_factor * (double)old[one_for_all ? 0 : c];
        double after = channel_scale(fold, c) * (before - (double)fold->mean[c]) + (double)fold->shift[c];
        folded[c] = (float)(after / (double)fold->bias_factor);
    }
    struct tensor tensor = {.type = DTYPE_F32, .shape = {.rank = 1, .dim = {fold->channels}}, .data = folded};
    return graph_derive_constant(graph, graph->values[fold->norm->out[0]].name, &tensor, ret, note);
}

/* In place where this node alone reads the weights: a network's weights are most of its memory. */
static enum err fold_weight(const struct fold *fold, value_id old, value_id *ret, struct err_note *note)
{
    struct graph *graph = fold->graph;
    struct tensor folded = *fold->weight;
    int64_t rest = shape_elements(&folded.shape) / fold->channels;
    const float *from = fold->weight->data;

    if (graph->values[old].uses > 1) {
        folded.data = arena_alloc(graph->mem, tensor_bytes(&folded), 1);
        if (folded.data == NULL) {
            return graph_full(graph, note);
        }
        enum err err = graph_derive_constant(graph, graph->values[old].name, &folded, ret, note);
        if (err != ERR_NONE) {
            return err;
        }
    } else {
        *ret = old;
    }
    float *to = folded.data;
    for (int64_t c = 0; c < fold->channels; c++) {
        double scale = channel_scale(fold, c);
        for (int64_t i = 0; i < rest; i++) {
            int64_t at = fold->channel_first ? c * rest + i : i * fold->channels + c;
            to[at] = (float)(scale * (double)from[at]);
        }
    }
    return ERR_NONE;
}

static enum err apply_fold(const struct fold *fold, struct err_note *note)
{
    struct graph *graph = fold->graph;
    struct node *product = fold->product;
    const struct op_def *op = product->is.op;
    value_id in[3] = {product->in[0], product->in[1], -1};
    enum err err = fold_bias(fold, &in[2], note);
    if (err == ERR_NONE) {
        err = fold_weight(fold, product->in[1], &in[1], note);
    }
    if (err == ERR_NONE) {
        err = node_set_inputs(graph, product, in, 3, note);
    }
    if (err == ERR_NONE && op->parse != NULL) {
        void *parsed = NULL;
        err = op->parse(&product->is.attrs, product->is.opset, 3, product->is.n_out, graph->mem, &parsed, note);
        product->is.parsed = parsed;
    }
    if (err == ERR_NONE) {
        product->out[0] = fold->norm->out[0];
    }
    return err;
}

enum err pass_fold_batch_norm(struct graph *graph, struct err_note *note)
{
    for (int i = 0; i < graph->n_nodes; i++) {
        struct fold fold;
        if (graph->nodes[i] == NULL || !find_fold(graph, graph->nodes[i], &fold)) {
            continue;
        }
        enum err err = apply_fold(&fold, note);
        if (err != ERR_NONE) {
            return err; /* weights may be half scaled: the graph is lost */
        }
        /* A second BatchNormalization behind this one finds the product as its producer. */
        graph->values[fold.norm->out[0]].producer = graph->values[fold.norm->in[0]].producer;
        graph->nodes[i] = NULL;
    }
    graph_sweep(graph);
    return ERR_NONE;
}
