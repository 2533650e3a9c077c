/*
 * pass_byte_maps.c: from bytes to floats, through operators that work on each number alone, and back to bytes, is a table.
 *
 *     q = DequantizeLinear(x); r = PRelu(q); y = QuantizeLinear(r)     →     y = table[channel][x]
 *
 * A byte has 256 values, so the operators themselves are run on all of them, once for each channel: the table gives the very
 * bytes that they would give.  Only behind convolutions, whose outputs are known to have four dimensions; elsewhere it cannot
 * be told which dimension a constant of a channel's parameters belongs to.
 */
#include <assert.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/graph/byte_lines.h"
#include "core/graph/byte_nodes.h"
#include "core/graph/node_call.h"

#define MAX_CHAIN 8
#define VALUES 256

struct chain {
    const struct node *nodes[MAX_CHAIN]; /* DequantizeLinear first, QuantizeLinear last */
    int at[MAX_CHAIN];
    int n;
    int64_t channels;
    enum dtype type; /* of the bytes */
};

/* Operators that work on each number alone and have no other inputs. */
static bool is_pure(const struct node *node)
{
    static const char *const names[] = {"Sigmoid", "HardSigmoid", "Tanh", "Abs", "Neg", "Sqrt", "Exp"};
    enum op_kind kind = node->is.op->kind;
    bool pure = kind == OP_RELU || kind == OP_LEAKY_RELU;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        pure = pure || byte_node_is(node, "", names[i]);
    }
    return pure;
}

static bool takes_parameters(const struct node *node)
{
    return node->is.op->kind == OP_PRELU || node->is.op->kind == OP_CLIP || byte_node_is(node, "", "Add") ||
           byte_node_is(node, "", "Sub") || byte_node_is(node, "", "Mul") || byte_node_is(node, "", "Div");
}

/* One number for all, or one for each channel of [n, c, h, w]; counts the channels. */
static bool fits_channels(const struct tensor *constant, int64_t *channels)
{
    const struct shape *s = constant == NULL ? NULL : &constant->shape;
    int64_t count = s == NULL ? 0 : shape_elements(s);

    if (count == 1) {
        return s->rank <= 4;
    }
    if (count < 1 || (s->rank != 3 && s->rank != 4) || s->dim[s->rank - 3] != count) {
        return false;
    }
    bool same = *channels == 1 || *channels == count;
    *channels = count;
    return same;
}

static bool takes_constants(const struct graph *graph, const struct node *node, value_id from, int64_t *channels)
{
    for (int k = 0; k < node->is.n_in; k++) {
        if (node->in[k] == from || node->in[k] < 0) {
            continue;
        }
        if (!fits_channels(node_constant(graph, node, k), channels)) {
            return false;
        }
    }
    return node->is.op->kind != OP_PRELU || node->in[0] == from;
}

static bool is_norm(const struct graph *graph, const struct node *node, value_id from, int64_t *channels)
{
    if (node->is.op->kind != OP_BATCH_NORM || node->in[0] != from || node->is.n_out != 1) {
        return false;
    }
    for (int k = 1; k < node->is.n_in; k++) {
        const struct tensor *constant = node_constant(graph, node, k);
        if (constant == NULL || constant->shape.rank != 1 || (*channels != 1 && *channels != constant->shape.dim[0])) {
            return false;
        }
        *channels = constant->shape.dim[0];
    }
    return true;
}

