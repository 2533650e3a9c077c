/*
 * detector_labels.h: where the faces are in photos, as a teacher said it: what a detector learns from.
 *
 * A text file, so that anybody can look at it: the line "arcfaced faces 1", then for each photo a line "photo N PATH" and N lines
 * "face|unsure SCORE X0 Y0 X1 Y1 X Y ... (five points)" or "trap|hidden-trap X0 Y0 X1 Y1" in pixels of the upright photo, then the
 * line "end" when all photos were looked at.  A file without it is that of a run that was cut off, and is gone on with.
 * One thread per object.
 */
#ifndef CORE_TRAIN_DETECTOR_LABELS_H
#define CORE_TRAIN_DETECTOR_LABELS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/arena.h"
#include "core/face/face.h"

struct labelled_face {
    struct face face; /* the box is not clipped */
    bool unsure;      /* neither a face nor none: what is there is neither rewarded nor punished */
};

/* Where there is no face, and a detector saw one: in the photo, or only when its faces had been painted over. */
struct detector_trap {
    float box[4];
    bool hidden;
};

struct labelled_photo {
    const char *path;
    struct labelled_face *faces;
    int n_faces;
    struct detector_trap *traps;
    int n_traps;
};

struct detector_labels {
    struct labelled_photo *photos;
    int n_photos;
    int n_traps; /* of all photos */
    bool whole;
};

/*
 * Reads a file of labels.
 * Owns:   all of *ret is carved from mem.
 * Errors: ERR_NOT_FOUND; ERR_FORMAT the note names the line; ERR_LIMIT, ERR_NOMEM, ERR_IO.
 */
MUST_CHECK enum err detector_labels_read(const char *path, struct arena *mem, struct detector_labels *ret,
                                         struct err_note *note);

/* Writes one.  Errors: ERR_FORMAT a path with a line break; those of file_write; ERR_NOMEM. */
MUST_CHECK enum err detector_labels_write(const struct detector_labels *labels, const char *path,
                                          struct err_note *note);

/* The overlap of two boxes [x0, y0, x1, y1] in parts of what they cover together, 0..1. */
float box_overlap(const float a[4], const float b[4]);

#endif
