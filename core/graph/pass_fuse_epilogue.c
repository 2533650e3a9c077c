/*
 * pass_fuse_epilogue.c: a residual add and an activation behind a convolution or product become its last step.
 *
 *     y = product(x)          y is read by the Add alone
 *     z = y + residual        z is read by the activation alone
 *     a = act(z)              →   a = product(x) with epilogue {residual, act}
 *
 * Each saves one trip of a whole activation through memory.
 *
 * When is that right?  The activations are element-wise and need no condition on shapes, except PRelu, whose slope must be
 * one for all or one per channel: that can be read from the constant's shape and the product's weights.  The Add is the
 * difficulty: ONNX broadcasts, an epilogue does not, and the shapes of both sides are unknown here, because batch and image
 * size are free.  Declared shapes cannot be trusted, and equality at one trial size proves nothing about another: [n, c, h, w]
 * + [n, c, 1, 1] is equal when h = w = 1.  So nothing is proved here.  The fused node keeps the nodes that it stands for
 * (node.plain), and each plan, which knows every shape, runs it only if the residual has exactly the product's shape and
 * runs the plain nodes otherwise (plan.c).  A wrong guess costs speed, never a result and never an error.  Adding a constant
 * is never a residual in practice, so that is not guessed.
 *
 * When both sides of an Add are products, the later one takes it, since the earlier one's result exists by then.
 */
#include <assert.h>

#include "core/base/mem.h"
#include "core/graph/graph_private.h"

/* The fused node in the making. */
struct fusion {
    const struct node *product;
    const struct node *add; /* NULL: none */
    const struct node *act; /* NULL: none */
    int last;               /* position of the last of the nodes: the fused one takes it */
    value_id residual;
    value_id slope; /* PRelu's, as the file has it */
    struct epilogue epilogue;
};

static const struct tensor *constant_of(const struct graph *graph, value_id id)
{
    return id < 0 ? NULL : graph->values[id].constant;
}

/* Output channels; 0 if they cannot be told. */
static int64_t channels_of(const struct graph *graph, const struct node *product)
{
    const struct tensor *weight = constant_of(graph, product->in[1]);
    int64_t transposed = 0;

    if (weight == NULL || weight->type != DTYPE_F32 || weight->shape.rank < 2) {
        return 0;
    }
    if (product->is.op->kind == OP_GEMM) {
        if (attr_int(&product->is.attrs, "transB", 0, &transposed, NULL) != ERR_NONE) {
            return 0;
        }
        return weight->shape.dim[transposed != 0 ? 0 : 1];
    }
    return weight->shape.dim[0];
}

/* Can this node take an epilogue at all? */
static bool is_product(const struct graph *graph, const struct node *node)
{
    return node != NULL && (node->is.op->kind == OP_CONV || node->is.op->kind == OP_GEMM) &&
           node->is.op->takes_epilogue && node->n_plain == 0 && node->is.n_out == 1 && channels_of(graph, node) > 0;
}

/* The position of the one node that reads value; -1 if there are several readers, none, or the graph's output is one. */
static int only_reader(const struct graph *graph, const int *reader, value_id value)
{
    return graph->values[value].uses == 1 && !graph_is_output(graph, value) ? reader[value] : -1;
}

/* ---- The add ----------------------------------------------------------------------------------------------------- */

static void take_add(const struct graph *graph, const int *reader, int product_at, struct fusion *fusion)
{
    value_id sum_of = fusion->product->out[0];
    int at = only_reader(graph, reader, sum_of);

    if (at < 0 || graph->nodes[at] == NULL || graph->nodes[at]->is.op->kind != OP_ADD) {
        return;
    }
    const struct node *add = graph->nodes[at];
    value_id other = add->in[0] == sum_of ? add->in[1] : add->in[0];
    if (constant_of(graph, other) != NULL) {
        return;
    }
    int other_at = graph->values[other].producer;
    if (other_at > product_at && is_product(graph, graph->nodes[other_at]) && only_reader(graph, reader, other) == at) {
        return; /* the later product takes the add */
    }
    fusion->add = add;
    fusion->residual = other;
    fusion->last = at;
}

/* ---- The activation ---------------------------------------------------------------------------------------------- */

/* One float; *ret is left alone if the bound is absent.  False if it is not a constant scalar. */
static bool read_bound(const struct graph *graph, const struct graph_node *clip, int input, float *ret)
{
    if (input >= clip->n_in || clip->in[input] < 0) {
        return true;
    }
    const struct tensor *bound = constant_of(graph, clip->in[input]);
    if (bound == NULL || bound->type != DTYPE_F32 || shape_elements(&bound->shape) != 1) {
        return false;
    }
    *ret = *(const float *)bound->data;
    return true;
}

