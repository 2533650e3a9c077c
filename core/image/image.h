/*
 * image.h: pictures in memory, upright, 8 bits a channel, red green blue.
 *
 * Not: where the bytes come from, what is on the picture.  Decoding lives in decode.h, geometry in warp.h and resize.h,
 * encoding in encode.h; each is a file of its own so that a foreign library is included once.
 */
#ifndef CORE_IMAGE_IMAGE_H
#define CORE_IMAGE_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/arena.h"
#include "core/base/err.h"

/* Rows top to bottom without padding: pixel (x, y) begins at rgb[3 * (y * width + x)]. */
struct image {
    int width;
    int height;
    uint8_t *rgb;
};

/*
 * Makes an image of zeros (black).
 * Owns:   carved from mem.
 * Errors: ERR_MISUSE a side is below 1; ERR_LIMIT or ERR_NOMEM as arena_why says.
 */
MUST_CHECK enum err image_new(int width, int height, struct arena *mem, struct image *ret);

#endif
