/*
 * byte_layout_dynamic.c: layers quantised by the range of each image: DynamicQuantizeLinear, ConvInteger or MatMulInteger, and
 * the floats behind them up to the activation, as one ByteConvDynamic.
 */
#include "core/base/mem.h"
#include "core/graph/byte_layout_private.h"
#include "core/kernel/gemm_int.h"

/* DynamicQuantizeLinear to PRelu: what a float layer has become. */
struct dynamic {
    const struct node *quantizer, *product; /* ConvInteger or MatMulInteger */
    int at[5];                              /* Cast, Mul, Add, PRelu: where they are, -1: it is not there */
    value_id out;
    float w_scale; /* of all weights */
    const struct tensor *bias, *slope;
};

static int next_of(const struct layout *layout, value_id value, const char *op)
{
    int at = byte_only_reader(layout->graph, layout->readers, value);

    return at >= 0 && byte_node_is(layout->graph->nodes[at], "", op) ? at : -1;
}

/* The product of the image's scale and that of all weights: *ret_scale the latter. */
static bool is_scale(const struct graph *graph, value_id value, value_id of_image, float *ret_scale)
{
    int at = value < 0 ? -1 : graph->values[value].producer;

    if (at < 0 || !byte_node_is(graph->nodes[at], "", "Mul")) {
        return false;
    }
    const struct node *mul = graph->nodes[at];
    int other = mul->in[0] == of_image ? 1 : 0;
    const struct tensor *constant = node_constant(graph, mul, other);
    if (mul->in[1 - other] != of_image || constant == NULL || constant->type != DTYPE_F32 ||
        shape_elements(&constant->shape) != 1) {
        return false;
    }
    *ret_scale = *(const float *)constant->data;
    return true;
}

/* One float for each of the channels, which are dimension 1 of rank dimensions. */
static bool is_row(const struct tensor *t, int64_t channels, int rank)
{
    if (t == NULL || t->type != DTYPE_F32 || shape_elements(&t->shape) != channels || t->shape.rank > rank) {
        return false;
    }
    int at = t->shape.rank - (rank - 1); /* counted from the right, as broadcasting does */
    return at >= 0 && at < t->shape.rank && t->shape.dim[at] == channels;
}

static void take_bias_and_slope(const struct layout *layout, int64_t channels, int rank, struct dynamic *d)
{
    const struct graph *graph = layout->graph;

    int at = next_of(layout, d->out, "Add");
    if (at >= 0) {
        const struct node *add = graph->nodes[at];
        const struct tensor *bias = node_constant(graph, add, add->in[0] == d->out ? 1 : 0);
        if (!is_row(bias, channels, rank)) {
            return;
        }
        d->bias = bias;
        d->out = add->out[0];
        d->at[2] = at;
    }
    at = next_of(layout, d->out, "PRelu");
    if (at >= 0 && graph->nodes[at]->in[0] == d->out &&
        is_row(node_constant(graph, graph->nodes[at], 1), channels, rank)) {
        d->slope = node_constant(graph, graph->nodes[at], 1);
        d->out = graph->nodes[at]->out[0];
        d->at[3] = at;
    }
}

