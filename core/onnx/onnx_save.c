/*
 * onnx_save.c: a graph becomes a file: first the model as it will stand there, then its records.
 */
#include "core/onnx/onnx_save.h"

#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/onnx/onnx_private.h"
#include "core/onnx/onnx_save_private.h"
#include "core/onnx/wire_out.h"

#define PRODUCER "arcfaced"

/* What is collected of a graph is its nodes' lists and short constants; this bounds the graph that nobody has. */
#define COLLECT_BYTES ((size_t)1 << 30)

/* Protocol buffers cannot hold more. */
#define MOST_BYTES ((size_t)INT32_MAX)

#define DIM_FREE (-1)
#define DIM_BATCH (-2)

/* An initialiser. */
struct save_constant {
    const char *name;
    const struct tensor *tensor;
};

/* An input or output; dimensions may be DIM_FREE and DIM_BATCH, rank -1 is "not known". */
struct save_io {
    const char *name;
    enum dtype type;
    struct shape shape;
};

struct model {
    struct save_node *nodes;
    int n_nodes;
    struct save_constant *constants;
    int n_constants, room_constants;
    const struct tensor **written; /* per value of the graph: as what it stands among the constants */
    struct save_io *inputs;
    int n_inputs;
    struct save_io *outputs;
    int n_outputs;
};

enum err save_full(const struct saving *saving, struct err_note *note)
{
    return ERR_SAY(note, arena_why(saving->mem), "no memory to save the graph");
}

/* ---- Collecting -------------------------------------------------------------------------------------------------- */

/* The graph's constants, with the caller's weights in their places. */
static enum err take_constants(struct saving *saving, const struct onnx_weights *weights, struct err_note *note)
{
    for (value_id id = 0; id < graph_value_count(saving->graph); id++) {
        const struct tensor *tensor = graph_constant(saving->graph, id);
        const void *data = tensor == NULL || weights == NULL ? NULL : weights->of(weights->context, id);
        if (data != NULL) {
            struct tensor *copy = ARENA_NEW(saving->mem, struct tensor);
            if (copy == NULL) {
                return save_full(saving, note);
            }
            *copy = (struct tensor){.type = tensor->type, .shape = tensor->shape, .data = (void *)data};
            tensor = copy;
        }
        saving->constants[id] = tensor;
    }
    return ERR_NONE;
}

/*
 * A Constant node becomes an initialiser: the two say the same, and then there is one place where numbers stand.
 */
static enum err take_constant_node(struct saving *saving, const struct graph_node *node, struct err_note *note)
{
    value_id out = node->out[0];
    const struct attr *value = attr_find(&node->attrs, "value");
    const struct tensor *tensor = value != NULL && value->kind == ATTR_TENSOR ? &value->tensor : NULL;

    if (tensor == NULL) {
        enum err err = save_node_shapes(saving, node, NULL, note);
        if (err != ERR_NONE) {
            return err;
        }
        tensor = &saving->values[ONE_IMAGE][out];
        if (tensor->type == DTYPE_NONE || tensor->data == NULL) {
            return ERR_SAY(note, ERR_UNSUPPORTED, "constant '%.80s' has no tensor",
                           graph_value_name(saving->graph, out));
        }
    }
    saving->constants[out] = tensor;
    saving->values[ONE_IMAGE][out] = *tensor;
    saving->values[TWO_IMAGES][out] = *tensor;
    return ERR_NONE;
}

static enum err add_constant(struct saving *saving, struct model *model, value_id id, const char *name,
                             const struct tensor *tensor, struct err_note *note)
{
    if (id >= 0 && model->written[id] != NULL) {
        return shape_equal(&model->written[id]->shape, &tensor->shape)
                   ? ERR_NONE
                   : ERR_SAY(note, ERR_UNSUPPORTED, "constant '%.80s' is read in two shapes, which cannot be saved",
                             name);
    }
    if (model->n_constants == model->room_constants) {
        int room = model->room_constants == 0 ? 256 : 2 * model->room_constants;
        struct save_constant *more = ARENA_ARRAY(saving->mem, struct save_constant, room);
        if (more == NULL) {
            return save_full(saving, note);
        }
        if (model->n_constants > 0) {
            memcpy(more, model->constants, (size_t)model->n_constants * sizeof *more);
        }
        model->constants = more;
        model->room_constants = room;
    }
    model->constants[model->n_constants++] = (struct save_constant){.name = name, .tensor = tensor};
    if (id >= 0) {
        model->written[id] = tensor;
    }
    return ERR_NONE;
}

