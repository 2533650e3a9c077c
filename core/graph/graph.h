/*
 * graph.h: what is computed: values, nodes and the constants among them.
 *
 * A graph is built (by core/onnx from a file, or node by node), optionally prepared for inference, then sealed: from there
 * on it is immutable and may be shared by any number of sessions on any number of threads.
 * Not: how it runs and in which memory (session.h); not: what an operator means (core/op).
 */
#ifndef CORE_GRAPH_GRAPH_H
#define CORE_GRAPH_GRAPH_H

#include "core/base/arena.h"
#include "core/base/err.h"
#include "core/graph/op.h"
#include "core/graph/tensor.h"

struct graph;

/* A value's or a node's number in its graph; -1 is "absent". */
typedef int value_id;

/* An input or output as it is declared: dimensions that are free (or named) are -1.  Declared outputs are hearsay. */
struct graph_io {
    const char *name;
    value_id value;
    enum dtype type;
    struct shape shape; /* rank -1: not declared */
};

/*
 * Makes an empty graph.  All it holds (constants too) comes from one arena of at most cap_bytes.
 * find_op gives the row for an operator, or NULL (core/op/op_list.h has ours); it must outlive the graph.
 */
struct op_lookup {
    const struct op_def *(*find)(const char *domain, const char *name, int opset);
};
MUST_CHECK enum err graph_new(const struct op_lookup *ops, size_t cap_bytes, struct graph **ret);
void graph_free(struct graph *graph);

/* The arena that everything of this graph lives in; a builder may carve attributes and tensors from it. */
struct arena *graph_arena(struct graph *graph);

/* ---- Building ---------------------------------------------------------------------------------------------------- */

/* Names the opset version of a domain; must come before nodes of that domain. */
MUST_CHECK enum err graph_set_opset(struct graph *graph, const char *domain, int version, struct err_note *note);

/*
 * Adds an input, a constant (the tensor's data must live as long as the graph: carve it from graph_arena), or finds the
 * value of this name, made if it is new (what a later node will produce).  Names are copied.  A constant's data belongs to
 * the graph from here on: graph_prepare may rewrite it in place.
 * Errors: ERR_FORMAT the name is taken, or empty; ERR_LIMIT, ERR_NOMEM.
 */
MUST_CHECK enum err graph_add_input(struct graph *graph, const char *name, enum dtype type,
                                    const struct shape *declared, value_id *ret, struct err_note *note);
MUST_CHECK enum err graph_add_constant(struct graph *graph, const char *name, const struct tensor *tensor,
                                       value_id *ret, struct err_note *note);
MUST_CHECK enum err graph_value(struct graph *graph, const char *name, value_id *ret, struct err_note *note);

/*
 * Adds a node; nodes may come in any order.  attrs is copied (texts, arrays and tensors included); in[] may hold -1.
 * Errors: ERR_UNSUPPORTED no row of claims covers it; ERR_FORMAT; ERR_LIMIT; ERR_NOMEM.  The note names the node.
 */
MUST_CHECK enum err graph_add_node(struct graph *graph, const char *domain, const char *op, const char *name,
                                   const struct attrs *attrs, const value_id *in, int n_in, const value_id *out,
                                   int n_out, struct err_note *note);
MUST_CHECK enum err graph_add_output(struct graph *graph, value_id value, enum dtype type, const struct shape *declared,
                                     struct err_note *note);

/*
 * Checks and orders: every value has one producer, no cycle, every output is produced; nodes that no output needs are
 * dropped.  Needed before prepare, seal and reading.
 * Errors: ERR_FORMAT with the name of the node or value.
 */
MUST_CHECK enum err graph_finish(struct graph *graph, struct err_note *note);

/*
 * The passes for inference: constants folded, Identity and Dropout removed, BatchNorm folded into the convolution or Gemm
 * before it, residual add and activation fused behind it.  A graph that shall be trained or exported is not prepared.
 */
MUST_CHECK enum err graph_prepare(struct graph *graph, struct err_note *note);

/*
 * Only the folding: what depends on constants alone becomes a constant, under the name it had.  A graph that shall be
 * trained needs it where its weights are computed (Constant nodes, or an Identity of a shared one); it stays exportable.
 */
MUST_CHECK enum err graph_fold_constants(struct graph *graph, struct err_note *note);

/* Immutable from here on. */
void graph_seal(struct graph *graph);

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

int graph_input_count(const struct graph *graph);
int graph_output_count(const struct graph *graph);
const struct graph_io *graph_input(const struct graph *graph, int i);
const struct graph_io *graph_output(const struct graph *graph, int i);

/* A node, in an order in which it can run. */
struct graph_node {
    const struct op_def *op;
    const char *name;
    struct attrs attrs;
    const void *parsed;
    int opset;
    struct epilogue epilogue;
    int n_in, n_out;
    const value_id *in;
    const value_id *out;
};
int graph_node_count(const struct graph *graph);
const struct graph_node *graph_node(const struct graph *graph, int i);

int graph_value_count(const struct graph *graph);
const char *graph_value_name(const struct graph *graph, value_id value);
/* The tensor of a constant, NULL for any other value. */
const struct tensor *graph_constant(const struct graph *graph, value_id value);

/* Some operator mixes the images of a batch: run one image at a time. */
bool graph_one_image(const struct graph *graph);

/* Bytes of all constants that have not been dropped. */
size_t graph_constant_bytes(const struct graph *graph);

/*
 * For a graph that will only run: gives back the memory of weights of which every node that reads them has a packed form by
 * now; so after a session has run with sizes like those to come.  Later plans take the packed forms that there are; one that
 * would need the weights as written (another arrangement of nodes) is ERR_UNSUPPORTED.  What is read of such a constant is
 * undefined: graph_dropped tells.
 * Threads: nobody else uses the graph yet.
 */
void graph_drop_packed(struct graph *graph);
bool graph_dropped(const struct graph *graph, value_id value);

/* Bytes of weights packed for the sessions that have run so far. */
size_t graph_packed_bytes(const struct graph *graph);

#endif
