/*
 * learn_loops.h: the sizes that conv_learn.c and the loops for each instruction set agree on, and those loops.
 *
 * learn_loops_ref is the definition, by which the self-test judges the others; it does not use its scratch.  Where nothing better
 * may be used, training does not run it: it goes through conv.h and conv_backward.h, whose own kernels are faster.
 */
#ifndef CORE_KERNEL_LEARN_LOOPS_H
#define CORE_KERNEL_LEARN_LOOPS_H

#include "core/kernel/conv.h"

/* Channels are padded to these, whatever the width of a vector. */
#define LEARN_CHANNELS 16 /* of a product's left side */
#define LEARN_COLUMNS 32  /* of its right side and of its result */

#define WINOGRAD_OUT 4 /* pixels of a tile each way */
#define WINOGRAD_IN 6
#define WINOGRAD_TILE (WINOGRAD_IN * WINOGRAD_IN)

/* How a convolution is cut for Winograd's way; filled by conv_learn.c. */
struct winograd_sizes {
    int64_t rows, columns;    /* of tiles, of one image */
    int64_t block;            /* rows of tiles (of all images, one after the other) that are done together */
    int64_t ic, oc;           /* padded; oc to LEARN_COLUMNS, ic to LEARN_CHANNELS */
    int64_t row_x, row_y;     /* floats from a tile to the next one, transformed */
    int64_t point_x, point_y; /* from one of the 36 points to the next one */
    /* Where the pieces of the scratch begin, in floats. */
    int64_t weights, x, y, stage, end;
};

/* The same for dense layers by direct products. */
struct dense_sizes {
    int64_t
        block; /* output rows (of the data's gradient: its own rows) that are done together; a divisor is not needed */
    int64_t images;            /* whole images that are done together; more than one only where block is all rows */
    int64_t ic, oc;            /* padded: of the left and of the right side */
    int64_t rows, width, halo; /* of what is laid out of one image for a block; halo columns before column 0 */
    int64_t weights, left, right, out, end; /* pieces of the scratch, in floats */
};

/* Loops of one instruction set.  Shapes: as conv.h; work holds sizes->end floats, 64-byte aligned. */
struct learn_loops {
    /*
     * y (+)= the convolution s of x.  flipped: w is [ic, oc, 3, 3] and its taps are taken backwards, which is the way from a
     * gradient back to the data.
     */
    void (*winograd)(const struct conv_shape *s, const struct winograd_sizes *z, bool flipped, const float *x,
                     const float *w, bool add, float *y, float *work);
    void (*winograd_weight)(const struct conv_shape *s, const struct winograd_sizes *z, const float *x, const float *dy,
                            float *dw, float *work);
    void (*dense)(const struct conv_shape *s, const struct dense_sizes *z, const float *x, const float *w, float *y,
                  float *work);
    void (*dense_data)(const struct conv_shape *s, const struct dense_sizes *z, const float *w, const float *dy,
                       float *dx, float *work);
    void (*dense_weight)(const struct conv_shape *s, const struct dense_sizes *z, const float *x, const float *dy,
                         float *dw, float *work);
};

extern const struct learn_loops learn_loops_ref, learn_loops_avx2, learn_loops_avx512;

/*
 * What conv_learn.h offers, by loops that the caller has chosen; for tests and the self-test.  The two gradients are for 3×3 and
 * other dense shapes; their scratch is enough for the way forward too.
 */
void conv_learn_f32_by(const struct learn_loops *loops, const struct conv_shape *s, const float *x, const float *w,
                       const struct finish *finish, float *y, void *work);
void conv_learn_data_f32_by(const struct learn_loops *loops, const struct conv_shape *s, const float *w,
                            const float *dy, float *dx, void *work);
void conv_learn_weight_f32_by(const struct learn_loops *loops, const struct conv_shape *s, const float *x,
                              const float *dy, float *dw, void *work);

#endif