/* Follows the only reader from the DequantizeLinear at position `at` to a QuantizeLinear. */
static bool find_chain(const struct graph *graph, const int *readers, int at, struct chain *ret)
{
    struct chain chain = {.nodes = {graph->nodes[at]}, .at = {at}, .n = 1, .channels = 1};
    enum dtype type = DTYPE_NONE;
    float scale = 0;
    int zero = 0;

    if (!byte_scale(graph, graph->nodes[at], 1, &scale, &zero, &chain.type)) {
        return false;
    }
    while (chain.n < MAX_CHAIN) {
        value_id value = chain.nodes[chain.n - 1]->out[0];
        at = byte_only_reader(graph, readers, value);
        if (at < 0) {
            return false;
        }
        const struct node *node = graph->nodes[at];
        chain.nodes[chain.n] = node;
        chain.at[chain.n++] = at;
        if (byte_node_is(node, "", "QuantizeLinear")) {
            *ret = chain;
            return node->in[0] == value && byte_scale(graph, node, 1, &scale, &zero, &type);
        }
        if (!is_pure(node) && !is_norm(graph, node, value, &chain.channels) &&
            !(takes_parameters(node) && takes_constants(graph, node, value, &chain.channels))) {
            return false;
        }
    }
    return false;
}

/*
 * Runs the chain on every byte in every channel; *ret [256, channels, 1, 1], and *ret_floats what its last node, the
 * QuantizeLinear, made it of.
 */
static enum err run_chain(const struct graph *graph, const struct chain *chain, struct arena *mem, struct tensor *ret,
                          struct tensor *ret_floats, struct err_note *note)
{
    struct tensor value = {.type = chain->type, .shape = {.rank = 4, .dim = {VALUES, chain->channels, 1, 1}}};
    uint8_t *bytes = ARENA_ARRAY(mem, uint8_t, VALUES * chain->channels);
    enum err err = bytes == NULL ? arena_why(mem) : ERR_NONE;

    for (int64_t i = 0; err == ERR_NONE && i < VALUES * chain->channels; i++) {
        bytes[i] = (uint8_t)(i / chain->channels);
    }
    value.data = bytes;
    for (int i = 0; err == ERR_NONE && i < chain->n; i++) {
        const struct node *node = chain->nodes[i];
        struct tensor in[OP_MAX_INPUTS];
        struct tensor out[OP_MAX_OUTPUTS];
        for (int k = 0; k < node->is.n_in; k++) {
            const struct tensor *constant = node_constant(graph, node, k);
            in[k] = constant != NULL ? *constant : node->in[k] >= 0 ? value : (struct tensor){.type = DTYPE_NONE};
        }
        struct op_call call = node_call(node, in, out, NULL);
        err = node_shape(node, &call, SIZE_MAX, note);
        err = err != ERR_NONE ? err : node_evaluate(node, &call, mem, note);
        *ret_floats = value;
        value = out[0];
    }
    *ret = value;
    return err;
}

/* ---- Lines ------------------------------------------------------------------------------------------------------------------ */

static struct byte_ends ends_of(const struct graph *graph, const struct chain *chain)
{
    struct byte_ends ends = {0};
    float unused = 0;
    enum dtype type = DTYPE_NONE;

    (void)byte_scale(graph, chain->nodes[0], 1, &unused, &ends.x_zero, &type); /* both have been read before */
    ends.x_signed = type == DTYPE_I8;
    (void)byte_scale(graph, chain->nodes[chain->n - 1], 1, &ends.scale, &ends.y_zero, &type);
    ends.y_signed = type == DTYPE_I8;
    return ends;
}

/* The table as a constant [channels, 256], and lines [4, channels] (-1: none). */
static enum err make_table(struct graph *graph, const struct chain *chain, value_id ret[2], struct err_note *note)
{
    const struct byte_ends ends = ends_of(graph, chain);
    int64_t channels = chain->channels;
    struct arena *mem = arena_new((size_t)256 << 20);
    struct tensor images = {0};
    struct tensor floats = {0};
    uint8_t *table = ARENA_ARRAY(graph->mem, uint8_t, VALUES * channels);
    float *lines = ARENA_ARRAY(graph->mem, float, 4 * channels);

