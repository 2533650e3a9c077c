/*
 * onnx_save_shapes.c: the shapes inside a graph, for one image and for two.
 *
 * What exporters declare about shapes is hearsay, so the operators' own shape rules are asked, without running anything but
 * the small integer chains (Shape, Gather, Concat ...) that decide a Reshape.  What cannot be known stays unknown: it is
 * needed only where a form or a declared output depends on it.
 */
#include <string.h>

#include "core/onnx/onnx_save_private.h"

/* A free side of an image while shapes are inferred; what follows from it is written as free again. */
#define FREE_SIDE 112

/* Values that decide shapes are short lists. */
#define KNOWN_BYTES 4096
#define KNOWN_WORK_BYTES ((size_t)1 << 20)

bool save_has_batch(const struct graph_io *input)
{
    return input->shape.rank > 0 && (input->shape.dim[0] < 0 || input->shape.dim[0] == 1);
}

enum err save_start_shapes(struct saving *saving, struct err_note *note)
{
    const struct graph *graph = saving->graph;

    for (int b = 0; b < N_BATCHES; b++) {
        struct tensor *values = saving->values[b];
        for (int i = 0; i < graph_input_count(graph); i++) {
            const struct graph_io *input = graph_input(graph, i);
            struct shape shape = input->shape;
            if (shape.rank < 0) {
                return ERR_SAY(note, ERR_UNSUPPORTED, "input '%.80s' declares no shape", input->name);
            }
            if (save_has_batch(input)) {
                shape.dim[0] = b == ONE_IMAGE ? 1 : 2;
            }
            for (int d = 1; d < shape.rank; d++) {
                shape.dim[d] = shape.dim[d] < 0 ? FREE_SIDE : shape.dim[d];
            }
            values[input->value] = (struct tensor){.type = input->type, .shape = shape};
        }
        for (value_id id = 0; id < graph_value_count(graph); id++) {
            if (saving->constants[id] != NULL) {
                values[id] = *saving->constants[id];
            }
        }
    }
    return ERR_NONE;
}

/* Gathers the inputs; false if one of them is not known well enough for the shape rule. */
static bool take_inputs(const struct graph_node *node, const struct tensor *target, const struct tensor *values,
                        struct tensor *in, bool *ret_all_known)
{
    bool all_known = true;

    for (int i = 0; i < node->n_in; i++) {
        in[i] = (struct tensor){.type = DTYPE_NONE};
        if (node->in[i] < 0) {
            continue;
        }
        in[i] = values[node->in[i]];
        if (i == 1 && target != NULL) {
            in[i] = *target;
        }
        bool needed = i < 32 && (node->op->value_inputs >> i & 1U) != 0;
        if (in[i].type == DTYPE_NONE || (needed && in[i].data == NULL)) {
            return false;
        }
        all_known = all_known && in[i].data != NULL;
    }
    *ret_all_known = all_known;
    return true;
}

/* The claims that the shape rule relies on. */
static bool claims_hold(const struct op_def *op, const struct op_call *call)
{
    return call->n_in == 0 || ((op->types & DTYPE_BIT(call->in[0].type)) != 0 &&
                               call->in[0].shape.rank >= op->min_rank && call->in[0].shape.rank <= op->max_rank);
}

static enum err evaluate(struct saving *saving, const struct graph_node *node, struct op_call *call,
                         struct err_note *note)
{
    call->work = arena_alloc(saving->mem, call->work_bytes, 1);
    bool room = call->work != NULL;
    for (int i = 0; i < call->n_out; i++) {
        call->out[i].data = arena_alloc(saving->mem, tensor_bytes(&call->out[i]), 1);
        room = room && call->out[i].data != NULL;
    }
    if (!room) {
        return save_full(saving, note);
    }
    if (node->op->forward(call) != ERR_NONE) {
        for (int i = 0; i < call->n_out; i++) {
            call->out[i].data = NULL;
        }
    }
    return ERR_NONE;
}

/* The results come from sizes that the file chose: no later rule may see one that does not fit in memory's numbers. */
static bool results_hold(const struct op_call *call)
{
    for (int i = 0; i < call->n_out; i++) {
        int64_t count;
        if (!shape_count(&call->out[i].shape, &count) || count > INT64_MAX / 8) {
            return false;
        }
    }
    return true;
}

static bool small(const struct op_call *call)
{
    for (int i = 0; i < call->n_out; i++) {
        if (shape_elements(&call->out[i].shape) > KNOWN_BYTES / 8) {
            return false;
        }
    }
    return call->work_bytes <= KNOWN_WORK_BYTES;
}

static enum err infer(struct saving *saving, const struct graph_node *node, const struct tensor *target,
                      struct tensor *values, struct err_note *note)
{
    struct tensor in[OP_MAX_INPUTS] = {{DTYPE_NONE, {0}, NULL}};
    struct tensor out[OP_MAX_OUTPUTS] = {{DTYPE_NONE, {0}, NULL}};
    bool all_known = false;
    struct op_call call = {.parsed = node->parsed,
                           .opset = node->opset,
                           .epilogue = node->epilogue,
                           .n_in = node->n_in,
                           .n_out = node->n_out,
                           .in = in,
                           .out = out};

    if (!take_inputs(node, target, values, in, &all_known) || !claims_hold(node->op, &call) ||
        node->op->shape(&call, NULL) != ERR_NONE || !results_hold(&call)) {
        return ERR_NONE;
    }
    if ((all_known || node->op->kind == OP_SHAPE) && small(&call)) {
        enum err err = evaluate(saving, node, &call, note);
        if (err != ERR_NONE) {
            return err;
        }
    }
    for (int i = 0; i < node->n_out; i++) {
        if (node->out[i] >= 0) {
            values[node->out[i]] = out[i];
        }
    }
    return ERR_NONE;
}

enum err save_node_shapes(struct saving *saving, const struct graph_node *node, const struct tensor *target,
                          struct err_note *note)
{
    enum err err = ERR_NONE;

    for (int b = 0; err == ERR_NONE && b < N_BATCHES; b++) {
        err = infer(saving, node, target, saving->values[b], note);
    }
    return err;
}
