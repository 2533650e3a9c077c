/* conv_direct.c: direct convolutions for any processor. */
#include "core/kernel/conv_direct.h"

#define IN float
#define WEIGHT float
#define SUM float
#define FN f32
#include "core/kernel/conv_direct_rows.inc"
#undef IN
#undef WEIGHT
#undef SUM
#undef FN

#define IN uint8_t
#define WEIGHT int16_t
#define SUM int32_t
#define FN u8
#include "core/kernel/conv_direct_rows.inc"
#undef IN
#undef FN

#define IN int8_t
#define FN s8
#include "core/kernel/conv_direct_rows.inc"

void conv_direct_f32_portable(const struct conv_shape *s, const float *x, const float *w, int64_t n, int64_t oc,
                              float *y)
{
    f32_plane(s, x, 0, w, n, oc, y);
}

void conv_direct_u8_portable(const struct conv_shape *s, const uint8_t *x, int32_t zero, const int16_t *w, int64_t n,
                             int64_t oc, int32_t *y)
{
    u8_plane(s, x, zero, w, n, oc, y);
}

void conv_direct_s8_portable(const struct conv_shape *s, const int8_t *x, int32_t zero, const int16_t *w, int64_t n,
                             int64_t oc, int32_t *y)
{
    s8_plane(s, x, zero, w, n, oc, y);
}
