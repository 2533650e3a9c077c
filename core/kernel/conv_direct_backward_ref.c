/* conv_direct_backward_ref.c: gradients of one plane as their definition; the scratch is not used. */
#include "core/kernel/conv_direct_backward.h"

/* Where tap t looks for output p, inside one plane of the image; -1: in the padding. */
static int64_t source(const struct conv_shape *s, int64_t t, int64_t p)
{
    const int64_t o[3] = {p / s->out[2] / s->out[1], p / s->out[2] % s->out[1], p % s->out[2]};
    const int64_t k[3] = {t / s->kernel[2] / s->kernel[1], t / s->kernel[2] % s->kernel[1], t % s->kernel[2]};
    int64_t at = 0;

    for (int d = 0; d < 3; d++) {
        int64_t i = o[d] * s->stride[d] + k[d] * s->dilation[d] - s->pad[d];
        if (i < 0 || i >= s->in[d]) {
            return -1;
        }
        at = at * s->in[d] + i;
    }
    return at;
}

void conv_direct_data_f32_ref(const struct conv_shape *s, const float *w, const float *dy, int64_t n, int64_t ic,
                              float *dx, float *work) // NOLINT(readability-non-const-parameter): the type
{
    float *plane = dx + (n * s->groups * s->ic + ic) * conv_in_pixels(s);

    (void)work;
    for (int64_t j = 0; j < s->oc; j++) {
        int64_t oc = ic / s->ic * s->oc + j;
        const float *out = dy + (n * s->groups * s->oc + oc) * conv_out_pixels(s);
        for (int64_t t = 0; t < conv_taps(s); t++) {
            float weight = w[(oc * s->ic + ic % s->ic) * conv_taps(s) + t];
            for (int64_t p = 0; p < conv_out_pixels(s); p++) {
                int64_t at = source(s, t, p);
                if (at >= 0) {
                    plane[at] += weight * out[p];
                }
            }
        }
    }
}

void conv_direct_weight_f32_ref(const struct conv_shape *s, const float *x, const float *dy, int64_t n, int64_t oc,
                                float *dw, float *work) // NOLINT(readability-non-const-parameter): the type
{
    const float *out = dy + (n * s->groups * s->oc + oc) * conv_out_pixels(s);

    (void)work;
    for (int64_t c = 0; c < s->ic; c++) {
        const float *plane = x + ((n * s->groups + oc / s->oc) * s->ic + c) * conv_in_pixels(s);
        for (int64_t t = 0; t < conv_taps(s); t++) {
            float sum = 0;
            for (int64_t p = 0; p < conv_out_pixels(s); p++) {
                int64_t at = source(s, t, p);
                sum += at < 0 ? 0 : plane[at] * out[p];
            }
            dw[(oc * s->ic + c) * conv_taps(s) + t] += sum;
        }
    }
}
