/* scan_vbmi.c: bits in AVX-512 with VBMI, which looks up six at once; else as with VNNI. */
#include "core/kernel/scan.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include "core/kernel/scan_avx512_private.h"
#include "core/kernel/scan_private.h"

/*
 * One instruction looks up the six low bits of every byte in a table of 64 entries.  So three planes are four look-ups: their bytes
 * as they are, and the three times two bits that these leave, put together.  The one or two planes behind the last three are two
 * look-ups each.
 */
static __m512i table_of(const int8_t *a, const int8_t *b, const int8_t *c)
{
    static const __mmask64 set[6] = {0xAAAAAAAAAAAAAAAA, 0xCCCCCCCCCCCCCCCC, 0xF0F0F0F0F0F0F0F0,
                                     0xFF00FF00FF00FF00, 0xFFFF0000FFFF0000, 0xFFFFFFFF00000000};
    const int8_t weights[6] = {a[0], a[1], b[0], b[1], c[0], c[1]};
    int none = 0; /* what the negative ones give where no bit is set */

    for (size_t i = 0; i < 6; i++) {
        none -= weights[i] < 0 ? weights[i] : 0;
    }
    __m512i table = _mm512_set1_epi8((char)none);
    for (size_t i = 0; i < 6; i++) {
        table = _mm512_mask_add_epi8(table, set[i], table, _mm512_set1_epi8(weights[i]));
    }
    return table;
}

static void bits_table_vbmi(const int8_t *weights, size_t planes, uint8_t *ret)
{
    static const int8_t none[2] = {0};
    size_t plane = 0;

    for (; plane + 3 <= planes; plane += 3, weights += 24, ret += 256) {
        for (size_t i = 0; i < 3; i++) {
            const int8_t *six = weights + 8 * i;
            _mm512_store_si512(ret + 64 * i, table_of(six, six + 2, six + 4));
        }
        _mm512_store_si512(ret + 192, table_of(weights + 6, weights + 14, weights + 22));
    }
    for (; plane < planes; plane++, weights += 8, ret += 128) {
        _mm512_store_si512(ret, table_of(weights, weights + 2, weights + 4));
        _mm512_store_si512(ret + 64, table_of(weights + 6, none, none));
    }
}

static inline __m512i look_up(__m512i codes, const uint8_t *table)
{
    return _mm512_permutexvar_epi8(codes, _mm512_load_si512(table));
}

READS_DEAD_ROWS static uint64_t bits_block(const struct scan_bits_query *query, size_t planes, const uint8_t *rows)
{
    const uint8_t *table = query->table;
    struct bits_sums sums = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    size_t plane = 0;

    for (; plane + 3 <= planes; plane += 3, rows += 3 * SCAN_BITS_ROWS, table += 256) {
        for (size_t i = 0; i < 3; i++) {
            ask_ahead(rows + i * SCAN_BITS_ROWS);
        }
        __m512i a = _mm512_load_si512(rows);
        __m512i b = _mm512_load_si512(rows + SCAN_BITS_ROWS);
        __m512i c = _mm512_load_si512(rows + 2 * SCAN_BITS_ROWS);
        __m512i left = choose(_mm512_srli_epi16(a, 6), 3, _mm512_srli_epi16(b, 4));
        left = choose(left, 15, _mm512_srli_epi16(c, 2));
        bits_add(&sums, _mm512_add_epi8(_mm512_add_epi8(look_up(a, table), look_up(b, table + 64)),
                                        _mm512_add_epi8(look_up(c, table + 128), look_up(left, table + 192))));
    }
    for (; plane < planes; plane++, rows += SCAN_BITS_ROWS, table += 128) {
        ask_ahead(rows);
        __m512i a = _mm512_load_si512(rows);
        bits_add(&sums, _mm512_add_epi8(look_up(a, table), look_up(_mm512_srli_epi16(a, 6), table + 64)));
    }
    return bits_finish(query, &sums, (const float *)(const void *)rows);
}

READS_DEAD_ROWS static void bits_vbmi(const struct scan_bits_query *query, size_t planes, const uint8_t *blocks,
                                      size_t n_blocks, const uint64_t *live, uint64_t *ret)
{
    for (size_t b = 0; b < n_blocks; b++) {
        ret[b] = live[b] == 0 ? 0 : live[b] & bits_block(query, planes, blocks + b * SCAN_BITS_BLOCK_BYTES(planes));
    }
}

const struct scan scan_vbmi = {.name = "vbmi",
                               .high = scan_high_vnni,
                               .int8 = scan_int8_vnni,
                               .bits_table = bits_table_vbmi,
                               .bits = bits_vbmi,
                               .dot = scan_dot_vnni,
                               .hadamard = scan_hadamard_vnni};
#endif
