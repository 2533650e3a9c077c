/*
 * enroll.h: a photo or an embedding becomes faces of a subject.
 *
 * Order: the rows are committed, then the index learns the faces, then the caller gets the answer.  If the index cannot
 * (no memory), it is thrown away and built again from the rows before anybody searches it: an enrolled face is found by the
 * next request, or that request fails; it is never silently missed.
 */
#ifndef SERVER_GALLERY_ENROLL_H
#define SERVER_GALLERY_ENROLL_H

#include "server/gallery/also.h"

struct import_mark;

enum on_duplicate {
    DUPLICATE_KEEP, /* the same photo again is another face; the default */
    DUPLICATE_REJECT, /* GALLERY_DUPLICATE when the subject has a face of this photo, or this face (server/store/enroll.h) */
    DUPLICATE_REJECT_ANY /* and when another subject of the collection has a face that would be taken for it (also.h) */
};

enum others {
    OTHERS_TOLD,  /* new_face.also says who else has the face */
    OTHERS_UNTOLD /* it is not asked: whoever enrolls may not know who is enrolled.  Not with DUPLICATE_REJECT_ANY. */
};

enum quality_wanted {
    QUALITY_WANTED_NONE, /* everything that the detector finds */
    QUALITY_WANTED_AUTO, /* what would only spoil the gallery is refused; the default of the API */
    QUALITY_WANTED_HIGH  /* for good reference photos */
};

struct enroll_query {
    const char *collection;     /* NULL: "default" */
    struct subject_ref subject; /* by name: made if new; by id: must exist */

    /* exactly one of two */
    struct gallery_photo photo;
    struct gallery_embedding embedding;

    const char *external_id; /* of the subject: the caller's own key; NULL leaves it */
    const char *metadata;    /* of the subject: a JSON object as text; NULL leaves it */
    enum faces_wanted faces; /* SINGLE (default), LARGEST, ALL */
    enum quality_wanted quality;
    enum on_duplicate on_duplicate;
    enum others others;
    const struct import_mark *mark; /* the import that this is a part of; NULL: none */
};

struct new_face {
    const char *id;
    bool has_face; /* false for an embedding */
    struct seen_face face;
    struct also also; /* whose face it is already, under other names; not asked also when the search failed */
};

struct enroll_answer {
    const char *subject_id;
    const char *subject_name;
    bool subject_is_new;
    const char *collection;
    const char *model; /* version */
    struct photo_size photo;
    int n_faces; /* at least 1 */
    struct new_face *faces;
    int n_rejected; /* found, but not good enough; their reasons say why */
    struct seen_face *rejected;
};

/*
 * Errors: the photo's (see gallery_reason); GALLERY_NO_FACE, GALLERY_SEVERAL_FACES, GALLERY_DUPLICATE, GALLERY_LOW_QUALITY (all were rejected;
 *         the note names the reasons); GALLERY_NO_SUCH_COLLECTION, GALLERY_NO_SUCH_SUBJECT, GALLERY_BAD_NAME,
 *         GALLERY_BAD_METADATA, GALLERY_BAD_OPTION, GALLERY_WRONG_DIMENSION, GALLERY_BAD_EMBEDDING; ERR_LIMIT, ERR_TIMEOUT,
 *         ERR_CANCELLED, ERR_NOMEM, ERR_BUSY, ERR_IO, ERR_NO_SPACE.  On every error nothing has been stored.
 *         Whether others have the face fails an enrolment only with DUPLICATE_REJECT_ANY.
 * Owns:   *ret is carved from the worker's arena.
 */
MUST_CHECK enum err gallery_enroll(struct gallery_worker *worker, const struct enroll_query *query,
                                   struct enroll_answer *ret, struct gallery_fault *fault);

#endif
