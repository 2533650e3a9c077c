/*
 * pass_byte_layout.c: chains of quantised layers run on images with their channels last, and on packed weights.
 *
 *     QLinearConv(x, ...)     →     ByteConv(x', ...), x' being x with its channels last
 *
 *     DynamicQuantizeLinear(x), ConvInteger, Cast, Mul, Add, PRelu     →     ByteConvDynamic(x'), and MatMulInteger likewise
 *
 * Products of bytes take four channels at once, so channels have to be neighbours; done for one layer alone, turning the
 * images around would cost as much as it gains.  Here every value gets at most one twin with its channels last: what reads
 * it in a chain reads the twin, what does not gets a Transpose.  The layers compute the same bytes either way.
 */
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/size.h"
#include "core/graph/byte_nodes.h"
#include "core/graph/node_call.h"
#include "core/kernel/conv_byte.h"
#include "core/kernel/gemm_int.h"

struct layout {
    struct graph *graph;
    const struct op_def *conv, *map, *dynamic, *transpose;
    const int *readers; /* per value: see byte_only_reader */
    bool *taken;        /* per node: it has become part of another */
    value_id *twin;     /* per value: it with its channels last, -1: none */
    bool *lost;         /* per value: only the twin is computed so far */
    int room;           /* of both */
    struct node **list;
    int n, list_room;
};

static void put(struct layout *layout, struct node *node)
{
    if (layout->n < layout->list_room) { /* it always is: three nodes for each one, and one for each output */
        layout->list[layout->n++] = node;
    }
}

static enum err new_twin(struct layout *layout, value_id value, value_id *ret, struct err_note *note)
{
    enum err err = graph_new_value(layout->graph, layout->graph->values[value].name, ret, note);

    if (err == ERR_NONE) {
        layout->twin[value] = *ret;
    }
    return err;
}

static enum err put_transpose(struct layout *layout, const struct node *near, value_id from, value_id to,
                              const int64_t perm[4], struct err_note *note)
{
    const struct attr list[] = {{.name = "perm", .kind = ATTR_INTS, .ints = perm, .count = 4}};
    const struct attrs attrs = {list, 1};
    struct node *node = NULL;

    enum err err = graph_make_node(layout->graph, layout->transpose, near, &attrs, &from, 1, to, &node, note);
    if (err == ERR_NONE) {
        put(layout, node);
    }
    return err;
}

/* The value with its channels last, turned around here if nobody has it yet. */
static enum err twin_of(struct layout *layout, const struct node *near, value_id value, value_id *ret,
                        struct err_note *note)
{
    static const int64_t perm[4] = {0, 2, 3, 1};

    if (layout->twin[value] >= 0) {
        *ret = layout->twin[value];
        return ERR_NONE;
    }
    enum err err = new_twin(layout, value, ret, note);
    return err != ERR_NONE ? err : put_transpose(layout, near, value, *ret, perm, note);
}

/* The value as the file has it, for a reader that is in no chain. */
static enum err give_back(struct layout *layout, const struct node *near, value_id value, struct err_note *note)
{
    static const int64_t perm[4] = {0, 3, 1, 2};

    if (value < 0 || value >= layout->room || !layout->lost[value]) {
        return ERR_NONE;
    }
    layout->lost[value] = false;
    return put_transpose(layout, near, layout->twin[value], value, perm, note);
}

/* ---- QLinearConv ---------------------------------------------------------------------------------------------------------- */

struct conv {
    struct conv_shape shape; /* channels and kernel; not the image's size */
    float x_scale, y_scale;
    int x_zero, y_zero;
    enum dtype x_type, y_type;
    const struct tensor *w, *w_scale, *w_zero, *bias;
    const int16_t *weights; /* with their zero points subtracted */
    int passes;
};

static bool is_per_channel(const struct tensor *t, enum dtype type, int64_t channels)
{
    return t != NULL && t->type == type &&
           (shape_elements(&t->shape) == 1 || (t->shape.rank == 1 && t->shape.dim[0] == channels));
}

