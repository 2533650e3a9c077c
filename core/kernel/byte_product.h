/*
 * byte_product.h: exact inner products of unsigned bytes with packed signed ones, for a row of pixels and 32 channels.
 *
 * The innermost loop of every convolution and product of bytes (conv_byte.h).  Not: zero points, padding, what becomes of
 * the sums.
 */
#ifndef CORE_KERNEL_BYTE_PRODUCT_H
#define CORE_KERNEL_BYTE_PRODUCT_H

#include <stdint.h>

#define BYTE_LANES 32 /* output channels of a block */

/*
 * What a pixel sees: n_runs stretches of quads · 4 bytes, run r at x + p · pixel_step + run_at[r].
 * Shapes: w [n_runs][quads][32 channels][4] s8, aligned to 64 bytes; start [32], what the sums begin with.
 */
struct byte_rows {
    const uint8_t *x;
    int64_t pixel_step;
    const int64_t *run_at;
    int64_t n_runs, quads;
    const int8_t *w;
    const int32_t *start;
};

/*
 * y[p][c] = start[c] + Σ x · w, modulo 2^32; exact if the true sums fit, which they do for n_runs · quads ≤ 16512.
 * Shapes: y [n_pixels][32], aligned to 64 bytes.
 */
typedef void byte_product_fn(const struct byte_rows *rows, int64_t n_pixels, int32_t *y);
byte_product_fn byte_product_ref;
byte_product_fn byte_product_portable;
byte_product_fn byte_product_avx2;
byte_product_fn byte_product_vnni;

#endif