static enum err collect_node(struct saving *saving, struct model *model, const struct graph_node *node,
                             struct err_note *note)
{
    struct save_node *form = &model->nodes[model->n_nodes];

    if (node->op->domain[0] == '\0' && strcmp(node->op->name, "Constant") == 0) {
        return take_constant_node(saving, node, note);
    }
    enum err err = save_form(saving, node, form, note);
    for (int i = 0; err == ERR_NONE && i < form->n_in; i++) {
        if (form->in[i].constant != NULL) {
            err = add_constant(saving, model, form->in[i].id, form->in[i].name, form->in[i].constant, note);
        }
    }
    if (err == ERR_NONE) {
        bool reshape = strcmp(form->op, "Reshape") == 0 && form->n_in == node->n_in;
        err = save_node_shapes(saving, node, reshape ? form->in[1].constant : NULL, note);
        model->n_nodes++;
    }
    return err;
}

/* Dimension d of an output: what both batches agree on is fixed. */
static int64_t output_dim(const struct tensor *one, const struct tensor *two, int d)
{
    if (one->shape.dim[d] == two->shape.dim[d]) {
        return one->shape.dim[d];
    }
    return d == 0 && one->shape.dim[0] == 1 && two->shape.dim[0] == 2 ? DIM_BATCH : DIM_FREE;
}

/* Sides that are free in the input were made up, and with them those of the outputs. */
static bool has_free_side(const struct graph *graph)
{
    for (int i = 0; i < graph_input_count(graph); i++) {
        const struct shape *shape = &graph_input(graph, i)->shape;
        for (int d = 1; d < shape->rank; d++) {
            if (shape->dim[d] < 0) {
                return true;
            }
        }
    }
    return false;
}

/* Returns whether the output goes with the batch, as far as is known. */
static bool collect_output(const struct saving *saving, const struct graph_io *declared, bool free_side,
                           struct save_io *ret)
{
    const struct tensor *one = &saving->values[ONE_IMAGE][declared->value];
    const struct tensor *two = &saving->values[TWO_IMAGES][declared->value];

    *ret = (struct save_io){.name = declared->name, .type = declared->type, .shape = declared->shape};
    if (one->type == DTYPE_NONE) {
        return true;
    }
    ret->type = one->type;
    ret->shape = one->shape;
    bool known = two->type != DTYPE_NONE && two->shape.rank == one->shape.rank;
    for (int d = 0; known && d < one->shape.rank; d++) {
        int64_t dim = output_dim(one, two, d);
        ret->shape.dim[d] = free_side && dim != DIM_BATCH ? DIM_FREE : dim;
    }
    return known && (one->shape.rank == 0 || one->shape.dim[0] != 1 || two->shape.dim[0] == 2);
}

static enum err collect_io(struct saving *saving, struct model *model, struct err_note *note)
{
    const struct graph *graph = saving->graph;
    bool free_side = has_free_side(graph);
    bool batches = true;

    model->inputs = ARENA_ARRAY(saving->mem, struct save_io, graph_input_count(graph));
    model->outputs = ARENA_ARRAY(saving->mem, struct save_io, graph_output_count(graph));
    if (model->inputs == NULL || model->outputs == NULL) {
        return save_full(saving, note);
    }
    for (int i = 0; i < graph_output_count(graph); i++) {
        const struct graph_io *output = graph_output(graph, i);
        struct save_io *io = &model->outputs[model->n_outputs++];
        batches = collect_output(saving, output, free_side, io) && batches;
        if (io->type == DTYPE_NONE) {
            return ERR_SAY(note, ERR_UNSUPPORTED, "the type of output '%.80s' is neither declared nor found out",
                           output->name);
        }
        if (saving->constants[output->value] != NULL) {
            enum err err =
                add_constant(saving, model, output->value, output->name, saving->constants[output->value], note);
            if (err != ERR_NONE) {
                return err;
            }
        }
    }
    for (int i = 0; i < graph_input_count(graph); i++) {
        const struct graph_io *input = graph_input(graph, i);
        struct save_io *io = &model->inputs[model->n_inputs++];
        *io = (struct save_io){.name = input->name, .type = input->type, .shape = input->shape};
        if (save_has_batch(input) && (batches || input->shape.dim[0] < 0)) {
            io->shape.dim[0] = DIM_BATCH;
        }
    }
    return ERR_NONE;
}

