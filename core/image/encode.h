/*
 * encode.h: images out as JPEG, PNG, or lossless WebP (how crops are stored).
 */
#ifndef CORE_IMAGE_ENCODE_H
#define CORE_IMAGE_ENCODE_H

#include "core/image/image.h"

enum image_format {
    IMAGE_JPEG,
    IMAGE_PNG,
    IMAGE_WEBP_LOSSLESS
};

/*
 * Encodes; quality 1..100 is for JPEG only.
 * Owns:   *ret is carved from mem.
 * Errors: ERR_MISUSE quality out of range or an empty image; ERR_LIMIT mem is spent; ERR_NOMEM, ERR_FOREIGN.
 */
MUST_CHECK enum err image_encode(const struct image *image, enum image_format format, int quality, struct arena *mem,
                                 unsigned char **ret, size_t *ret_bytes);

/* "image/jpeg" and so on. */
const char *image_format_mime(enum image_format format);

#endif
