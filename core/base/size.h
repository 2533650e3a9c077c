/*
 * size.h: arithmetic on sizes that come from outside or from a shape; it says when the result does not fit.
 */
#ifndef CORE_BASE_SIZE_H
#define CORE_BASE_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"

/* Each returns true and sets *ret if the mathematical result fits, else returns false and leaves *ret alone. */
MUST_CHECK static inline bool size_add(size_t a, size_t b, size_t *ret)
{
    size_t sum;

    if (__builtin_add_overflow(a, b, &sum)) {
        return false;
    }
    *ret = sum;
    return true;
}

MUST_CHECK static inline bool size_mul(size_t a, size_t b, size_t *ret)
{
    size_t product;

    if (__builtin_mul_overflow(a, b, &product)) {
        return false;
    }
    *ret = product;
    return true;
}

/* Rounds up to a multiple of unit, a power of two. */
MUST_CHECK static inline bool size_round_up(size_t a, size_t unit, size_t *ret)
{
    size_t sum;

    if (!size_add(a, unit - 1, &sum)) {
        return false;
    }
    *ret = sum & ~(unit - 1);
    return true;
}

/* The same for the signed 64-bit dimensions of tensors. */
MUST_CHECK static inline bool dim_mul(int64_t a, int64_t b, int64_t *ret)
{
    int64_t product;

    if (__builtin_mul_overflow(a, b, &product)) {
        return false;
    }
    *ret = product;
    return true;
}

#endif
