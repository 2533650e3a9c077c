/*
 * onnx_save_private.h: what a graph is turned into before it is written: nodes of operator set 13.
 */
#ifndef CORE_ONNX_ONNX_SAVE_PRIVATE_H
#define CORE_ONNX_ONNX_SAVE_PRIVATE_H

#include "core/onnx/onnx_save.h"

#define SAVE_OPSET 13
#define SAVE_IR_VERSION 7

/* What is found out by running the shape rules with one image and with two: dimensions that differ follow the batch. */
enum {
    ONE_IMAGE,
    TWO_IMAGES,
    N_BATCHES
};

struct save_input {
    value_id id;                   /* in the graph; -1: made for this node, or absent */
    const char *name;              /* "": absent */
    const struct tensor *constant; /* NULL: computed */
};

struct save_node {
    const char *op;
    const char *name;
    struct attr *attrs;
    int n_attrs;
    struct save_input *in;
    int n_in;
    const char **out;
    int n_out;
};

struct saving {
    const struct graph *graph;
    struct arena *mem;

    /* Per value: its constant as it is written, of the graph or of a Constant node; NULL: computed. */
    const struct tensor **constants;

    /*
     * Per value: type and shape for a batch, and the data where it is small and does not depend on the images; type
     * DTYPE_NONE where that is not known.
     */
    struct tensor *values[N_BATCHES];
};

/* Is the input's first dimension a batch: free, or pinned to one image?  Another fixed size is what it says. */
bool save_has_batch(const struct graph_io *input);

/* Sets the inputs and constants of both tables. */
MUST_CHECK enum err save_start_shapes(struct saving *saving, struct err_note *note);

/* Runs a node's shape rule in both tables; target, if not NULL, takes the place of input 1 (a rewritten Reshape's). */
MUST_CHECK enum err save_node_shapes(struct saving *saving, const struct graph_node *node, const struct tensor *target,
                                     struct err_note *note);

/*
 * Says a node in operator set 13.
 * Owns:   everything in *ret is carved from saving->mem or belongs to the graph.
 * Errors: ERR_UNSUPPORTED with the node's name; ERR_LIMIT, ERR_NOMEM.
 */
MUST_CHECK enum err save_form(struct saving *saving, const struct graph_node *node, struct save_node *ret,
                              struct err_note *note);

/* Why memory ran out, in words. */
enum err save_full(const struct saving *saving, struct err_note *note);

#endif
