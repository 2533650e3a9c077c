/*
 * node_call.h: one call of one node, with every check around it; for the plan and for constant folding.
 */
#ifndef CORE_GRAPH_NODE_CALL_H
#define CORE_GRAPH_NODE_CALL_H

#include "core/graph/graph_private.h"

/*
 * Makes the call of a node: in (n_in tensors) and out (n_out, cleared here) are used in place.
 */
struct op_call node_call(const struct node *node, const struct tensor *in, struct tensor *out, struct pool *pool);

/*
 * Checks the call against the operator's claims and its shape rule, and what the rule says against limit_bytes for each
 * output and for the scratch.
 * Errors: the rule's own; ERR_UNSUPPORTED type, rank, or a value that is not known before running; ERR_LIMIT.  The note
 *         names the node.
 */
MUST_CHECK enum err node_shape(const struct node *node, struct op_call *call, size_t limit_bytes,
                               struct err_note *note);

/*
 * Computes a node whose inputs are all known, after node_shape.
 * Owns:   the outputs' data is carved from mem.
 */
MUST_CHECK enum err node_evaluate(const struct node *node, struct op_call *call, struct arena *mem,
                                  struct err_note *note);

/* Says which node could not compute its data, and why. */
enum err node_failed(const struct node *node, enum err err, struct err_note *note);

#endif
