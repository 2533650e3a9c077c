/*
 * activate.h: a collection changes over to another model, and goes back.
 *
 * Every face is embedded again from the crop that was kept, beside the embeddings that are there, while the present pair answers.
 * Faces enrolled meanwhile are caught up with.  Then one transaction changes the collection's model and settings, and the index
 * that was built before takes the place of the present one: a request is answered by one whole pair, the former or the new.
 *
 * Nothing is kept but rows: killed at any point, the collection is what it was or what it was to become, and calling again goes on
 * where it stopped.  The former model's embeddings stay, so that going back is one step; faces enrolled since are then
 * embedded with the former model, from their crops, before it.  Faces that are set aside are embedded too.
 *
 * Thresholds belong to the model.  A cosine that the collection had set was meant for the former model's scale and is dropped; a
 * false match rate stays if the new model is calibrated for it; the margin stays.  Going back to a model brings back
 * the settings that the collection had with it.
 */
#ifndef SERVER_GALLERY_ACTIVATE_H
#define SERVER_GALLERY_ACTIVATE_H

#include "server/gallery/gallery.h"
#include "server/gallery/long_work.h"
#include "server/store/model_rows.h"

struct activation_plan {
    int64_t collection_id;
    int64_t n_faces;
    int64_t n_missing; /* to embed */
    bool is_active;    /* the collection has this model already */
};

/*
 * Whether a collection can change over to a model.
 * force: ACTIVATE_FORCED takes a candidate and a rejected model too.
 * Errors: GALLERY_NO_SUCH_MODEL, GALLERY_NO_SUCH_COLLECTION; GALLERY_NOT_PROVEN a candidate, or rejected; GALLERY_NO_CROPS faces
 *         without a crop, GALLERY_OTHER_CROPS crops of another size than the model's input: the note says how many.
 */
enum activate_force {
    ACTIVATE_PROVEN,
    ACTIVATE_FORCED
};
MUST_CHECK enum err gallery_activation_plan(struct gallery_worker *worker, const char *version, const char *collection,
                                            enum activate_force force, struct activation_plan *ret,
                                            struct gallery_fault *fault);

struct activated {
    char from[STORE_VERSION_TEXT];
    char to[STORE_VERSION_TEXT];
    int64_t n_faces;
    int64_t n_embedded;     /* now; the others had an embedding already */
    int64_t n_forgotten;    /* embeddings of models beyond those kept */
    bool threshold_dropped; /* the collection's own cosine was for the former model */
    bool max_fmr_dropped;   /* the new model's calibration does not reach it */
};

/*
 * Changes over; resets the worker again and again.  A collection that has the model already is done at once.
 * Errors: as above; GALLERY_MOVED the collection changed over to a third model meanwhile; ERR_BUSY faces are enrolled faster than
 *         they are embedded again; ERR_CORRUPT a damaged crop or embedding; ERR_CANCELLED, ERR_TIMEOUT; ERR_NOMEM, ERR_IO,
 *         ERR_NO_SPACE.  The present pair goes on answering; what was embedded stays for the next attempt.
 */
MUST_CHECK enum err gallery_activate(struct gallery_worker *worker, const char *version, const char *collection,
                                     const struct long_work *work, struct activated *ret, struct gallery_fault *fault);

/* Where rolling back would go: the model before the present one, and how many faces it does not know yet.
 * Errors: GALLERY_NO_SUCH_COLLECTION; GALLERY_NO_FORMER_MODEL. */
MUST_CHECK enum err gallery_former_model(struct gallery_worker *worker, const char *collection,
                                         char ret_version[STORE_VERSION_TEXT], int64_t *ret_missing,
                                         struct gallery_fault *fault);

#endif