/* Before opset 11 the bounds are attributes, then inputs. */
static bool read_clip(const struct graph *graph, const struct graph_node *clip, struct epilogue *epilogue)
{
    const float largest = 3.402823466e+38F;
    float low = -largest;
    float high = largest;

    if (clip->opset < 11) {
        if (attr_float(&clip->attrs, "min", low, &low, NULL) != ERR_NONE ||
            attr_float(&clip->attrs, "max", high, &high, NULL) != ERR_NONE) {
            return false;
        }
    } else {
        low = -__builtin_inff();
        high = __builtin_inff();
        if (!read_bound(graph, clip, 1, &low) || !read_bound(graph, clip, 2, &high)) {
            return false;
        }
    }
    epilogue->act = EPILOGUE_CLIP;
    epilogue->low = low;
    epilogue->high = high;
    return low <= high; /* the other way round the standard and the kernels may disagree */
}

/* Is the slope one for all or one per channel?  rank is that of the product's output. */
static bool slope_fits(const struct tensor *slope, int64_t channels, int rank, int opset)
{
    if (slope == NULL || slope->type != DTYPE_F32) {
        return false;
    }
    const struct shape *shape = &slope->shape;
    if (shape_elements(shape) == 1 && shape->rank <= rank) {
        return true;
    }
    /* Before opset 7 a slope of one dimension is per channel by definition; from then on it broadcasts from the right. */
    if (shape->rank == 1 && (opset < 7 || rank == 2)) {
        return shape->dim[0] == channels;
    }
    int channel_at = shape->rank - (rank - 1); /* counted from the right, as broadcasting does */
    if (channel_at != 0 && channel_at != 1) {
        return false;
    }
    for (int i = 0; i < shape->rank; i++) {
        if (shape->dim[i] != (i == channel_at ? channels : 1)) {
            return false;
        }
    }
    return true;
}

static bool read_prelu(const struct graph *graph, const struct node *product, const struct graph_node *prelu,
                       struct fusion *fusion)
{
    const struct tensor *weight = constant_of(graph, product->in[1]);
    const struct tensor *slope = constant_of(graph, prelu->in[1]);
    /* A convolution's output has the rank of its weights, a product's two dimensions have it too. */
    int rank = weight->shape.rank;

    if (!slope_fits(slope, channels_of(graph, product), rank, prelu->opset)) {
        return false;
    }
    fusion->slope = prelu->in[1];
    fusion->epilogue.act = EPILOGUE_PRELU;
    return true;
}

static bool read_act(const struct graph *graph, const struct node *act, struct fusion *fusion)
{
    struct epilogue *epilogue = &fusion->epilogue;
    enum op_kind kind = act->is.op->kind;

    if (kind == OP_RELU) {
        epilogue->act = EPILOGUE_RELU;
        return true;
    }
    if (kind == OP_LEAKY_RELU) {
        epilogue->act = EPILOGUE_LEAKY;
        return attr_float(&act->is.attrs, "alpha", 0.01F, &epilogue->low, NULL) == ERR_NONE;
    }
    if (kind == OP_CLIP) {
        return read_clip(graph, &act->is, epilogue);
    }
    if (kind == OP_PRELU) {
        return read_prelu(graph, fusion->product, &act->is, fusion);
    }
    return false;
}

static void take_act(const struct graph *graph, const int *reader, struct fusion *fusion)
{
    value_id before = fusion->add != NULL ? fusion->add->out[0] : fusion->product->out[0];
    struct epilogue none = fusion->epilogue;
    int at = only_reader(graph, reader, before);

    if (at < 0 || graph->nodes[at] == NULL || graph->nodes[at]->in[0] != before) {
        return;
    }
    if (!read_act(graph, graph->nodes[at], fusion)) {
        fusion->epilogue = none;
        return;
    }
    fusion->act = graph->nodes[at];
    fusion->last = at;
}

/* ---- The fused node ---------------------------------------------------------------------------------------------- */

/* One slope per channel, whatever shape the file gives it. */
static enum err spread_slope(struct graph *graph, value_id slope, int64_t channels, value_id *ret,
                             struct err_note *note)
{
    const struct tensor *given = constant_of(graph, slope);
    const float *from = given->data;
    bool one_for_all = shape_elements(&given->shape) == 1;
    float *to = ARENA_ARRAY(graph->mem, float, channels);

