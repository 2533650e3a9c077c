/*
 * onnx_save.h: graphs become ONNX files that any runtime loads.
 *
 * What is written: operator set 13, IR version 7, one graph "arcfaced"; BatchNormalization as it stands, PRelu slopes of shape
 * [C, 1, 1] for images, constants as initialisers that are not listed as inputs.  The batch is a free dimension 'N' of
 * inputs and outputs: of every input whose first dimension is declared free or 1, if all that is known of the outputs goes
 * with it.  A Reshape that pins the batch to 1 is written so that it keeps the batch instead; for one image it means the
 * same.  Operators of older and newer operator sets are rewritten where 13 says the same in another form; what has no
 * such form, and every integer (quantised) network, is refused with the name of the node.
 *
 * The same graph and weights give the same bytes.  Loading what was saved gives the same outputs to the bit, and saving
 * that gives the same bytes.
 */
#ifndef CORE_ONNX_ONNX_SAVE_H
#define CORE_ONNX_ONNX_SAVE_H

#include "core/graph/graph.h"

/*
 * Weights that are written instead of the graph's own: returns the numbers of a constant, of the same count and type, or
 * NULL where the graph's stand.
 */
struct onnx_weights {
    const void *(*of)(const void *context, value_id constant);
    const void *context;
};

/*
 * Writes a graph as it was loaded or built (finished, never prepared).  weights may be NULL.
 *
 * Owns:   *ret belongs to the caller (mem_free).
 * Errors: ERR_UNSUPPORTED an operator, attribute or type that cannot be said in operator set 13, or an integer network;
 *         ERR_MISUSE the graph was prepared for inference; ERR_LIMIT more than 2 GiB, which the format cannot hold; ERR_NOMEM.
 * Cost:   one shape inference, and twice the walk over the records; the weights are copied once.
 */
MUST_CHECK enum err onnx_save(const struct graph *graph, const struct onnx_weights *weights, unsigned char **ret,
                              size_t *ret_bytes, struct err_note *note);

/* The same into a file, replaced as file_write does it.  Errors: those of both. */
MUST_CHECK enum err onnx_save_file(const struct graph *graph, const struct onnx_weights *weights, const char *path,
                                   struct err_note *note);

#endif
