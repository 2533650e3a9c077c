/* block_portable.c: the kernels on blocked images for any processor: vectors of four floats, which all of them have or imitate. */
#define BLOCK_TABLE blocks_portable
#if defined(__aarch64__)
#define PRODUCT_PIXELS 6 /* of 32 registers */
#else
#define PRODUCT_PIXELS 2 /* of 16 */
#endif
#define PRODUCT_BLOCKS 1
#include "core/kernel/block_table.inc"
