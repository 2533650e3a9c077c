/*
 * identify.h: who is this?
 *
 * A search never writes.  The decision per face is made in decision.c, the only place that does.
 */
#ifndef SERVER_GALLERY_IDENTIFY_H
#define SERVER_GALLERY_IDENTIFY_H

#include "server/gallery/decision.h"
#include "server/gallery/gallery.h"

enum group_by {
    GROUP_BY_SUBJECT, /* several faces of one subject give one candidate, with the best of them */
    GROUP_BY_FACE
};

struct identify_query {
    const char *collection; /* NULL: "default" */

    /* exactly one of three */
    struct gallery_photo photo;
    struct gallery_embedding embedding;
    const char *face_id; /* an enrolled face; it is not a candidate itself */

    enum faces_wanted faces; /* of a photo: LARGEST (default) or ALL */
    enum group_by group;
    int top_k; /* 1 .. policy.top_k_max; 0: 5 */
    struct threshold_wish threshold;
    bool exact;         /* by proof: neither FAISS, where the collection has it, nor codes that may miss somebody */
    const char *filter; /* of the subjects' metadata (filter_rows.h); NULL: everybody */
};

struct candidate {
    const char *subject_id;
    const char *subject_name;
    const char *face_id;
    float cosine;
};

struct identified_face {
    bool has_face; /* false for an embedding or a face id: nothing was seen */
    struct seen_face face;
    enum decision decision;
    int n_candidates;
    struct candidate *candidates; /* best first; each is at or above the threshold, or is the reason for "ambiguous" */
};

struct identify_answer {
    struct photo_size photo;
    struct threshold_used threshold;
    const char *model;             /* version */
    int n_faces;                   /* 0: no face in the photo; no error */
    struct identified_face *faces; /* largest first */
};

/*
 * Errors: the photo's (see gallery_reason), GALLERY_NO_SUCH_COLLECTION, GALLERY_NO_SUCH_FACE, GALLERY_OTHER_COLLECTION,
 *         GALLERY_WRONG_DIMENSION, GALLERY_BAD_EMBEDDING, GALLERY_BAD_OPTION, GALLERY_UNSUPPORTED_RATE; ERR_LIMIT the arena
 *         is spent; ERR_TIMEOUT, ERR_CANCELLED; ERR_NOMEM, ERR_IO.
 * Owns:   *ret is carved from the worker's arena.
 */
MUST_CHECK enum err gallery_identify(struct gallery_worker *worker, const struct identify_query *query,
                                     struct identify_answer *ret, struct gallery_fault *fault);

#endif
