/*
 * assess.h: how well a collection's recogniser tells its people apart, measured on the embeddings that are stored
 * (core/train/evaluate.h says what is measured and how).
 *
 * The labels are taken as true: what stands under a wrong name counts as a failure of the recogniser, so review first.
 *
 * Beside it stand thresholds that the pairs of strangers support, as a proposal: nothing decides by them until a person puts them in force
 * (calibrate.h).
 */
#ifndef SERVER_GALLERY_ASSESS_H
#define SERVER_GALLERY_ASSESS_H

#include "core/train/evaluate.h"
#include "server/gallery/decision.h"
#include "server/gallery/gallery.h"
#include "server/gallery/long_work.h"
#include "server/store/model_rows.h"

struct assessment {
    char model[STORE_VERSION_TEXT];
    int64_t n_faces; /* in the collection; evaluation.photos of them were measured */
    bool sampled;    /* a share of the people was taken, because there are more faces than most_faces */
    int64_t most_faces;
    struct evaluation evaluation;
    struct calibration proposed; /* 0 points: unproposed says why */
    char unproposed[256];
};

/*
 * most_faces: all pairs are looked at, so twice the faces take four times as long; 0: 20000.  rounds: of the bootstrap; 0: its
 * default.
 * Errors: GALLERY_NO_SUCH_COLLECTION; GALLERY_TOO_FEW not two people, or nobody with two faces; ERR_LIMIT, ERR_NOMEM,
 *         ERR_CANCELLED, ERR_IO.
 */
MUST_CHECK enum err gallery_assess(struct gallery_worker *worker, const char *collection, int64_t most_faces,
                                   int rounds, const struct long_work *work, struct assessment *ret,
                                   struct gallery_fault *fault);

#endif
