/* scan_vnni.c: the scans in AVX-512 with VNNI: a block's rows are one register. */
#include "core/kernel/scan.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#include "core/kernel/scan_avx512_private.h"
#include "core/kernel/scan_private.h"

#define UNROLLED _Pragma("GCC unroll 16")

READS_DEAD_ROWS static inline uint16_t int8_finish(const struct scan_int8_query *query, __m512i sum, int32_t offset,
                                                   const float *scales, const float *errors)
{
    sum = _mm512_sub_epi32(sum, _mm512_set1_epi32(offset));
    __m512 scaled = _mm512_mul_ps(_mm512_set1_ps(query->scale), _mm512_cvtepi32_ps(sum));
    return passing(_mm512_mul_ps(_mm512_load_ps(scales), scaled), errors, query->error, query->floor);
}

static inline const float *numbers(const uint8_t *at)
{
    return (const float *)(const void *)at;
}

/* Four codes of the query, which a group has two of. */
static inline __m512i four_codes(const struct scan_int8_query *query, size_t four)
{
    int32_t codes;

    memcpy(&codes, query->codes + four * 4, sizeof codes);
    return _mm512_set1_epi32(codes);
}

/* Codes plus 128 of a group: of its first four dimensions and of the other four. */
struct eight {
    __m512i first, second;
};

READS_DEAD_ROWS static inline struct eight codes_of(const uint8_t *high, const uint8_t *low)
{
    const __m512i highs = _mm512_load_si512(high);
    const __m512i lows = _mm512_load_si512(low);
    return (struct eight){choose(lows, 15, _mm512_slli_epi16(highs, 4)), choose(_mm512_srli_epi16(lows, 4), 15, highs)};
}

/*
 * Two sums each, because each waits for its own last product.  The upper half of a byte stands there as 16 times what it says, so
 * the sum of the others is multiplied at the end.
 */
