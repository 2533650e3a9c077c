/* block_avx512.c: the kernels on blocked images for AVX-512: 28 of 32 registers are sums of a product. */
#if defined(__x86_64__)
#define BLOCK_TABLE blocks_avx512
#define PRODUCT_PIXELS 14
#define PRODUCT_BLOCKS 2
#include "core/kernel/block_table.inc"
#endif
