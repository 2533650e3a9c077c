/*
 * scan_avx512_private.h: what the scans in AVX-512 share.
 */
#ifndef CORE_KERNEL_SCAN_AVX512_PRIVATE_H
#define CORE_KERNEL_SCAN_AVX512_PRIVATE_H

#if defined(__AVX512BW__)
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "core/kernel/scan.h"
#include "core/kernel/scan_private.h"

/* In scan_vnni.c, and no faster otherwise. */
scan_high_fn scan_high_vnni;
scan_int8_fn scan_int8_vnni;
scan_dot_fn scan_dot_vnni;
scan_hadamard_fn scan_hadamard_vnni;

/* The bits of a that mask has in every byte, and the others of b. */
static inline __m512i choose(__m512i a, char mask, __m512i b)
{
    return _mm512_ternarylogic_epi64(a, b, _mm512_set1_epi8(mask), 0xE4);
}

READS_DEAD_ROWS static inline uint16_t passing(__m512 score, const float *error, float query_error, float floor)
{
    __m512 bound = _mm512_fmadd_ps(_mm512_load_ps(error), _mm512_set1_ps(query_error), score);
    return (uint16_t)_mm512_cmp_ps_mask(bound, _mm512_set1_ps(floor), _CMP_GE_OQ);
}

/*
 * Bytes of 64 rows, added up as 16-bit numbers: all, the even rows' with the odd ones' multiples of 256 on top, and the odd
 * ones' alone, which are subtracted at the end.
 */
struct bits_sums {
    __m512i all, odd;
};

static inline void bits_add(struct bits_sums *sums, __m512i bytes)
{
    sums->all = _mm512_add_epi16(sums->all, bytes);
    sums->odd = _mm512_add_epi16(sums->odd, _mm512_srli_epi16(bytes, 8));
}

READS_DEAD_ROWS static inline uint64_t bits_finish(const struct scan_bits_query *query, const struct bits_sums *sums,
                                                   const float *tail)
{
    __m512i even = _mm512_sub_epi16(sums->all, _mm512_slli_epi16(sums->odd, 8));
    __m512i low = _mm512_unpacklo_epi16(even, sums->odd); /* of each 16 rows the first 8 */
    __m512i high = _mm512_unpackhi_epi16(even, sums->odd);
    const __m256i rows[4] = {
        _mm256_permute2x128_si256(_mm512_castsi512_si256(low), _mm512_castsi512_si256(high), 0x20),
        _mm256_permute2x128_si256(_mm512_castsi512_si256(low), _mm512_castsi512_si256(high), 0x31),
        _mm256_permute2x128_si256(_mm512_extracti64x4_epi64(low, 1), _mm512_extracti64x4_epi64(high, 1), 0x20),
        _mm256_permute2x128_si256(_mm512_extracti64x4_epi64(low, 1), _mm512_extracti64x4_epi64(high, 1), 0x31)};
    uint64_t passed = 0;

    for (size_t i = 0; i < 4; i++) {
        __m512 sum = _mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(rows[i]));
        __m512 estimate = _mm512_fmadd_ps(_mm512_set1_ps(query->step), sum, _mm512_set1_ps(query->base));
        __m512 score = _mm512_mul_ps(_mm512_load_ps(tail + 16 * i), estimate);
        passed |= (uint64_t)passing(score, tail + SCAN_BITS_ROWS + 16 * i, query->error, query->floor) << (16 * i);
    }
    return passed;
}
#endif

#endif
