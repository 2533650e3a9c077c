/* conv_direct_backward_avx2.c: gradients of direct convolutions with AVX2 and FMA. */
#if defined(__x86_64__)

#include "core/kernel/conv_direct_backward_rows_private.h"

void conv_direct_data_f32_avx2(const struct conv_shape *s, const float *w, const float *dy, int64_t n, int64_t ic,
                               float *dx, float *phases)
{
    data_plane(s, w, dy, n, ic, dx, phases);
}

void conv_direct_weight_f32_avx2(const struct conv_shape *s, const float *x, const float *dy, int64_t n, int64_t oc,
                                 float *dw, float *phases)
{
    weight_plane(s, x, dy, n, oc, dw, phases);
}

#endif
