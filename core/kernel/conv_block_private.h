/* conv_block_private.h: one file for each form of conv_block.h; conv_block.c calls them, and conv_separable.c packs as they do. */
#ifndef CORE_KERNEL_CONV_BLOCK_PRIVATE_H
#define CORE_KERNEL_CONV_BLOCK_PRIVATE_H

#include "core/kernel/conv_block.h"

struct conv_block_job {
    const struct conv_shape *s;
    const struct conv_packed *packed;
    const float *x;
    const struct finish *finish; /* bias and slope are those of packed; residual as y */
    float *y;
    void *work;
    struct pool *pool;
    const struct block_kernels *kernels;
};

/* Numbers of packed weights. */
int64_t conv_direct_floats(const struct conv_shape *s);
int64_t conv_first_floats(const struct conv_shape *s);
int64_t conv_lanes_floats(const struct conv_shape *s);
int64_t conv_winograd_floats(const struct conv_shape *s, int m);

/* ret is zero */
void conv_direct_pack(const struct conv_shape *s, const float *w, float *ret);
void conv_first_pack(const struct conv_shape *s, const float *w, float *ret);
void conv_lanes_pack(const struct conv_shape *s, const float *w, float *ret);
void conv_winograd_pack(const struct conv_shape *s, int m, const float *w, float *ret);

MUST_CHECK bool conv_direct_work(const struct conv_shape *s, bool first, int threads, size_t *ret);
MUST_CHECK bool conv_winograd_work(const struct conv_shape *s, int m, int threads, size_t *ret);

void conv_direct_run(const struct conv_block_job *job);
void conv_lanes_run(const struct conv_block_job *job);
void conv_winograd_run(const struct conv_block_job *job, int m);

/* What finishes the blocks from block b on, whose first pixel in y (and in the residual) is at y. */
static inline struct finish conv_block_finish(const struct conv_block_job *job, int64_t block, const float *y)
{
    struct finish finish = *job->finish;

    finish.bias = job->packed->bias != NULL ? job->packed->bias + block * BLOCK : NULL;
    finish.slope = job->packed->slope != NULL ? job->packed->slope + block * BLOCK : NULL;
    finish.residual = finish.residual != NULL ? finish.residual + (y - job->y) : NULL;
    return finish;
}

/* A product's weights: from number at on; ahead numbers behind them are needed next, 0: nothing. */
static inline void conv_block_weights(const struct conv_packed *packed, int64_t at, int64_t ahead,
                                      struct block_product *ret)
{
    ret->w = packed->half == NULL ? packed->w + at : NULL;
    ret->half = packed->half == NULL ? NULL : packed->half + at;
    ret->ahead = (ptrdiff_t)(ahead * (int64_t)(packed->half == NULL ? sizeof(float) : sizeof(uint16_t)));
}

/* count things in parts of at most most, of nearly equal size: where part i begins (i up to the number of parts). */
static inline int64_t conv_parts(int64_t count, int64_t most)
{
    return (count + most - 1) / most;
}
static inline int64_t conv_part_start(int64_t count, int64_t parts, int64_t i)
{
    return count / parts * i + (i < count % parts ? i : count % parts);
}

/* What of a job of lanes follows from the convolution; images, weights, place and finish are the caller's to set. */
static inline struct block_lanes conv_lanes_of(const struct conv_shape *s)
{
    return (struct block_lanes){.in_h = s->in[1],
                                .in_w = s->in[2],
                                .kernel_h = s->kernel[1],
                                .kernel_w = s->kernel[2],
                                .stride_h = s->stride[1],
                                .stride_w = s->stride[2],
                                .dilation_h = s->dilation[1],
                                .dilation_w = s->dilation[2],
                                .pad_h = s->pad[1],
                                .pad_w = s->pad[2],
                                .group = (int)s->ic,
                                .out_w = s->out[2]};
}

#endif
