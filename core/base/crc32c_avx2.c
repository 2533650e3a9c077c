/*
 * crc32c_avx2.c: CRC-32C by the processor's own instruction, which every processor with AVX2 has: 8 bytes in 3 cycles, some
 * 8 GB/s, four times the tables.
 */
#include "core/base/hash_private.h"

#ifdef __SSE4_2__
#include <nmmintrin.h>
#include <string.h>

uint32_t crc32c_instruction(uint32_t sum, const unsigned char *p, size_t n_bytes)
{
    uint64_t wide = sum;

    for (; n_bytes >= 8; n_bytes -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        wide = _mm_crc32_u64(wide, word);
    }
    sum = (uint32_t)wide;
    for (; n_bytes > 0; n_bytes--, p++) {
        sum = _mm_crc32_u8(sum, *p);
    }
    return sum;
}

void crc32c_instruction_four(const unsigned char *p, size_t piece_bytes, uint32_t ret[4])
{
    uint64_t wide[4] = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};

    for (size_t at = 0; at < piece_bytes; at += 8) {
        for (size_t i = 0; i < 4; i++) {
            uint64_t word;
            memcpy(&word, p + i * piece_bytes + at, sizeof word);
            wide[i] = _mm_crc32_u64(wide[i], word);
        }
    }
    for (size_t i = 0; i < 4; i++) {
        ret[i] = (uint32_t)wide[i];
    }
}
#endif
