/*
 * op_list.h: every operator that we claim to compute.
 *
 * Immutable; any thread.
 */
#ifndef CORE_OP_OP_LIST_H
#define CORE_OP_OP_LIST_H

#include "core/graph/graph.h"

/* How a graph finds its operators. */
const struct op_lookup *op_list(void);

/* The row that covers this opset version of the domain, or NULL. */
const struct op_def *op_find(const char *domain, const char *name, int opset);

/* All rows, in alphabetical order of their names, for printing the claims. */
int op_count(void);
const struct op_def *op_at(int i);

#endif
