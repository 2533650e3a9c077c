/*
 * forget.h: erasing faces, subjects and collections.
 *
 * Order: the rows go in one transaction, then the index, then the answer.  From the answer on no search returns what was
 * erased.  The receipt stands in the audit log by ids alone.
 */
#ifndef SERVER_GALLERY_FORGET_H
#define SERVER_GALLERY_FORGET_H

#include "server/gallery/gallery.h"
#include "server/store/store.h"

/*
 * Errors: GALLERY_NO_SUCH_FACE, _SUBJECT, _COLLECTION; ERR_BUSY, ERR_IO, ERR_NO_SPACE, ERR_NOMEM: nothing is erased then.
 */
MUST_CHECK enum err gallery_forget_face(struct gallery_worker *worker, const char *face_id, struct receipt *ret,
                                        struct gallery_fault *fault);
MUST_CHECK enum err gallery_forget_subject(struct gallery_worker *worker, const char *subject_id, struct receipt *ret,
                                           struct gallery_fault *fault);
MUST_CHECK enum err gallery_forget_collection(struct gallery_worker *worker, const char *name, struct receipt *ret,
                                              struct gallery_fault *fault);

#endif
