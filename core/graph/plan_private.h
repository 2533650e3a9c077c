/* plan_private.h: what plan.c and plan_block.c share while a plan is made. */
#ifndef CORE_GRAPH_PLAN_PRIVATE_H
#define CORE_GRAPH_PLAN_PRIVATE_H

#include "core/graph/plan.h"

struct making {
    struct plan *plan;
    const struct graph *graph;
    const struct plan_options *options;
    int *first, *last; /* per place: the steps between which it is needed */
};

/* The value is known before running: it has data. */
static inline bool plan_is_known(const struct tensor *value)
{
    return value->data != NULL;
}

/* Where the value lies in blocks. */
static inline int plan_blocked(const struct graph *graph, value_id id)
{
    return graph->n_values + id;
}

/* Appends a step; in, in_at and out_at are carved from the plan's arena. */
void plan_add_step(struct making *making, const struct node *node, const struct op_call *call, struct tensor *in,
                   const int *in_at, const int *out_at);

/*
 * How the call of this node will run: in blocks or not.  Fills in_at and the inputs with where they are read, adding steps
 * that bring them there, and marks the outputs.
 */
MUST_CHECK enum err plan_lay(struct making *making, const struct node *node, struct op_call *call, struct tensor *in,
                             int *in_at, int *out_at, struct err_note *note);

/* Would it run in blocks?  The call's shapes have been checked. */
bool plan_can_block(const struct making *making, const struct node *node, struct op_call *call);

/* Makes sure that the value is there dense. */
MUST_CHECK enum err plan_need_dense(struct making *making, value_id id);

#endif
