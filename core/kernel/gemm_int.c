/* gemm_int.c: the portable integer product, and bytes made wider for it. */
#include "core/kernel/gemm_int.h"

#define FN gemm_int_portable
#include "core/kernel/gemm_int_body.inc"

void widen_u8(const uint8_t *from, int64_t count, int32_t zero, int16_t *to, int64_t step)
{
    if (step == 1) {
        for (int64_t i = 0; i < count; i++) {
            to[i] = (int16_t)(from[i] - zero);
        }
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        to[i * step] = (int16_t)(from[i] - zero);
    }
}

void widen_s8(const int8_t *from, int64_t count, int32_t zero, int16_t *to, int64_t step)
{
    if (step == 1) {
        for (int64_t i = 0; i < count; i++) {
            to[i] = (int16_t)(from[i] - zero);
        }
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        to[i * step] = (int16_t)(from[i] - zero);
    }
}
