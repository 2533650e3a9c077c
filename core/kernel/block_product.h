/*
 * block_product.h: the one inner loop of all dense layers: pixels times weights, a block or two of output channels at a time.
 *
 *     y[p][o] = finish(Σ over taps t, inputs k:  x[p · x_step + offsets[t] + k] · w[t][k][o])
 *
 * A tap is a place of the kernel's window in one block of input channels; which places there are is a table of offsets.  So
 * the same loop computes direct convolutions of any window, stride and dilation, 1×1 layers, matrix products, the first
 * layer (a tap is one number of a plain image), and the products inside Winograd's transforms.
 *
 * The sums of all pixels and channels stay in registers over the whole depth; x is read number by number (broadcast), w
 * vector by vector.
 */
#ifndef CORE_KERNEL_BLOCK_PRODUCT_H
#define CORE_KERNEL_BLOCK_PRODUCT_H

#include <stddef.h>

#include "core/kernel/block.h"
#include "core/kernel/finish.h"

#define BLOCK_PRODUCT_PIXELS 14 /* the largest tile of pixels of any variant */
#define BLOCK_PRODUCT_BLOCKS 2  /* at most so many blocks of output channels in one call */

struct block_product {
    const float *x;         /* first pixel */
    int64_t x_step;         /* floats from pixel to pixel */
    const int64_t *offsets; /* n_taps */
    int64_t n_taps, depth;  /* taps, and inputs of each but the last ones */
    int64_t n_tail, tail;   /* further taps in offsets with fewer inputs: the last block of input channels */

    const float *w;       /* [n_taps][depth][16] [n_tail][tail][16] of the first block of output channels */
    const uint16_t *half; /* NULL, or the weights in half precision (half.h) in the place of w */
    int64_t w_block;      /* numbers to those of the second block */
    ptrdiff_t ahead;      /* bytes from w (or half) to weights needed next, as many; fetched meanwhile; 0: none */

    float *y;
    int64_t y_step, y_block; /* floats from pixel to pixel, and to the second block */

    /* bias and slope have BLOCK numbers for each block, 64-byte aligned; bias NULL: none; residual lies as y */
    struct finish finish;
};

/*
 * pixels at least 1, as many as there are: a variant divides them as its registers allow.  blocks 1 .. the variant's.
 * y aliases neither x nor w; residual may be y.
 */
typedef void block_product_fn(const struct block_product *job, int64_t pixels, int blocks);

#endif
