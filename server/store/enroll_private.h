/*
 * enroll_private.h: the question that an enrolment may ask of the rows before it is written: is this face there already?
 */
#ifndef SERVER_STORE_ENROLL_PRIVATE_H
#define SERVER_STORE_ENROLL_PRIVATE_H

#include "server/store/db_private.h"
#include "server/store/enroll.h"

/*
 * Looks for a face of the subject that came from the same photo, byte for byte, or that is the same face (DUPLICATE_COSINE).
 * The same photo under another subject is none: a photo may show two people.
 * Errors: ERR_EXISTS the note names the face.
 */
MUST_CHECK enum err duplicate_judge(struct db *db, const struct enroll *what, int64_t subject_id, int dim,
                                    struct err_note *note);

#endif
