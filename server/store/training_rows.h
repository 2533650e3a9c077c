/*
 * training_rows.h: the crops of a collection with the people they belong to, on their way into a data set.
 */
#ifndef SERVER_STORE_TRAINING_ROWS_H
#define SERVER_STORE_TRAINING_ROWS_H

#include "server/store/store.h"

/* One crop on its way past; valid during the call. */
struct training_crop {
    int64_t face_id;
    int64_t subject_id;
    const char *subject_uuid;
    int side_px;
    const unsigned char *bytes; /* as it was encoded; NULL when only counting */
    size_t n_bytes;
};

/* An error ends the walk and is returned. */
typedef enum err store_training_visit(void *context, const struct training_crop *crop);

enum training_bytes {
    TRAINING_COUNT,
    TRAINING_CROPS
};

/*
 * Walks over the crops of a collection, by subject and then by face, without faces that are set aside (finding_rows.h), from one
 * state of the database.  Faces without a crop are not seen.
 * Errors: ERR_CORRUPT a checksum does not agree: the note names the face; what the callback returned.
 */
MUST_CHECK enum err store_training_each(struct store *store, int64_t collection_id, enum training_bytes bytes,
                                        store_training_visit *visit, void *context, struct err_note *note);

/* Faces of the collection that are searched, and those of them without a crop. */
MUST_CHECK enum err store_training_count(struct store *store, int64_t collection_id, int64_t *ret_faces,
                                         int64_t *ret_without_crop, struct err_note *note);

#endif
