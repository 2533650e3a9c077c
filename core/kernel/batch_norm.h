/*
 * batch_norm.h: normalising each channel by a mean and a deviation, and the way back.
 *
 * y = (x − mean) · inverse · scale + bias, where inverse = 1 / √(variance + ε).  In training mean and variance come from the
 * batch itself, so the gradient also flows through them.
 */
#ifndef CORE_KERNEL_BATCH_NORM_H
#define CORE_KERNEL_BATCH_NORM_H

#include <stdbool.h>
#include <stdint.h>

struct norm_shape {
    int64_t n, channels, pixels;
};

/*
 * Mean, unbiased variance (what running statistics keep: divided by one less than the count) and inverse (of the biased one)
 * of each channel over the batch.
 * Shapes: x [n, channels, pixels] with n · pixels ≥ 2; all others [channels].
 */
void batch_norm_statistics_f32(const struct norm_shape *s, float epsilon, const float *x, float *mean, float *variance,
                               float *inverse);

/* inverse = 1 / √(variance + ε). */
void batch_norm_inverse_f32(int64_t channels, float epsilon, const float *variance, float *inverse);

/* Shapes: x, y [n, channels, pixels], the others [channels]. */
void batch_norm_f32(const struct norm_shape *s, const float *mean, const float *inverse, const float *scale,
                    const float *bias, const float *x, float *y);

/*
 * Adds to dx, dscale and dbias, each where it is not NULL.  of_batch: mean and inverse depend on x.
 * Shapes: as above; dy, dx as x.
 */
void batch_norm_backward_f32(const struct norm_shape *s, bool of_batch, const float *mean, const float *inverse,
                             const float *scale, const float *x, const float *dy, float *dx, float *dscale,
                             float *dbias);

#endif
