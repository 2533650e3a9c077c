/*
 * pooling_backward.h: gradients of pooling.h.  Both add to dx.
 */
#ifndef CORE_KERNEL_POOLING_BACKWARD_H
#define CORE_KERNEL_POOLING_BACKWARD_H

#include "core/kernel/pooling.h"

/* The whole gradient of a window goes to its first greatest pixel.  Shapes: x, dx [planes, in...], dy [planes, out...]. */
void pooling_max_backward_ref(const struct pooling_shape *s, const float *x, const float *dy, float *dx);

void pooling_mean_backward_ref(const struct pooling_shape *s, bool count_padding, const float *dy, float *dx);

#endif
