/*
 * batch_norm.c: one channel after the other, plane by plane; sums in lanes inside a plane and in double across planes.
 */
#include "core/kernel/batch_norm.h"

#include <math.h>
#include <stddef.h>

#include "core/kernel/lanes_private.h"

/* Σ (x − m)² */
static float squares_around(float m, const float *x, int64_t count)
{
    lanes sums = {0};
    float rest = 0;
    int64_t i = 0;

    for (; i + LANES <= count; i += LANES) {
        lanes v;
        lanes_load(&v, x + i);
        v -= m;
        sums += v * v;
    }
    for (; i < count; i++) {
        rest += (x[i] - m) * (x[i] - m);
    }
    return lanes_total(&sums) + rest;
}

/* Two passes: the difference of large sums that one pass would need loses the digits that a small variance lives in. */
void batch_norm_statistics_f32(const struct norm_shape *s, float epsilon, const float *x, float *mean, float *variance,
                               float *inverse)
{
    double count = (double)(s->n * s->pixels);

    for (int64_t c = 0; c < s->channels; c++) {
        double sum = 0;
        double squares = 0;
        for (int64_t n = 0; n < s->n; n++) {
            sum += (double)lanes_sum(x + (n * s->channels + c) * s->pixels, s->pixels);
        }
        mean[c] = (float)(sum / count);
        for (int64_t n = 0; n < s->n; n++) {
            squares += (double)squares_around(mean[c], x + (n * s->channels + c) * s->pixels, s->pixels);
        }
        variance[c] = (float)(squares / (count - 1));
        inverse[c] = (float)(1 / sqrt(squares / count + (double)epsilon));
    }
}

void batch_norm_inverse_f32(int64_t channels, float epsilon, const float *variance, float *inverse)
{
    for (int64_t c = 0; c < channels; c++) {
        inverse[c] = (float)(1 / sqrt((double)variance[c] + (double)epsilon));
    }
}

void batch_norm_f32(const struct norm_shape *s, const float *mean, const float *inverse, const float *scale,
                    const float *bias, const float *x, float *y)
{
    for (int64_t i = 0; i < s->n * s->channels; i++) {
        int64_t c = i % s->channels;
        const float *in = x + i * s->pixels;
        float *out = y + i * s->pixels;
        float factor = scale[c] * inverse[c];
        float summand = bias[c] - mean[c] * factor;
        for (int64_t p = 0; p < s->pixels; p++) {
            out[p] = in[p] * factor + summand;
        }
    }
}

/* Σ dy and Σ dy (x − m) in one pass. */
static void sums_of(float m, const float *x, const float *dy, int64_t count, double *ret_sum, double *ret_product)
{
    lanes sums = {0};
    lanes products = {0};
    float rest[2] = {0};
    int64_t i = 0;

    for (; i + LANES <= count; i += LANES) {
        lanes v;
        lanes g;
        lanes_load(&v, x + i);
        lanes_load(&g, dy + i);
        sums += g;
        products += g * (v - m);
    }
    for (; i < count; i++) {
        rest[0] += dy[i];
        rest[1] += dy[i] * (x[i] - m);
    }
    *ret_sum += (double)(lanes_total(&sums) + rest[0]);
    *ret_product += (double)(lanes_total(&products) + rest[1]);
}

void batch_norm_backward_f32(const struct norm_shape *s, bool of_batch, const float *mean, const float *inverse,
                             const float *scale, const float *x, const float *dy, float *dx, float *dscale,
                             float *dbias)
{
    double count = (double)(s->n * s->pixels);

    for (int64_t c = 0; c < s->channels; c++) {
        double sum = 0;
        double product = 0;
        for (int64_t n = 0; (of_batch || dscale != NULL || dbias != NULL) && n < s->n; n++) {
            int64_t at = (n * s->channels + c) * s->pixels;
            sums_of(mean[c], x + at, dy + at, s->pixels, &sum, &product);
        }
        if (dscale != NULL) {
            dscale[c] += (float)(product * (double)inverse[c]);
        }
        if (dbias != NULL) {
            dbias[c] += (float)sum;
        }
        if (dx == NULL) {
            continue;
        }
        /* dx = scale · inverse · (dy − Σdy / m − x̂ · Σ(dy · x̂) / m); without the batch's statistics only the first. */
        float m = mean[c];
        float factor = scale[c] * inverse[c];
        double slope = (double)factor * product * (double)inverse[c] * (double)inverse[c] / count;
        float tilt = of_batch ? (float)slope : 0;
        float shift = of_batch ? (float)((double)factor * sum / count) : 0;
        for (int64_t n = 0; n < s->n; n++) {
            int64_t at = (n * s->channels + c) * s->pixels;
            const float *in = x + at;
            const float *g = dy + at;
            float *d = dx + at;
            if (of_batch) {
                for (int64_t p = 0; p < s->pixels; p++) {
                    d[p] += g[p] * factor - (in[p] - m) * tilt - shift;
                }
            } else {
                for (int64_t p = 0; p < s->pixels; p++) {
                    d[p] += g[p] * factor;
                }
            }
        }
    }
}
