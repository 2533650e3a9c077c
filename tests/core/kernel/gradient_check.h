/*
 * gradient_check.h: gradients against central differences in double precision, and floats against doubles.
 *
 * Bounds are relative to the largest number of the gradient: the small ones of a sum with cancellation have no digits of
 * their own.
 */
#ifndef TESTS_CORE_KERNEL_GRADIENT_CHECK_H
#define TESTS_CORE_KERNEL_GRADIENT_CHECK_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/base/random.h"

#define DIFFERENCE_STEP 1e-5
#define DIFFERENCE_BOUND 1e-7
#define FLOAT_BOUND 1e-5

/* Numbers in (-1, 1), each at least gap away from 0 and, where gap > 0, from each other multiple of 1/2. */
static inline double *random_doubles(struct random *random, int64_t count, double gap)
{
    double *list = MEM_ARRAY(double, count > 0 ? (size_t)count : 0);

    assert_non_null(list);
    for (int64_t i = 0; i < count; i++) {
        do {
            list[i] = 2 * random_uniform(random) - 1;
        } while (fabs(list[i] - round(2 * list[i]) / 2) < gap);
    }
    return list;
}

static inline double *zero_doubles(int64_t count)
{
    double *list = MEM_ARRAY(double, count > 0 ? (size_t)count : 0);

    assert_non_null(list);
    return list;
}

static inline float *as_floats(const double *from, int64_t count)
{
    float *list = MEM_ARRAY(float, count > 0 ? (size_t)count : 0);

    assert_non_null(list);
    for (int64_t i = 0; i < count; i++) {
        list[i] = (float)from[i];
    }
    return list;
}

/* Rounds to floats, so that both precisions see the same numbers. */
static inline void round_to_float(double *list, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        list[i] = (double)(float)list[i];
    }
}

static inline double largest_of(const double *list, int64_t count)
{
    double largest = 0;

    for (int64_t i = 0; i < count; i++) {
        largest = fmax(largest, fabs(list[i]));
    }
    return largest;
}

/* gradient is d value / d at, for every number of at (or every stride-th, where there are many). */
static inline void check_differences(int row, const char *what, double (*value)(void *context), void *context,
                                     double *at, const double *gradient, int64_t count)
{
    double largest = largest_of(gradient, count);
    int64_t stride = count / 300 + 1;

    for (int64_t i = 0; i < count; i += stride) {
        double here = at[i];
        at[i] = here + DIFFERENCE_STEP;
        double above = value(context);
        at[i] = here - DIFFERENCE_STEP;
        double below = value(context);
        at[i] = here;
        double difference = (above - below) / (2 * DIFFERENCE_STEP);
        if (!(fabs(difference - gradient[i]) <= DIFFERENCE_BOUND * largest + 1e-10)) {
            fail_msg("row %d, gradient of %s [%lld]: %.12g, the difference says %.12g (largest %g)", row, what,
                     (long long)i, gradient[i], difference, largest);
        }
    }
}

/* The float gradient is the double one plus offset, which was there before. */
static inline void check_floats(int row, const char *what, const float *is, double offset, const double *should,
                                int64_t count)
{
    double largest = largest_of(should, count) + fabs(offset);

    for (int64_t i = 0; i < count; i++) {
        if (!(fabs((double)is[i] - offset - should[i]) <= FLOAT_BOUND * largest)) {
            fail_msg("row %d, gradient of %s [%lld]: %.9g in float, %.12g in double (largest %g)", row, what,
                     (long long)i, (double)is[i] - offset, should[i], largest);
        }
    }
}

#endif
