/*
 * conv_separable.h: a depthwise convolution and the 1×1 one behind it in one go, on blocked images (block.h).
 *
 * The depthwise part has few products for each number that it reads and writes: alone it waits for memory.  Here a band of its
 * rows goes into scratch, where the 1×1 part reads it while it is in the cache; the map between the two is never there whole.
 */
#ifndef CORE_KERNEL_CONV_SEPARABLE_H
#define CORE_KERNEL_CONV_SEPARABLE_H

#include "core/kernel/conv_block.h"

/* The shapes of both parts: after's input is before's output. */
struct conv_separable {
    struct conv_shape before; /* groups of one, two or four channels */
    struct conv_shape after;  /* 1×1, stride 1, no padding, one group */
    enum finish_act act;      /* behind before, with its bounds as in struct finish */
    float low, high;
};

/* Does it hold what is said above?  Sizes of images apart: what was packed for one serves all. */
bool conv_separable_can(const struct conv_separable *s);

struct conv_separable_constants {
    const float *before_w, *before_bias, *before_slope, *w, *bias, *slope; /* all but the weights may be NULL */
};

/* Returns false if it does not fit in size_t. */
MUST_CHECK bool conv_separable_pack_bytes(const struct conv_separable *s, size_t *ret);
/* ret has so many bytes, 64-byte aligned and zero.  half, and what it returns: as conv_pack_f32; of the 1×1 part's weights. */
size_t conv_separable_pack(const struct conv_separable *s, const struct conv_separable_constants *constants, bool half,
                           void *ret);

/* Scratch for so many threads. */
MUST_CHECK bool conv_separable_work_bytes(const struct conv_separable *s, int threads, size_t *ret);

/*
 * Shapes: x and y blocked, aliasing nothing; finish's act, bounds and residual (as y) are used, bias and slope are packed.
 *         work holds conv_separable_work_bytes for the pool's threads.
 */
void conv_separable_f32(const struct block_kernels *kernels, const struct conv_separable *s, const void *packed,
                        const float *x, const struct finish *finish, float *y, void *work, struct pool *pool);

#endif
