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

/*
 * Scales both axes by the same factor, whatever width and height are cut or rounded to: pixel x of the output looks at
 * (x + .5) / factor − .5 of the input.  image_resize would stretch one axis by up to half a pixel of the output.
 * Owns:   *ret is carved from mem.
 * Errors: ERR_MISUSE a factor that is not above 0; else as image_new.
 */
MUST_CHECK enum err image_scale(const struct image *image, double factor, int width, int height, struct arena *mem,
                                struct image *ret);

#endif