static bool read_conv(const struct graph *graph, const struct node *node, struct conv *ret)
{
    struct conv c = {.w = node_constant(graph, node, 3),
                     .w_scale = node_constant(graph, node, 4),
                     .w_zero = node_constant(graph, node, 5),
                     .bias = node_constant(graph, node, 8)};
    int64_t group = 1;

    if (!byte_node_is(node, "", "QLinearConv") || !byte_scale(graph, node, 1, &c.x_scale, &c.x_zero, &c.x_type) ||
        !byte_scale(graph, node, 6, &c.y_scale, &c.y_zero, &c.y_type) || c.w == NULL || c.w->shape.rank != 4 ||
        (c.w->type != DTYPE_I8 && c.w->type != DTYPE_U8) || node_constant(graph, node, 0) != NULL ||
        attr_int(&node->is.attrs, "group", 1, &group, NULL) != ERR_NONE) {
        return false;
    }
    const int64_t *dim = c.w->shape.dim;
    if (group < 1 || dim[0] % group != 0 || shape_elements(&c.w->shape) == 0 ||
        dim[1] * dim[2] * dim[3] > GEMM_INT_MAX_K) {
        return false;
    }
    if (!is_per_channel(c.w_scale, DTYPE_F32, dim[0]) ||
        (c.w_zero != NULL && !is_per_channel(c.w_zero, c.w->type, dim[0])) ||
        (node->is.n_in > 5 && node->in[5] >= 0 && c.w_zero == NULL) ||
        (node->is.n_in > 8 &&
         (c.bias == NULL || c.bias->type != DTYPE_I32 || c.bias->shape.rank != 1 || c.bias->shape.dim[0] != dim[0]))) {
        return false;
    }
    c.shape = (struct conv_shape){.n = 1,
                                  .groups = group,
                                  .ic = dim[1],
                                  .oc = dim[0] / group,
                                  .in = {1, 1, 1},
                                  .kernel = {1, dim[2], dim[3]},
                                  .stride = {1, 1, 1},
                                  .dilation = {1, 1, 1},
                                  .out = {1, 1, 1}};
    *ret = c;
    return conv_byte_fits(&c.shape);
}

static int32_t byte_at(const struct tensor *t, int64_t i)
{
    return t->type == DTYPE_U8 ? ((const uint8_t *)t->data)[i] : ((const int8_t *)t->data)[i];
}

/* Weights less their zero points. */
static void subtract_zeros(struct conv *c, int16_t *to)
{
    int64_t count = shape_elements(&c->w->shape);
    int64_t channel = count / c->w->shape.dim[0];
    bool many = c->w_zero != NULL && shape_elements(&c->w_zero->shape) > 1;

    for (int64_t i = 0; i < count; i++) {
        to[i] = (int16_t)(byte_at(c->w, i) - (c->w_zero == NULL ? 0 : byte_at(c->w_zero, many ? i / channel : 0)));
    }
    c->weights = to;
    c->passes = conv_byte_passes(to, count);
}

/* Packed weights, what the sums begin with, and the scale of each channel, as inputs 1, 2, 3. */
static enum err derive_inputs(struct graph *graph, const struct conv *c, value_id ret[3], struct err_note *note)
{
    int64_t lanes = conv_byte_lanes(&c->shape);
    size_t bytes = 0;
    int32_t *start = ARENA_ARRAY(graph->mem, int32_t, lanes);
    float *scale = ARENA_ARRAY(graph->mem, float, lanes);
    int8_t *packed = NULL;

