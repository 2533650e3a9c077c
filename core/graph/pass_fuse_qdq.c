/*
 * pass_fuse_qdq.c: a layer between DequantizeLinear and QuantizeLinear is a layer on bytes.
 *
 *     q = Conv(DequantizeLinear(x), DequantizeLinear(w), DequantizeLinear(b)); y = QuantizeLinear(q)
 *         →     y = QLinearConv(x, w, b)
 *     the same for MatMul and (of two quantised values) Add
 *
 * That is what such a file means to say.  The sums are exact instead of rounded, so a byte may differ by one from what the
 * floats would give where they lie between two bytes.
 */
#include <math.h>

#include "core/base/mem.h"
#include "core/graph/byte_nodes.h"

/* The DequantizeLinear with one constant scale that makes a value; NULL: none. */
static const struct node *dequantizer(const struct graph *graph, value_id value)
{
    const struct node *node =
        value >= 0 && graph->values[value].producer >= 0 ? graph->nodes[graph->values[value].producer] : NULL;

    return node != NULL && byte_node_is(node, "", "DequantizeLinear") && node->is.n_in == 3 ? node : NULL;
}

static bool has_one_scale(const struct graph *graph, const struct node *node)
{
    float scale = 0;
    int zero = 0;
    enum dtype type = DTYPE_NONE;

    return byte_scale(graph, node, 1, &scale, &zero, &type);
}

/* Of weights: constant bytes, one scale or one along the axis. */
static bool has_weights(const struct graph *graph, const struct node *node, int64_t axis)
{
    const struct tensor *w = node_constant(graph, node, 0);
    const struct tensor *scale = node_constant(graph, node, 1);
    const struct tensor *zero = node_constant(graph, node, 2);
    int64_t given = 1;

    return w != NULL && scale != NULL && zero != NULL && (w->type == DTYPE_I8 || w->type == DTYPE_U8) &&
           zero->type == w->type && attr_int(&node->is.attrs, "axis", 1, &given, NULL) == ERR_NONE &&
           (shape_elements(&scale->shape) == 1 || given == axis);
}

/* A bias of int32 whose scale is the product of the other two, as QLinearConv assumes; bias NULL: there is none. */
static bool bias_fits(const struct graph *graph, const struct node *x, const struct node *w, const struct node *bias)
{
    const struct tensor *b = node_constant(graph, bias, 0);
    const struct tensor *b_scale = node_constant(graph, bias, 1);
    const struct tensor *w_scale = node_constant(graph, w, 1);
    const struct tensor *b_zero = node_constant(graph, bias, 2);
    float x_scale = *(const float *)node_constant(graph, x, 1)->data;

    if (b == NULL || b->type != DTYPE_I32 || b_scale == NULL || b_zero == NULL || b_zero->type != DTYPE_I32) {
        return false;
    }
    int64_t count = shape_elements(&b_scale->shape);
    int64_t n_w = shape_elements(&w_scale->shape);
    for (int64_t i = 0; i < shape_elements(&b_zero->shape); i++) {
        if (((const int32_t *)b_zero->data)[i] != 0) {
            return false;
        }
    }
    for (int64_t i = 0; i < count; i++) {
        float wanted = x_scale * ((const float *)w_scale->data)[n_w > 1 && i < n_w ? i : 0];
        if (!(fabsf(((const float *)b_scale->data)[i] - wanted) <= 1e-6F * wanted)) {
            return false;
        }
    }
    return count == n_w || n_w == 1;
}

/* Fills in[] for the layer at hand; 0: it is none of these. */
static int layer_inputs(const struct graph *graph, const struct node *layer, value_id in[9], const char **ret_domain,
                        const char **ret_op)
{
    const struct node *a = layer->is.n_in < 2 ? NULL : dequantizer(graph, layer->in[0]);
    const struct node *b = layer->is.n_in < 2 ? NULL : dequantizer(graph, layer->in[1]);
    bool conv = byte_node_is(layer, "", "Conv");
    bool matmul = byte_node_is(layer, "", "MatMul");
    bool add = byte_node_is(layer, "", "Add");

    if (a == NULL || b == NULL || !(conv || matmul || add) || !has_one_scale(graph, a) ||
        !(add ? has_one_scale(graph, b) : has_weights(graph, b, conv ? 0 : 1))) {
        return 0;
    }
    for (int k = 0; k < 3; k++) {
        in[k] = a->in[k];
        in[3 + k] = b->in[k];
    }
    *ret_domain = add ? "com.microsoft" : "";
    *ret_op = conv ? "QLinearConv" : matmul ? "QLinearMatMul" : "QLinearAdd";
    if (!conv || layer->is.n_in < 3) {
        return 8;
    }
    const struct node *bias = dequantizer(graph, layer->in[2]);
    if (bias == NULL || !bias_fits(graph, a, b, bias)) {
        return 0;
    }
    in[8] = bias->in[0];
    return 9;
}

static enum err fuse(struct graph *graph, const int *readers, int at, struct err_note *note)
{
    const struct node *layer = graph->nodes[at];
    value_id in[9];
    const char *domain = "";
    const char *name = "";
    struct node *made = NULL;

    int n_in = layer->is.n_out == 1 ? layer_inputs(graph, layer, in, &domain, &name) : 0;
    int last = n_in == 0 ? -1 : byte_only_reader(graph, readers, layer->out[0]);
    if (last < 0) {
        return ERR_NONE;
    }
    const struct node *quantizer = graph->nodes[last];
    const struct op_def *op = graph->ops->find(domain, name, domain[0] == '\0' ? 10 : 1);
    if (op == NULL || !byte_node_is(quantizer, "", "QuantizeLinear") || quantizer->is.n_in != 3 ||
        !has_one_scale(graph, quantizer)) {
        return ERR_NONE;
    }
    in[6] = quantizer->in[1];
    in[7] = quantizer->in[2];
    enum err err = graph_make_node(graph, op, layer, &layer->is.attrs, in, n_in, quantizer->out[0], &made, note);
    if (err == ERR_NONE) {
        graph->nodes[at] = NULL;
        graph->nodes[last] = made;
        graph->values[quantizer->out[0]].producer = last;
    }
    return err;
}

enum err pass_fuse_qdq(struct graph *graph, struct err_note *note)
{
    int *readers = byte_readers(graph);
    enum err err = ERR_NONE;

    if (readers == NULL) {
        return ERR_SAY(note, ERR_NOMEM, "no memory to prepare the graph");
    }
    for (int i = 0; err == ERR_NONE && i < graph->n_nodes; i++) {
        if (graph->nodes[i] != NULL) {
            err = fuse(graph, readers, i, note);
        }
    }
    mem_free(readers);
    graph_sweep(graph);
    return err;
}
