/* byte_loops_ref.c: the loops between products as their definition. */
#include "core/kernel/byte_loops.h"

#include <math.h>
#include <stddef.h>

/* Half goes to the even neighbour: the mode in which a process starts and which nobody changes. */
static int32_t nearest(float v, int32_t low, int32_t high)
{
    if (!(v > (float)low)) { /* NaN too */
        return low;
    }
    return v >= (float)high ? high : (int32_t)nearbyintf(v);
}

static void requant(const struct byte_requant *how, const int32_t *sums, int64_t n_pixels, int64_t n_channels,
                    uint8_t *y, int64_t y_step)
{
    for (int64_t p = 0; p < n_pixels; p++) {
        for (int64_t c = 0; c < n_channels; c++) {
            float v = (float)sums[p * 32 + c] * how->scale[c];
            y[p * y_step + c] = (uint8_t)(nearest(v, how->low - how->zero, how->high - how->zero) + how->zero);
        }
    }
}

static void to_float(const float *scale, const float *bias, const float *slope, const int32_t *sums, int64_t n_pixels,
                     int64_t n_channels, float *y, int64_t y_step)
{
    for (int64_t p = 0; p < n_pixels; p++) {
        for (int64_t c = 0; c < n_channels; c++) {
            float v = (float)sums[p * 32 + c] * scale[c];
            v += bias != NULL ? bias[c] : 0;
            y[p * y_step + c] = v < 0 && slope != NULL ? v * slope[c] : v;
        }
    }
}

static void look_up(const uint8_t *tables, int64_t n_tables, const uint8_t *x, int64_t n, uint8_t *y)
{
    for (int64_t i = 0; i < n; i++) {
        y[i] = tables[i % n_tables * 256 + x[i]];
    }
}

static int32_t byte_of(uint8_t byte, bool is_signed)
{
    return is_signed ? (int8_t)byte : byte;
}

static void follow(const struct byte_lines *lines, int64_t n_channels, const uint8_t *x, int64_t n, uint8_t *y)
{
    int32_t low = (lines->y_signed ? -128 : 0) - lines->zero;

    for (int64_t i = 0; i < n; i++) {
        int64_t c = i % n_channels;
        int32_t v = byte_of(x[i], lines->x_signed);
        float sum =
            v < lines->split ? fmaf((float)v, lines->a0[c], lines->b0[c]) : fmaf((float)v, lines->a1[c], lines->b1[c]);
        y[i] = (uint8_t)(nearest(sum, low, low + 255) + lines->zero);
    }
}

static void add(const struct byte_sum *how, const uint8_t *a, const uint8_t *b, int64_t n, uint8_t *y)
{
    for (int64_t i = 0; i < n; i++) {
        float v = fmaf((float)byte_of(b[i], how->is_signed), how->scale_b, how->fixed);
        v = fmaf((float)byte_of(a[i], how->is_signed), how->scale_a, v);
        y[i] = (uint8_t)nearest(v, how->is_signed ? -128 : 0, how->is_signed ? 127 : 255);
    }
}

static void multiply(const struct byte_times *how, const uint8_t *a, const uint8_t *b, int64_t n, uint8_t *y)
{
    int32_t low = (how->is_signed ? -128 : 0) - how->zero;

    for (int64_t i = 0; i < n; i++) {
        int32_t product = (byte_of(a[i], how->is_signed) - how->zero_a) * (byte_of(b[i], how->is_signed) - how->zero_b);
        y[i] = (uint8_t)(nearest((float)product * how->scale, low, low + 255) + how->zero);
    }
}

static void quantise(const float *x, int64_t n, float scale, int32_t zero, int32_t low, int32_t high, uint8_t *y)
{
    for (int64_t i = 0; i < n; i++) {
        y[i] = (uint8_t)(nearest(x[i] / scale, low - zero, high - zero) + zero);
    }
}

static void range(const float *x, int64_t n, float *ret_low, float *ret_high)
{
    float low = 0;
    float high = 0;

    for (int64_t i = 0; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    *ret_low = low;
    *ret_high = high;
}

const struct byte_loops byte_loops_ref = {.requant = requant,
                                          .to_float = to_float,
                                          .look_up = look_up,
                                          .follow = follow,
                                          .add = add,
                                          .multiply = multiply,
                                          .quantise = quantise,
                                          .range = range};
