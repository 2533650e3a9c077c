/*
 * op_batch_norm.h: what BatchNormalization has seen in training, for whoever keeps the running statistics; and its ε.
 */
#ifndef CORE_OP_OP_BATCH_NORM_H
#define CORE_OP_OP_BATCH_NORM_H

#include "core/graph/op.h"

/*
 * The mean and the unbiased variance of each channel of the batch, after forward of a call in training.
 * Shapes: [channels], as the node's inputs 3 and 4.
 * Owns:   views into call->saved.
 */
void batch_norm_seen(const struct op_call *call, const float **ret_mean, const float **ret_variance);

/* The ε that is added to the variance of this call. */
float batch_norm_epsilon(const struct op_call *call);

#endif