static bool read_dynamic(const struct layout *layout, const struct node *node, struct dynamic *ret)
{
    const struct graph *graph = layout->graph;
    bool conv = byte_node_is(node, "", "ConvInteger");
    struct dynamic d = {.product = node, .at = {-1, -1, -1, -1, -1}};
    const struct tensor *w = node_constant(graph, node, 1);
    const struct tensor *w_zero = node_constant(graph, node, 3);
    int rank = conv ? 4 : 2;

    if ((!conv && !byte_node_is(node, "", "MatMulInteger")) || node->is.n_in < 3 || node->in[0] < 0 || w == NULL ||
        w->shape.rank != rank || (node->is.n_in > 3 && node->in[3] >= 0 && w_zero == NULL)) {
        return false;
    }
    int at = graph->values[node->in[0]].producer;
    d.quantizer = at < 0 ? NULL : graph->nodes[at];
    if (d.quantizer == NULL || !byte_node_is(d.quantizer, "", "DynamicQuantizeLinear") || d.quantizer->is.n_out != 3 ||
        d.quantizer->out[0] != node->in[0] || d.quantizer->out[2] != node->in[2]) {
        return false;
    }
    d.at[0] = next_of(layout, node->out[0], "Cast");
    int64_t to = 0;
    if (d.at[0] < 0 || attr_int(&graph->nodes[d.at[0]]->is.attrs, "to", 0, &to, NULL) != ERR_NONE || to != 1) {
        return false;
    }
    value_id cast = graph->nodes[d.at[0]]->out[0];
    d.at[1] = next_of(layout, cast, "Mul");
    if (d.at[1] < 0) {
        return false;
    }
    const struct node *mul = graph->nodes[d.at[1]];
    if (!is_scale(graph, mul->in[mul->in[0] == cast ? 1 : 0], d.quantizer->out[1], &d.w_scale)) {
        return false;
    }
    d.out = mul->out[0];
    take_bias_and_slope(layout, w->shape.dim[conv ? 0 : 1], rank, &d);
    *ret = d;
    return true;
}

/* The layer's weights as those of a quantised one, whose own scales do not matter; turned: room for a matrix's, or NULL. */
static bool dynamic_weights(const struct graph *graph, const struct dynamic *d, struct tensor *turned,
                            struct byte_conv *ret)
{
    const struct node *node = d->product;
    struct byte_conv c = {.w = node_constant(graph, node, 1), .w_zero = node_constant(graph, node, 3)};
    int64_t group = 1;

    if ((c.w->type != DTYPE_I8 && c.w->type != DTYPE_U8) || shape_elements(&c.w->shape) == 0 ||
        attr_int(&node->is.attrs, "group", 1, &group, NULL) != ERR_NONE) {
        return false;
    }
    if (c.w->shape.rank == 2) {
        const int64_t k = c.w->shape.dim[0];
        const int64_t n = c.w->shape.dim[1];
        for (int64_t i = 0; i < k * n; i++) {
            ((uint8_t *)turned->data)[i % n * k + i / n] = ((const uint8_t *)c.w->data)[i];
        }
        turned->type = c.w->type;
        turned->shape = (struct shape){.rank = 4, .dim = {n, k, 1, 1}};
        c.w = turned;
    }
    const int64_t *dim = c.w->shape.dim;
    if (group < 1 || dim[0] % group != 0 || dim[1] * dim[2] * dim[3] > GEMM_INT_MAX_K ||
        (c.w_zero != NULL && !layout_is_per_channel(c.w_zero, c.w->type, dim[0]))) {
        return false;
    }
    c.shape = layout_weights_shape(dim, group);
    *ret = c;
    return conv_byte_fits(&c.shape);
}

/* A constant [lanes] of floats: from (NULL: none, *ret is -1), or all the same. */
static enum err derive_row(struct graph *graph, int64_t lanes, const struct tensor *from, float same, value_id *ret,
                           struct err_note *note)
{
    float *row = ARENA_ARRAY(graph->mem, float, lanes);

    if (row == NULL) {
        return graph_full(graph, note);
    }
    int64_t given = from == NULL ? lanes : shape_elements(&from->shape);
    for (int64_t i = 0; i < given; i++) {
        row[i] = from == NULL ? same : ((const float *)from->data)[i];
    }
    const struct tensor constant = {.type = DTYPE_F32, .shape = {.rank = 1, .dim = {lanes}}, .data = row};
    return graph_derive_constant(graph, "row", &constant, ret, note);
}

