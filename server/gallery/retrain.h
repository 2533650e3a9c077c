/*
 * retrain.h: a model that was trained here enters the list of models, with what it came from and how it was judged.
 */
#ifndef SERVER_GALLERY_RETRAIN_H
#define SERVER_GALLERY_RETRAIN_H

#include "server/gallery/gallery.h"
#include "server/store/model_rows.h"

/* What a training of a collection uses where nobody says otherwise: core/train/course.h's, and how it is judged. */
struct training_defaults {
    int epochs;
    double rate, distill, kl;
    double freeze;     /* share of the convolutions that does not learn */
    double purify_deg; /* angle from which a photo is dropped */
    double holdout;    /* share of the people */
    double gate;       /* points of TAR that may be lost */
    int64_t seed;
};
struct training_defaults gallery_training_defaults(void);

struct trained_model {
    const char *file;   /* ONNX; its manifest lies beside it as FILE.json */
    const char *name;   /* for people */
    const char *from;   /* version of the model it was trained from */
    bool proven;        /* passed its gate: ready to be used; else it is kept as rejected */
    const char *report; /* JSON object */
};

/*
 * Proves that the file works here (model_upload.h), copies it and adds its row.  A version that is known already keeps its row.
 * Errors: GALLERY_NO_SUCH_MODEL the parent is gone; as gallery_model_upload.
 */
MUST_CHECK enum err gallery_take_trained(struct gallery_worker *worker, const struct trained_model *trained,
                                         char ret_version[STORE_VERSION_TEXT], struct gallery_fault *fault);

/* What a training of so many photos would take; freeze, epochs and holdout as they are asked for. */
struct training_cost {
    double seconds;
    int64_t bytes;
    int64_t steps;
};
/* Errors: the model's file cannot be read or learnt on: the note says why; ERR_NOMEM. */
MUST_CHECK enum err gallery_training_cost(struct gallery_worker *worker, const char *data, const struct model_row *row,
                                          const struct training_defaults *wanted, int64_t n_people, int64_t n_photos,
                                          struct training_cost *ret, struct gallery_fault *fault);

/* Path of a model's file in the data folder.  Owns: carved from the worker's arena; NULL without memory. */
const char *gallery_model_path(struct gallery_worker *worker, const char *data, const struct model_row *row);

#endif
