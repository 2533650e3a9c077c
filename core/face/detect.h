/*
 * detect.h: where the faces are.
 *
 * Wraps one detector network of the SCRFD family: nine outputs (score, box and five points at strides 8, 16 and 32),
 * recognised by shape, whatever their names, of rank 2 or 3.  Does not decide who a face is, and does not judge its
 * quality (quality.h).  A detector is immutable and shared; the session that runs it belongs to one thread.
 */
#ifndef CORE_FACE_DETECT_H
#define CORE_FACE_DETECT_H

#include "core/face/face.h"
#include "core/graph/session.h"

struct detector;

/*
 * Takes a sealed graph (freed by detector_free, also when this fails).
 * Errors: ERR_UNSUPPORTED not a detector of this family: the note says what is missing (five points, a stride, the input).
 */
MUST_CHECK enum err detector_new(struct graph *take, const struct preprocess *how, struct detector **ret,
                                 struct err_note *note);
void detector_free(struct detector *detector);

const struct graph *detector_graph(const struct detector *detector);

struct detect_options {
    int side;          /* longest side of the network's input in pixels; rounded up to a multiple of 32; 0: 640 */
    float min_score;   /* 0: .5 */
    float max_overlap; /* intersection over union above which the weaker box goes; 0: .4 */
    int max_faces;     /* the weakest beyond are dropped; 0: 256 */
    float max_enlarge; /* small photos are not enlarged beyond this; 0: 1.3 */
};

/*
 * Finds the faces of one photo, best score first.
 *
 * Shapes: photo of any size; scaled inside with its aspect kept, pasted top left on black.  A network with a fixed input
 *         size gets that size.  Where no face is found, the photo is looked at once more at half the scale.
 * Owns:   *ret is carved from mem and dies with it.
 * Errors: ERR_LIMIT mem or the session's memory is spent; ERR_NOMEM; ERR_MISUSE, ERR_FORMAT the network does not take the
 *         picture, or computes something else for it than it did when it was loaded.  No face is no error: *ret_count is 0.
 */
MUST_CHECK enum err detector_run(const struct detector *detector, struct session *session, const struct image *photo,
                                 const struct detect_options *options, struct arena *mem, struct face **ret,
                                 int *ret_count, struct err_note *note);

#endif
