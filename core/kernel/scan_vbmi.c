/* scan_vbmi.c: bits in AVX-512 with VBMI, whose look-up takes bytes as they are; else as with VNNI. */
#include "core/kernel/scan.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include "core/kernel/scan_avx512_private.h"
#include "core/kernel/scan_private.h"

/* The table stands there four times, so that the two bits more that are looked up do not matter. */
static inline __m512i look_up(__m512i codes, const uint8_t *tables)
{
    return _mm512_add_epi8(_mm512_permutexvar_epi8(codes, table_of(tables)),
                           _mm512_permutexvar_epi8(_mm512_srli_epi16(codes, 4), table_of(tables + 16)));
}

READS_DEAD_ROWS static void bits_vbmi(const struct scan_bits_query *query, size_t planes, const uint8_t *blocks,
                                      size_t n_blocks, const uint64_t *live, uint64_t *ret)
{
    for (size_t b = 0; b < n_blocks; b++) {
        ret[b] =
            live[b] == 0 ? 0 : live[b] & bits_block(query, planes, blocks + b * SCAN_BITS_BLOCK_BYTES(planes), look_up);
    }
}

const struct scan scan_vbmi = {.name = "vbmi",
                               .high = scan_high_vnni,
                               .int8 = scan_int8_vnni,
                               .bits = bits_vbmi,
                               .signs = scan_signs_vnni,
                               .dot = scan_dot_vnni,
                               .hadamard = scan_hadamard_vnni};
#endif
