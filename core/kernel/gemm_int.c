/* gemm_int.c: the portable integer product, and the choice among the variants. */
#include "core/kernel/gemm_int.h"

#include "core/base/cpu.h"

#define FN gemm_int_portable
#include "core/kernel/gemm_int_body.inc"

void gemm_int(int64_t m, int64_t n, int64_t k, const int16_t *a, const int16_t *b, int32_t *c, int64_t ldc)
{
#if defined(__x86_64__)
    if (cpu_info()->avx512_vnni) {
        gemm_int_vnni(m, n, k, a, b, c, ldc);
        return;
    }
    if (cpu_info()->avx2_fma) {
        gemm_int_avx2(m, n, k, a, b, c, ldc);
        return;
    }
#endif
    gemm_int_portable(m, n, k, a, b, c, ldc);
}

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
