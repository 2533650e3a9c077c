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
scan_signs_fn scan_signs_vnni;
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

/* shares: 256 times those of the rows. */
static inline __mmask32 reaching(const struct scan_bits_query *query, __m512i sums, __m512i shares)
{
    const __m512i more = _mm512_mulhi_epu16(shares, _mm512_set1_epi16(query->slope));
    return _mm512_cmpge_epi16_mask(sums, _mm512_adds_epi16(_mm512_set1_epi16(query->base), more));
}

static inline uint64_t bits_finish(const struct scan_bits_query *query, const struct bits_sums *sums, __m512i shares)
{
    const __m512i odd_ones = _mm512_set1_epi16((short)0xFF00);
    const __m512i even = _mm512_sub_epi16(sums->all, _mm512_slli_epi16(sums->odd, 8));
    const __mmask32 evens = reaching(query, even, _mm512_slli_epi16(shares, 8));
    const __mmask32 odds = reaching(query, sums->odd, _mm512_and_si512(shares, odd_ones));
    return _mm512_movepi8_mask(
        _mm512_mask_blend_epi8(0xAAAAAAAAAAAAAAAA, _mm512_movm_epi16(evens), _mm512_movm_epi16(odds)));
}

/* A table for each of the register's four parts. */
static inline __m512i table_of(const uint8_t *table)
{
    return _mm512_broadcast_i32x4(_mm_load_si128((const __m128i *)(const void *)table));
}

/* What a plane's two tables say of 64 rows; at most 120. */
typedef __m512i look_up_fn(__m512i codes, const uint8_t *tables);

/* look_up: known where this is inlined. */
READS_DEAD_ROWS static inline uint64_t bits_block(const struct scan_bits_query *query, size_t planes,
                                                  const uint8_t *rows, look_up_fn *look_up)
{
    const uint8_t *tables = query->table;
    struct bits_sums sums = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    size_t plane = 0;

    for (; plane + 2 <= planes; plane += 2, rows += 2 * SCAN_BITS_ROWS, tables += 64) {
        ask_ahead(rows);
        ask_ahead(rows + SCAN_BITS_ROWS);
        bits_add(&sums, _mm512_add_epi8(look_up(_mm512_load_si512(rows), tables),
                                        look_up(_mm512_load_si512(rows + SCAN_BITS_ROWS), tables + 32)));
    }
    if (plane < planes) {
        ask_ahead(rows);
        bits_add(&sums, look_up(_mm512_load_si512(rows), tables));
        rows += SCAN_BITS_ROWS;
    }
    ask_ahead(rows);
    return bits_finish(query, &sums, _mm512_load_si512(rows));
}
#endif

#endif
