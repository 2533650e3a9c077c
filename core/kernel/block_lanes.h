/*
 * block_lanes.h: convolutions in which an output channel reads one, two or four input channels of its own block: depthwise
 * layers, and groups of two and four.
 *
 * A vector of sixteen outputs is a sum over taps of sixteen inputs times sixteen weights; for groups of g the inputs of the
 * others of the group come from the same vector with its lanes exchanged (lane c takes lane c xor j, j < g).
 */
#ifndef CORE_KERNEL_BLOCK_LANES_H
#define CORE_KERNEL_BLOCK_LANES_H

#include "core/kernel/block.h"
#include "core/kernel/finish.h"

struct block_lanes {
    const float *x; /* one block of channels of one image, [in_h][in_w][16] */
    int64_t in_h, in_w;
    const float *w; /* [kernel_h][kernel_w][group][16], lanes as said above */
    int64_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, pad_h, pad_w;
    int group;
    int64_t out_w;        /* pixels of an output row */
    float *y;             /* [out_h][out_w][16] */
    struct finish finish; /* bias and slope of these 16 channels; residual lies as y */
};

/* Computes the output rows [first, end). */
typedef void block_lanes_fn(const struct block_lanes *job, int64_t first, int64_t end);

#endif
