/* conv_direct_ref.c: one channel of a convolution as its definition, in floats and in integers. */
#include "core/kernel/conv_direct.h"

/* Where tap t of channel c looks for output p, in the image of the group; -1: in the padding. */
static int64_t source(const struct conv_shape *s, int64_t c, int64_t t, int64_t p)
{
    const int64_t o[3] = {p / s->out[2] / s->out[1], p / s->out[2] % s->out[1], p % s->out[2]};
    const int64_t k[3] = {t / s->kernel[2] / s->kernel[1], t / s->kernel[2] % s->kernel[1], t % s->kernel[2]};
    int64_t at = c;

    for (int d = 0; d < 3; d++) {
        int64_t i = o[d] * s->stride[d] + k[d] * s->dilation[d] - s->pad[d];
        if (i < 0 || i >= s->in[d]) {
            return -1;
        }
        at = at * s->in[d] + i;
    }
    return at;
}

/* The definition; IMAGE and SUM are types, VALUE(i) what number i of the image counts for. */
#define PLANE(IMAGE, SUM, VALUE)                                                                      \
    const IMAGE *image = x + (n * s->groups + oc / s->oc) * s->ic * conv_in_pixels(s);                \
    for (int64_t p = 0; p < conv_out_pixels(s); p++) {                                                \
        SUM sum = 0;                                                                                  \
        for (int64_t c = 0; c < s->ic; c++) {                                                         \
            for (int64_t t = 0; t < conv_taps(s); t++) {                                              \
                int64_t at = source(s, c, t, p);                                                      \
                sum += at < 0 ? 0 : (SUM)w[(oc * s->ic + c) * conv_taps(s) + t] * (VALUE(image[at])); \
            }                                                                                         \
        }                                                                                             \
        y[p] = sum;                                                                                   \
    }
#define AS_IS(v) (v)
#define LESS_ZERO(v) ((v)-zero)

void conv_direct_f32_ref(const struct conv_shape *s, const float *x, const float *w, int64_t n, int64_t oc, float *y)
{
    PLANE(float, float, AS_IS)
}

void conv_direct_u8_ref(const struct conv_shape *s, const uint8_t *x, int32_t zero, const int16_t *w, int64_t n,
                        int64_t oc, int32_t *y)
{
    PLANE(uint8_t, int32_t, LESS_ZERO)
}

void conv_direct_s8_ref(const struct conv_shape *s, const int8_t *x, int32_t zero, const int16_t *w, int64_t n,
                        int64_t oc, int32_t *y)
{
    PLANE(int8_t, int32_t, LESS_ZERO)
}
