/*
 * detector_assign.h: which cell of a detector's maps answers for which face: ATSS (Zhang et al. 2020), as SCRFD is trained.
 *
 * Around every cell stands one square anchor of its level's size.  For each face the nine nearest cells of every level are
 * candidates; those whose anchors overlap the face more than the mean of the candidates plus their deviation, or
 * nearly as much as the best, are its cells, if they lie inside its box.  So the level follows from the face's size without a table of sizes.
 */
#ifndef CORE_TRAIN_DETECTOR_ASSIGN_H
#define CORE_TRAIN_DETECTOR_ASSIGN_H

#include "core/base/arena.h"
#include "core/train/detector_build.h"
#include "core/train/detector_labels.h"

enum {
    DETECTOR_CELL_NONE = -1,  /* no face here */
    DETECTOR_CELL_UNSURE = -2 /* not judged: inside of an unsure face and no cell of another */
};

/* Cells of all levels of a picture, the finest level first, each y-major. */
int detector_cells(int width, int height);

/* The level of a cell and its upper left corner in pixels. */
struct detector_cell {
    int level;
    float x, y;
};
struct detector_cell detector_cell_at(int width, int height, int cell);

/*
 * Shapes: width and height multiples of 32; ret [detector_cells]: the number of a face, or one of the above.  Where a cell would
 * serve several faces it serves the one that it overlaps most.
 * *ret_positive counts the cells with a face.
 * Memory: scratch is carved from mem.
 * Errors: ERR_LIMIT, ERR_NOMEM.
 */
MUST_CHECK enum err detector_assign(int width, int height, const struct labelled_face *faces, int n_faces,
                                    struct arena *mem, int *ret, int *ret_positive);

#endif
