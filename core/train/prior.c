/* prior.c: statistics of layers, total variation and energy; compiled in double too (tests/core/train/test_prior.c). */
#include "core/train/prior.h"

#include <math.h>
#include <tgmath.h>

/*
 * A channel that hardly varies over photos would count without bounds in its own unit; its σ² is taken as at least this share
 * of the layer's mean.
 */
#define LEAST_SHARE 0.01

/*
 * Some exporters add ε to the stored variances and write ε = 0: a channel that is the same over the whole batch would then
 * have a deviation of 0, which has no derivative.
 */
#define LEAST_EPSILON 1e-5

/* Numbers that are taken side by side, so that the compiler makes vectors of them; each column has a sum of its own. */
#define SIDE_BY_SIDE 16

static void add_row(const float *a, int64_t count, double *sum, double *squares)
{
    float sums[SIDE_BY_SIDE] = {0};
    float square_sums[SIDE_BY_SIDE] = {0};
    int64_t i = 0;

    for (; i + SIDE_BY_SIDE <= count; i += SIDE_BY_SIDE) {
        for (int k = 0; k < SIDE_BY_SIDE; k++) {
            sums[k] += a[i + k];
            square_sums[k] += a[i + k] * a[i + k];
        }
    }
    for (int k = 0; k < SIDE_BY_SIDE; k++) {
        *sum += (double)sums[k];
        *squares += (double)square_sums[k];
    }
    for (; i < count; i++) {
        *sum += (double)a[i];
        *squares += (double)a[i] * (double)a[i];
    }
}

void prior_add(const float *x, int64_t n, int64_t channels, int64_t pixels, const struct prior_sums *sums)
{
    for (int64_t row = 0; row < n * channels; row++) {
        add_row(x + row * pixels, pixels, &sums->sum[row % channels], &sums->squares[row % channels]);
    }
}

/* ---- Forms ------------------------------------------------------------------------------------------------------- */

struct moments {
    double mean, variance;
};

static struct moments moments_of(const struct prior_sums *sums, int64_t c, double count)
{
    double mean = sums->sum[c] / count;
    double variance = sums->squares[c] / count - mean * mean;

    return (struct moments){mean, variance > 0 ? variance : 0};
}

/* The derivatives by the channel's mean and by its variance become a line in the values. */
static void line_of(double by_mean, double by_variance, double mean, double count, float *ret_offset, float *ret_slope)
{
    *ret_slope = (float)(2 * by_variance / count);
    *ret_offset = (float)((by_mean - 2 * by_variance * mean) / count);
}

static double mean_variance(const struct prior_layer *layer)
{
    double sum = 0;

    for (int64_t c = 0; c < layer->channels; c++) {
        sum += (double)layer->variance[c] + (double)layer->epsilon;
    }
    return sum / (double)layer->channels;
}

/* Both forms in deviations: each channel's terms count with 1, or with 1 / (channels · σ²). */
static double deviations(const struct prior_layer *layer, const struct prior_sums *sums, double count, int relative,
                         float weight, float *ret_offset, float *ret_slope)
{
    double least = LEAST_SHARE * mean_variance(layer);
    double epsilon = (double)layer->epsilon > LEAST_EPSILON ? (double)layer->epsilon : LEAST_EPSILON;
    double value = 0;

    for (int64_t c = 0; c < layer->channels; c++) {
        struct moments at = moments_of(sums, c, count);
        double known = (double)layer->variance[c] + epsilon;
        double s = sqrt(at.variance + epsilon);
        double sigma = sqrt(known);
        double unit = relative ? 1 / ((double)layer->channels * (known > least ? known : least)) : 1;
        double off = at.mean - (double)layer->mean[c];
        value += unit * (off * off + (s - sigma) * (s - sigma));
        line_of((double)weight * unit * 2 * off, (double)weight * unit * (s - sigma) / s, at.mean, count,
                &ret_offset[c], &ret_slope[c]);
    }
    return value;
}

