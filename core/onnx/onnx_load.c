/*
 * onnx_load.c: ModelProto, GraphProto and NodeProto: a file becomes a graph.
 *
 * The records are walked several times instead of being collected first: opsets, then constants, inputs, nodes, outputs.
 * Skipping a field costs nothing, the order of fields in the file does not matter, and nothing that the file counts is
 * ever allocated before it has been seen.  What is read of one node dies before the next one is read.
 */
#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "core/base/size.h"
#include "core/onnx/onnx_private.h"
#include "core/op/op_list.h"

/*
 * The graph may need so many times the file, and a bit: integers of one byte in the file are eight in memory, and
 * folding adds copies.
 */
#define CAP_FACTOR 10
#define CAP_BYTES ((size_t)4 << 20)

/* For one record; a node of a file that we read has a few hundred bytes, its one large attribute is a tensor. */
#define SCRATCH_BYTES ((size_t)64 << 10)

enum model_field {
    MODEL_IR_VERSION = 1,
    MODEL_PRODUCER = 2,
    MODEL_GRAPH = 7,
    MODEL_OPSET = 8,
    MODEL_TRAINING = 20,
    MODEL_FUNCTIONS = 25
};

enum graph_field {
    GRAPH_NODE = 1,
    GRAPH_CONSTANT = 5,
    GRAPH_INPUT = 11,
    GRAPH_OUTPUT = 12,
    GRAPH_SPARSE_CONSTANT = 15
};

enum node_field {
    NODE_INPUT = 1,
    NODE_OUTPUT = 2,
    NODE_NAME = 3,
    NODE_OP = 4,
    NODE_ATTR = 5,
    NODE_DOMAIN = 7
};

struct loading {
    struct graph *graph;
    struct arena *scratch; /* reset after each record */
    struct onnx_info info;
    struct wire graph_record;
    bool has_graph;
    int record; /* nodes seen, for notes */
};

static enum err damaged(const struct wire *wire, const char *what, struct err_note *note)
{
    return wire_failed(wire) ? ERR_SAY(note, ERR_FORMAT, "%s is truncated or damaged", what) : ERR_NONE;
}

/* Names the record that could not be read, for errors that say nothing about where. */
static enum err in_record(enum err err, const char *what, const char *name, struct err_note *note)
{
    if (err == ERR_LIMIT || err == ERR_NOMEM) {
        (void)ERR_SAY(note, err, "needs more memory than %s", err == ERR_LIMIT ? "the limit" : "there is");
    }
    if (err != ERR_NONE) {
        err_prefix(note, "%s%s%.60s%s: ", what, name[0] == '\0' ? "" : " '", name, name[0] == '\0' ? "" : "'");
    }
    return err;
}

/* ---- The model --------------------------------------------------------------------------------------------------- */

static enum err read_opset(struct loading *loading, struct wire wire, struct err_note *note)
{
    struct wire_field field;
    const char *domain = "";
    int64_t version = 0;
    enum err err = ERR_NONE;

    while (err == ERR_NONE && wire_next(&wire, &field)) {
        if (field.number == 1) {
            err = onnx_read_text(&wire, &field, loading->scratch, "a domain", &domain, note);
        } else if (field.number == 2) {
            version = wire_int(&wire, &field);
        }
    }
    if (err == ERR_NONE) {
        err = damaged(&wire, "an operator set", note);
    }
    if (err == ERR_NONE && (version < 1 || version > 1000000)) {
        err = ERR_SAY(note, ERR_FORMAT, "operator set '%.60s' has version %" PRId64, domain, version);
    }
    if (err == ERR_NONE) {
        err = graph_set_opset(loading->graph, domain, (int)version, note);
    }
    if (err == ERR_NONE && (domain[0] == '\0' || strcmp(domain, "ai.onnx") == 0)) {
        loading->info.opset = (int)version;
    }
    arena_reset(loading->scratch);
    return err;
}

