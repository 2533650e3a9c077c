/*
 * split.h: a graph cut in two at one value.
 *
 * For training the upper layers alone: what the frozen lower ones make of an image never changes, so it is computed once, by
 * a graph prepared for inference, and kept.
 */
#ifndef CORE_GRAPH_SPLIT_H
#define CORE_GRAPH_SPLIT_H

#include "core/graph/graph.h"

/*
 * Makes the graph from the inputs to the value, prepared for inference and sealed, and the one from the value to the outputs,
 * as written (finished, neither prepared nor sealed).  Both name things as the whole does and depend on nothing of it.
 * graph is finished and not prepared.  find the value with graph_find.
 * Owns:   both belong to the caller (graph_free).
 * Errors: ERR_UNSUPPORTED something goes from the inputs to the outputs past the value, with the node's name; it is an
 *         input, output or constant; the graph has been prepared.  ERR_LIMIT, ERR_NOMEM.
 */
MUST_CHECK enum err graph_split(const struct graph *graph, value_id value, struct graph **ret_lower,
                                struct graph **ret_upper, struct err_note *note);

/* The value of this name.  Errors: ERR_NOT_FOUND. */
MUST_CHECK enum err graph_find(const struct graph *graph, const char *name, value_id *ret, struct err_note *note);

#endif
