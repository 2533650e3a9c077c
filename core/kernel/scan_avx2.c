/* scan_avx2.c: the scans in AVX2: a block's 16 rows are two registers. */
#include "core/kernel/scan.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <stdbool.h>
#include <string.h>

#include "core/kernel/scan_private.h"

/* Which of 8 rows pass, as the low 8 bits. */
static inline unsigned passing(__m256 score, __m256 error, float query_error, float floor)
{
    __m256 bound = _mm256_fmadd_ps(error, _mm256_set1_ps(query_error), score);
    return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(bound, _mm256_set1_ps(floor), _CMP_GE_OQ));
}

/*
 * The instruction that multiplies bytes adds its pairs with saturation, which would not be exact.  So the even and the odd
 * bytes are widened apart: a mask and a shift, then exact 16-bit products.
 */
static inline __m256i add_products(__m256i sum, __m256i codes, __m256i even, __m256i odd)
{
    __m256i low = _mm256_and_si256(codes, _mm256_set1_epi16(255));
    __m256i high = _mm256_srli_epi16(codes, 8);
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(low, even));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(high, odd));
}

static inline __m256i load(const uint8_t *at)
{
    return _mm256_load_si256((const __m256i *)(const void *)at);
}

static inline const float *numbers(const uint8_t *at)
{
    return (const float *)(const void *)at;
}

static inline __m256i four_codes(const struct scan_int8_query *query, size_t four)
{
    int32_t codes;

    memcpy(&codes, query->codes + four * 4, sizeof codes);
    return _mm256_set1_epi32(codes);
}

READS_DEAD_ROWS static inline uint16_t int8_finish(const struct scan_int8_query *query, const __m256i sums[2],
                                                   const float *scales, const float *errors)
{
    unsigned passed = 0;

    for (size_t half = 0; half < 2; half++) {
        __m256 scaled = _mm256_mul_ps(_mm256_set1_ps(query->scale), _mm256_cvtepi32_ps(sums[half]));
        __m256 score = _mm256_mul_ps(_mm256_load_ps(scales + 8 * half), scaled);
        passed |= passing(score, _mm256_load_ps(errors + 8 * half), query->error, query->floor) << (8 * half);
    }
    return (uint16_t)passed;
}

/* Half bytes are so small that nothing saturates: at most 4 · 15 · 127 in 16 bits. */
READS_DEAD_ROWS static uint16_t high_block(const struct scan_int8_query *query, size_t groups, const uint8_t *block)
{
    const __m256i mask = _mm256_set1_epi8(15);
    __m256i sums[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    const __m256i offset = _mm256_set1_epi32(query->offset / 16 * 15);

    for (size_t group = 0; group < groups; group++) {
        const __m256i first = four_codes(query, 2 * group);
        const __m256i second = four_codes(query, 2 * group + 1);
        ask_ahead(block + group * 64);
        for (size_t half = 0; half < 2; half++) {
            __m256i highs = load(block + group * 64 + half * 32);
            __m256i firsts = _mm256_maddubs_epi16(_mm256_and_si256(highs, mask), first);
            __m256i seconds = _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(highs, 4), mask), second);
            sums[half] = _mm256_add_epi32(sums[half],
                                          _mm256_madd_epi16(_mm256_add_epi16(firsts, seconds), _mm256_set1_epi16(1)));
        }
    }
    for (size_t half = 0; half < 2; half++) {
        sums[half] = _mm256_sub_epi32(_mm256_slli_epi32(sums[half], 4), offset);
    }
    ask_ahead(block + groups * 64); /* scales and reaches */
    ask_ahead(block + groups * 64 + 64);
    const float *scales = numbers(block + groups * 64);
    return int8_finish(query, sums, scales, scales + SCAN_ROWS);
}

READS_DEAD_ROWS static void high_avx2(const struct scan_int8_query *query, size_t groups, const uint8_t *high,
                                      size_t n_blocks, const uint16_t *live, uint16_t *ret)
{
    for (size_t b = 0; b < n_blocks; b++, high += SCAN_HIGH_BLOCK_BYTES(groups)) {
        ret[b] = live[b] == 0 ? 0 : live[b] & high_block(query, groups, high);
    }
}

/* Codes as even and odd numbers of 16 bits. */
static inline __m256i even_of(__m256i codes)
{
    return _mm256_srai_epi16(_mm256_slli_epi16(codes, 8), 8);
}

