/*
 * scrfd_private.h: what the nine outputs of an SCRFD network mean.
 *
 * At each of the strides 8, 16 and 32 the network tells for every cell of the grid and every anchor of the cell: a score
 * (1 column), the distances from the cell's corner to the box's sides (4) and to the five points (10), in strides.
 */
#ifndef CORE_FACE_SCRFD_PRIVATE_H
#define CORE_FACE_SCRFD_PRIVATE_H

#include "core/face/face.h"
#include "core/graph/tensor.h"

#define SCRFD_LEVELS 3
#define SCRFD_OUTPUTS 9
#define SCRFD_MAX_STRIDE 32 /* inputs are multiples of it */

struct scrfd_heads {
    struct scrfd_level {
        int stride;
        int score, box, point; /* numbers of outputs */
    } level[SCRFD_LEVELS];
    int n_anchors; /* per cell */
};

/*
 * Tells the outputs apart by their shapes, [rows, columns] or [1, rows, columns], for an input of width × height;
 * names are for the note.
 * Errors: ERR_UNSUPPORTED not such a network; the note says what is missing or too much.
 */
MUST_CHECK enum err scrfd_recognise(const char *const *names, const struct tensor *outputs, int n_outputs, int width,
                                    int height, struct scrfd_heads *ret, struct err_note *note);

/*
 * Decodes all anchors with at least min_score, in no particular order, overlapping ones too.
 * Units:  pixels of the network's input.
 * Owns:   *ret is carved from mem.
 * Errors: ERR_FORMAT the shapes are not those of this input size, or a score is not in 0..1, or a number is not finite;
 *         ERR_LIMIT, ERR_NOMEM.
 */
MUST_CHECK enum err scrfd_decode(const struct scrfd_heads *heads, const struct tensor *outputs, int width, int height,
                                 float min_score, struct arena *mem, struct face **ret, int *ret_count,
                                 struct err_note *note);

/*
 * Orders the faces best first and keeps, from the best down, those that overlap none kept before by more than max_overlap
 * (intersection over union), at most max_faces.  Returns how many stand at the front now.
 */
int scrfd_suppress(struct face *faces, int count, float max_overlap, int max_faces);

#endif
