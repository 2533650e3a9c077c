/*
 * detector_scene.h: pictures for a detector to learn from, put together from labelled photos.
 *
 * A scene is a grid of 1 to 6 cells a side, and in every cell stands a part of a photo: mirrored or not, turned, scaled so that
 * faces of every size occur (groups of small ones, close-ups that do not fit), in other light.  In some cells the faces
 * have been painted over: there is nothing to be found there.  Where the labels have traps, a part of the cells looks at one.
 *
 * A scene is a function of the labels, the options, seed and number.  Any thread, with an arena of its own.
 */
#ifndef CORE_TRAIN_DETECTOR_SCENE_H
#define CORE_TRAIN_DETECTOR_SCENE_H

#include "core/train/detector_labels.h"

struct detector_scene {
    struct image image;
    struct labelled_face *faces; /* in pixels of the image; boxes not clipped */
    int n_faces;
};

/*
 * Draws scene number of a seed, side × side pixels.
 * Owns:   all of *ret is carved from mem.
 * Errors: ERR_FORMAT no photo has a label; reading and decoding the photos; ERR_LIMIT, ERR_NOMEM.
 */
MUST_CHECK enum err detector_scene_draw(const struct detector_labels *labels, int side, uint64_t seed, uint64_t number,
                                        struct arena *mem, struct detector_scene *ret, struct err_note *note);

/* Reads and decodes a photo; upright.  Errors: those of file_read and image_decode. */
MUST_CHECK enum err detector_scene_photo(const char *path, struct arena *mem, struct image *ret, struct err_note *note);

/* Paints over every labelled face (unsure ones too) of a photo, in place.  Which way is drawn from seed. */
void detector_scene_hide(struct image *photo, const struct labelled_face *faces, int n_faces, uint64_t seed);

#endif