static enum err collect(struct saving *saving, const struct onnx_weights *weights, struct model *model,
                        struct err_note *note)
{
    int n_values = graph_value_count(saving->graph);
    int n_nodes = graph_node_count(saving->graph);

    saving->constants = ARENA_ARRAY(saving->mem, const struct tensor *, n_values);
    saving->values[ONE_IMAGE] = ARENA_ARRAY(saving->mem, struct tensor, n_values);
    saving->values[TWO_IMAGES] = ARENA_ARRAY(saving->mem, struct tensor, n_values);
    model->nodes = ARENA_ARRAY(saving->mem, struct save_node, n_nodes);
    model->written = ARENA_ARRAY(saving->mem, const struct tensor *, n_values);
    if (saving->constants == NULL || saving->values[ONE_IMAGE] == NULL || saving->values[TWO_IMAGES] == NULL ||
        model->nodes == NULL || model->written == NULL) {
        return save_full(saving, note);
    }
    enum err err = take_constants(saving, weights, note);
    err = err != ERR_NONE ? err : save_start_shapes(saving, note);
    for (int i = 0; err == ERR_NONE && i < n_nodes; i++) {
        err = collect_node(saving, model, graph_node(saving->graph, i), note);
    }
    return err != ERR_NONE ? err : collect_io(saving, model, note);
}

/* ---- Records; the numbers are those of the standard's onnx.proto --------------------------------------------------- */

static int64_t standard_type(enum dtype type)
{
    int64_t number = 1;

    while (onnx_dtype(number) != type) {
        number++;
    }
    return number;
}

struct named_tensor {
    const char *name; /* "": an attribute's */
    const struct tensor *tensor;
};

static void write_tensor(struct wire_out *out, const void *content)
{
    const struct named_tensor *named = content;
    const struct tensor *tensor = named->tensor;

    for (int d = 0; d < tensor->shape.rank; d++) {
        wire_out_int(out, 1, tensor->shape.dim[d]);
    }
    wire_out_int(out, 2, standard_type(tensor->type));
    if (named->name[0] != '\0') {
        wire_out_text(out, 8, named->name);
    }
    wire_out_numbers(out, 9, tensor->data, (size_t)shape_elements(&tensor->shape), dtype_bytes(tensor->type));
}

static void write_attr(struct wire_out *out, const void *content)
{
    enum {
        TYPE_FLOAT = 1,
        TYPE_INT = 2,
        TYPE_STRING = 3,
        TYPE_TENSOR = 4,
        TYPE_FLOATS = 6,
        TYPE_INTS = 7
    };
    const struct attr *attr = content;
    int64_t type = 0;

    wire_out_text(out, 1, attr->name);
    switch (attr->kind) {
    case ATTR_FLOAT:
        wire_out_float(out, 2, attr->f);
        type = TYPE_FLOAT;
        break;
    case ATTR_INT:
        wire_out_int(out, 3, attr->i);
        type = TYPE_INT;
        break;
    case ATTR_TEXT:
        wire_out_text(out, 4, attr->text);
        type = TYPE_STRING;
        break;
    case ATTR_TENSOR:
        wire_out_record(out, 5, write_tensor, &(struct named_tensor){"", &attr->tensor});
        type = TYPE_TENSOR;
        break;
    case ATTR_FLOATS:
        for (size_t i = 0; i < attr->count; i++) {
            wire_out_float(out, 7, attr->floats[i]);
        }
        type = TYPE_FLOATS;
        break;
    case ATTR_INTS:
        for (size_t i = 0; i < attr->count; i++) {
            wire_out_int(out, 8, attr->ints[i]);
        }
        type = TYPE_INTS;
        break;
    case ATTR_OTHER: break; /* no form holds one */
    }
    wire_out_int(out, 20, type);
}

static void write_node(struct wire_out *out, const void *content)
{
    const struct save_node *node = content;

    for (int i = 0; i < node->n_in; i++) {
        wire_out_text(out, 1, node->in[i].name);
    }
    for (int i = 0; i < node->n_out; i++) {
        wire_out_text(out, 2, node->out[i]);
    }
    if (node->name[0] != '\0') {
        wire_out_text(out, 3, node->name);
    }
    wire_out_text(out, 4, node->op);
    for (int i = 0; i < node->n_attrs; i++) {
        wire_out_record(out, 5, write_attr, &node->attrs[i]);
    }
}

