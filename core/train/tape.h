/*
 * tape.h: a network as a function of its parameters, forward and back.
 *
 * A tape runs a graph as written (not prepared), keeps of the values what the way back reads, and gives the gradient of every
 * parameter that is not frozen.  Activations, gradients and scratch share one block of memory that is planned over the whole
 * way, forward and back: a value's memory is free again after the last who reads it on either way.
 * The same shapes again: no allocation.
 *
 * One thread per tape.  The graph and the parameters are shared; the values of the parameters may change between a backward
 * and the next forward.  For the same bits at any number of threads, cut a batch into parts of fixed size, give each part to
 * one tape with a block of gradients of its own, and add these in the order of the parts.
 */
#ifndef CORE_TRAIN_TAPE_H
#define CORE_TRAIN_TAPE_H

#include "core/train/parameters.h"

struct tape;

/* What enters a BatchNormalization, beside the running statistics that it knows. */
struct tape_norm {
    int64_t n, channels, pixels;
    const float *x;        /* [n, channels, pixels] */
    const float *mean;     /* [channels] */
    const float *variance; /* [channels], without epsilon */
    float epsilon;
};

/* Adds to x_grad [n, channels, pixels], the gradient of what enters the norm of this number. */
typedef void tape_norm_gradient(void *context, int norm, const struct tape_norm *is, float *x_grad);

struct tape_options {
    bool batch_statistics; /* BatchNormalization: those of the batch; else the running ones, which then do not change */
    bool dropout;          /* Dropout drops */
    bool input_gradient;   /* tape_backward can give the gradient of the input */
    size_t memory_limit;   /* bytes of the block; 0: 8 GiB */

    /* Called by tape_backward for each norm of tape_norm, the last one first; NULL: nobody adds anything. */
    tape_norm_gradient *norm_gradient;
    void *norm_context;
};

/*
 * The graph is sealed, not prepared, has one input and one output; parameters are of this graph.  Both must outlive the tape.
 * Errors: ERR_UNSUPPORTED the graph's form; ERR_NOMEM.
 */
MUST_CHECK enum err tape_new(const struct graph *graph, const struct parameters *parameters,
                             const struct tape_options *options, struct tape **ret, struct err_note *note);
void tape_free(struct tape *tape);

/*
 * Runs forward.  seed decides what Dropout drops, nothing else.
 * Shapes: input as the graph takes it, f32.
 * Owns:   input's data must stay until tape_backward has returned.  *ret_output is a view into the tape, valid until the next
 *         forward.
 * Errors: ERR_UNSUPPORTED an operator on the way of a gradient has no backward, or nothing is to be learnt; the shapes' errors
 *         as session_run.  The note names the node.  ERR_LIMIT memory_limit.  ERR_NOMEM.
 */
MUST_CHECK enum err tape_forward(struct tape *tape, const struct tensor *input, uint64_t seed,
                                 struct tensor *ret_output, struct err_note *note);

/*
 * Goes back, once for each forward: adds to gradients (a parameters_block), and to input_grad where that is not NULL.  With
 * batch_statistics it also adds what each BatchNormalization has seen (parameters_follow).
 * Shapes: out_grad as the output of forward, input_grad as its input.
 * Errors: ERR_MISUSE no forward came before; input_grad without the option.
 */
MUST_CHECK enum err tape_backward(struct tape *tape, const float *out_grad, float *gradients, float *input_grad,
                                  struct err_note *note);

/*
 * After a forward: the BatchNormalizations that the input's gradient goes through, in running order, and what has entered number
 * i of them; the views are valid until tape_backward.
 */
int tape_norm_count(const struct tape *tape);
struct tape_norm tape_norm(const struct tape *tape, int i);

/* Bytes of the block for the shapes seen last: activations, gradients and scratch at their most. */
size_t tape_peak_bytes(const struct tape *tape);

#endif
