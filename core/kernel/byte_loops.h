/*
 * byte_loops.h: what happens to bytes between products: sums become bytes, bytes are added, multiplied, looked up.
 *
 * The arithmetic is that of ONNX Runtime's CPU kernels, operation by operation, so that the same bytes come out: a product
 * of scales is rounded to float before use, rounding is to the nearest even, and the zero point is added after it (before
 * it in the sum of two tensors).  All variants give the same bytes.
 */
#ifndef CORE_KERNEL_BYTE_LOOPS_H
#define CORE_KERNEL_BYTE_LOOPS_H

#include <stdbool.h>
#include <stdint.h>

/* What sums become: y = clamp(round(sum · scale), low - zero, high - zero) + zero, with 0 .. 255 or -128 .. 127. */
struct byte_requant {
    const float *scale; /* [32], one for each channel */
    int32_t zero, low, high;
};

/* y = clamp(round(a · scale_a + (b · scale_b + fixed))), both fused, a, b and y being signed or not. */
struct byte_sum {
    bool is_signed;
    float fixed, scale_a, scale_b;
};

/* y = clamp(round((a - zero_a) · (b - zero_b) · scale) + zero) */
struct byte_times {
    bool is_signed;
    int32_t zero_a, zero_b, zero;
    float scale;
};

/*
 * Two lines: y = clamp(round(a · x + b) + zero), with a0, b0 for bytes below split, else a1, b1; one of each for a channel.
 * a · x + b is fused.
 */
struct byte_lines {
    const float *a0, *b0, *a1, *b1;
    int32_t split, zero;
    bool x_signed, y_signed;
};

struct byte_loops {
    /*
     * Shapes: sums [n_pixels][32]; y one row of bytes a pixel, y_step apart, of which the first n_channels are written.
     *         Bytes are written as they are modulo 256, so signed ones too.
     */
    void (*requant)(const struct byte_requant *how, const int32_t *sums, int64_t n_pixels, int64_t n_channels,
                    uint8_t *y, int64_t y_step);
    /* y = float(sum) · scale [+ bias], then · slope below zero; scale and bias and slope [32] (NULL: none); as above. */
    void (*to_float)(const float *scale, const float *bias, const float *slope, const int32_t *sums, int64_t n_pixels,
                     int64_t n_channels, float *y, int64_t y_step);
    /* Tables: y = table[c][x], c being the channel of x modulo n_tables; x has n of them, a multiple of n_tables. */
    void (*look_up)(const uint8_t *tables, int64_t n_tables, const uint8_t *x, int64_t n, uint8_t *y);
    /* The same by lines; x has n bytes, a multiple of n_channels. */
    void (*follow)(const struct byte_lines *lines, int64_t n_channels, const uint8_t *x, int64_t n, uint8_t *y);
    void (*add)(const struct byte_sum *how, const uint8_t *a, const uint8_t *b, int64_t n, uint8_t *y);
    void (*multiply)(const struct byte_times *how, const uint8_t *a, const uint8_t *b, int64_t n, uint8_t *y);
    /* y = saturate(round(x / scale) + zero) into low .. high; NaN gives low. */
    void (*quantise)(const float *x, int64_t n, float scale, int32_t zero, int32_t low, int32_t high, uint8_t *y);
    /* The smallest and the largest of x and 0. */
    void (*range)(const float *x, int64_t n, float *ret_low, float *ret_high);
};

extern const struct byte_loops byte_loops_ref;
extern const struct byte_loops byte_loops_portable;
extern const struct byte_loops byte_loops_avx2;
extern const struct byte_loops byte_loops_avx512;

#endif
