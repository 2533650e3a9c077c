/*
 * quantise.h: floats to bytes: round half to even, then saturate.
 */
#ifndef CORE_KERNEL_QUANTISE_H
#define CORE_KERNEL_QUANTISE_H

#include <stdint.h>

/* y = saturate(round(x / scale) + zero); NaN gives the lowest. */
void quantise_u8(const float *x, int64_t count, float scale, int32_t zero, uint8_t *y);
void quantise_s8(const float *x, int64_t count, float scale, int32_t zero, int8_t *y);

/* Scale and zero of the range that x spans together with 0, as DynamicQuantizeLinear says; all zero gives a scale of 1. */
void quantise_range_u8(const float *x, int64_t count, float *ret_scale, uint8_t *ret_zero);

#endif
