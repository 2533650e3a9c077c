/* scan_avx2.c: the scans in AVX2: a block's 16 rows are two registers. */
#include "core/kernel/scan.h"

#if defined(__x86_64__)
#include <immintrin.h>
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

READS_DEAD_ROWS static uint16_t int8_block(const struct scan_int8_query *query, size_t groups, const uint8_t *block)
{
    const float *tail = (const float *)(const void *)(block + groups * 64);
    __m256i sum[2] = {_mm256_set1_epi32(-query->offset), _mm256_set1_epi32(-query->offset)};
    unsigned passed = 0;

    for (size_t group = 0; group < groups; group++) {
        int32_t four;
        memcpy(&four, query->codes + group * 4, sizeof four);
        __m256i code = _mm256_set1_epi32(four);
        __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(code, 8), 8);
        __m256i odd = _mm256_srai_epi16(code, 8);
        const __m256i *codes = (const __m256i *)(const void *)(block + group * 64);
        sum[0] = add_products(sum[0], _mm256_load_si256(codes), even, odd);
        sum[1] = add_products(sum[1], _mm256_load_si256(codes + 1), even, odd);
    }
    for (size_t half = 0; half < 2; half++) {
        __m256 scaled = _mm256_mul_ps(_mm256_set1_ps(query->scale), _mm256_cvtepi32_ps(sum[half]));
        __m256 score = _mm256_mul_ps(_mm256_load_ps(tail + 8 * half), scaled);
        passed |= passing(score, _mm256_load_ps(tail + 16 + 8 * half), query->error, query->floor) << (8 * half);
    }
    return (uint16_t)passed;
}

READS_DEAD_ROWS static void int8_avx2(const struct scan_int8_query *queries, size_t n_queries, size_t groups,
                                      const uint8_t *blocks, size_t n_blocks, const uint16_t *live, uint16_t *ret)
{
    for (size_t b = 0; b < n_blocks; b++) {
        for (size_t q = 0; q < n_queries; q++) { /* inside: the block stays in the first cache */
            ret[q * n_blocks + b] =
                live[b] == 0 ? 0
                             : live[b] & int8_block(&queries[q], groups, blocks + b * SCAN_INT8_BLOCK_BYTES(groups));
        }
    }
}

/*
 * Adds bytes that stand in pairs as 16-bit numbers: all, the even ones with the odd ones' multiples of 256 on top, and the
 * odd ones alone, which are subtracted at the end.
 */
struct sums {
    __m256i all, odd;
};

static inline void look_up(struct sums *sums, __m256i codes, const uint8_t *low_table, const uint8_t *high_table)
{
    const __m256i nibble = _mm256_set1_epi8(15);
    __m256i low = _mm256_shuffle_epi8(_mm256_load_si256((const __m256i *)(const void *)low_table),
                                      _mm256_and_si256(codes, nibble));
    __m256i high = _mm256_shuffle_epi8(_mm256_load_si256((const __m256i *)(const void *)high_table),
                                       _mm256_and_si256(_mm256_srli_epi16(codes, 4), nibble));
    __m256i both = _mm256_add_epi8(low, high); /* at most 254 */
    sums->all = _mm256_add_epi16(sums->all, both);
    sums->odd = _mm256_add_epi16(sums->odd, _mm256_srli_epi16(both, 8));
}

READS_DEAD_ROWS static uint16_t bits_block(const struct scan_bits_query *query, size_t chunks, const uint8_t *block)
{
    const float *tail = (const float *)(const void *)(block + chunks * 64);
    struct sums first = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    struct sums second = first;
    unsigned passed = 0;

    for (size_t chunk = 0; chunk < chunks; chunk++) {
        const __m256i *codes = (const __m256i *)(const void *)(block + chunk * 64);
        const uint8_t *table = query->table + chunk * 128;
        look_up(&first, _mm256_load_si256(codes), table, table + 64);
        look_up(&second, _mm256_load_si256(codes + 1), table + 32, table + 96);
    }
    /* Two lanes of at most 128 · 254 fit into 16 bits. */
    __m256i odd = _mm256_add_epi16(first.odd, second.odd);
    __m256i even = _mm256_sub_epi16(_mm256_add_epi16(first.all, second.all), _mm256_slli_epi16(odd, 8));
    __m256i rows[2] = {_mm256_unpacklo_epi16(even, odd), _mm256_unpackhi_epi16(even, odd)};
    for (size_t half = 0; half < 2; half++) {
        __m256i sum = _mm256_add_epi32(_mm256_cvtepu16_epi32(_mm256_castsi256_si128(rows[half])),
                                       _mm256_cvtepu16_epi32(_mm256_extracti128_si256(rows[half], 1)));
        __m256 estimate =
            _mm256_fmadd_ps(_mm256_set1_ps(query->step), _mm256_cvtepi32_ps(sum), _mm256_set1_ps(query->base));
        __m256 score = _mm256_mul_ps(_mm256_load_ps(tail + 8 * half), estimate);
        passed |= passing(score, _mm256_load_ps(tail + 16 + 8 * half), query->error, query->floor) << (8 * half);
    }
    return (uint16_t)passed;
}

READS_DEAD_ROWS static void bits_avx2(const struct scan_bits_query *query, size_t chunks, const uint8_t *blocks,
                                      size_t n_blocks, const uint16_t *live, uint16_t *ret)
{
    for (size_t b = 0; b < n_blocks; b++) {
        ret[b] = live[b] == 0 ? 0 : live[b] & bits_block(query, chunks, blocks + b * SCAN_BITS_BLOCK_BYTES(chunks));
    }
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

const struct scan scan_avx2 = {
    .name = "avx2", .int8 = int8_avx2, .bits = bits_avx2, .dot = dot_avx2, .hadamard = hadamard_avx2};
#endif
