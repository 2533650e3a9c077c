/*
 * elementwise_backward.h: gradients of the loops of elementwise.h.
 *
 * All of them add to the gradients they are given.  At a kink the derivative is the one of the flat or the lower side, as
 * other frameworks have it: 0 for Relu and Clip, the slope for LeakyRelu and PRelu.
 */
#ifndef CORE_KERNEL_ELEMENTWISE_BACKWARD_H
#define CORE_KERNEL_ELEMENTWISE_BACKWARD_H

#include "core/kernel/elementwise.h"
#include "core/kernel/strided.h"

/*
 * dx += dy · f'.  The derivative of UNARY_RELU, UNARY_CLIP, UNARY_SIGMOID and UNARY_TANH is told from the output alone, so
 * that nobody keeps the input for it: at is y.  For UNARY_LEAKY_RELU at is x.  Others have no gradient here.
 */
void unary_backward_f32(enum unary what, float alpha, float beta, const float *at, const float *dy, float *dx,
                        int64_t count);

/*
 * grad += factor · dy · other, summed over what grad was stretched along.
 * Shapes: s simplified, with two inputs: 0 is grad, 1 is other; dy dense.  other NULL: 1.
 */
void stretched_backward_f32(const struct strided *s, float factor, const float *dy, const float *other, float *grad);

/*
 * Shapes: s simplified, with one input: slope and dslope; x, dy and dx dense.  dx and dslope may be NULL.
 */
void prelu_backward_f32(const struct strided *s, const float *x, const float *slope, const float *dy, float *dx,
                        float *dslope);

#endif
