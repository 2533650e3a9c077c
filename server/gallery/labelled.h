/*
 * labelled.h: the stored embeddings of a collection with the people they belong to, as one matrix: what judging labels and measuring
 * a recogniser work on.  Faces that are set aside are not in it.  No names.
 */
#ifndef SERVER_GALLERY_LABELLED_H
#define SERVER_GALLERY_LABELLED_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

struct store;

struct labelled {
    int n, dim;
    int people;
    float *u;             /* [n, dim] unit rows */
    int *person;          /* [n] in 0 .. people-1, rising */
    int64_t *face_ids;    /* [n] */
    int64_t *subject_ids; /* [people] */
};

/*
 * Reads them all, or (most_faces > 0 and more are there) those of a share of the people that has about so many; which people is a
 * function of their row ids.
 * Owns:   *ret until labelled_release.
 * Errors: ERR_LIMIT they need more than most_bytes: the note says how much; ERR_CORRUPT, ERR_NOMEM, ERR_BUSY, ERR_IO.
 */
MUST_CHECK enum err labelled_load(struct store *store, int64_t collection_id, int64_t model_id, int64_t most_faces,
                                  size_t most_bytes, struct labelled *ret, struct err_note *note);

/* Wipes and frees; a released one is {0}. */
void labelled_release(struct labelled *labelled);

#endif