/* asks: for what is ahead of the block. */
READS_DEAD_ROWS static uint16_t int8_block(const struct scan_int8_query *query, size_t groups, const uint8_t *high,
                                           const uint8_t *low, bool asks)
{
    const __m256i mask = _mm256_set1_epi8(15);
    __m256i sums[2] = {_mm256_set1_epi32(-query->offset), _mm256_set1_epi32(-query->offset)};

    for (size_t group = 0; group < groups; group++) {
        const __m256i first = four_codes(query, 2 * group);
        const __m256i second = four_codes(query, 2 * group + 1);
        if (asks) {
            ask_ahead(high + group * 64);
            ask_ahead(low + group * 64);
        }
        for (size_t half = 0; half < 2; half++) {
            const __m256i highs = load(high + group * 64 + half * 32);
            const __m256i lows = load(low + group * 64 + half * 32);
            const __m256i firsts =
                _mm256_or_si256(_mm256_slli_epi16(_mm256_and_si256(highs, mask), 4), _mm256_and_si256(lows, mask));
            const __m256i seconds =
                _mm256_or_si256(_mm256_andnot_si256(mask, highs), _mm256_and_si256(_mm256_srli_epi16(lows, 4), mask));
            sums[half] = add_products(sums[half], firsts, even_of(first), _mm256_srai_epi16(first, 8));
            sums[half] = add_products(sums[half], seconds, even_of(second), _mm256_srai_epi16(second, 8));
        }
    }
    return int8_finish(query, sums, numbers(high + groups * 64), numbers(low + groups * 64));
}

READS_DEAD_ROWS static void int8_avx2(const struct scan_int8_query *queries, size_t n_queries, size_t groups,
                                      const uint8_t *high, const uint8_t *low, size_t n_blocks, const uint16_t *live,
                                      uint16_t *ret)
{
    for (size_t b = 0; b < n_blocks; b++) {
        for (size_t q = 0; q < n_queries; q++) { /* inside: the block stays in the first cache */
            ret[q * n_blocks + b] =
                live[b] == 0 ? 0
                             : live[b] & int8_block(&queries[q], groups, high + b * SCAN_HIGH_BLOCK_BYTES(groups),
                                                    low + b * SCAN_LOW_BLOCK_BYTES(groups), q == 0);
        }
    }
}

/* What a plane's two tables say of 32 rows; at most 120. */
static inline __m256i look_up(__m256i codes, const uint8_t *tables)
{
    const __m256i nibble = _mm256_set1_epi8(15);
    __m256i low = _mm256_broadcastsi128_si256(_mm_load_si128((const __m128i *)(const void *)tables));
    __m256i high = _mm256_broadcastsi128_si256(_mm_load_si128((const __m128i *)(const void *)(tables + 16)));
    return _mm256_add_epi8(_mm256_shuffle_epi8(low, _mm256_and_si256(codes, nibble)),
                           _mm256_shuffle_epi8(high, _mm256_and_si256(_mm256_srli_epi16(codes, 4), nibble)));
}

/*
 * Adds bytes that stand in pairs as 16-bit numbers: all, the even ones with the odd ones' multiples of 256 on top, and the
 * odd ones alone, which are subtracted at the end.
 */
struct sums {
    __m256i all, odd;
};

static inline void add(struct sums *sums, __m256i bytes)
{
    sums->all = _mm256_add_epi16(sums->all, bytes);
    sums->odd = _mm256_add_epi16(sums->odd, _mm256_srli_epi16(bytes, 8));
}

/* shares: 256 times those of the rows.  Gives 0xFFFF for those that pass. */
static inline __m256i reaching(const struct scan_bits_query *query, __m256i sums, __m256i shares)
{
    const __m256i more = _mm256_mulhi_epu16(shares, _mm256_set1_epi16(query->slope));
    const __m256i bound = _mm256_adds_epi16(_mm256_set1_epi16(query->base), more);
    return _mm256_cmpeq_epi16(_mm256_max_epi16(sums, bound), sums);
}

/* Half a block, whose rows begin there. */
READS_DEAD_ROWS static uint32_t bits_half(const struct scan_bits_query *query, size_t planes, const uint8_t *rows)
{
    const uint8_t *tables = query->table;
    struct sums sums = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    size_t plane = 0;

    for (; plane + 2 <= planes; plane += 2, rows += 2 * SCAN_BITS_ROWS, tables += 64) {
        ask_ahead(rows);
        ask_ahead(rows + SCAN_BITS_ROWS);
        add(&sums, _mm256_add_epi8(look_up(load(rows), tables), look_up(load(rows + SCAN_BITS_ROWS), tables + 32)));
    }
    if (plane < planes) {
        ask_ahead(rows);
        add(&sums, look_up(load(rows), tables));
        rows += SCAN_BITS_ROWS;
    }
    ask_ahead(rows);
    const __m256i shares = load(rows);
    const __m256i odd_ones = _mm256_set1_epi16((short)0xFF00);
    const __m256i even = _mm256_sub_epi16(sums.all, _mm256_slli_epi16(sums.odd, 8));
    return (uint32_t)_mm256_movemask_epi8(
        _mm256_blendv_epi8(reaching(query, even, _mm256_slli_epi16(shares, 8)),
                           reaching(query, sums.odd, _mm256_and_si256(shares, odd_ones)), odd_ones));
}