    if (mem == NULL || table == NULL || lines == NULL) {
        arena_free(mem);
        return mem == NULL ? ERR_NOMEM : graph_full(graph, note);
    }
    enum err err = run_chain(graph, chain, mem, &images, &floats, note);
    assert(err != ERR_NONE || (images.data != NULL && floats.data != NULL));
    bool straight =
        err == ERR_NONE && channels > 1 && byte_lines_fit(&ends, channels, floats.data, images.data, mem, lines);
    for (int64_t i = 0; err == ERR_NONE && i < VALUES * channels; i++) {
        table[i] = ((const uint8_t *)images.data)[i % VALUES * channels + i / VALUES];
    }
    arena_free(mem);
    const struct tensor constants[2] = {
        {.type = DTYPE_U8, .shape = {.rank = 2, .dim = {channels, VALUES}}, .data = table},
        {.type = DTYPE_F32, .shape = {.rank = 2, .dim = {4, channels}}, .data = lines}};
    ret[1] = -1;
    for (int i = 0; err == ERR_NONE && i < (straight ? 2 : 1); i++) {
        err = graph_derive_constant(graph, "table", &constants[i], &ret[i], note);
    }
    return err;
}

static enum err replace(struct graph *graph, const struct op_def *op, const struct chain *chain, struct err_note *note)
{
    const struct node *last = chain->nodes[chain->n - 1];
    const struct byte_ends ends = ends_of(graph, chain);
    const struct attr list[] = {{.name = "signed", .kind = ATTR_INT, .i = ends.y_signed},
                                {.name = "split", .kind = ATTR_INT, .i = ends.x_zero},
                                {.name = "zero", .kind = ATTR_INT, .i = ends.y_zero}};
    const struct attrs attrs = {list, 3};
    struct node *node = NULL;
    value_id in[3] = {chain->nodes[0]->in[0], -1, -1};

    enum err err = make_table(graph, chain, in + 1, note);
    err = err != ERR_NONE ? err : graph_make_node(graph, op, last, &attrs, in, 3, last->out[0], &node, note);
    if (err != ERR_NONE) {
        return err;
    }
    for (int i = 0; i < chain->n; i++) {
        graph->nodes[chain->at[i]] = NULL;
    }
    graph->nodes[chain->at[chain->n - 1]] = node;
    graph->values[last->out[0]].producer = chain->at[chain->n - 1];
    return ERR_NONE;
}

/* What is known to have four dimensions. */
static bool keeps_rank(const struct graph *graph, const struct node *node, const bool *four)
{
    if (byte_node_is(node, "", "QLinearConv")) {
        const struct tensor *weights = node_constant(graph, node, 3);
        return weights != NULL && weights->shape.rank == 4;
    }
    if (byte_node_is(node, "com.microsoft", "QLinearAdd") || byte_node_is(node, "com.microsoft", "QLinearMul")) {
        return four[node->in[0]] && node->in[3] >= 0 && (four[node->in[3]] || node_constant(graph, node, 3) != NULL);
    }
    return byte_node_is(node, GRAPH_OWN_DOMAIN, "ByteMap") && four[node->in[0]];
}

enum err pass_byte_maps(struct graph *graph, struct err_note *note)
{
    const struct op_def *op = graph_own_op(graph, "ByteMap");
    enum err err = ERR_NONE;

    if (op == NULL) {
        return ERR_NONE;
    }
    int *readers = byte_readers(graph);
    bool *four = MEM_ARRAY(bool, (size_t)graph->n_values + 2 * (size_t)graph->n_nodes);
    if (readers == NULL || four == NULL) {
        mem_free(readers);
        mem_free(four);
        return ERR_SAY(note, ERR_NOMEM, "no memory to prepare the graph");
    }
    for (int i = 0; err == ERR_NONE && i < graph->n_nodes; i++) {
        struct chain chain;
        const struct node *node = graph->nodes[i];
        if (byte_node_is(node, "", "DequantizeLinear") && node->in[0] >= 0 && four[node->in[0]] &&
            find_chain(graph, readers, i, &chain)) {
            err = replace(graph, op, &chain, note);
        }
        node = graph->nodes[i];
        if (node != NULL && node->is.n_out > 0 && node->out[0] >= 0) {
            four[node->out[0]] = keeps_rank(graph, node, four);
        }
    }
    mem_free(readers);
    mem_free(four);
    graph_sweep(graph);
    return err;
}