static double variances(const struct prior_layer *layer, const struct prior_sums *sums, double count, float weight,
                        float *ret_offset, float *ret_slope)
{
    double means = 0;
    double spreads = 0;

    for (int64_t c = 0; c < layer->channels; c++) {
        struct moments at = moments_of(sums, c, count);
        double off = at.mean - (double)layer->mean[c];
        double wide = at.variance - (double)layer->variance[c];
        means += off * off;
        spreads += wide * wide;
    }
    means = sqrt(means);
    spreads = sqrt(spreads);
    for (int64_t c = 0; c < layer->channels; c++) {
        struct moments at = moments_of(sums, c, count);
        double off = at.mean - (double)layer->mean[c];
        double wide = at.variance - (double)layer->variance[c];
        line_of(means > 0 ? (double)weight * off / means : 0, spreads > 0 ? (double)weight * wide / spreads : 0,
                at.mean, count, &ret_offset[c], &ret_slope[c]);
    }
    return means + spreads;
}

double prior_value(enum prior_form form, const struct prior_layer *layer, const struct prior_sums *sums, double count,
                   float weight, float *ret_offset, float *ret_slope)
{
    switch (form) {
    case PRIOR_DEVIATION: return deviations(layer, sums, count, 0, weight, ret_offset, ret_slope);
    case PRIOR_RELATIVE: return deviations(layer, sums, count, 1, weight, ret_offset, ret_slope);
    case PRIOR_VARIANCE: return variances(layer, sums, count, weight, ret_offset, ret_slope);
    case PRIOR_NONE: break;
    }
    for (int64_t c = 0; c < layer->channels; c++) {
        ret_offset[c] = 0;
        ret_slope[c] = 0;
    }
    return 0;
}

static void back_row(const float *x, int64_t count, float a, float b, float *dx)
{
    int64_t i = 0;

    for (; i + SIDE_BY_SIDE <= count; i += SIDE_BY_SIDE) {
        for (int k = 0; k < SIDE_BY_SIDE; k++) {
            dx[i + k] += a + b * x[i + k];
        }
    }
    for (; i < count; i++) {
        dx[i] += a + b * x[i];
    }
}

void prior_back(const float *x, int64_t n, int64_t channels, int64_t pixels, const float *offset, const float *slope,
                float *dx)
{
    for (int64_t row = 0; row < n * channels; row++) {
        back_row(x + row * pixels, pixels, offset[row % channels], slope[row % channels], dx + row * pixels);
    }
}

/* ---- On the picture itself --------------------------------------------------------------------------------------- */

/* The differences of one picture with its neighbour (right, down); factor 0: only their squares are summed. */
static double differences(const float *x, int channels, int height, int width, int right, int down, float factor,
                          float *dx)
{
    double squares = 0;
    int from = right < 0 ? -right : 0;
    int to = right > 0 ? width - right : width;

    for (int row = 0; row < channels * height; row++) {
        if (row % height + down >= height) {
            continue;
        }
        for (int i = row * width + from; i < row * width + to; i++) {
            int k = i + down * width + right;
            float d = x[k] - x[i];
            squares += (double)d * (double)d;
            if (factor != 0) {
                dx[k] += factor * d;
                dx[i] -= factor * d;
            }
        }
    }
    return squares;
}

double variation_loss(const float *x, int n, int channels, int height, int width, float weight, float *dx)
{
    static const int ways[4][2] = {{1, 0}, {0, 1}, {1, 1}, {-1, 1}};
    int count = channels * height * width;
    double scale = 1 / sqrt((double)count);
    double sum = 0;

    for (int i = 0; i < n; i++) {
        const float *one = x + (size_t)i * (size_t)count;
        float *d_one = dx + (size_t)i * (size_t)count;
        for (int k = 0; k < 4; k++) {
            double length = sqrt(differences(one, channels, height, width, ways[k][0], ways[k][1], 0, d_one));
            sum += scale * length;
            if (length > 0) {
                (void)differences(one, channels, height, width, ways[k][0], ways[k][1],
                                  (float)((double)weight * scale / length), d_one);
            }
        }
    }
    return sum;
}

double energy_loss(const float *x, int n, size_t count, float weight, float *dx)
{
    double scale = 1 / sqrt((double)count);
    double sum = 0;

    for (int i = 0; i < n; i++) {
        const float *one = x + (size_t)i * count;
        float *d_one = dx + (size_t)i * count;
        double squares = 0;
        for (size_t k = 0; k < count; k++) {
            squares += (double)one[k] * (double)one[k];
        }
        double length = sqrt(squares);
        sum += scale * length;
        for (size_t k = 0; length > 0 && k < count; k++) {
            d_one[k] += (float)((double)weight * scale / length * (double)one[k]);
        }
    }
    return sum;
}
