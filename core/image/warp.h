/*
 * warp.h: an affine piece of an image.
 */
#ifndef CORE_IMAGE_WARP_H
#define CORE_IMAGE_WARP_H

#include "core/image/image.h"

/* Maps a point of the output to a point of the input: (a·x + b·y + c, d·x + e·y + f); integer coordinates are pixel
 * centres, as cv2.warpAffine has it. */
struct affine {
    double a, b, c, d, e, f;
};

/* Inverts a map.  Errors: ERR_MISUSE it is not invertible; *ret is then untouched. */
MUST_CHECK enum err affine_invert(const struct affine *map, struct affine *ret);

/*
 * Fills out (width, height and memory given by the caller) with the bilinear interpolation of image at map(x, y); outside
 * of image there is black.
 */
void image_warp(const struct image *image, const struct affine *out_to_in, struct image *out);

#endif
