/*
 * verify.h: is this the same person?
 *
 * A probe (photo or embedding) is compared with a subject (its best face), an enrolled face, a second photo or a second
 * embedding.  Nothing is stored.
 */
#ifndef SERVER_GALLERY_VERIFY_H
#define SERVER_GALLERY_VERIFY_H

#include "server/gallery/decision.h"
#include "server/gallery/gallery.h"

struct verify_query {
    const char *collection; /* whose model and thresholds; NULL: "default" */

    /* the probe: exactly one of two */
    struct gallery_photo photo;
    struct gallery_embedding embedding;

    /* the claim: exactly one of four */
    struct gallery_photo photo2;
    struct gallery_embedding embedding2;
    struct subject_ref subject;
    const char *face_id;

    enum faces_wanted faces; /* of each photo: LARGEST (default) or SINGLE */
    struct threshold_wish threshold;
};

struct verify_answer {
    bool match;
    float cosine;
    struct threshold_used threshold;
    const char *model; /* version */
    struct photo_size photo;
    struct photo_size photo2;
    bool has_face; /* the faces that were compared, where photos were sent */
    bool has_face2;
    struct seen_face face;
    struct seen_face face2;
    const char *subject_id; /* of the claimed subject or face; NULL for a photo or an embedding */
    const char *subject_name;
    const char *face_id; /* the enrolled face that was nearest */
};

/*
 * Errors: as gallery_identify; GALLERY_NO_FACE and GALLERY_SEVERAL_FACES say which photo; GALLERY_NO_SUCH_SUBJECT (also a
 *         subject without a face).
 * Owns:   *ret is carved from the worker's arena.
 */
MUST_CHECK enum err gallery_verify(struct gallery_worker *worker, const struct verify_query *query,
                                   struct verify_answer *ret, struct gallery_fault *fault);

#endif