    if (to == NULL) {
        return graph_full(graph, note);
    }
    for (int64_t c = 0; c < channels; c++) {
        to[c] = from[one_for_all ? 0 : c];
    }
    struct tensor spread = {.type = DTYPE_F32, .shape = {.rank = 1, .dim = {channels}}, .data = to};
    return graph_derive_constant(graph, graph->values[slope].name, &spread, ret, note);
}

/* The product's inputs, absent ones up to all that it can have, then what the epilogue needs. */
static enum err fused_inputs(struct graph *graph, struct fusion *fusion, struct node *fused, struct err_note *note)
{
    const struct graph_node *product = &fusion->product->is;
    value_id in[OP_MAX_INPUTS + 2];
    int n_in = 0;

    for (int k = 0; k < product->op->max_in; k++) {
        in[n_in++] = k < product->n_in ? product->in[k] : -1;
    }
    fusion->epilogue.residual_input = -1;
    fusion->epilogue.slope_input = -1;
    if (fusion->add != NULL) {
        fusion->epilogue.residual_input = n_in;
        in[n_in++] = fusion->residual;
    }
    if (fusion->epilogue.act == EPILOGUE_PRELU) {
        enum err err = spread_slope(graph, fusion->slope, channels_of(graph, fusion->product), &in[n_in], note);
        if (err != ERR_NONE) {
            return err;
        }
        fusion->epilogue.slope_input = n_in++;
    }
    assert(n_in <= OP_MAX_INPUTS);
    return node_set_inputs(graph, fused, in, n_in, note);
}

static enum err make_fused(struct graph *graph, struct fusion *fusion, struct node **ret, struct err_note *note)
{
    struct node *fused = graph_carve(graph, 1, sizeof *fused);
    const struct node **plain = graph_carve(graph, 3, sizeof(const struct node *));
    value_id *out = graph_carve(graph, 1, sizeof *out);

    if (fused == NULL || plain == NULL || out == NULL) {
        return graph_full(graph, note);
    }
    *fused = *fusion->product;
    enum err err = fused_inputs(graph, fusion, fused, note);
    if (err != ERR_NONE) {
        return err;
    }
    plain[fused->n_plain++] = fusion->product;
    if (fusion->add != NULL) {
        plain[fused->n_plain++] = fusion->add;
    }
    if (fusion->act != NULL) {
        plain[fused->n_plain++] = fusion->act;
    }
    fused->plain = plain;
    out[0] = plain[fused->n_plain - 1]->out[0];
    fused->out = out;
    fused->is.out = out;
    fused->is.epilogue = fusion->epilogue;
    *ret = fused;
    return ERR_NONE;
}

static enum err fuse_from(struct graph *graph, const int *reader, int product_at, struct err_note *note)
{
    struct fusion fusion = {.product = graph->nodes[product_at], .last = product_at, .residual = -1, .slope = -1};
    struct node *fused = NULL;

    take_add(graph, reader, product_at, &fusion);
    take_act(graph, reader, &fusion);
    if (fusion.last == product_at) {
        return ERR_NONE;
    }
    enum err err = make_fused(graph, &fusion, &fused, note);
    if (err != ERR_NONE) {
        return err;
    }
    assert(fused != NULL);
    if (fusion.add != NULL) {
        graph->nodes[graph->values[fusion.add->out[0]].producer] = NULL;
    }
    graph->nodes[product_at] = NULL;
    graph->nodes[fusion.last] = fused;
    graph->values[fused->out[0]].producer = fusion.last;
    return ERR_NONE;
}

enum err pass_fuse_epilogue(struct graph *graph, struct err_note *note)
{
    /* Per value, the position of one node that reads it. */
    int *reader = MEM_ARRAY(int, (size_t)graph->n_values);
    enum err err = ERR_NONE;

    if (reader == NULL) {
        return ERR_SAY(note, ERR_NOMEM, "no memory to prepare the graph");
    }
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct graph_node *is = &graph->nodes[i]->is;
        for (int k = 0; k < is->n_in; k++) {
            if (is->in[k] >= 0) {
                reader[is->in[k]] = i;
            }
        }
    }
    for (int i = 0; err == ERR_NONE && i < graph->n_nodes; i++) {
        if (is_product(graph, graph->nodes[i])) {
            err = fuse_from(graph, reader, i, note);
        }
    }
    mem_free(reader);
    graph_sweep(graph);
    return err;
}
