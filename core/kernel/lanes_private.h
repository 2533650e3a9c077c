/*
 * lanes_private.h: eight running sums beside each other.
 *
 * The compiler may not reorder a sum of floats, so a plain loop adds one number after the other.  The sums of the backward
 * kernels are written as eight (four of doubles) that are joined at the end: faster, and more exact than one.
 */
#ifndef CORE_KERNEL_LANES_PRIVATE_H
#define CORE_KERNEL_LANES_PRIVATE_H

#include <stdint.h>
#include <string.h>

typedef float lanes __attribute__((vector_size(32)));

enum {
    LANES = sizeof(lanes) / sizeof(float)
};

/* No lanes pass between functions by value: how they would depends on the instruction set. */
static inline float lanes_total(const lanes *sums)
{
    float total = 0;

    for (int i = 0; i < LANES; i++) {
        total += (*sums)[i];
    }
    return total;
}

static inline void lanes_load(lanes *ret, const float *x)
{
    memcpy(ret, x, sizeof *ret);
}

/* Sum of the products of two rows. */
static inline void lanes_add_products(lanes *sums, const float *x, const float *y, int64_t count)
{
    int64_t i = 0;

    for (; i + LANES <= count; i += LANES) {
        lanes a;
        lanes b;
        lanes_load(&a, x + i);
        lanes_load(&b, y + i);
        *sums += a * b;
    }
    for (; i < count; i++) {
        (*sums)[0] += x[i] * y[i];
    }
}

static inline float lanes_sum(const float *x, int64_t count)
{
    lanes sums = {0};
    int64_t i = 0;

    for (; i + LANES <= count; i += LANES) {
        lanes a;
        lanes_load(&a, x + i);
        sums += a;
    }
    for (; i < count; i++) {
        sums[0] += x[i];
    }
    return lanes_total(&sums);
}

static inline float lanes_dot(const float *x, const float *y, int64_t count)
{
    lanes sums = {0};

    lanes_add_products(&sums, x, y, count);
    return lanes_total(&sums);
}

#endif