static enum err read_model_field(struct loading *loading, struct wire *wire, const struct wire_field *field,
                                 struct err_note *note)
{
    switch (field->number) {
    case MODEL_IR_VERSION: loading->info.ir_version = wire_int(wire, field); break;
    case MODEL_PRODUCER:
        return onnx_read_text(wire, field, graph_arena(loading->graph), "the producer's name", &loading->info.producer,
                              note);
    case MODEL_OPSET: return read_opset(loading, wire_enter(wire, field), note);
    case MODEL_GRAPH:
        if (loading->has_graph) {
            return ERR_SAY(note, ERR_FORMAT, "the file holds two graphs");
        }
        loading->has_graph = true;
        loading->graph_record = wire_enter(wire, field);
        break;
    case MODEL_TRAINING: return ERR_SAY(note, ERR_UNSUPPORTED, "training information is not supported");
    case MODEL_FUNCTIONS: return ERR_SAY(note, ERR_UNSUPPORTED, "model-local functions are not supported");
    default: break;
    }
    return ERR_NONE;
}

static enum err read_model(struct loading *loading, struct wire wire, struct err_note *note)
{
    struct wire_field field;
    enum err err = ERR_NONE;

    while (err == ERR_NONE && wire_next(&wire, &field)) {
        err = read_model_field(loading, &wire, &field, note);
    }
    if (err == ERR_NONE) {
        err = damaged(&wire, "the model", note);
    }
    if (err == ERR_NONE && !loading->has_graph) {
        err = ERR_SAY(note, ERR_FORMAT, "the file holds no graph: is it an ONNX model?");
    }
    /* Files of IR version 1 and 2 name no operator set; they were written for the first. */
    if (err == ERR_NONE && loading->info.opset == 0 && loading->info.ir_version < 3) {
        loading->info.opset = 1;
        err = graph_set_opset(loading->graph, "", 1, note);
    }
    return err;
}

/* ---- Constants, inputs, outputs ---------------------------------------------------------------------------------- */

static enum err read_constant(struct loading *loading, struct wire wire, struct err_note *note)
{
    struct tensor tensor;
    const char *name = "";
    value_id id;

    enum err err = onnx_read_tensor(wire, graph_arena(loading->graph), &tensor, &name, note);
    if (err == ERR_NONE) {
        err = graph_add_constant(loading->graph, name, &tensor, &id, note);
    }
    return in_record(err, "initializer", name, note);
}

static enum err read_input(struct loading *loading, struct wire wire, struct err_note *note)
{
    const char *name = "";
    enum dtype type;
    struct shape shape;
    value_id id = -1;

    enum err err = onnx_read_value_info(wire, loading->scratch, &name, &type, &shape, note);
    if (err == ERR_NONE) {
        err = graph_value(loading->graph, name, &id, note);
    }
    /*
     * Files of IR version 3 and below list initialisers as inputs as well; later ones may do so to give an input a default.
     * We take either as the constant that it is.
     */
    if (err == ERR_NONE && graph_constant(loading->graph, id) == NULL) {
        err = type == DTYPE_NONE ? ERR_SAY(note, ERR_FORMAT, "has no type")
                                 : graph_add_input(loading->graph, name, type, &shape, &id, note);
    }
    return in_record(err, "input", name, note);
}

static enum err read_output(struct loading *loading, struct wire wire, struct err_note *note)
{
    const char *name = "";
    enum dtype type;
    struct shape shape;
    value_id id = -1;

    enum err err = onnx_read_value_info(wire, loading->scratch, &name, &type, &shape, note);
    if (err == ERR_NONE) {
        err = graph_value(loading->graph, name, &id, note);
    }
    if (err == ERR_NONE) {
        err = graph_add_output(loading->graph, id, type, &shape, note);
    }
    return in_record(err, "output", name, note);
}

/* ---- Nodes ------------------------------------------------------------------------------------------------------- */

struct node_record {
    const char *op, *name, *domain;
    value_id in[OP_MAX_INPUTS];
    value_id out[OP_MAX_OUTPUTS];
    int n_in, n_out;
    struct attr *attrs;
    int n_attrs, room_attrs;
};

