/* conv_direct_backward.c: gradients of direct convolutions for any processor. */
#include "core/kernel/conv_direct_backward_rows_private.h"

void conv_direct_data_f32_portable(const struct conv_shape *s, const float *w, const float *dy, int64_t n, int64_t ic,
                                   float *dx, float *phases)
{
    data_plane(s, w, dy, n, ic, dx, phases);
}

void conv_direct_weight_f32_portable(const struct conv_shape *s, const float *x, const float *dy, int64_t n, int64_t oc,
                                     float *dw, float *phases)
{
    weight_plane(s, x, dy, n, oc, dw, phases);
}
