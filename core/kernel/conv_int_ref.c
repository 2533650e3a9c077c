/* conv_int_ref.c: the integer convolution as its definition. */
#include "core/kernel/conv_int.h"

static int32_t at(const struct conv_shape *s, const struct quantised *x, int64_t x0, const struct quantised *w,
                  int64_t oc, const int64_t o[3])
{
    int32_t sum = 0;

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
                int64_t xi = x0 + c * conv_in_pixels(s) + (i[0] * s->in[1] + i[1]) * s->in[2] + i[2];
                int64_t wi = (oc * s->ic + c) * conv_taps(s) + t;
                sum += (quantised_at(x, xi) - quantised_zero(x, 0)) * (quantised_at(w, wi) - quantised_zero(w, oc));
            }
        }
    }
    return sum;
}

void conv_int_ref(const struct conv_shape *s, const struct quantised *x, const struct quantised *w, int32_t *y)
{
    for (int64_t n = 0; n < s->n; n++) {
        for (int64_t oc = 0; oc < s->groups * s->oc; oc++) {
            int64_t x0 = (n * s->groups + oc / s->oc) * s->ic * conv_in_pixels(s);
            for (int64_t p = 0; p < conv_out_pixels(s); p++) {
                int64_t o[3] = {p / s->out[2] / s->out[1], p / s->out[2] % s->out[1], p % s->out[2]};
                *y++ = at(s, x, x0, w, oc, o);
            }
        }
    }
}
