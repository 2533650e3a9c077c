/*
 * plan.h: how a graph runs for inputs of certain shapes: which nodes, in which memory.  For session.c; and for the
 * training (core/train/tape.c), which takes the steps and gives them memory of its own.
 *
 * A plan depends on the shapes of the inputs and, for the few inputs that decide shapes inside the graph (the target of a
 * Reshape, say), on their values.  All of these are its key.
 */
#ifndef CORE_GRAPH_PLAN_H
#define CORE_GRAPH_PLAN_H

#include "core/graph/graph_private.h"

/* An input whose value decides shapes has at most so many elements; an image never does. */
#define PLAN_VALUE_ELEMENTS 1024

/* One call at run time.  Pointers into the block are set by plan_bind. */
struct plan_step {
    const struct node *node;
    struct op_call call;
    struct tensor *in;         /* call.in, writable */
    const int *in_at, *out_at; /* where inputs and outputs lie: in plan.values, -1: absent */
    int work_item;             /* in plan.items, -1: none */
};

/* A place in a step's inputs that an input of the graph goes to. */
struct plan_use {
    struct tensor *where;
    int input;
};

struct plan {
    struct arena *mem; /* everything below, and the values known before running */
    bool valid;

    struct tensor *key; /* per input: type, shape; data is a copy where the plan depends on it, else NULL */

    struct plan_step *steps;
    int n_steps;
    struct plan_use *uses;
    int n_uses;

    /*
     * Per value of the graph, and behind all of them, once more per value as it lies in blocks of channels: type DTYPE_NONE
     * if it is not computed.  A value that is there in blocks only has type and shape, but no data, at its own place.
     */
    struct tensor *values;
    int *item_of; /* as values: in items, -1: not in the block */
    struct place_item *items;
    int n_items;
    size_t block_bytes;
    size_t known_bytes; /* of values computed while planning */
};

struct plan_options {
    struct pool *pool;
    size_t memory_limit;
    bool keep_all;
    bool learning;                  /* op_call.learning of every step */
    bool blocked;                   /* values may lie in blocks of channels (plan_block.c) */
    bool batch_statistics, dropout; /* op_call.training of BatchNormalization, and of Dropout */
};

/* A plan without content; mem is made here. */
MUST_CHECK enum err plan_init(struct plan *plan, const struct plan_options *options);
void plan_release(struct plan *plan);

/* Does the plan hold for these inputs?  Their count is right. */
bool plan_fits(const struct plan *plan, const struct graph *graph, const struct tensor *inputs);

/*
 * Makes the plan.  After an error it is not valid.
 * Errors: as session_run.
 */
MUST_CHECK enum err plan_make(struct plan *plan, const struct graph *graph, const struct plan_options *options,
                              const struct tensor *inputs, struct err_note *note);

/* Points every step into the block, of block_bytes at least. */
void plan_bind(struct plan *plan, const struct graph *graph, unsigned char *block);

#endif
