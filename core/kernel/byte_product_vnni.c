/*
 * byte_product_vnni.c: the product of bytes by vpdpbusd: up to 14 pixels times two registers of channels.
 *
 * 28 sums, two weights and one broadcast of four bytes fill 31 registers; each step loads 2 + 14 and multiplies 28 times, so
 * the two multipliers are the limit, not the loads.
 */
#include "core/kernel/byte_product.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <stddef.h>
#include <string.h>

#define AHEAD \
    768 /* bytes of weights: they lie in the second-level cache, whose delay is longer than what a processor looks ahead */

__attribute__((always_inline)) static inline void tile(const struct byte_rows *rows, const uint8_t *x, const int n,
                                                       int32_t *y)
{
    __m512i sum[14][2];
    const int64_t step = rows->pixel_step;
    const int8_t *w = rows->w;

#pragma GCC unroll 14
    for (int p = 0; p < n; p++) {
        sum[p][0] = _mm512_loadu_si512(rows->start);
        sum[p][1] = _mm512_loadu_si512(rows->start + 16);
    }
    for (int64_t r = 0; r < rows->n_runs; r++) {
        const uint8_t *run = x + rows->run_at[r];
        for (int64_t q = 0; q < rows->quads; q++, w += (ptrdiff_t)BYTE_LANES * 4, run += 4) {
            const __m512i w0 = _mm512_load_si512(w);
            const __m512i w1 = _mm512_load_si512(w + 64);
            _mm_prefetch(w + AHEAD, _MM_HINT_T0);
            _mm_prefetch(w + AHEAD + 64, _MM_HINT_T0);
#pragma GCC unroll 14
            for (int p = 0; p < n; p++) {
                int32_t four;
                memcpy(&four, run + p * step, sizeof four);
                const __m512i a = _mm512_set1_epi32(four);
                sum[p][0] = _mm512_dpbusd_epi32(sum[p][0], a, w0);
                sum[p][1] = _mm512_dpbusd_epi32(sum[p][1], a, w1);
            }
        }
    }
#pragma GCC unroll 14
    for (int p = 0; p < n; p++) {
        _mm512_store_si512(y + p * BYTE_LANES, sum[p][0]);
        _mm512_store_si512(y + p * BYTE_LANES + 16, sum[p][1]);
    }
}

void byte_product_vnni(const struct byte_rows *rows, int64_t n_pixels, int32_t *y)
{
    const uint8_t *x = rows->x;

    for (; n_pixels >= 14; n_pixels -= 14, x += 14 * rows->pixel_step, y += (ptrdiff_t)14 * BYTE_LANES) {
        tile(rows, x, 14, y);
    }
    switch (n_pixels) {
    case 13: tile(rows, x, 13, y); break;
    case 12: tile(rows, x, 12, y); break;
    case 11: tile(rows, x, 11, y); break;
    case 10: tile(rows, x, 10, y); break;
    case 9: tile(rows, x, 9, y); break;
    case 8: tile(rows, x, 8, y); break;
    case 7: tile(rows, x, 7, y); break;
    case 6: tile(rows, x, 6, y); break;
    case 5: tile(rows, x, 5, y); break;
    case 4: tile(rows, x, 4, y); break;
    case 3: tile(rows, x, 3, y); break;
    case 2: tile(rows, x, 2, y); break;
    case 1: tile(rows, x, 1, y); break;
    default: break;
    }
}
#endif
