/*
 * pooling.h: the maximum or the mean of windows, 1 to 3 spatial dimensions.
 */
#ifndef CORE_KERNEL_POOLING_H
#define CORE_KERNEL_POOLING_H

#include <stdbool.h>
#include <stdint.h>

/* As struct conv_shape: always three spatial dimensions.  pad_end matters to the mean only. */
struct pooling_shape {
    int64_t planes; /* n · c */
    int64_t in[3], kernel[3], stride[3], dilation[3], pad[3], pad_end[3], out[3];
};

/*
 * Shapes: x [planes, in...], y [planes, out...].  A window of which nothing lies inside gives -inf.
 * What lies outside the image never wins.
 */
void pooling_max_ref(const struct pooling_shape *s, const float *x, float *y);

/*
 * count_padding: padding counts as zeros, but what ceil_mode adds beyond the padding never counts.
 * A window of which nothing lies inside gives 0.
 */
void pooling_mean_ref(const struct pooling_shape *s, bool count_padding, const float *x, float *y);

/* The same for blocked images (block.h): planes counts the blocks of channels of all images. */
void pooling_max_block(const struct pooling_shape *s, const float *x, float *y);
void pooling_mean_block(const struct pooling_shape *s, bool count_padding, const float *x, float *y);

#endif
