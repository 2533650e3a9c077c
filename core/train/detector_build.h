/*
 * detector_build.h: the network of a face detector with five points, in the two forms that training needs.
 *
 * 3×3 convolutions in each channel and 1×1 across them, down to strides 8, 16 and 32, wider where that is cheap; coarse maps are
 * enlarged and added to finer ones, and finer ones to those; at each stride a head tells, for every cell, a score, the distances
 * to the four sides of a box and, after other looks, where cells are few also at the finer stride's map, to five points, in strides
 * (one anchor a cell: the cell's upper left corner, as SCRFD has it).
 * Input "input" [N, 3, height, width], multiples of 32, normalised to (x − 127.5) / 128.
 */
#ifndef CORE_TRAIN_DETECTOR_BUILD_H
#define CORE_TRAIN_DETECTOR_BUILD_H

#include "core/train/build.h"

#define DETECTOR_LEVELS 3
#define DETECTOR_COLUMNS 15 /* score, box, points */

/* The side of the face that a level's cell expects, in pixels: boxes and points begin there, and faces are shared out by it. */
extern const float detector_anchor_px[DETECTOR_LEVELS];
static inline int detector_stride(int level)
{
    return 8 << level;
}

enum detector_form {
    DETECTOR_LEARNS, /* one output [N, cells of all levels, 15]; scores are logits */
    /*
     * Nine outputs as SCRFD's exports have them: [N, cells, 1 | 4 | 10]; scores have passed a Sigmoid, and points are means of what
     * a cell and its eight neighbours said, weighed by the squares of their scores.
     */
    DETECTOR_FINDS
};

/*
 * Builds the network, sealed.  The constants of both forms have the same names: with a source one takes the other's weights.
 * Owns:   *ret belongs to the caller (graph_free).
 * Errors: ERR_NOMEM, ERR_LIMIT; what the source says.
 */
MUST_CHECK enum err detector_build(enum detector_form form, const struct build_options *options, struct graph **ret,
                                   struct err_note *note);

#endif
