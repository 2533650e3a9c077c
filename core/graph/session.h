/*
 * session.h: one thread's way to run a sealed graph.
 *
 * A session holds the plan for the input shapes it saw last (shapes of all values, the values that are known before
 * running, the place of each value in one block of memory: first use / last use, lowest free gap) and that block.
 * Running again with the same shapes allocates nothing; other shapes make a new plan.
 * One thread per session; the graph is shared.
 */
#ifndef CORE_GRAPH_SESSION_H
#define CORE_GRAPH_SESSION_H

#include "core/base/pool.h"
#include "core/graph/graph.h"

struct session;

struct session_options {
    struct pool *pool;   /* NULL: one thread.  Must outlive the session. */
    size_t memory_limit; /* bytes of activations and scratch; 0: 2 GiB */
    bool keep_all;       /* every value keeps its own memory until the next run, so that session_value works */
};

/* options may be NULL.  The graph must be sealed and outlive the session. */
MUST_CHECK enum err session_new(const struct graph *graph, const struct session_options *options, struct session **ret);
void session_free(struct session *session);

/*
 * Runs the graph.
 * Shapes: inputs in the order of graph_input, each with type, shape and data; free dimensions may be anything that the
 *         operators accept, fixed ones must match the declaration except the first (batch), which exporters pin wrongly.
 * Owns:   ret_outputs (one per graph_output) are views into the session, valid until the next run or free.
 * Errors: ERR_MISUSE number, type or rank of the inputs; ERR_FORMAT, ERR_UNSUPPORTED the shapes do not fit the graph, with
 *         the node's name; ERR_LIMIT memory_limit; ERR_NOMEM.
 */
MUST_CHECK enum err session_run(struct session *session, const struct tensor *inputs, int n_inputs,
                                struct tensor *ret_outputs, int n_outputs, struct err_note *note);

/* After a run with keep_all: the tensor of any value. NULL if it was not computed (removed by a pass). */
const struct tensor *session_value(const struct session *session, value_id value);

/* Bytes of the block that the present plan needs, scratch included. */
size_t session_peak_bytes(const struct session *session);

#endif
