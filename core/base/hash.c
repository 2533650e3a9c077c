/*
 * hash.c: SHA-256 through libsodium, and CRC-32C.
 *
 * Debian has no C library for CRC-32C, so it stands here: by the processor's instruction where there is one, else by eight
 * tables, eight bytes a step (Kounavis and Berry 2005), made once, about 2 GB/s.
 */
#include "core/base/hash.h"

#include <pthread.h>
#include <sodium.h>

#include "core/base/cpu.h"
#include "core/base/hash_private.h"

#define CASTAGNOLI_REFLECTED 0x82F63B78U

static uint32_t table[8][256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_tables(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t sum = byte;
        for (int bit = 0; bit < 8; bit++) {
            sum = (sum >> 1) ^ ((sum & 1U) != 0 ? CASTAGNOLI_REFLECTED : 0);
        }
        table[0][byte] = sum;
    }
    for (int slice = 1; slice < 8; slice++) {
        for (int byte = 0; byte < 256; byte++) {
            uint32_t sum = table[slice - 1][byte];
            table[slice][byte] = (sum >> 8) ^ table[0][sum & 0xFFU];
        }
    }
}

void hash_sha256(const void *bytes, size_t n_bytes, unsigned char ret[HASH_SHA256_BYTES])
{
    (void)crypto_hash_sha256(ret, bytes, n_bytes);
}

void hash_text(const unsigned char hash[HASH_SHA256_BYTES], char ret[HASH_SHA256_TEXT])
{
    (void)sodium_bin2hex(ret, HASH_SHA256_TEXT, hash, HASH_SHA256_BYTES);
}

uint32_t crc32c_tables(uint32_t sum, const unsigned char *p, size_t n_bytes)
{
    (void)pthread_once(&once, make_tables);
    while (n_bytes >= 8) {
        uint32_t low = sum ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
        sum = table[7][low & 0xFFU] ^ table[6][(low >> 8) & 0xFFU] ^ table[5][(low >> 16) & 0xFFU] ^
              table[4][low >> 24] ^ table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^ table[0][p[7]];
        p += 8;
        n_bytes -= 8;
    }
    while (n_bytes-- > 0) {
        sum = (sum >> 8) ^ table[0][(sum ^ *p++) & 0xFFU];
    }
    return sum;
}

uint32_t hash_crc32c(uint32_t seed, const void *bytes, size_t n_bytes)
{
#ifdef __x86_64__
    if (cpu_info()->avx2_fma) {
        return ~crc32c_instruction(~seed, bytes, n_bytes);
    }
#endif
    return ~crc32c_tables(~seed, bytes, n_bytes);
}

void hash_crc32c_each(const void *bytes, size_t piece_bytes, size_t n, uint32_t *ret)
{
    const unsigned char *piece = bytes;
    size_t i = 0;

#ifdef __x86_64__
    for (; cpu_info()->avx2_fma && piece_bytes % 8 == 0 && i + 4 <= n; i += 4) {
        crc32c_instruction_four(piece + i * piece_bytes, piece_bytes, ret + i);
        for (size_t j = 0; j < 4; j++) {
            ret[i + j] = ~ret[i + j];
        }
    }
#endif
    for (; i < n; i++) {
        ret[i] = hash_crc32c(0, piece + i * piece_bytes, piece_bytes);
    }
}