    if (conv_byte_packed_bytes(&c->shape, c->passes, &bytes)) {
        packed = arena_alloc(graph->mem, bytes, 1);
    }
    if (start == NULL || scale == NULL || packed == NULL) {
        return graph_full(graph, note);
    }
    conv_byte_pack(&c->shape, c->passes, c->weights, packed, start);
    int32_t zero = c->x_zero + (c->x_type == DTYPE_I8 ? 128 : 0);
    for (int64_t i = 0; i < c->w->shape.dim[0]; i++) {
        uint32_t bias = c->bias == NULL ? 0 : ((const uint32_t *)c->bias->data)[i];
        start[i] = (int32_t)(bias - (uint32_t)start[i] * (uint32_t)zero);
        scale[i] =
            c->x_scale * ((const float *)c->w_scale->data)[shape_elements(&c->w_scale->shape) > 1 ? i : 0] / c->y_scale;
    }
    const struct tensor constants[3] = {
        {.type = DTYPE_I8, .shape = {.rank = 1, .dim = {(int64_t)bytes}}, .data = packed},
        {.type = DTYPE_I32, .shape = {.rank = 1, .dim = {lanes}}, .data = start},
        {.type = DTYPE_F32, .shape = {.rank = 1, .dim = {lanes}}, .data = scale},
    };
    enum err err = ERR_NONE;
    for (int i = 0; i < 3 && err == ERR_NONE; i++) {
        err = graph_derive_constant(graph, "packed", &constants[i], &ret[i], note);
    }
    return err;
}

#define MAX_ATTRS 16

/* The convolution's own attributes, and what the new operator needs to know beside. */
static bool collect_attrs(const struct node *node, const struct conv *c, struct attr list[MAX_ATTRS], int *ret_count)
{
    int n = 0;
    const struct attr more[] = {
        {.name = "weights", .kind = ATTR_INTS, .ints = c->w->shape.dim, .count = 4},
        {.name = "passes", .kind = ATTR_INT, .i = c->passes},
        {.name = "x_zero", .kind = ATTR_INT, .i = c->x_zero},
        {.name = "y_zero", .kind = ATTR_INT, .i = c->y_zero},
        {.name = "y_signed", .kind = ATTR_INT, .i = c->y_type == DTYPE_I8},
    };

    if (node->is.attrs.count > MAX_ATTRS - (int)(sizeof more / sizeof *more)) {
        return false;
    }
    for (int i = 0; i < node->is.attrs.count; i++) {
        list[n++] = node->is.attrs.list[i];
    }
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        list[n++] = more[i];
    }
    *ret_count = n;
    return true;
}

/* Makes the ByteConv of c, reading x and giving out; *ret_done stays false where its weights do not allow it. */
static enum err put_conv(struct layout *layout, const struct node *node, struct conv *c, value_id x, value_id out,
                         bool *ret_done, struct err_note *note)
{
    struct graph *graph = layout->graph;
    struct attr list[MAX_ATTRS];
    struct attrs attrs = {list, 0};
    struct node *made = NULL;
    value_id in[4] = {x};
    int16_t *weights = MEM_ARRAY(int16_t, (size_t)shape_elements(&c->w->shape));

    if (weights == NULL) {
        return ERR_NOMEM;
    }
    subtract_zeros(c, weights);
    if (!collect_attrs(node, c, list, &attrs.count)) {
        mem_free(weights);
        return ERR_NONE;
    }
    enum err err = derive_inputs(graph, c, in + 1, note);
    mem_free(weights);
    if (err == ERR_NONE && x < 0) {
        err = twin_of(layout, node, node->in[0], &in[0], note);
    }
    if (err == ERR_NONE && out < 0) {
        err = new_twin(layout, node->out[0], &out, note);
        layout->lost[node->out[0]] = err == ERR_NONE;
    }
    err = err != ERR_NONE ? err : graph_make_node(graph, layout->conv, node, &attrs, in, 4, out, &made, note);
    if (err == ERR_NONE) {
        put(layout, made);
        *ret_done = true;
    }
    return err;
}

static enum err take_conv(struct layout *layout, const struct node *node, bool *ret_done, struct err_note *note)
{
    struct conv c;

