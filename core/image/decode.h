/*
 * decode.h: untrusted bytes become an upright image.
 *
 * JPEG, PNG and WebP, told apart by their first bytes, never by a name.  EXIF orientation (all eight) is applied, colour is
 * converted to RGB8: grey is spread, alpha is blended over black, 16 bits are cut to 8, CMYK and YCCK JPEGs are converted.
 * The limits are checked before a pixel is decoded.
 * Any thread; all memory comes from the arena, but what the libraries allocate for themselves while they run.
 */
#ifndef CORE_IMAGE_DECODE_H
#define CORE_IMAGE_DECODE_H

#include "core/image/image.h"

struct image_limits {
    size_t bytes;   /* of the encoded photo */
    int64_t pixels; /* width × height */
    int side;       /* larger of width and height */
};

/* 16 MiB, 40 megapixels, 16384 a side. */
struct image_limits image_limits_default(void);

/*
 * Decodes one photo.
 * Owns:   *ret is carved from mem.
 * Errors: ERR_UNSUPPORTED not a JPEG, PNG or WebP, or a kind of them that we do not read (arithmetic JPEG, animated WebP);
 *         ERR_FORMAT truncated or damaged (a JPEG that ends early is refused: half a face is not a photo);
 *         ERR_LIMIT bytes, pixels or side over the limits, a JPEG of more than 32 scans, a PNG of more than 1000 chunks,
 *         or mem is spent; ERR_NOMEM.
 */
MUST_CHECK enum err image_decode(const void *bytes, size_t n_bytes, const struct image_limits *limits,
                                 struct arena *mem, struct image *ret, struct err_note *note);

#endif