/* Adds the value that a node names to a list of at most room; an empty name is an absent one. */
static enum err read_value(struct loading *loading, struct wire *wire, const struct wire_field *field, value_id *list,
                           int *count, int room, struct err_note *note)
{
    const char *name;

    enum err err = onnx_read_text(wire, field, loading->scratch, "a value's name", &name, note);
    if (err == ERR_NONE && *count == room) {
        err = ERR_SAY(note, ERR_LIMIT, "more than %d inputs or outputs", room);
    }
    if (err == ERR_NONE) {
        list[*count] = -1;
        err = name[0] == '\0' ? ERR_NONE : graph_value(loading->graph, name, &list[*count], note);
    }
    *count += err == ERR_NONE;
    return err;
}

static enum err read_node_attr(struct loading *loading, struct wire wire, struct node_record *node,
                               struct err_note *note)
{
    assert(node->n_attrs < node->room_attrs);
    struct attr *attr = &node->attrs[node->n_attrs];
    enum err err = onnx_read_attr(wire, loading->scratch, attr, note);

    for (int i = 0; err == ERR_NONE && i < node->n_attrs; i++) {
        if (strcmp(node->attrs[i].name, attr->name) == 0) {
            err = ERR_SAY(note, ERR_FORMAT, "has two attributes '%.60s'", attr->name);
        }
    }
    node->n_attrs += err == ERR_NONE;
    return err;
}

static enum err read_node_field(struct loading *loading, struct wire *wire, const struct wire_field *field,
                                struct node_record *node, struct err_note *note)
{
    switch (field->number) {
    case NODE_INPUT: return read_value(loading, wire, field, node->in, &node->n_in, OP_MAX_INPUTS, note);
    case NODE_OUTPUT: return read_value(loading, wire, field, node->out, &node->n_out, OP_MAX_OUTPUTS, note);
    case NODE_ATTR: return read_node_attr(loading, wire_enter(wire, field), node, note);
    case NODE_DOMAIN: return onnx_read_text(wire, field, loading->scratch, "its domain", &node->domain, note);
    default: return ERR_NONE;
    }
}

/* Its operator and name first, so that every note can name the node; and the number of its attributes. */
static enum err read_node_names(struct loading *loading, struct wire wire, struct node_record *node,
                                struct err_note *note)
{
    struct wire_field field;
    enum err err = ERR_NONE;

    while (err == ERR_NONE && wire_next(&wire, &field)) {
        if (field.number == NODE_OP) {
            err = onnx_read_text(&wire, &field, loading->scratch, "its operator", &node->op, note);
        } else if (field.number == NODE_NAME) {
            err = onnx_read_text(&wire, &field, loading->scratch, "its name", &node->name, note);
        } else if (field.number == NODE_ATTR) {
            node->room_attrs++;
        }
    }
    if (err == ERR_NONE) {
        err = damaged(&wire, "the record", note);
    }
    if (err == ERR_NONE && node->op[0] == '\0') {
        err = ERR_SAY(note, ERR_FORMAT, "its operator has no name");
    }
    return err;
}

static enum err read_node(struct loading *loading, struct wire wire, struct err_note *note)
{
    struct node_record node = {.op = "", .name = "", .domain = ""};
    struct wire_field field;
    bool named = false;

    enum err err = read_node_names(loading, wire, &node, note);
    if (err == ERR_NONE) {
        node.attrs = ARENA_ARRAY(loading->scratch, struct attr, node.room_attrs);
        err = node.attrs == NULL ? arena_why(loading->scratch) : ERR_NONE;
    }
    while (err == ERR_NONE && wire_next(&wire, &field)) {
        err = read_node_field(loading, &wire, &field, &node, note);
    }
    if (err == ERR_NONE) {
        struct attrs attrs = {.list = node.attrs, .count = node.n_attrs};
        err = graph_add_node(loading->graph, node.domain, node.op, node.name, &attrs, node.in, node.n_in, node.out,
                             node.n_out, note);
        named = true; /* the graph's notes name the node themselves */
    }
    if (err != ERR_NONE && !named) {
        (void)in_record(err, node.op[0] == '\0' ? "no operator" : node.op, node.name, note);
        err_prefix(note, "node %d, ", loading->record);
    }
    loading->record++;
    return err;
}

