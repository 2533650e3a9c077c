/*
 * freeze.h: what a collection could be trained on, and its crops frozen into a data set that a training run owns.
 *
 * The data set (core/train/dataset.h) knows no names: labels count the people in the order of their rows, ids are those of the
 * faces' rows.  Beside it lies people.json, the subjects' UUIDs in the order of the labels.  Faces that are set aside, faces
 * without a crop and crops of another size than the model's input are left out and counted.  A filter (filter_rows.h) leaves
 * out everybody whom it does not let pass, uncounted; NULL leaves out nobody.
 * All files are personal data: whoever asked for them removes them.
 */
#ifndef SERVER_GALLERY_FREEZE_H
#define SERVER_GALLERY_FREEZE_H

#include "server/gallery/gallery.h"
#include "server/gallery/long_work.h"
#include "server/store/model_rows.h"

#define FREEZE_DATASET "crops.dataset"
#define FREEZE_PEOPLE "people.json"
#define FREEZE_NEGATIVES "negatives.f32"
#define FREEZE_GUARD "guard" /* folder of another collection's crops, in a training's */
#define FREEZE_LEAST_PEOPLE 10
#define FREEZE_LEAST_PHOTOS 3 /* a person, in the mean */

struct freezable {
    int64_t collection_id;
    const char *collection;
    struct model_row model; /* the collection's, from which training starts */
    int64_t n_people;       /* with at least one crop that can be used */
    int64_t n_photos;
    int64_t median_photos;  /* a person */
    int64_t n_without_crop; /* left out */
    int64_t n_other_side;   /* left out */
};

/*
 * Counts.  Owns: texts are carved from the worker's arena.
 * Errors: GALLERY_BAD_OPTION a filter that is none; GALLERY_NO_SUCH_COLLECTION; GALLERY_NO_CROPS there are faces, but no
 *         crop; GALLERY_OTHER_CROPS there are crops, but none of the model's size; GALLERY_TOO_FEW: the note says what is there
 *         and what is needed; ERR_NOMEM, ERR_IO.
 */
MUST_CHECK enum err gallery_freezable(struct gallery_worker *worker, const char *collection, const char *filter,
                                      struct freezable *ret, struct gallery_fault *fault);

/*
 * Writes both files into a folder that exists; *ret as above, counted from what was written.  Memory does not grow with the crops.
 * Errors: as above; ERR_CORRUPT a damaged crop; ERR_CANCELLED; ERR_NO_SPACE.  Neither file is there then.
 */
MUST_CHECK enum err gallery_freeze(struct gallery_worker *worker, const char *collection, const char *filter,
                                   const char *folder, const struct long_work *work, struct freezable *ret,
                                   struct gallery_fault *fault);

/*
 * Writes, beside a data set that gallery_freeze has written, the directions of the collection's other people: of whom it holds no crop,
 * because none is kept or a filter did not let them pass.  A training keeps who is in it away from them.  Each is the dominant center
 * (purify_center) of the person's stored embeddings of the model, [n, dim] unit rows of floats as this machine has them; no file where
 * there are none.  Of more than 20,000 faces a share of the people is taken, a function of their row ids.
 * People of other collections are not among them: the same person may be enrolled in two, and was enrolled there for something else.
 * Errors: ERR_CORRUPT, ERR_LIMIT the embeddings; ERR_CANCELLED, ERR_NO_SPACE, ERR_NOMEM.  The file is then as it was.
 */
MUST_CHECK enum err gallery_freeze_negatives(struct gallery_worker *worker, const struct freezable *found,
                                             const char *folder, const struct long_work *work, int *ret_count,
                                             struct gallery_fault *fault);

#endif
