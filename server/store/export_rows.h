/*
 * export_rows.h: the faces of a collection with everything that belongs to them, page by page, for taking them elsewhere.
 */
#ifndef SERVER_STORE_EXPORT_ROWS_H
#define SERVER_STORE_EXPORT_ROWS_H

#include "server/store/face_rows.h"

struct export_row {
    int64_t id;
    const char *uuid;
    const char *subject_uuid;
    const char *subject_name;
    const char *external_id; /* NULL: none */
    const char *metadata;
    enum face_source source;
    float box[4];
    float point[5][2];
    float score;
    const char *quality;
    int photo_width_px, photo_height_px;
    const unsigned char *photo_sha256; /* 32 bytes; NULL: unknown */
    int64_t created_ms;
    const float *vector; /* [dim] */
    int dim;
    float norm;
    const unsigned char *crop; /* NULL: none, or not asked for */
    size_t crop_bytes;
};

/* Where an export begins and ends.  Faces that are set aside (finding_rows.h) are counted and not exported. */
struct export_span {
    int64_t last_face_id; /* the newest there is: what is enrolled later is not exported */
    int64_t n_faces, n_set_aside;
};
MUST_CHECK enum err store_export_span(struct store *store, int64_t collection_id, struct export_span *ret,
                                      struct err_note *note);

enum export_crops {
    EXPORT_WITHOUT_CROPS,
    EXPORT_WITH_CROPS
};

/*
 * The next faces with row ids above after_face_id and up to last_face_id, at most limit.  Every page is one state of the
 * database.
 * Owns:   carved from mem.
 * Errors: ERR_CORRUPT a checksum does not agree: the note names the face.
 */
MUST_CHECK enum err store_export_page(struct store *store, int64_t collection_id, int64_t model_id,
                                      int64_t after_face_id, int64_t last_face_id, enum export_crops crops, int limit,
                                      struct arena *mem, struct export_row **ret, int *ret_count,
                                      struct err_note *note);

#endif