READS_DEAD_ROWS static void bits_avx2(const struct scan_bits_query *query, size_t planes, const uint8_t *blocks,
                                      size_t n_blocks, const uint64_t *live, uint64_t *ret)
{
    for (size_t b = 0; b < n_blocks; b++) {
        const uint8_t *block = blocks + b * SCAN_BITS_BLOCK_BYTES(planes);
        ret[b] = live[b];
        if (live[b] != 0) {
            ret[b] &= bits_half(query, planes, block) | (uint64_t)bits_half(query, planes, block + 32) << 32;
        }
    }
}

/* The weights of 32 dimensions whose bits are set: each byte of bits goes to eight places, of which each keeps one. */
static inline __m256i weights_of(uint32_t bits, const int8_t *weights)
{
    const __m256i places = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i one_each = _mm256_set1_epi64x((long long)0x8040201008040201);
    const __m256i spread = _mm256_shuffle_epi8(_mm256_set1_epi32((int)bits), places);
    const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(spread, one_each), one_each);
    return _mm256_and_si256(set, _mm256_loadu_si256((const __m256i *)(const void *)weights));
}

READS_DEAD_ROWS static int32_t signs_sum(const int8_t *weights, size_t bytes, const uint8_t *row)
{
    const __m256i ones = _mm256_set1_epi8(1);
    __m256i sums = _mm256_setzero_si256(); /* of pairs; 128 of them are at most 32,512 */

    for (size_t i = 0; i < bytes; i += 4) {
        uint32_t bits;
        memcpy(&bits, row + i, sizeof bits);
        sums = _mm256_add_epi16(sums, _mm256_maddubs_epi16(ones, weights_of(bits, weights + 8 * i)));
    }
    sums = _mm256_madd_epi16(sums, _mm256_set1_epi16(1));
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4E));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xB1)));
}

READS_DEAD_ROWS static size_t signs_avx2(const struct scan_signs_query *query, size_t bytes, const uint8_t *rows,
                                         const uint16_t *which, size_t n, uint16_t *ret)
{
    size_t passed = 0;

    for (size_t r = 0; r < n; r++) {
        const uint8_t *row = rows + which[r] * bytes;
        const int32_t sum = signs_sum(query->weights, bytes, row);
        ret[passed] = which[r];
        passed += sum >= query->base + (row[0] * query->slope >> 8);
    }
    return passed;
}

static float dot_avx2(const float *a, const float *b, size_t n)
{
    __m256 sum[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
    size_t whole = n - n % 32;

    for (size_t i = 0; i < whole; i += 32) {
        for (size_t j = 0; j < 4; j++) {
            sum[j] = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 8 * j), _mm256_loadu_ps(b + i + 8 * j), sum[j]);
        }
    }
    if (whole < n) {
        float last[2][32] = {{0}};
        memcpy(last[0], a + whole, (n - whole) * sizeof *a);
        memcpy(last[1], b + whole, (n - whole) * sizeof *b);
        for (size_t j = 0; j < 4; j++) {
            sum[j] = _mm256_fmadd_ps(_mm256_loadu_ps(last[0] + 8 * j), _mm256_loadu_ps(last[1] + 8 * j), sum[j]);
        }
    }
    __m256 eight = _mm256_add_ps(_mm256_add_ps(sum[0], sum[2]), _mm256_add_ps(sum[1], sum[3]));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/* other: the number that each one is paired with; high: those that come second in their pair. */
#define HADAMARD_STAGE(v, other, high) _mm256_blend_ps(_mm256_add_ps(v, other), _mm256_sub_ps(other, v), high)

static void hadamard_avx2(float *x, size_t n)
{
    if (n < 8) {
        hadamard_from(1, x, n);
        return;
    }
    for (size_t i = 0; i < n; i += 8) {
        __m256 v = _mm256_loadu_ps(x + i);
        v = HADAMARD_STAGE(v, _mm256_permute_ps(v, 0xB1), 0xAA);
        v = HADAMARD_STAGE(v, _mm256_permute_ps(v, 0x4E), 0xCC);
        v = HADAMARD_STAGE(v, _mm256_permute2f128_ps(v, v, 1), 0xF0);
        _mm256_storeu_ps(x + i, v);
    }
    hadamard_from(8, x, n);
}

const struct scan scan_avx2 = {.name = "avx2",
                               .high = high_avx2,
                               .int8 = int8_avx2,
                               .bits = bits_avx2,
                               .signs = signs_avx2,
                               .dot = dot_avx2,
                               .hadamard = hadamard_avx2};
#endif
