/*
 * letterbox_private.h: a photo of any size in the frame that a detector looks at.
 *
 * The photo keeps its aspect exactly and lies in the upper left corner of a black canvas.
 */
#ifndef CORE_FACE_LETTERBOX_PRIVATE_H
#define CORE_FACE_LETTERBOX_PRIVATE_H

#include "core/face/face.h"

struct letterbox {
    int photo_width;
    int photo_height;
    double scale; /* pixels of the canvas to one of the photo, on both axes */
    int width;    /* of the scaled photo */
    int height;
    int canvas_width;
    int canvas_height;
};

/* The frame that the photo shall fill: sides that a network fixes, or 0 for what follows the photo. */
struct letterbox_frame {
    int fixed_width;
    int fixed_height;
    int side;          /* where a side is free: the longest that the scaled photo may have; a multiple of unit */
    int unit;          /* free sides of the canvas are rounded up to a multiple of it */
    float max_enlarge; /* the photo is not scaled up by more */
};

/* Units: all sides from 1 to 65535 pixels. */
struct letterbox letterbox_fit(int photo_width, int photo_height, const struct letterbox_frame *frame);

/* Makes the canvas.  Owns: carved from mem.  Errors: ERR_LIMIT, ERR_NOMEM. */
MUST_CHECK enum err letterbox_draw(const struct letterbox *box, const struct image *photo, struct arena *mem,
                                   struct image *ret);

/* Pixels of the canvas become pixels of the photo. */
void letterbox_back(const struct letterbox *box, struct face *face);

/* Cuts the face's box at the photo's edges. */
void letterbox_clip(const struct letterbox *box, struct face *face);

#endif
