/* encode.c: which encoder, and the result into the arena. */
#include "core/image/encode.h"

#include <string.h>

#include "core/image/image_private.h"

enum err encoded_copy(const void *bytes, size_t n_bytes, struct arena *mem, unsigned char **ret, size_t *ret_bytes)
{
    unsigned char *copy = arena_alloc(mem, n_bytes, 1);

    if (copy == NULL) {
        return arena_why(mem);
    }
    memcpy(copy, bytes, n_bytes);
    *ret = copy;
    *ret_bytes = n_bytes;
    return ERR_NONE;
}

enum err image_encode(const struct image *image, enum image_format format, int quality, struct arena *mem,
                      unsigned char **ret, size_t *ret_bytes)
{
    if (image->rgb == NULL || image->width < 1 || image->height < 1) {
        return ERR_MISUSE;
    }
    switch (format) {
    case IMAGE_JPEG:
        if (quality < 1 || quality > 100) {
            return ERR_MISUSE;
        }
        return jpeg_encode(image, quality, mem, ret, ret_bytes);
    case IMAGE_PNG: return png_encode(image, mem, ret, ret_bytes);
    case IMAGE_WEBP_LOSSLESS: return webp_encode(image, mem, ret, ret_bytes);
    }
    return ERR_MISUSE;
}

const char *image_format_mime(enum image_format format)
{
    switch (format) {
    case IMAGE_JPEG: return "image/jpeg";
    case IMAGE_PNG: return "image/png";
    case IMAGE_WEBP_LOSSLESS: return "image/webp";
    }
    return "application/octet-stream";
}
