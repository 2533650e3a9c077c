/*
 * byte_nodes.h: what the passes over quantised layers share: which node is what, and constants of quantisation.
 */
#ifndef CORE_GRAPH_BYTE_NODES_H
#define CORE_GRAPH_BYTE_NODES_H

#include "core/graph/graph_private.h"

/* Is it this operator of the standard ("") or of com.microsoft? */
bool byte_node_is(const struct node *node, const char *domain, const char *name);

/* Inputs i and i + 1 are a constant scale and a constant zero point, one number each; the zero point has a type of bytes. */
bool byte_scale(const struct graph *graph, const struct node *node, int i, float *ret_scale, int *ret_zero,
                enum dtype *ret_type);

/*
 * Per value, the position of a node that reads it; room for all values.  The caller frees it (mem_free); NULL: no memory.
 * only_reader: the one node that reads a value which is no output of the graph; -1: there is none such.
 */
int *byte_readers(const struct graph *graph);
int byte_only_reader(const struct graph *graph, const int *readers, value_id value);

#endif