static enum err derive_dynamic(struct graph *graph, const struct dynamic *d, const struct byte_conv *c, value_id in[6],
                               struct err_note *note)
{
    int64_t lanes = conv_byte_lanes(&c->shape);
    size_t bytes = 0;
    int32_t *sums = ARENA_ARRAY(graph->mem, int32_t, lanes);
    int8_t *packed = conv_byte_packed_bytes(&c->shape, c->passes, &bytes) ? arena_alloc(graph->mem, bytes, 1) : NULL;

    if (sums == NULL || packed == NULL) {
        return graph_full(graph, note);
    }
    conv_byte_pack(&c->shape, c->passes, c->weights, packed, sums);
    const struct tensor constants[2] = {
        {.type = DTYPE_I8, .shape = {.rank = 1, .dim = {(int64_t)bytes}}, .data = packed},
        {.type = DTYPE_I32, .shape = {.rank = 1, .dim = {lanes}}, .data = sums},
    };
    enum err err = graph_derive_constant(graph, "packed", &constants[0], &in[1], note);
    err = err != ERR_NONE ? err : graph_derive_constant(graph, "packed", &constants[1], &in[2], note);
    err = err != ERR_NONE ? err : derive_row(graph, lanes, NULL, d->w_scale, &in[3], note);
    in[4] = in[5] = -1;
    if (err == ERR_NONE && d->bias != NULL) {
        err = derive_row(graph, lanes, d->bias, 0, &in[4], note);
    }
    if (err == ERR_NONE && d->slope != NULL) {
        err = derive_row(graph, lanes, d->slope, 0, &in[5], note);
    }
    return err;
}

static enum err put_dynamic(struct layout *layout, const struct dynamic *d, struct byte_conv *c, bool *ret_done,
                            struct err_note *note)
{
    const struct node *node = d->product;
    const bool matrix = node_constant(layout->graph, node, 1)->shape.rank == 2;
    struct attr list[LAYOUT_MAX_ATTRS];
    struct attrs attrs = {list, 0};
    struct node *made = NULL;
    value_id in[6];
    value_id out = d->out;
    enum err err = ERR_NONE;

    if (!layout_attrs(node, c, list, &attrs.count)) {
        return ERR_NONE;
    }
    err = derive_dynamic(layout->graph, d, c, in, note);
    in[0] = d->quantizer->in[0];
    if (err == ERR_NONE && matrix) {
        err = layout_give_back(layout, node, in[0], note);
    } else if (err == ERR_NONE) {
        err = layout_twin_of(layout, node, in[0], &in[0], note);
        err = err != ERR_NONE ? err : layout_new_twin(layout, d->out, &out, note);
        layout->lost[d->out] = err == ERR_NONE;
    }
    err =
        err != ERR_NONE ? err : graph_make_node(layout->graph, layout->dynamic, node, &attrs, in, 6, out, &made, note);
    if (err == ERR_NONE) {
        layout_put(layout, made);
        for (int i = 0; i < 4; i++) {
            if (d->at[i] >= 0) {
                layout->taken[d->at[i]] = true;
            }
        }
        *ret_done = true;
    }
    return err;
}

enum err layout_take_dynamic(struct layout *layout, const struct node *node, bool *ret_done, struct err_note *note)
{
    struct dynamic d;
    struct byte_conv c;
    enum err err = ERR_NONE;

    if (layout->dynamic == NULL || !read_dynamic(layout, node, &d)) {
        return ERR_NONE;
    }
    size_t count = (size_t)shape_elements(&node_constant(layout->graph, node, 1)->shape);
    int16_t *weights = MEM_ARRAY(int16_t, count);
    struct tensor turned = {.data = MEM_ARRAY(uint8_t, count)};
    if (weights == NULL || turned.data == NULL) {
        err = ERR_NOMEM;
    } else if (dynamic_weights(layout->graph, &d, &turned, &c)) {
        layout_subtract_zeros(&c, weights);
        err = put_dynamic(layout, &d, &c, ret_done, note);
    }
    mem_free(weights);
    mem_free(turned.data);
    return err;
}
