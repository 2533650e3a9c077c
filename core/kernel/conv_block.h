/*
 * conv_block.h: two-dimensional convolutions of blocked images (block.h), with weights packed once.
 *
 * Each computes what conv_f32_ref computes on plain images, up to CONV_TOLERANCE (conv.h), Winograd's up to
 * CONV_WINOGRAD_TOLERANCE, of the sum of the absolute products.
 */
#ifndef CORE_KERNEL_CONV_BLOCK_H
#define CORE_KERNEL_CONV_BLOCK_H

#include "core/kernel/block_kernels.h"
#include "core/kernel/conv.h"

#define CONV_WINOGRAD_TOLERANCE 2e-5F

/* Ways to compute a layer; each has its own packed weights. */
enum conv_form {
    CONV_PLAIN = 0, /* no blocked form: conv_f32 */
    CONV_FIRST,     /* x is plain with few channels, y is blocked */
    CONV_DIRECT,
    CONV_LANES, /* groups of one, two or four channels */
    CONV_WINOGRAD2,
    CONV_WINOGRAD4
};

/*
 * The cheapest form for this shape, by a model of its products and the memory it streams; never by a measurement, so that
 * the same shape gives the same bits on every run.  Of threads it knows nothing.
 */
enum conv_form conv_block_choose(const struct conv_shape *s);

/* Can this form compute this shape?  What was packed for one shape serves all that differ in n, in and out only. */
bool conv_block_can(const struct conv_shape *s, enum conv_form form);

/* A layer's constants, packed; the arrays lie behind it in the same block of memory. */
struct conv_packed {
    enum conv_form form;
    const float *w;
    const uint16_t *half;       /* the weights instead of w, which is NULL then, in half precision */
    const float *bias, *slope;  /* padded to whole blocks with zeros; NULL: none */
    const float *scale, *shift; /* of a BatchNorm on x, before the padding; both or none */
};

/* What goes into it; all but w may be NULL. */
struct conv_constants {
    const float *w, *bias, *slope, *scale, *shift;
};

/* Returns false if it does not fit in size_t. */
MUST_CHECK bool conv_pack_bytes(const struct conv_shape *s, enum conv_form form, size_t *ret);
/*
 * ret has conv_pack_bytes, 64-byte aligned and zero; *ret is a struct conv_packed.  half asks for weights in half precision:
 * they are if the form reads them so (all but CONV_FIRST and CONV_LANES, which have few) and none is too large.
 * Returns how many bytes of ret are in use: pages behind them may be given back.
 */
size_t conv_pack_f32(const struct conv_shape *s, enum conv_form form, const struct conv_constants *constants, bool half,
                     void *ret);

/* Scratch for so many threads. */
MUST_CHECK bool conv_block_work_bytes(const struct conv_shape *s, enum conv_form form, int threads, size_t *ret);

/*
 * Shapes: x blocked (CONV_FIRST: plain), y blocked, aliasing nothing; finish's act, bounds and residual (as y) are used, bias
 *         and slope are those of packed.  work as conv_f32's, conv_block_work_bytes for the pool's threads.
 */
void conv_block_f32(const struct block_kernels *kernels, const struct conv_shape *s, const struct conv_packed *packed,
                    const float *x, const struct finish *finish, float *y, void *work, struct pool *pool);

#endif
