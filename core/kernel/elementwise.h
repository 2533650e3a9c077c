/*
 * elementwise.h: loops that compute each number of the output from the numbers at the same place of the inputs.
 */
#ifndef CORE_KERNEL_ELEMENTWISE_H
#define CORE_KERNEL_ELEMENTWISE_H

#include <stdint.h>

#include "core/kernel/strided.h"

enum unary {
    UNARY_RELU,
    UNARY_LEAKY_RELU, /* alpha */
    UNARY_CLIP,       /* alpha low, beta high */
    UNARY_SIGMOID,
    UNARY_TANH,
    UNARY_FLOOR,
    UNARY_CEIL,
    UNARY_EXP,
    UNARY_LOG,
    UNARY_SQRT,
    UNARY_ABS,
    UNARY_NEG,
    UNARY_RECIPROCAL,
    UNARY_ELU,          /* alpha */
    UNARY_HARD_SIGMOID, /* alpha, beta */
    UNARY_HARD_SWISH,
    UNARY_SOFTPLUS,
    UNARY_ERF
};

/* y may be x.  Comparisons let NaN through. */
void unary_f32(enum unary what, float alpha, float beta, const float *x, float *y, int64_t count);

enum binary {
    BINARY_ADD,
    BINARY_SUB,
    BINARY_MUL,
    BINARY_DIV,
    BINARY_MIN,
    BINARY_MAX,
    BINARY_POW,   /* float only */
    BINARY_PRELU, /* a below zero is multiplied by b; float only */
    /* results are bool, one byte */
    BINARY_EQUAL,
    BINARY_LESS,
    BINARY_GREATER
};

/*
 * y = a ∘ b, both seen through strides.  Integer sums and products wrap; a division of integers by zero gives 0 (the caller
 * refuses it before), the smallest number divided by -1 stays.
 * Shapes: s simplified, with two inputs; y dense.
 */
void binary_f32(enum binary what, const struct strided *s, const float *a, const float *b, void *y);
void binary_i64(enum binary what, const struct strided *s, const int64_t *a, const int64_t *b, void *y);
void binary_i32(enum binary what, const struct strided *s, const int32_t *a, const int32_t *b, void *y);

#endif