/* ---- The graph --------------------------------------------------------------------------------------------------- */

typedef enum err (*read_record)(struct loading *, struct wire, struct err_note *);

/* Reads all records of one kind. */
static enum err read_all(struct loading *loading, uint32_t number, read_record read, struct err_note *note)
{
    struct wire wire = loading->graph_record;
    struct wire_field field;
    enum err err = ERR_NONE;

    while (err == ERR_NONE && wire_next(&wire, &field)) {
        if (field.number == GRAPH_SPARSE_CONSTANT) {
            err = ERR_SAY(note, ERR_UNSUPPORTED, "sparse tensors are not supported");
        } else if (field.number == number) {
            err = read(loading, wire_enter(&wire, &field), note);
            arena_reset(loading->scratch);
        }
    }
    return err == ERR_NONE ? damaged(&wire, "the graph", note) : err;
}

static enum err read_graph(struct loading *loading, struct err_note *note)
{
    /* Constants before inputs: an input that is a constant too is a constant. */
    const struct {
        uint32_t number;
        read_record read;
    } kinds[] = {
        {GRAPH_CONSTANT, read_constant},
        {GRAPH_INPUT, read_input},
        {GRAPH_NODE, read_node},
        {GRAPH_OUTPUT, read_output},
    };

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        enum err err = read_all(loading, kinds[i].number, kinds[i].read, note);
        if (err != ERR_NONE) {
            return err;
        }
    }
    return ERR_NONE;
}

static enum err load(struct loading *loading, const void *bytes, size_t n_bytes, enum onnx_purpose purpose,
                     struct err_note *note)
{
    enum err err = read_model(loading, wire_over(bytes, n_bytes), note);

    if (err == ERR_NONE) {
        err = read_graph(loading, note);
    }
    if (err == ERR_NONE) {
        err = graph_finish(loading->graph, note);
    }
    if (err == ERR_NONE && purpose == ONNX_FOR_INFERENCE) {
        err = graph_prepare(loading->graph, note);
    }
    if (err == ERR_NONE && purpose == ONNX_FOR_INFERENCE) {
        graph_seal(loading->graph);
    }
    return err;
}

/* For errors that say nothing: an operator's parse may run out of memory without a word. */
static enum err speak(enum err err, struct err_note *note)
{
    return err == ERR_NONE ? ERR_NONE : ERR_SAY(note, err, "the model cannot be loaded (%s)", err_word(err));
}

enum err onnx_load(const void *bytes, size_t n_bytes, enum onnx_purpose purpose, struct graph **ret,
                   struct onnx_info *ret_info, struct err_note *note)
{
    struct loading loading = {.info = {.producer = ""}};
    size_t cap;
    size_t scratch;

    if (!size_mul(n_bytes, CAP_FACTOR, &cap) || !size_add(cap, CAP_BYTES, &cap) ||
        !size_add(cap, SCRATCH_BYTES, &scratch)) {
        return ERR_SAY(note, ERR_LIMIT, "the file is too large");
    }
    enum err err = graph_new(op_list(), cap, &loading.graph);
    if (err == ERR_NONE) {
        loading.scratch = arena_new(scratch);
        err = loading.scratch == NULL ? ERR_NOMEM : load(&loading, bytes, n_bytes, purpose, note);
    }
    arena_free(loading.scratch);
    if (err != ERR_NONE) {
        graph_free(loading.graph);
        return speak(err, note);
    }
    *ret = loading.graph;
    if (ret_info != NULL) {
        *ret_info = loading.info;
    }
    return ERR_NONE;
}
