/* half.c: rounding by integers, since compilers do not agree on a type of 16 bits. */
#include "core/kernel/half.h"

#include <string.h>

#define LARGEST 65504.0F

uint16_t half_of(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    const uint32_t sign = bits >> 16 & 0x8000U;
    bits &= 0x7FFFFFFFU;
    if (bits > 0x7F800000U) {
        return (uint16_t)(sign | 0x7E00U); /* not a number */
    }
    if (bits >= 0x477FF000U) { /* 65520 and more round to infinity */
        return (uint16_t)(sign | 0x7C00U);
    }
    if (bits < 0x38800000U) { /* below the smallest normal half: a multiple of 2^-24 */
        float magnitude;
        memcpy(&magnitude, &bits, sizeof magnitude);
        magnitude += 0.5F; /* whose last bit is 2^-24: the sum is rounded as the half has to be */
        memcpy(&bits, &magnitude, sizeof bits);
        return (uint16_t)(sign | (bits - 0x3F000000U));
    }
    bits += 0xFFFU + (bits >> 13 & 1U);
    return (uint16_t)(sign | ((bits - 0x38000000U) >> 13));
}

bool half_squeeze(float *x, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        if (!(x[i] >= -LARGEST && x[i] <= LARGEST)) {
            return false;
        }
    }
    for (int64_t i = 0; i < count; i++) {
        const uint16_t half = half_of(x[i]);
        memcpy((unsigned char *)x + i * (int64_t)sizeof half, &half, sizeof half);
    }
    return true;
}