static void write_dim(struct wire_out *out, const void *content)
{
    int64_t dim = *(const int64_t *)content;

    if (dim == DIM_BATCH) {
        wire_out_text(out, 2, "N");
    } else if (dim != DIM_FREE) {
        wire_out_int(out, 1, dim);
    }
}

static void write_shape(struct wire_out *out, const void *content)
{
    const struct shape *shape = content;

    for (int d = 0; d < shape->rank; d++) {
        wire_out_record(out, 1, write_dim, &shape->dim[d]);
    }
}

static void write_tensor_type(struct wire_out *out, const void *content)
{
    const struct save_io *io = content;

    wire_out_int(out, 1, standard_type(io->type));
    if (io->shape.rank >= 0) {
        wire_out_record(out, 2, write_shape, &io->shape);
    }
}

static void write_type(struct wire_out *out, const void *content)
{
    wire_out_record(out, 1, write_tensor_type, content);
}

static void write_io(struct wire_out *out, const void *content)
{
    const struct save_io *io = content;

    wire_out_text(out, 1, io->name);
    wire_out_record(out, 2, write_type, io);
}

static void write_graph(struct wire_out *out, const void *content)
{
    const struct model *model = content;

    for (int i = 0; i < model->n_nodes; i++) {
        wire_out_record(out, 1, write_node, &model->nodes[i]);
    }
    wire_out_text(out, 2, PRODUCER);
    for (int i = 0; i < model->n_constants; i++) {
        wire_out_record(out, 5, write_tensor,
                        &(struct named_tensor){model->constants[i].name, model->constants[i].tensor});
    }
    for (int i = 0; i < model->n_inputs; i++) {
        wire_out_record(out, 11, write_io, &model->inputs[i]);
    }
    for (int i = 0; i < model->n_outputs; i++) {
        wire_out_record(out, 12, write_io, &model->outputs[i]);
    }
}

static void write_opset(struct wire_out *out, const void *content)
{
    (void)content;
    wire_out_text(out, 1, "");
    wire_out_int(out, 2, SAVE_OPSET);
}

static void write_model(struct wire_out *out, const struct model *model)
{
    wire_out_int(out, 1, SAVE_IR_VERSION);
    wire_out_text(out, 2, PRODUCER);
    wire_out_record(out, 7, write_graph, model);
    wire_out_record(out, 8, write_opset, NULL);
}

static enum err write_all(const struct model *model, unsigned char **ret, size_t *ret_bytes, struct err_note *note)
{
    struct wire_out counting = {0};

    write_model(&counting, model);
    if (counting.len > MOST_BYTES) {
        return ERR_SAY(note, ERR_LIMIT, "the file would have %zu bytes; the format holds %zu", counting.len,
                       MOST_BYTES);
    }
    struct wire_out out = {.at = mem_new(counting.len, 1), .room = counting.len};
    if (out.at == NULL) {
        return ERR_SAY(note, ERR_NOMEM, "no memory for a file of %zu bytes", counting.len);
    }
    write_model(&out, model);
    *ret = out.at;
    *ret_bytes = out.len;
    return ERR_NONE;
}

enum err onnx_save(const struct graph *graph, const struct onnx_weights *weights, unsigned char **ret,
                   size_t *ret_bytes, struct err_note *note)
{
    struct saving saving = {.graph = graph, .mem = arena_new(COLLECT_BYTES)};
    struct model model = {0};

    if (saving.mem == NULL) {
        return ERR_SAY(note, ERR_NOMEM, "no memory to save the graph");
    }
    enum err err = collect(&saving, weights, &model, note);
    if (err == ERR_NONE) {
        err = write_all(&model, ret, ret_bytes, note);
    }
    arena_free(saving.mem);
    return err;
}

enum err onnx_save_file(const struct graph *graph, const struct onnx_weights *weights, const char *path,
                        struct err_note *note)
{
    unsigned char *bytes;
    size_t n_bytes;
    enum err err = onnx_save(graph, weights, &bytes, &n_bytes, note);

    if (err == ERR_NONE) {
        err = file_write(path, bytes, n_bytes, note);
        mem_free(bytes);
    }
    return err;
}
