/*
 * hash.h: SHA-256 for names of things, CRC-32C for noticing damage.
 * Any thread.
 */
#ifndef CORE_BASE_HASH_H
#define CORE_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_SHA256_BYTES 32
#define HASH_SHA256_TEXT 65 /* 64 hexadecimal digits and the terminating zero */

void hash_sha256(const void *bytes, size_t n_bytes, unsigned char ret[HASH_SHA256_BYTES]);

/* Lower-case hexadecimal. */
void hash_text(const unsigned char hash[HASH_SHA256_BYTES], char ret[HASH_SHA256_TEXT]);

/* CRC-32C (Castagnoli), start value 0; continue a sum by passing the last one as seed. */
uint32_t hash_crc32c(uint32_t seed, const void *bytes, size_t n_bytes);

/* The sums of n pieces that lie one behind another, each from 0: three times as fast, because they do not wait for each other. */
void hash_crc32c_each(const void *bytes, size_t piece_bytes, size_t n, uint32_t *ret);

#endif
