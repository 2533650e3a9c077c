/*
 * block.h: images with their channels in blocks of sixteen: NCHW16c.
 *
 * A blocked image of [n, c, h, w] lies as [n, c/16 rounded up, h, w, 16]: the sixteen channels of a pixel stand beside each
 * other in one cache line, so that a vector holds channels and never pixels, whatever the size of the image.  Channels that
 * fill up the last block hold finite numbers that nobody reads: weights for them are zero, or they are skipped.
 */
#ifndef CORE_KERNEL_BLOCK_H
#define CORE_KERNEL_BLOCK_H

#include <stdint.h>

#define BLOCK 16 /* channels */

static inline int64_t block_count(int64_t channels)
{
    return (channels + BLOCK - 1) / BLOCK;
}

/* From plain [n, c, pixels] to blocked, with zeros for the channels that fill up, and back.  Nothing aliases. */
void block_pack_f32(int64_t n, int64_t c, int64_t pixels, const float *plain, float *blocked);
void block_unpack_f32(int64_t n, int64_t c, int64_t pixels, const float *blocked, float *plain);

#endif
