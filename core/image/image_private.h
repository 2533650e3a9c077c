/*
 * image_private.h: what the decoders and encoders of the formats share.
 *
 * Each format has one file for reading and one for writing, which alone includes its library.  All memory that a result
 * stands in comes from the arena; what a library took for itself is given back on every path.
 */
#ifndef CORE_IMAGE_IMAGE_PRIVATE_H
#define CORE_IMAGE_IMAGE_PRIVATE_H

#include <stdbool.h>

#include "core/base/bytes.h"
#include "core/image/decode.h"
#include "core/image/image.h"

#define IMAGE_CHANNELS 3

/* What a format's decoder finds: pixels as stored, and how they must be turned (EXIF, 1..8). */
struct raw_image {
    struct image image;
    int orientation;
};

/*
 * The decoders; the photo begins with the format's magic bytes.
 * Errors: as image_decode.
 */
MUST_CHECK enum err jpeg_decode(struct bytes photo, const struct image_limits *limits, struct arena *mem,
                                struct raw_image *ret, struct err_note *note);
MUST_CHECK enum err png_decode(struct bytes photo, const struct image_limits *limits, struct arena *mem,
                               struct raw_image *ret, struct err_note *note);
MUST_CHECK enum err webp_decode(struct bytes photo, const struct image_limits *limits, struct arena *mem,
                                struct raw_image *ret, struct err_note *note);

/* Refuses a size that is empty or over the limits; to be called before a pixel is decoded. */
MUST_CHECK enum err limits_check(const struct image_limits *limits, const char *format, uint32_t width, uint32_t height,
                                 struct err_note *note);

/*
 * Makes room for width × height pixels of 3 or 4 channels; the sides have passed limits_check.  The 4-channel room is
 * what a library fills before its pixels are squeezed to 3 in place.
 * Errors: ERR_LIMIT or ERR_NOMEM as arena_why says.
 */
MUST_CHECK enum err pixels_new(uint32_t width, uint32_t height, int channels, struct arena *mem, struct image *ret,
                               struct err_note *note);

/* Blends RGBA over black into the front of the same memory, as RGB. */
void pixels_blend_alpha(const struct image *image);

/*
 * Reads the orientation, 1..8, from an EXIF block (a TIFF structure, with or without "Exif\0\0" before it); 1 if the
 * block says nothing or is damaged, which is no reason to refuse a photo.
 * Errors: ERR_NOMEM, ERR_LIMIT mem is spent.
 */
MUST_CHECK enum err exif_orientation(const unsigned char *block, size_t bytes, struct arena *mem, int *ret);

/*
 * Turns an image upright.  Orientation 1 hands the image itself on.
 * Errors: as image_new.
 */
MUST_CHECK enum err image_turn(const struct image *image, int orientation, struct arena *mem, struct image *ret);

/*
 * Our heap for libraries.  They take a refused allocation for damaged bytes, for a block that says nothing, for an end of
 * the stream; so the heap remembers since begin, for its thread, whether it has refused one: then the answer is ERR_NOMEM
 * whatever the library says.
 */
void foreign_heap_begin(void);
bool foreign_heap_starved(void);
void *foreign_heap_new(size_t count, size_t size);
void *foreign_heap_resize(void *block, size_t bytes);
void foreign_heap_free(void *block);

/* The encoders; the image is not empty.  Errors: as image_encode. */
MUST_CHECK enum err jpeg_encode(const struct image *image, int quality, struct arena *mem, unsigned char **ret,
                                size_t *ret_bytes);
MUST_CHECK enum err png_encode(const struct image *image, struct arena *mem, unsigned char **ret, size_t *ret_bytes);
MUST_CHECK enum err webp_encode(const struct image *image, struct arena *mem, unsigned char **ret, size_t *ret_bytes);

/* Copies what a library has written into the arena. */
MUST_CHECK enum err encoded_copy(const void *bytes, size_t n_bytes, struct arena *mem, unsigned char **ret,
                                 size_t *ret_bytes);

#endif
