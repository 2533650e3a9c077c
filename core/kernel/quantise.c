/* quantise.c: floats to bytes, by the loops in use. */
#include "core/kernel/quantise.h"

#include "core/kernel/kernels.h"

void quantise_u8(const float *x, int64_t count, float scale, int32_t zero, uint8_t *y)
{
    kernels()->byte_loops->quantise(x, count, scale, zero, 0, 255, y);
}

void quantise_s8(const float *x, int64_t count, float scale, int32_t zero, int8_t *y)
{
    kernels()->byte_loops->quantise(x, count, scale, zero, -128, 127, (uint8_t *)y);
}

void quantise_range_u8(const float *x, int64_t count, float *ret_scale, uint8_t *ret_zero)
{
    float low = 0;
    float high = 0;
    const float one = 1.0F;

    kernels()->byte_loops->range(x, count, &low, &high);
    float scale = high > low ? (high - low) / 255.0F : 1.0F;
    if (!(scale > 0)) { /* a range so small that its 255th part is zero */
        scale = 1.0F;
    }
    float zero = -low / scale;
    kernels()->byte_loops->quantise(&zero, 1, one, 0, 0, 255, ret_zero);
    *ret_scale = scale;
}
