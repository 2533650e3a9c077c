/*
 * embedding_rows.h: the vectors, one per face and model: little-endian fp32 of unit length with a checksum over face, model,
 * norm and vector, because the database does not notice flipped bits.
 */
#ifndef SERVER_STORE_EMBEDDING_ROWS_H
#define SERVER_STORE_EMBEDDING_ROWS_H

#include "core/base/cancel.h"
#include "server/store/store.h"

/*
 * Copies one vector.
 * Shapes: ret [dim] f32; ret_norm may be NULL.
 * Errors: ERR_NOT_FOUND; ERR_CORRUPT; ERR_MISUSE the row has another dimension.
 */
MUST_CHECK enum err store_embedding_get(struct store *store, int64_t face_id, int64_t model_id, float *ret, int dim,
                                        float *ret_norm, struct err_note *note);

/* How many faces of the collection have an embedding of the model, and how many have none. */
struct embedding_counts {
    int64_t n_there, n_missing;
};
MUST_CHECK enum err store_embedding_count(struct store *store, int64_t collection_id, int64_t model_id,
                                          struct embedding_counts *ret, struct err_note *note);

/* One vector on its way past; valid during the call.  An error ends the walk and is returned. */
typedef enum err store_embedding_visit(void *context, int64_t face_id, const float *vector, int dim);

/*
 * Walks over the embeddings of a collection's faces with row ids above after_face_id (0: all), ascending, without those that
 * are set aside (finding_rows.h), from one state of the database; what is written meanwhile is not seen.  The callback may use the store; it should not take minutes, because
 * the write-ahead log cannot be cut while the walk lasts.
 * Errors: ERR_CORRUPT a checksum does not agree: the note names the face; what the callback returned.
 */
MUST_CHECK enum err store_embedding_each(struct store *store, int64_t collection_id, int64_t model_id,
                                         int64_t after_face_id, store_embedding_visit *visit, void *context,
                                         struct err_note *note);

/* A labelled vector on its way past; valid during the call. */
typedef enum err store_labelled_visit(void *context, int64_t face_id, int64_t subject_id, const float *vector, int dim);

/* Walks over the searched faces of a collection (not those set aside), by subject and then by face; else as
 * store_embedding_each. */
MUST_CHECK enum err store_labelled_each(struct store *store, int64_t collection_id, int64_t model_id,
                                        store_labelled_visit *visit, void *context, struct err_note *note);

/* Tells how far a long check has come. */
typedef void store_progress(void *context, int64_t done, int64_t total);

/* Checks every embedding, crop and photo against its checksum.  progress and cancel may be NULL.
 * Errors: ERR_CORRUPT the note names the first damaged row and how many there are; ERR_CANCELLED. */
MUST_CHECK enum err store_checksum_verify(struct store *store, store_progress *progress, void *context,
                                          struct cancel *cancel, struct err_note *note);

#endif
