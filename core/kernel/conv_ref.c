/* conv_ref.c: the convolution as its definition. */
#include "core/kernel/conv.h"

static float at(const struct conv_shape *s, const float *x, const float *w, const int64_t o[3])
{
    float sum = 0;

    for (int64_t c = 0; c < s->ic; c++) {
        for (int64_t t = 0; t < conv_taps(s); t++) {
            int64_t k[3] = {t / s->kernel[2] / s->kernel[1], t / s->kernel[2] % s->kernel[1], t % s->kernel[2]};
            int64_t i[3];
            bool inside = true;
            for (int d = 0; d < 3; d++) {
                i[d] = o[d] * s->stride[d] + k[d] * s->dilation[d] - s->pad[d];
                inside = inside && i[d] >= 0 && i[d] < s->in[d];
            }
            if (inside) {
                sum += w[c * conv_taps(s) + t] * x[c * conv_in_pixels(s) + (i[0] * s->in[1] + i[1]) * s->in[2] + i[2]];
            }
        }
    }
    return sum;
}

void conv_f32_ref(const struct conv_shape *s, const float *x, const float *w, const struct finish *finish, float *y)
{
    for (int64_t n = 0; n < s->n; n++) {
        for (int64_t oc = 0; oc < s->groups * s->oc; oc++) {
            int64_t first_ic = n * s->groups * s->ic + oc / s->oc * s->ic;
            float *plane = y + (n * s->groups * s->oc + oc) * conv_out_pixels(s);
            for (int64_t p = 0; p < conv_out_pixels(s); p++) {
                int64_t o[3] = {p / s->out[2] / s->out[1], p / s->out[2] % s->out[1], p % s->out[2]};
                plane[p] = at(s, x + first_ic * conv_in_pixels(s), w + oc * s->ic * conv_taps(s), o);
            }
            finish_rows(finish, y, oc, 1, conv_out_pixels(s), plane, 0);
        }
    }
}
