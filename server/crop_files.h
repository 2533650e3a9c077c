/*
 * crop_files.h: many photos become crops, on several threads, for the commands that measure and train.
 */
#ifndef SERVER_CROP_FILES_H
#define SERVER_CROP_FILES_H

#include "core/base/cancel.h"
#include "core/train/dataset.h"
#include "server/gallery/model.h"
#include "server/progress.h"

/* Where crops come from: files, or a data set. */
struct crop_source {
    const char *const *paths;      /* [n], or NULL */
    const struct dataset *dataset; /* then this */
    int n;
    const struct model
        *detector;   /* for photos: the face nearest the centre is taken.  NULL: the files are crops already */
    int side;        /* of a crop */
    int detect_side; /* 0: the detector's default */
    int threads;
    struct cancel *cancel; /* looked at before each crop; NULL: nobody asks */
};

enum crop_state {
    CROP_SEEN,
    CROP_NO_FACE,
    CROP_UNREADABLE /* no image, or no crop of this side */
};

/* Called on a thread (0 .. threads-1) for crop i; mem is reset after it. */
typedef enum err crop_taker(void *context, int thread, int i, const struct image *crop, struct arena *mem,
                            struct err_note *note);

/*
 * Hands every crop to take.  A photo that cannot be read, or without a face, is no error: its state says so.
 * Shapes: ret_state [n].  progress may be NULL.
 * Errors: the first that take returned; ERR_CANCELLED; ERR_NOMEM.
 */
MUST_CHECK enum err crop_files(const struct crop_source *source, crop_taker *take, void *context,
                               struct progress *progress, unsigned char *ret_state, struct err_note *note);

/*
 * The same, into the recogniser: ret_u [n, dim] unit rows, zeros where there is no face.  flip adds the mirrored crop's vector, if the
 * recogniser does not by itself.
 */
MUST_CHECK enum err embed_crops(const struct crop_source *source, const struct model *recognizer, bool flip,
                                struct progress *progress, float *ret_u, unsigned char *ret_state,
                                struct err_note *note);

#endif