    return read_conv(layout->graph, node, &c) ? put_conv(layout, node, &c, -1, -1, ret_done, note) : ERR_NONE;
}

/* ---- QLinearMatMul: rows are images of one pixel, so nothing is turned around ------------------------------------------- */

static bool read_matmul(const struct graph *graph, const struct node *node, struct conv *ret)
{
    struct conv c = {.w = node_constant(graph, node, 3),
                     .w_scale = node_constant(graph, node, 4),
                     .w_zero = node_constant(graph, node, 5)};

    if (!byte_node_is(node, "", "QLinearMatMul") || !byte_scale(graph, node, 1, &c.x_scale, &c.x_zero, &c.x_type) ||
        !byte_scale(graph, node, 6, &c.y_scale, &c.y_zero, &c.y_type) || c.w == NULL || c.w->shape.rank != 2 ||
        (c.w->type != DTYPE_I8 && c.w->type != DTYPE_U8) || c.w_zero == NULL || node_constant(graph, node, 0) != NULL ||
        shape_elements(&c.w->shape) == 0 || c.w->shape.dim[0] > GEMM_INT_MAX_K) {
        return false;
    }
    c.shape = (struct conv_shape){.n = 1,
                                  .groups = 1,
                                  .ic = c.w->shape.dim[0],
                                  .oc = c.w->shape.dim[1],
                                  .in = {1, 1, 1},
                                  .kernel = {1, 1, 1},
                                  .stride = {1, 1, 1},
                                  .dilation = {1, 1, 1},
                                  .out = {1, 1, 1}};
    *ret = c;
    return is_per_channel(c.w_scale, DTYPE_F32, c.shape.oc) && is_per_channel(c.w_zero, c.w->type, c.shape.oc) &&
           conv_byte_fits(&c.shape);
}

static enum err take_matmul(struct layout *layout, const struct node *node, bool *ret_done, struct err_note *note)
{
    struct conv c;

    if (!read_matmul(layout->graph, node, &c)) {
        return ERR_NONE;
    }
    const int64_t k = c.shape.ic;
    const int64_t n = c.shape.oc;
    uint8_t *turned = MEM_ARRAY(uint8_t, (size_t)(k * n));
    if (turned == NULL) {
        return ERR_NOMEM;
    }
    for (int64_t i = 0; i < k * n; i++) {
        turned[i % n * k + i / n] = ((const uint8_t *)c.w->data)[i];
    }
    const struct tensor w = {.type = c.w->type, .shape = {.rank = 4, .dim = {n, k, 1, 1}}, .data = turned};
    c.w = &w;
    enum err err = give_back(layout, node, node->in[0], note);
    err = err != ERR_NONE ? err : put_conv(layout, node, &c, node->in[0], node->out[0], ret_done, note);
    mem_free(turned);
    return err;
}

/* ---- Dynamically quantised layers ------------------------------------------------------------------------------------------ */

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
static bool dynamic_weights(const struct graph *graph, const struct dynamic *d, struct tensor *turned, struct conv *ret)
{
    const struct node *node = d->product;
    struct conv c = {.w = node_constant(graph, node, 1), .w_zero = node_constant(graph, node, 3)};
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
        (c.w_zero != NULL && !is_per_channel(c.w_zero, c.w->type, dim[0]))) {
        return false;
    }
    c.shape = (struct conv_shape){.n = 1,
                                  .groups = group,
                                  .ic = dim[1],
                                  .oc = dim[0] / group,
                                  .in = {1, 1, 1},
                                  .kernel = {1, dim[2], dim[3]},
                                  .stride = {1, 1, 1},
                                  .dilation = {1, 1, 1},
                                  .out = {1, 1, 1}};
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

