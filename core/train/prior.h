/*
 * prior.h: what a picture should be like besides showing the right person: values and gradients.
 *
 * The strongest is the one on BatchNormalization statistics (the ArcFace paper's equation 8, after DeepInversion, Yin et al.,
 * CVPR 2020): a network remembers in its running mean and variance what photos looked like at every layer, and pictures
 * whose statistics differ were never seen by it.  Over a whole batch of n values of a channel, with mean m and variance v:
 *
 *     PRIOR_DEVIATION   Σ (m − μ)² + (s − σ)²,   s = √(v + ε), σ = √(variance + ε)    as the paper writes it
 *     PRIOR_VARIANCE    |v − variance| + |m − μ|, lengths over a layer's channels     as DeepInversion computes it
 *     PRIOR_RELATIVE    the mean over channels of (m − μ)²/σ² + (s/σ − 1)²            the paper's form in each channel's own unit
 *
 * In all of them the derivative by a value a of a channel is A + B·a with two numbers for each channel, so what is needed
 * of a batch is the sum and the sum of squares, whoever computed its parts, and the way back is one pass.
 *
 * Written so that the same lines can be compiled in double precision and checked against differences.  Any thread, no memory.
 */
#ifndef CORE_TRAIN_PRIOR_H
#define CORE_TRAIN_PRIOR_H

#include <stddef.h>
#include <stdint.h>

enum prior_form {
    PRIOR_NONE,
    PRIOR_DEVIATION,
    PRIOR_VARIANCE,
    PRIOR_RELATIVE
};

/* What is known of each channel of a layer: [channels] each. */
struct prior_sums {
    double *sum;
    double *squares;
};

/* Adds a part of a batch, x [n, channels, pixels]. */
void prior_add(const float *x, int64_t n, int64_t channels, int64_t pixels, const struct prior_sums *sums);

/* A layer's running statistics. */
struct prior_layer {
    int64_t channels;
    const float *mean;
    const float *variance;
    float epsilon;
};

/*
 * The value of a form for a layer of which count values a channel were seen.  Writes what prior_back needs: for each channel
 * the derivative of weight times this value is ret_offset + ret_slope · a.
 */
double prior_value(enum prior_form form, const struct prior_layer *layer, const struct prior_sums *sums, double count,
                   float weight, float *ret_offset, float *ret_slope);

/* Adds the derivative to dx, for a part of the batch as in prior_add. */
void prior_back(const float *x, int64_t n, int64_t channels, int64_t pixels, const float *offset, const float *slope,
                float *dx);

/*
 * Total variation as DeepInversion has it: the lengths of the four images of differences (across, down, both diagonals), for each
 * picture by itself and per pixel.  Returns the sum over pictures; adds weight times its derivative to dx.
 * Shapes: x, dx [n, channels, height, width].
 */
double variation_loss(const float *x, int n, int channels, int height, int width, float weight, float *dx);

/* The length of each picture, per pixel.  Returns the sum over pictures; adds weight times its derivative to dx [n, count]. */
double energy_loss(const float *x, int n, size_t count, float weight, float *dx);

#endif
