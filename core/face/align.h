/*
 * align.h: a face becomes a crop: eyes, nose and mouth at the places where the recogniser was trained to find them.
 */
#ifndef CORE_FACE_ALIGN_H
#define CORE_FACE_ALIGN_H

#include "core/face/face.h"
#include "core/image/warp.h"

/* Counts changes of the crop's pixels for the same photo; part of a model version (DESIGN: a crop made otherwise is another
 * embedding). */
#define ALIGN_VERSION 1

/*
 * The similarity (rotation, scale, shift; no reflection) that maps five points to the template of a side × side crop
 * with the least squared error; the template is ArcFace's for 112, scaled for others.
 * Errors: ERR_FORMAT the points coincide, or are not finite.
 */
MUST_CHECK enum err align_similarity(const float point[][2], int side, struct affine *ret_photo_to_crop);

/* Cuts out the crop, black outside the photo.  Owns: *ret is carved from mem.  Errors: as above, ERR_LIMIT, ERR_NOMEM. */
MUST_CHECK enum err align_face(const struct image *photo, const struct face *face, int side, struct arena *mem,
                               struct image *ret);

#endif
