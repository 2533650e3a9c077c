/* hash_private.h: the two ways to a CRC-32C, for hash.c and its test. */
#ifndef CORE_BASE_HASH_PRIVATE_H
#define CORE_BASE_HASH_PRIVATE_H

#include <stddef.h>
#include <stdint.h>

/* Both continue an inverted sum. */
uint32_t crc32c_tables(uint32_t sum, const unsigned char *p, size_t n_bytes);

/* By the processor's instruction, which every processor with AVX2 has; not on others. */
uint32_t crc32c_instruction(uint32_t sum, const unsigned char *p, size_t n_bytes);

/* Four pieces at once, each from ~0.  Shapes: piece_bytes a multiple of 8. */
void crc32c_instruction_four(const unsigned char *p, size_t piece_bytes, uint32_t ret[4]);

#endif
