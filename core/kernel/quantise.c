/* quantise.c: floats to bytes. */
#include "core/kernel/quantise.h"

/*
 * Adding and subtracting 1.5 · 2^23 rounds half to even and, unlike nearbyintf, is one instruction each on any processor.
 * It holds for |v| ≤ 2^22; beyond 1000 every byte saturates whatever its zero is.
 */
static inline float round_even(float v)
{
    v = v > -1000.0F ? v : -1000.0F; /* NaN too */
    v = v < 1000.0F ? v : 1000.0F;
    return (v + 12582912.0F) - 12582912.0F;
}

void quantise_u8(const float *x, int64_t count, float scale, int32_t zero, uint8_t *y)
{
    for (int64_t i = 0; i < count; i++) {
        int32_t v = (int32_t)round_even(x[i] / scale) + zero;
        v = v < 0 ? 0 : v;
        y[i] = (uint8_t)(v > 255 ? 255 : v);
    }
}

void quantise_s8(const float *x, int64_t count, float scale, int32_t zero, int8_t *y)
{
    for (int64_t i = 0; i < count; i++) {
        int32_t v = (int32_t)round_even(x[i] / scale) + zero;
        v = v < -128 ? -128 : v;
        y[i] = (int8_t)(v > 127 ? 127 : v);
    }
}

void quantise_range_u8(const float *x, int64_t count, float *ret_scale, uint8_t *ret_zero)
{
    float low = 0;
    float high = 0;

    for (int64_t i = 0; i < count; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    float scale = high > low ? (high - low) / 255.0F : 1.0F;
    if (!(scale > 0)) { /* a range so small that its 255th part is zero */
        scale = 1.0F;
    }
    float zero = round_even(-low / scale);
    *ret_scale = scale;
    *ret_zero = (uint8_t)(zero < 0 ? 0 : zero > 255 ? 255 : zero);
}
