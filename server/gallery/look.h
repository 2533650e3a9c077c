/*
 * look.h: what is in a photo, without asking who it is: detection and embedding for callers that keep their own gallery.
 * Stateless; no collection's faces are read.
 */
#ifndef SERVER_GALLERY_LOOK_H
#define SERVER_GALLERY_LOOK_H

#include "server/gallery/gallery.h"

struct look_query {
    struct gallery_photo photo;
    enum faces_wanted faces; /* ALL (default), LARGEST, SINGLE */
    const char *collection;  /* gallery_embed: whose model; NULL: the default model of this daemon */
};

struct looked_face {
    struct seen_face face;
    const float *embedding; /* dim floats of unit length; NULL from gallery_detect */
    float norm;             /* of the raw vector */
};

struct look_answer {
    struct photo_size photo;
    const char *model; /* version that made the embeddings; NULL from gallery_detect */
    int dim;
    int n_faces;               /* 0: no face; no error, but with FACES_SINGLE */
    struct looked_face *faces; /* largest first */
};

/* Errors: the photo's (see gallery_reason); GALLERY_NO_MODEL; ERR_LIMIT, ERR_TIMEOUT, ERR_CANCELLED, ERR_NOMEM. */
MUST_CHECK enum err gallery_detect(struct gallery_worker *worker, const struct look_query *query,
                                   struct look_answer *ret, struct gallery_fault *fault);
MUST_CHECK enum err gallery_embed(struct gallery_worker *worker, const struct look_query *query,
                                  struct look_answer *ret, struct gallery_fault *fault);

#endif
