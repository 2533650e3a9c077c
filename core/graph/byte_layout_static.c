/* byte_layout_static.c: layers whose scales are constants, QLinearConv and QLinearMatMul, as ByteConv on packed weights. */
#include "core/base/mem.h"
#include "core/graph/byte_layout_private.h"
#include "core/graph/node_call.h"
#include "core/kernel/gemm_int.h"

/* ---- QLinearConv ---------------------------------------------------------------------------------------------------------- */

bool layout_is_per_channel(const struct tensor *t, enum dtype type, int64_t channels)
{
    return t != NULL && t->type == type &&
           (shape_elements(&t->shape) == 1 || (t->shape.rank == 1 && t->shape.dim[0] == channels));
}

static bool read_conv(const struct graph *graph, const struct node *node, struct byte_conv *ret)
{
    struct byte_conv c = {.w = node_constant(graph, node, 3),
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
    if (!layout_is_per_channel(c.w_scale, DTYPE_F32, dim[0]) ||
        (c.w_zero != NULL && !layout_is_per_channel(c.w_zero, c.w->type, dim[0])) ||
        (node->is.n_in > 5 && node->in[5] >= 0 && c.w_zero == NULL) ||
        (node->is.n_in > 8 &&
         (c.bias == NULL || c.bias->type != DTYPE_I32 || c.bias->shape.rank != 1 || c.bias->shape.dim[0] != dim[0]))) {
        return false;
    }
    c.shape = layout_weights_shape(dim, group);
    *ret = c;
    return conv_byte_fits(&c.shape);
}

static int32_t byte_at(const struct tensor *t, int64_t i)
{
    return t->type == DTYPE_U8 ? ((const uint8_t *)t->data)[i] : ((const int8_t *)t->data)[i];
}

/* Weights less their zero points. */
void layout_subtract_zeros(struct byte_conv *c, int16_t *to)
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
static enum err derive_inputs(struct graph *graph, const struct byte_conv *c, value_id ret[3], struct err_note *note)
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

/* The convolution's own attributes, and what the new operator needs to know beside. */
bool layout_attrs(const struct node *node, const struct byte_conv *c, struct attr list[LAYOUT_MAX_ATTRS],
                  int *ret_count)
{
    int n = 0;
    const struct attr more[] = {
        {.name = "weights", .kind = ATTR_INTS, .ints = c->w->shape.dim, .count = 4},
        {.name = "passes", .kind = ATTR_INT, .i = c->passes},
        {.name = "x_zero", .kind = ATTR_INT, .i = c->x_zero},
        {.name = "y_zero", .kind = ATTR_INT, .i = c->y_zero},
        {.name = "y_signed", .kind = ATTR_INT, .i = c->y_type == DTYPE_I8},
    };

    if (node->is.attrs.count > LAYOUT_MAX_ATTRS - (int)(sizeof more / sizeof *more)) {
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
static enum err put_conv(struct layout *layout, const struct node *node, struct byte_conv *c, value_id x, value_id out,
                         bool *ret_done, struct err_note *note)
{
    struct graph *graph = layout->graph;
    struct attr list[LAYOUT_MAX_ATTRS];
    struct attrs attrs = {list, 0};
    struct node *made = NULL;
    value_id in[4] = {x};
    int16_t *weights = MEM_ARRAY(int16_t, (size_t)shape_elements(&c->w->shape));

    if (weights == NULL) {
        return ERR_NOMEM;
    }
    layout_subtract_zeros(c, weights);
    if (!layout_attrs(node, c, list, &attrs.count)) {
        mem_free(weights);
        return ERR_NONE;
    }
    enum err err = derive_inputs(graph, c, in + 1, note);
    mem_free(weights);
    if (err == ERR_NONE && x < 0) {
        err = layout_twin_of(layout, node, node->in[0], &in[0], note);
    }
    if (err == ERR_NONE && out < 0) {
        err = layout_new_twin(layout, node->out[0], &out, note);
        layout->lost[node->out[0]] = err == ERR_NONE;
    }
    err = err != ERR_NONE ? err : graph_make_node(graph, layout->conv, node, &attrs, in, 4, out, &made, note);
    if (err == ERR_NONE) {
        layout_put(layout, made);
        *ret_done = true;
    }
    return err;
}

enum err layout_take_conv(struct layout *layout, const struct node *node, bool *ret_done, struct err_note *note)
{
    struct byte_conv c;

    return read_conv(layout->graph, node, &c) ? put_conv(layout, node, &c, -1, -1, ret_done, note) : ERR_NONE;
}

/* ---- QLinearMatMul: rows are images of one pixel, so nothing is turned around ------------------------------------------- */

static bool read_matmul(const struct graph *graph, const struct node *node, struct byte_conv *ret)
{
    struct byte_conv c = {.w = node_constant(graph, node, 3),
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
    return layout_is_per_channel(c.w_scale, DTYPE_F32, c.shape.oc) &&
           layout_is_per_channel(c.w_zero, c.w->type, c.shape.oc) && conv_byte_fits(&c.shape);
}

enum err layout_take_matmul(struct layout *layout, const struct node *node, bool *ret_done, struct err_note *note)
{
    struct byte_conv c;

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
    enum err err = layout_give_back(layout, node, node->in[0], note);
    err = err != ERR_NONE ? err : put_conv(layout, node, &c, node->in[0], node->out[0], ret_done, note);
    mem_free(turned);
    return err;
}

bool layout_is_static(const struct graph *graph, const struct node *node)
{
    struct byte_conv c;

    return read_conv(graph, node, &c) || read_matmul(graph, node, &c);
}
