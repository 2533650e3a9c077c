/*
 * parameters.h: what a network can learn, in one block of floats.
 *
 * The float constants that operators use as weights are copied out of the graph: weights and biases of Conv, Gemm and MatMul,
 * scale and bias of BatchNormalization, slopes of PRelu; behind them its running mean and variance, which are followed, not
 * learnt.  Gradients, moments and averages are blocks of the same layout, so saving, clipping or counting is one loop.
 * Other constants (a Sub and a Mul in front that normalise the image) stay what they are.
 *
 * In a block of gradients the places of running statistics hold sums of what batches have seen (parameters_follow).
 *
 * Shared by tapes of any number of threads as long as nobody writes.
 */
#ifndef CORE_TRAIN_PARAMETERS_H
#define CORE_TRAIN_PARAMETERS_H

#include "core/graph/graph.h"

enum parameter_kind {
    PARAMETER_WEIGHT,
    PARAMETER_BIAS,
    PARAMETER_SCALE, /* of BatchNormalization, as SHIFT, MEAN and VARIANCE */
    PARAMETER_SHIFT,
    PARAMETER_SLOPE,
    PARAMETER_MEAN,
    PARAMETER_VARIANCE
};

struct parameter {
    const char *name; /* of the constant; lives as long as the graph */
    value_id value;
    enum parameter_kind kind;
    struct shape shape;
    size_t offset; /* in floats, a multiple of 16 */
    size_t count;
    bool frozen; /* gets no gradient; the owner may set it before tapes are made */
};

struct parameters {
    struct parameter *list; /* rising offsets, in the order of the nodes, running statistics last */
    int count;
    float *values;
    size_t n_floats;    /* of a block; what lies between parameters is zero */
    size_t n_trainable; /* floats before the first running statistic */
};

/*
 * Collects and copies.  The graph is finished and not prepared; it must outlive the result.
 * Errors: ERR_UNSUPPORTED a weight is computed instead of constant (graph_fold_constants helps), is no float, or serves two
 *         purposes; two nodes share running statistics.  The note names the node.  ERR_LIMIT, ERR_NOMEM.
 */
MUST_CHECK enum err parameters_new(const struct graph *graph, struct parameters **ret, struct err_note *note);
void parameters_free(struct parameters *parameters);

/* The parameter that this value is, or NULL. */
const struct parameter *parameters_find(const struct parameters *parameters, value_id value);

/* A block of zeros with the same layout; NULL: no memory.  Owns: the caller, mem_free. */
float *parameters_block(const struct parameters *parameters);

/*
 * Running statistics follow what n_batches batches have seen, whose sum a block of gradients holds: r ← (1 − momentum) r +
 * momentum · sum / n_batches.  PyTorch's momentum is .1; ONNX's attribute means 1 − momentum.
 */
void parameters_follow(struct parameters *parameters, const float *gradients, float momentum, int n_batches);

#endif
