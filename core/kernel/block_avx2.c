/* block_avx2.c: the kernels on blocked images for AVX2 and FMA: 12 of 16 registers are sums of a product. */
#if defined(__x86_64__)
#define BLOCK_TABLE blocks_avx2
#define PRODUCT_PIXELS 6
#define PRODUCT_BLOCKS 1
#include "core/kernel/block_table.inc"
#endif