READS_DEAD_ROWS static uint16_t high_block(const struct scan_int8_query *query, size_t groups, const uint8_t *block)
{
    const __m512i mask = _mm512_set1_epi8(15);
    __m512i first[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    __m512i second[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    size_t group = 0;

    for (; group + 2 <= groups; group += 2) {
        UNROLLED
        for (size_t i = 0; i < 2; i++) {
            const __m512i highs = _mm512_load_si512(block + (group + i) * 64);
            ask_ahead(block + (group + i) * 64);
            first[i] = _mm512_dpbusd_epi32(first[i], _mm512_and_si512(highs, mask), four_codes(query, 2 * (group + i)));
            second[i] = _mm512_dpbusd_epi32(second[i], _mm512_andnot_si512(mask, highs),
                                            four_codes(query, 2 * (group + i) + 1));
        }
    }
    if (group < groups) {
        const __m512i highs = _mm512_load_si512(block + group * 64);
        ask_ahead(block + group * 64);
        first[0] = _mm512_dpbusd_epi32(first[0], _mm512_and_si512(highs, mask), four_codes(query, 2 * group));
        second[0] = _mm512_dpbusd_epi32(second[0], _mm512_andnot_si512(mask, highs), four_codes(query, 2 * group + 1));
    }
    ask_ahead(block + groups * 64); /* scales and reaches */
    ask_ahead(block + groups * 64 + 64);
    const __m512i sum = _mm512_add_epi32(_mm512_slli_epi32(_mm512_add_epi32(first[0], first[1]), 4),
                                         _mm512_add_epi32(second[0], second[1]));
    const float *scales = numbers(block + groups * 64);
    return int8_finish(query, sum, query->offset / 16 * 15, scales, scales + SCAN_ROWS);
}

READS_DEAD_ROWS void scan_high_vnni(const struct scan_int8_query *query, size_t groups, const uint8_t *high,
                                    size_t n_blocks, const uint16_t *live, uint16_t *ret)
{
    for (size_t b = 0; b < n_blocks; b++, high += SCAN_HIGH_BLOCK_BYTES(groups)) {
        ret[b] = live[b] == 0 ? 0 : live[b] & high_block(query, groups, high);
    }
}

/* One query, one block. */
READS_DEAD_ROWS static uint16_t int8_one(const struct scan_int8_query *query, size_t groups, const uint8_t *high,
                                         const uint8_t *low)
{
    __m512i sum[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};

    for (size_t group = 0; group < groups; group++) {
        ask_ahead(high + group * 64);
        ask_ahead(low + group * 64);
        struct eight codes = codes_of(high + group * 64, low + group * 64);
        sum[0] = _mm512_dpbusd_epi32(sum[0], codes.first, four_codes(query, 2 * group));
        sum[1] = _mm512_dpbusd_epi32(sum[1], codes.second, four_codes(query, 2 * group + 1));
    }
    return int8_finish(query, _mm512_add_epi32(sum[0], sum[1]), query->offset, numbers(high + groups * 64),
                       numbers(low + groups * 64));
}

/* N_TOGETHER queries over two blocks: every code is loaded once for all of them, every query's once for both blocks. */
enum {
    N_TOGETHER = 8
};

READS_DEAD_ROWS static void int8_together(const struct scan_int8_query *queries, size_t groups,
                                          const uint8_t *const high[2], const uint8_t *const low[2],
                                          uint16_t *const ret[2], size_t stride)
{
    __m512i sum[2][N_TOGETHER];

    UNROLLED
    for (size_t q = 0; q < N_TOGETHER; q++) {
        sum[0][q] = _mm512_setzero_si512();
        sum[1][q] = _mm512_setzero_si512();
    }
    for (size_t group = 0; group < groups; group++) {
        struct eight rows = codes_of(high[0] + group * 64, low[0] + group * 64);
        struct eight next_rows = codes_of(high[1] + group * 64, low[1] + group * 64);
        UNROLLED
        for (size_t q = 0; q < N_TOGETHER; q++) {
            __m512i codes = four_codes(&queries[q], 2 * group);
            sum[0][q] = _mm512_dpbusd_epi32(sum[0][q], rows.first, codes);
            sum[1][q] = _mm512_dpbusd_epi32(sum[1][q], next_rows.first, codes);
        }
        UNROLLED
        for (size_t q = 0; q < N_TOGETHER; q++) {
            __m512i codes = four_codes(&queries[q], 2 * group + 1);
            sum[0][q] = _mm512_dpbusd_epi32(sum[0][q], rows.second, codes);
            sum[1][q] = _mm512_dpbusd_epi32(sum[1][q], next_rows.second, codes);
        }
    }
    UNROLLED
    for (size_t q = 0; q < N_TOGETHER; q++) {
        for (size_t i = 0; i < 2; i++) {
            ret[i][q * stride] = int8_finish(&queries[q], sum[i][q], queries[q].offset, numbers(high[i] + groups * 64),
                                             numbers(low[i] + groups * 64));
        }
    }
}

READS_DEAD_ROWS void scan_int8_vnni(const struct scan_int8_query *queries, size_t n_queries, size_t groups,
                                    const uint8_t *high, const uint8_t *low, size_t n_blocks, const uint16_t *live,
                                    uint16_t *ret)
{
    const size_t high_bytes = SCAN_HIGH_BLOCK_BYTES(groups);
    const size_t low_bytes = SCAN_LOW_BLOCK_BYTES(groups);
    size_t q = 0;

    for (; q + N_TOGETHER <= n_queries; q += N_TOGETHER) {
        uint16_t *passed = ret + q * n_blocks;
        for (size_t b = 0; b < n_blocks; b += 2) {
            size_t next = b + 1 < n_blocks ? b + 1 : b;
            if ((live[b] | live[next]) != 0) {
                const uint8_t *const highs[2] = {high + b * high_bytes, high + next * high_bytes};
                const uint8_t *const lows[2] = {low + b * low_bytes, low + next * low_bytes};
                uint16_t *const both[2] = {passed + b, passed + next};
                int8_together(queries + q, groups, highs, lows, both, n_blocks);
            }
            for (size_t i = 0; i < N_TOGETHER; i++) {
                passed[i * n_blocks + b] = live[b] == 0 ? 0 : live[b] & passed[i * n_blocks + b];
                passed[i * n_blocks + next] = live[next] == 0 ? 0 : live[next] & passed[i * n_blocks + next];
            }
        }
    }
    for (; q < n_queries; q++) {
        for (size_t b = 0; b < n_blocks; b++) {
            ret[q * n_blocks + b] =
                live[b] == 0 ? 0 : live[b] & int8_one(&queries[q], groups, high + b * high_bytes, low + b * low_bytes);
        }
    }
}

static inline __m512i look_up(__m512i codes, const uint8_t *tables)
{
    const __m512i nibble = _mm512_set1_epi8(15);
    return _mm512_add_epi8(
        _mm512_shuffle_epi8(table_of(tables), _mm512_and_si512(codes, nibble)),
        _mm512_shuffle_epi8(table_of(tables + 16), _mm512_and_si512(_mm512_srli_epi16(codes, 4), nibble)));
}

READS_DEAD_ROWS static void bits_vnni(const struct scan_bits_query *query, size_t planes, const uint8_t *blocks,
                                      size_t n_blocks, const uint64_t *live, uint64_t *ret)
{
    for (size_t b = 0; b < n_blocks; b++) {
        ret[b] =
            live[b] == 0 ? 0 : live[b] & bits_block(query, planes, blocks + b * SCAN_BITS_BLOCK_BYTES(planes), look_up);
    }
}

/* In sixteen sums.  The bits are a mask as they are. */
READS_DEAD_ROWS static inline __m512i signs_sums(const int8_t *weights, size_t bytes, const uint8_t *row)
{
    __m512i sums = _mm512_setzero_si512();

    for (size_t i = 0; i < bytes; i += 8) {
        __mmask64 bits;
        memcpy(&bits, row + i, sizeof bits);
        sums = _mm512_dpbusd_epi32(sums, _mm512_set1_epi8(1), _mm512_maskz_loadu_epi8(bits, weights + 8 * i));
    }
    return sums;
}

/* Four rows' sums are added up together. */
static inline __m128i totals(const __m512i rows[4])
{
    const __m512i ab =
        _mm512_add_epi32(_mm512_unpacklo_epi32(rows[0], rows[1]), _mm512_unpackhi_epi32(rows[0], rows[1]));
    const __m512i cd =
        _mm512_add_epi32(_mm512_unpacklo_epi32(rows[2], rows[3]), _mm512_unpackhi_epi32(rows[2], rows[3]));
    const __m512i all = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    const __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

READS_DEAD_ROWS size_t scan_signs_vnni(const struct scan_signs_query *query, size_t bytes, const uint8_t *rows,
                                       const uint16_t *which, size_t n, uint16_t *ret)
{
    size_t passed = 0;

    for (size_t r = 0; r < n; r += 4) {
        int shares[4];
        __m512i sums[4];
        for (size_t i = 0; i < 4; i++) { /* the last one again if there are no four any more */
            const uint8_t *row = rows + which[r + i < n ? r + i : n - 1] * bytes;
            shares[i] = row[0];
            sums[i] = signs_sums(query->weights, bytes, row);
        }
        const __m128i more =
            _mm_mullo_epi32(_mm_loadu_si128((const __m128i *)(const void *)shares), _mm_set1_epi32(query->slope));
        const __m128i bounds = _mm_add_epi32(_mm_set1_epi32(query->base), _mm_srai_epi32(more, 8));
        const int short_of = _mm_movemask_ps(_mm_castsi128_ps(_mm_cmpgt_epi32(bounds, totals(sums))));
        for (unsigned reach = ~(unsigned)short_of & (n - r < 4 ? (1U << (n - r)) - 1 : 15); reach != 0;
             reach &= reach - 1) {
            ret[passed++] = which[r + (size_t)__builtin_ctz(reach)];
        }
    }
    return passed;
}

float scan_dot_vnni(const float *a, const float *b, size_t n)
{
    __m512 sum[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
    size_t i = 0;

    for (; i + 32 <= n; i += 32) {
        sum[0] = _mm512_fmadd_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i), sum[0]);
        sum[1] = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 16), _mm512_loadu_ps(b + i + 16), sum[1]);
    }
    if (i < n) {
        const uint32_t left = (uint32_t)((UINT64_C(1) << (n - i)) - 1);
        const __mmask16 low = (__mmask16)left;
        const __mmask16 high = (__mmask16)(left >> 16);
        sum[0] = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(low, a + i), _mm512_maskz_loadu_ps(low, b + i), sum[0]);
        sum[1] =
            _mm512_fmadd_ps(_mm512_maskz_loadu_ps(high, a + i + 16), _mm512_maskz_loadu_ps(high, b + i + 16), sum[1]);
    }
    __m512 sixteen = _mm512_add_ps(sum[0], sum[1]);
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(sixteen), _mm512_extractf32x8_ps(sixteen, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/* other: the number that each one is paired with; high: those that come second in their pair. */
static inline __m512 hadamard_stage(__m512 v, __m512 other, __mmask16 high)
{
    return _mm512_mask_sub_ps(_mm512_add_ps(v, other), high, other, v);
}

void scan_hadamard_vnni(float *x, size_t n)
{
    if (n < 16) {
        hadamard_from(1, x, n);
        return;
    }
    for (size_t i = 0; i < n; i += 16) {
        __m512 v = _mm512_loadu_ps(x + i);
        v = hadamard_stage(v, _mm512_permute_ps(v, 0xB1), 0xAAAA);
        v = hadamard_stage(v, _mm512_permute_ps(v, 0x4E), 0xCCCC);
        v = hadamard_stage(v, _mm512_shuffle_f32x4(v, v, 0xB1), 0xF0F0);
        v = hadamard_stage(v, _mm512_shuffle_f32x4(v, v, 0x4E), 0xFF00);
        _mm512_storeu_ps(x + i, v);
    }
    hadamard_from(16, x, n);
}

const struct scan scan_vnni = {.name = "vnni",
                               .high = scan_high_vnni,
                               .int8 = scan_int8_vnni,
                               .bits = bits_vnni,
                               .signs = scan_signs_vnni,
                               .dot = scan_dot_vnni,
                               .hadamard = scan_hadamard_vnni};
#endif
