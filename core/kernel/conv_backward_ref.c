/* conv_backward_ref.c: the gradient as the definition of the convolution gives it. */
#include <stddef.h>

#include "core/kernel/conv_backward.h"

void conv_backward_f32_ref(const struct conv_shape *s, const float *x, const float *w, const float *dy, float *dx,
                           float *dw, float *db)
{
    int64_t pixels = conv_out_pixels(s);

    for (int64_t i = 0; i < s->n * s->groups * s->oc * pixels; i++) {
        int64_t oc = i / pixels % (s->groups * s->oc);
        int64_t n = i / pixels / (s->groups * s->oc);
        int64_t p = i % pixels;
        int64_t o[3] = {p / s->out[2] / s->out[1], p / s->out[2] % s->out[1], p % s->out[2]};
        if (db != NULL) {
            db[oc] += dy[i];
        }
        for (int64_t t = 0; t < s->ic * conv_taps(s); t++) {
            int64_t c = t / conv_taps(s);
            int64_t k[3] = {t / s->kernel[2] / s->kernel[1] % s->kernel[0], t / s->kernel[2] % s->kernel[1],
                            t % s->kernel[2]};
            int64_t at = n * s->groups * s->ic + oc / s->oc * s->ic + c;
            bool inside = true;
            for (int d = 0; d < 3; d++) {
                int64_t from = o[d] * s->stride[d] + k[d] * s->dilation[d] - s->pad[d];
                inside = inside && from >= 0 && from < s->in[d];
                at = at * s->in[d] + from;
            }
            if (inside && dx != NULL) {
                dx[at] += w[oc * s->ic * conv_taps(s) + t] * dy[i];
            }
            if (inside && dw != NULL) {
                dw[oc * s->ic * conv_taps(s) + t] += x[at] * dy[i];
            }
        }
    }
}
