/*
 * forget.h: erasing faces, subjects and collections.
 *
 * Order: the rows go in one transaction, then the index, then the answer.  From the answer on no search returns what was
 * erased.  The receipt stands in the audit log by ids alone.
 */
#ifndef SERVER_GALLERY_FORGET_H
#define SERVER_GALLERY_FORGET_H

#include "server/gallery/gallery.h"

struct erasure_receipt {
    int64_t audit_id; /* row of the audit log that records it */
    int64_t at_ms;    /* wall clock, Unix milliseconds */
    const char *what; /* "face", "subject", "collection" */
    const char *id;   /* UUID, or the collection's name */
    int64_t subjects; /* rows erased */
    int64_t faces;
    int64_t embeddings;
    int64_t crops;
    int64_t photos;
};

/*
 * Errors: GALLERY_NO_SUCH_FACE, _SUBJECT, _COLLECTION; ERR_BUSY, ERR_IO, ERR_NO_SPACE, ERR_NOMEM: nothing is erased then.
 */
MUST_CHECK enum err gallery_forget_face(struct gallery_worker *worker, const char *face_id, struct erasure_receipt *ret,
                                        struct gallery_fault *fault);
MUST_CHECK enum err gallery_forget_subject(struct gallery_worker *worker, const char *subject_id,
                                           struct erasure_receipt *ret, struct gallery_fault *fault);
MUST_CHECK enum err gallery_forget_collection(struct gallery_worker *worker, const char *name,
                                              struct erasure_receipt *ret, struct gallery_fault *fault);

#endif
