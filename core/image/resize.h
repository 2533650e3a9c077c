/*
 * resize.h: scaling by bilinear interpolation, as detectors were trained with.
 */
#ifndef CORE_IMAGE_RESIZE_H
#define CORE_IMAGE_RESIZE_H

#include "core/image/image.h"

/*
 * Scales to width × height; pixel centres at .5 (OpenCV's INTER_LINEAR: source x = (x + .5) · scale − .5, edges repeated),
 * rounded to the nearest grey level.
 * Owns:   *ret is carved from mem.
 * Errors: as image_new.
 */
MUST_CHECK enum err image_resize(const struct image *image, int width, int height, struct arena *mem,
                                 struct image *ret);

#endif
