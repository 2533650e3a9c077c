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

static inline float lanes_sum(const float *x, int64_t count)
{
    lanes sums = {0};
    float rest = 0;
    int64_t i = 0;

    for (; i + LANES <= count; i += LANES) {
        lanes a;
        lanes_load(&a, x + i);
        sums += a;
    }
    for (; i < count; i++) {
        rest += x[i];
    }
    return lanes_total(&sums) + rest;
}

/* Sum of the products of two rows. */
static inline float lanes_dot(const float *x, const float *y, int64_t count)
{
    lanes even = {0};
    lanes odd = {0};
    float rest = 0;
    int64_t i = 0;

    for (; i + 2 * LANES <= count; i += 2 * LANES) {
        lanes a;
        lanes b;
        lanes_load(&a, x + i);
        lanes_load(&b, y + i);
        even += a * b;
        lanes_load(&a, x + i + LANES);
        lanes_load(&b, y + i + LANES);
        odd += a * b;
    }
    for (; i < count; i++) {
        rest += x[i] * y[i];
    }
    even += odd;
    return lanes_total(&even) + rest;
}

#endif