static enum err derive_dynamic(struct graph *graph, const struct dynamic *d, const struct conv *c, value_id in[6],
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

static enum err put_dynamic(struct layout *layout, const struct dynamic *d, struct conv *c, bool *ret_done,
                            struct err_note *note)
{
    const struct node *node = d->product;
    const bool matrix = node_constant(layout->graph, node, 1)->shape.rank == 2;
    struct attr list[MAX_ATTRS];
    struct attrs attrs = {list, 0};
    struct node *made = NULL;
    value_id in[6];
    value_id out = d->out;
    enum err err = ERR_NONE;

    if (!collect_attrs(node, c, list, &attrs.count)) {
        return ERR_NONE;
    }
    err = derive_dynamic(layout->graph, d, c, in, note);
    in[0] = d->quantizer->in[0];
    if (err == ERR_NONE && matrix) {
        err = give_back(layout, node, in[0], note);
    } else if (err == ERR_NONE) {
        err = twin_of(layout, node, in[0], &in[0], note);
        err = err != ERR_NONE ? err : new_twin(layout, d->out, &out, note);
        layout->lost[d->out] = err == ERR_NONE;
    }
    err =
        err != ERR_NONE ? err : graph_make_node(layout->graph, layout->dynamic, node, &attrs, in, 6, out, &made, note);
    if (err == ERR_NONE) {
        put(layout, made);
        for (int i = 0; i < 4; i++) {
            if (d->at[i] >= 0) {
                layout->taken[d->at[i]] = true;
            }
        }
        *ret_done = true;
    }
    return err;
}

static enum err take_dynamic(struct layout *layout, const struct node *node, bool *ret_done, struct err_note *note)
{
    struct dynamic d;
    struct conv c;
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
        subtract_zeros(&c, weights);
        err = put_dynamic(layout, &d, &c, ret_done, note);
    }
    mem_free(weights);
    mem_free(turned.data);
    return err;
}

/* ---- What works on each byte alone ---------------------------------------------------------------------------------------- */

/*
 * A ByteMap, a QLinearAdd or QLinearMul of two values of the chain (or one and a single number), and an Add of two stay what
 * they are.
 */
static bool is_bytewise(const struct layout *layout, const struct node *node, value_id in[OP_MAX_INPUTS])
{
    bool sum = byte_node_is(node, "com.microsoft", "QLinearAdd") || byte_node_is(node, "com.microsoft", "QLinearMul");
    bool map = byte_node_is(node, GRAPH_OWN_DOMAIN, "ByteMap");
    bool add = byte_node_is(node, "", "Add") && node->is.opset >= 7;

    if ((!sum && !map && !add) || node->in[0] < 0 || layout->twin[node->in[0]] < 0) {
        return false;
    }
    if (add) {
        in[0] = layout->twin[node->in[0]];
        in[1] = node->in[1] < 0 ? -1 : layout->twin[node->in[1]];
        return in[1] >= 0;
    }
    memcpy(in, node->in, (size_t)node->is.n_in * sizeof *in);
    in[0] = layout->twin[node->in[0]];
    if (sum) {
        const struct tensor *constant = node_constant(layout->graph, node, 3);
        if (node->in[3] < 0 || (constant == NULL && layout->twin[node->in[3]] < 0) ||
            (constant != NULL && shape_elements(&constant->shape) != 1)) {
            return false;
        }
        in[3] = constant != NULL ? node->in[3] : layout->twin[node->in[3]];
    }
    return true;
}

static enum err take_bytewise(struct layout *layout, const struct node *node, bool *ret_done, struct err_note *note)
{
    struct attr list[MAX_ATTRS];
    struct attrs attrs = {list, 0};
    value_id in[OP_MAX_INPUTS];
    struct node *made = NULL;
    value_id out = -1;

    if (!is_bytewise(layout, node, in) || node->is.attrs.count >= MAX_ATTRS) {
        return ERR_NONE;
    }
    for (; attrs.count < node->is.attrs.count; attrs.count++) {
        list[attrs.count] = node->is.attrs.list[attrs.count];
    }
    list[attrs.count++] = (struct attr){.name = "channels_last", .kind = ATTR_INT, .i = 1};
    enum err err = new_twin(layout, node->out[0], &out, note);
    err = err != ERR_NONE
              ? err
              : graph_make_node(layout->graph, node->is.op, node, &attrs, in, node->is.n_in, out, &made, note);
    if (err == ERR_NONE) {
        put(layout, made);
        layout->lost[node->out[0]] = true;
        *ret_done = true;
    }
    return err;
}

