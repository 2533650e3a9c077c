/*
 * pass_join_heads.c: small convolutions of one map, each turned to channels-last behind, become one convolution.
 *
 *     a = conv(x, wa), A = transpose(a)          m = conv(x, wa and wb)
 *     b = conv(x, wb), B = transpose(b)    →     A = part(m, channels of a), B = part(m, channels of b)
 *
 * So do detectors end: two scores, eight numbers of a box and twenty of points for each place of a map.  Channels are computed
 * in blocks of sixteen, and most of such a layer is reading and transforming x: one layer of thirty channels costs what one of
 * twenty does.  Only where that saves a block; and only before a Transpose, which the parts do on the way (op_channel_part.c).
 */
#include <string.h>

#include "core/base/mem.h"
#include "core/graph/byte_nodes.h"
#include "core/kernel/block.h"

#define MOST 8 /* heads of one map */

struct heads {
    int n;
    int conv_at[MOST], turn_at[MOST]; /* positions of the convolution and of its Transpose */
    int64_t channels;                 /* of all of them */
    int64_t blocks;                   /* that they take apart */
    bool has_bias;
};

/* [n, c, h, w] to [n, h, w, c] (0) or to [h, w, n, c] (2); -1: another order. */
static int turned_to(const struct node *node)
{
    static const int64_t orders[2][4] = {{0, 2, 3, 1}, {2, 3, 0, 1}};
    const int64_t *perm = NULL;
    size_t count = 0;

    if (!byte_node_is(node, "", "Transpose") || attr_ints(&node->is.attrs, "perm", &perm, &count, NULL) != ERR_NONE ||
        count != 4) {
        return -1;
    }
    for (int i = 0; i < 2; i++) {
        if (memcmp(perm, orders[i], sizeof orders[i]) == 0) {
            return 2 * i;
        }
    }
    return -1;
}

/* A convolution in one group with constants, and nothing fused to it. */
static bool is_plain_conv(const struct graph *graph, const struct node *node)
{
    int64_t group = 0;

    if (node == NULL || node->is.op->kind != OP_CONV || node->n_plain != 0 || node->is.n_out != 1 ||
        node->is.n_in > 3 || node->is.epilogue.act != EPILOGUE_NONE || node->is.epilogue.scale_input > 0 ||
        attr_int(&node->is.attrs, "group", 1, &group, NULL) != ERR_NONE || group != 1) {
        return false;
    }
    const struct tensor *w = node_constant(graph, node, 1);
    const struct tensor *bias = node_constant(graph, node, 2);
    bool has_bias = node->is.n_in == 3 && node->in[2] >= 0;
    return w != NULL && w->type == DTYPE_F32 && w->shape.rank == 4 && w->shape.dim[0] > 0 &&
           (!has_bias || (bias != NULL && bias->type == DTYPE_F32 && shape_elements(&bias->shape) == w->shape.dim[0]));
}

static bool same_ints(const struct attr *a, const struct attr *b)
{
    return a->count == b->count && (a->count == 0 || memcmp(a->ints, b->ints, a->count * sizeof *a->ints) == 0);
}

static bool same_attrs(const struct attrs *a, const struct attrs *b)
{
    for (int i = 0; i < a->count; i++) {
        const struct attr *x = &a->list[i];
        const struct attr *y = attr_find(b, x->name);
        if (y == NULL || x->kind != y->kind || (x->kind == ATTR_INT && x->i != y->i) ||
            (x->kind == ATTR_INTS && !same_ints(x, y)) || (x->kind == ATTR_TEXT && strcmp(x->text, y->text) != 0) ||
            (x->kind != ATTR_INT && x->kind != ATTR_INTS && x->kind != ATTR_TEXT)) {
            return false;
        }
    }
    return a->count == b->count;
}

/* Do both read the same image through windows of one shape? */
static bool are_siblings(const struct graph *graph, const struct node *a, const struct node *b)
{
    const struct tensor *wa = node_constant(graph, a, 1);
    const struct tensor *wb = node_constant(graph, b, 1);

    return wa != NULL && wb != NULL && a->in[0] == b->in[0] &&
           memcmp(wa->shape.dim + 1, wb->shape.dim + 1, 3 * sizeof *wa->shape.dim) == 0 &&
           same_attrs(&a->is.attrs, &b->is.attrs);
}

static struct heads find_heads(const struct graph *graph, const int *readers, int first)
{
    const struct node *lead = graph->nodes[first];
    struct heads heads = {.n = 0};

