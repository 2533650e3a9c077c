/*
 * finish.h: what follows a product before its numbers leave the cache: bias, residual, activation, in this order.
 */
#ifndef CORE_KERNEL_FINISH_H
#define CORE_KERNEL_FINISH_H

#include <stdint.h>

struct finish {
    const float *bias;     /* one for each output channel, or NULL */
    const float *residual; /* laid out as the whole output, or NULL */
    enum finish_act {
        FINISH_NONE,
        FINISH_RELU,
        FINISH_PRELU, /* slope[channel] below zero */
        FINISH_LEAKY, /* low below zero */
        FINISH_CLIP   /* low .. high */
    } act;
    float low, high;
    const float *slope;
};

/*
 * Finishes rows of an output in place; row r belongs to channel channel0 + r.
 * Shapes: y [n_rows, n_cols], rows ld apart; y - y_base says where in finish->residual the block lies.
 */
void finish_rows(const struct finish *finish, const float *y_base, int64_t channel0, int64_t n_rows, int64_t n_cols,
                 float *y, int64_t ld);

/* The same where column c belongs to channel c. */
void finish_columns(const struct finish *finish, const float *y_base, int64_t n_rows, int64_t n_cols, float *y,
                    int64_t ld);

#endif