/* ---- The pass ---------------------------------------------------------------------------------------------------------------- */

static enum err walk(struct layout *layout, struct err_note *note)
{
    struct graph *graph = layout->graph;
    enum err err = ERR_NONE;

    for (int i = 0; err == ERR_NONE && i < graph->n_nodes; i++) {
        struct node *node = graph->nodes[i];
        bool done = false;
        if (layout->taken[i]) {
            continue;
        }
        err = take_conv(layout, node, &done, note);
        if (err == ERR_NONE && !done) {
            err = take_matmul(layout, node, &done, note);
        }
        if (err == ERR_NONE && !done) {
            err = take_dynamic(layout, node, &done, note);
        }
        if (err == ERR_NONE && !done) {
            err = take_bytewise(layout, node, &done, note);
        }
        for (int k = 0; err == ERR_NONE && !done && k < node->is.n_in; k++) {
            err = give_back(layout, node, node->in[k], note);
        }
        if (err == ERR_NONE && !done) {
            put(layout, node);
        }
    }
    for (int i = 0; err == ERR_NONE && i < graph->n_outputs; i++) {
        err = give_back(layout, graph->nodes[graph->n_nodes - 1], graph->outputs[i].value, note);
    }
    return err;
}

static bool has_quantised(const struct graph *graph)
{
    struct conv c;

    for (int i = 0; i < graph->n_nodes; i++) {
        if (byte_node_is(graph->nodes[i], "", "ConvInteger") || read_conv(graph, graph->nodes[i], &c) ||
            read_matmul(graph, graph->nodes[i], &c)) {
            return true;
        }
    }
    return false;
}

static enum err run(struct layout *layout, struct err_note *note)
{
    struct graph *graph = layout->graph;

    layout->twin = MEM_ARRAY(value_id, (size_t)layout->room);
    layout->lost = MEM_ARRAY(bool, (size_t)layout->room);
    layout->taken = MEM_ARRAY(bool, (size_t)graph->n_nodes);
    layout->readers = byte_readers(graph);
    layout->list = ARENA_ARRAY(graph->mem, struct node *, layout->list_room);
    if (layout->twin == NULL || layout->lost == NULL || layout->taken == NULL || layout->readers == NULL ||
        layout->list == NULL) {
        return layout->list == NULL ? graph_full(graph, note) : ERR_NOMEM;
    }
    for (int i = 0; i < layout->room; i++) {
        layout->twin[i] = -1;
    }
    enum err err = walk(layout, note);
    if (err == ERR_NONE) {
        graph->nodes = layout->list;
        graph->n_nodes = layout->n;
        graph->room_nodes = layout->list_room;
    }
    return err;
}

enum err pass_byte_layout(struct graph *graph, struct err_note *note)
{
    struct layout layout = {.graph = graph,
                            .conv = graph_own_op(graph, "ByteConv"),
                            .map = graph_own_op(graph, "ByteMap"),
                            .dynamic = graph_own_op(graph, "ByteConvDynamic"),
                            .transpose = graph->ops->find("", "Transpose", 13),
                            .room = graph->n_values,
                            .list_room = 4 * graph->n_nodes + graph->n_outputs};

    if (layout.conv == NULL || layout.map == NULL || layout.transpose == NULL || !has_quantised(graph)) {
        return ERR_NONE;
    }
    enum err err = run(&layout, note);
    mem_free(layout.twin);
    mem_free(layout.lost);
    mem_free(layout.taken);
    mem_free((void *)layout.readers);
    graph_sweep(graph);
    return err;
}
