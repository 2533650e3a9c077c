/*
 * onnx.h: ONNX files become graphs.
 *
 * The file is untrusted: it is read by a bounded reader of our own (wire.h) that borrows the bytes, checks depth, counts and
 * lengths against what is there, and never allocates more than a small multiple of the file.  External data, sparse
 * tensors, functions, sub-graphs and training info are refused in words.
 */
#ifndef CORE_ONNX_ONNX_H
#define CORE_ONNX_ONNX_H

#include "core/graph/graph.h"

struct onnx_info {
    int64_t ir_version;
    const char *producer; /* lives in the graph's arena; "" if the file does not say */
    int opset;            /* of the standard domain */
};

enum onnx_purpose {
    ONNX_AS_WRITTEN,   /* checked and ordered, not changed: for training, export and reading; not sealed */
    ONNX_FOR_INFERENCE /* prepared and sealed */
};

/*
 * Loads a model from memory; the bytes may go away afterwards.
 * Owns:   *ret belongs to the caller (graph_free).
 * Errors: ERR_FORMAT truncated, damaged, inconsistent, a cycle, a missing output; ERR_UNSUPPORTED an operator, type or
 *         feature outside the claims, with the node's name; ERR_LIMIT; ERR_NOMEM.
 */
MUST_CHECK enum err onnx_load(const void *bytes, size_t n_bytes, enum onnx_purpose purpose, struct graph **ret,
                              struct onnx_info *ret_info, struct err_note *note);

/* Reads one TensorProto (a test vector's .pb file).  Owns: name and data are carved from mem. */
MUST_CHECK enum err onnx_load_tensor(const void *bytes, size_t n_bytes, struct arena *mem, struct tensor *ret,
                                     const char **ret_name, struct err_note *note);

#endif