    for (int i = first; i < graph->n_nodes && heads.n < MOST; i++) {
        const struct node *node = graph->nodes[i];
        if (!is_plain_conv(graph, node) || !are_siblings(graph, lead, node)) {
            continue;
        }
        int turn = byte_only_reader(graph, readers, node->out[0]);
        if (turn < 0 || turned_to(graph->nodes[turn]) < 0) {
            continue;
        }
        int64_t channels = node_constant(graph, node, 1)->shape.dim[0];
        heads.conv_at[heads.n] = i;
        heads.turn_at[heads.n++] = turn;
        heads.channels += channels;
        heads.blocks += block_count(channels);
        heads.has_bias = heads.has_bias || node_constant(graph, node, 2) != NULL;
    }
    return heads;
}

/* The constants at input i of all of them, one behind the other; absent ones are zero. */
static enum err join_constants(struct graph *graph, const struct heads *heads, int i, value_id *ret,
                               struct err_note *note)
{
    const struct node *lead = graph->nodes[heads->conv_at[0]];
    const struct shape *w = &node_constant(graph, lead, 1)->shape;
    int64_t row = i == 1 ? w->dim[1] * w->dim[2] * w->dim[3] : 1;
    struct tensor joined = {.type = DTYPE_F32, .shape = {.rank = 1, .dim = {heads->channels}}};

    if (i == 1) {
        joined.shape = *w;
        joined.shape.dim[0] = heads->channels;
    }
    float *to = ARENA_ARRAY(graph->mem, float, heads->channels *row);
    if (to == NULL) {
        return graph_full(graph, note);
    }
    joined.data = to;
    for (int h = 0; h < heads->n; h++) {
        const struct node *node = graph->nodes[heads->conv_at[h]];
        const struct tensor *part = node_constant(graph, node, i);
        int64_t count = node_constant(graph, node, 1)->shape.dim[0] * row;
        if (part != NULL && part->data != NULL && count > 0) {
            memcpy(to, part->data, (size_t)count * sizeof *to);
        }
        to += count;
    }
    return graph_derive_constant(graph, graph->values[lead->in[1]].name, &joined, ret, note);
}

static enum err make_part(struct graph *graph, const struct op_def *op, const struct node *turn, value_id from,
                          int64_t first, int64_t count, struct node **ret, struct err_note *note)
{
    const struct attr list[] = {{.name = "first", .kind = ATTR_INT, .i = first},
                                {.name = "count", .kind = ATTR_INT, .i = count},
                                {.name = "batch_at", .kind = ATTR_INT, .i = turned_to(turn)}};
    const struct attrs attrs = {list, 3};

    return graph_make_node(graph, op, turn, &attrs, &from, 1, turn->out[0], ret, note);
}

static enum err join(struct graph *graph, const struct op_def *op, const struct heads *heads, struct err_note *note)
{
    const struct node *lead = graph->nodes[heads->conv_at[0]];
    value_id in[3] = {lead->in[0], -1, -1};
    value_id sum = -1;
    struct node *conv = NULL;

    enum err err = join_constants(graph, heads, 1, &in[1], note);
    if (err == ERR_NONE && heads->has_bias) {
        err = join_constants(graph, heads, 2, &in[2], note);
    }
    err = err != ERR_NONE ? err : graph_new_value(graph, graph->values[lead->out[0]].name, &sum, note);
    if (err == ERR_NONE) {
        err = graph_make_node(graph, lead->is.op, lead, &lead->is.attrs, in, heads->has_bias ? 3 : 2, sum, &conv, note);
    }
    int64_t first = 0;
    for (int h = 0; err == ERR_NONE && h < heads->n; h++) {
        struct node *part = NULL;
        int64_t count = node_constant(graph, graph->nodes[heads->conv_at[h]], 1)->shape.dim[0];
        err = make_part(graph, op, graph->nodes[heads->turn_at[h]], sum, first, count, &part, note);
        if (err == ERR_NONE) {
            graph->nodes[heads->turn_at[h]] = part;
            first += count;
        }
    }
    if (err != ERR_NONE) {
        return err;
    }
    for (int h = 1; h < heads->n; h++) {
        graph->nodes[heads->conv_at[h]] = NULL;
    }
    conv->is.opset = lead->is.opset;
    graph->nodes[heads->conv_at[0]] = conv;
    return ERR_NONE;
}

enum err pass_join_heads(struct graph *graph, struct err_note *note)
{
    const struct op_def *op = graph_own_op(graph, "ChannelPart");
    enum err err = ERR_NONE;

    if (op == NULL) {
        return ERR_NONE;
    }
    int *readers = byte_readers(graph);
    if (readers == NULL) {
        return ERR_SAY(note, ERR_NOMEM, "no memory to prepare the graph");
    }
    for (int i = 0; err == ERR_NONE && i < graph->n_nodes; i++) {
        if (!is_plain_conv(graph, graph->nodes[i])) {
            continue;
        }
        struct heads heads = find_heads(graph, readers, i);
        if (heads.n > 1 && heads.blocks > block_count(heads.channels)) {
            err = join(graph, op, &heads, note);
        }
    }
    mem_free(readers);
    graph_sweep(graph);
    return err;
}
