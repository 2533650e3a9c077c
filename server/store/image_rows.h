/*
 * image_rows.h: the pixels that a collection keeps: crops as lossless WebP, photos as they were sent.
 */
#ifndef SERVER_STORE_IMAGE_ROWS_H
#define SERVER_STORE_IMAGE_ROWS_H

#include "server/store/store.h"

struct stored_image {
    const unsigned char *bytes;
    size_t n_bytes;
};

/* Owns: ret->bytes is carved from mem.  Errors of both: ERR_NOT_FOUND no such face, or it was not kept; ERR_CORRUPT. */
MUST_CHECK enum err store_crop_get(struct store *store, int64_t face_id, struct arena *mem, struct stored_image *ret,
                                   struct err_note *note);
MUST_CHECK enum err store_photo_get(struct store *store, int64_t face_id, struct arena *mem, struct stored_image *ret,
                                    struct err_note *note);

#endif
