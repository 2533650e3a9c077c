/*
 * byte_product_avx2.c: the product of bytes by vpmaddwd: bytes are widened, because vpmaddubsw would saturate.
 *
 * Four channels at a time for up to four pixels: a register holds two sums a channel, added at the end.
 */
#include "core/kernel/byte_product.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <stddef.h>
#include <string.h>

/* Eight channels from c0 on, of n pixels. */
__attribute__((always_inline)) static inline void tile(const struct byte_rows *rows, const uint8_t *x, const int n,
                                                       int c0, int32_t *y)
{
    __m256i sum[4][2];
    const int8_t *w = rows->w + (ptrdiff_t)c0 * 4;

#pragma GCC unroll 4
    for (int p = 0; p < n; p++) {
        sum[p][0] = sum[p][1] = _mm256_setzero_si256();
    }
    for (int64_t r = 0; r < rows->n_runs; r++) {
        const uint8_t *run = x + rows->run_at[r];
        for (int64_t q = 0; q < rows->quads; q++, w += (ptrdiff_t)BYTE_LANES * 4, run += 4) {
            const __m256i w0 = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)w));
            const __m256i w1 = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(w + 16)));
#pragma GCC unroll 4
            for (int p = 0; p < n; p++) {
                int32_t four;
                memcpy(&four, run + p * rows->pixel_step, sizeof four);
                const __m256i a = _mm256_cvtepu8_epi16(_mm_set1_epi32(four));
                sum[p][0] = _mm256_add_epi32(sum[p][0], _mm256_madd_epi16(a, w0));
                sum[p][1] = _mm256_add_epi32(sum[p][1], _mm256_madd_epi16(a, w1));
            }
        }
    }
    const __m256i start = _mm256_loadu_si256((const __m256i *)(const void *)(rows->start + c0));
#pragma GCC unroll 4
    for (int p = 0; p < n; p++) {
        /* [c0 c0 c1 c1 | c2 c2 c3 c3] and [c4 ...]: pairs add to [c0 c1 c4 c5 | c2 c3 c6 c7] */
        __m256i pairs = _mm256_hadd_epi32(sum[p][0], sum[p][1]);
        pairs = _mm256_permute4x64_epi64(pairs, 0xD8);
        _mm256_storeu_si256((__m256i *)(void *)(y + p * BYTE_LANES + c0), _mm256_add_epi32(pairs, start));
    }
}

void byte_product_avx2(const struct byte_rows *rows, int64_t n_pixels, int32_t *y)
{
    const uint8_t *x = rows->x;

    for (; n_pixels > 0; n_pixels -= 4, x += 4 * rows->pixel_step, y += (ptrdiff_t)4 * BYTE_LANES) {
        for (int c0 = 0; c0 < BYTE_LANES; c0 += 8) {
            switch (n_pixels) {
            case 1: tile(rows, x, 1, c0, y); break;
            case 2: tile(rows, x, 2, c0, y); break;
            case 3: tile(rows, x, 3, c0, y); break;
            default: tile(rows, x, 4, c0, y); break;
            }
        }
    }
}
#endif
