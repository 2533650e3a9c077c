/*
 * enroll.h: faces enter the database: subject, faces, embeddings, crops, photo and audit row in one transaction.
 */
#ifndef SERVER_STORE_ENROLL_H
#define SERVER_STORE_ENROLL_H

#include "server/store/face_rows.h"
#include "server/store/import_rows.h"
#include "server/store/replay_rows.h"

struct enroll_face {
    enum face_source source;
    float box[4];
    float point[5][2];
    float score;
    const char *quality;    /* JSON object; NULL: {} */
    const float *embedding; /* [dim of the model], unit length */
    float norm;             /* its length before normalising; 0: unknown */
    const void *crop;       /* lossless WebP; NULL: not kept */
    size_t crop_bytes;
    int crop_side_px;
};

struct enroll_photo {
    int width_px, height_px;     /* upright; 0 for a lone embedding */
    const unsigned char *sha256; /* 32 bytes, of the bytes as sent; NULL: there was no photo */
    const void *bytes;           /* as sent; NULL: not kept */
    size_t n_bytes;
};

struct enroll {
    int64_t collection_id;
    int64_t model_id; /* what made the embeddings; must be the collection's at the moment of the commit */

    /* Whose faces: a subject that is there, by row id; or, with subject_id 0, by name, made if the collection has none of
     * that name.  external_id and metadata replace what the subject has; NULL leaves it. */
    int64_t subject_id;
    const char *subject_name;
    const char *external_id;
    const char *metadata;

    const struct enroll_face *faces;
    int n_faces;
    struct enroll_photo photo;
    const char *actor; /* key id, for the audit log */

    int64_t at_ms;          /* when the faces were first enrolled; 0: now */
    bool refuse_duplicates; /* ERR_EXISTS if the subject has a face of this photo, or such a face (DUPLICATE_COSINE) */
    const struct import_mark *mark; /* the import that this is a part of, whose row is written with it; NULL: none */
    const struct replay *replay;    /* the answer to keep, made from the struct enrolled; NULL: none */
};

/*
 * From this cosine on two embeddings of one subject are the same face: what re-encoding (JPEG quality 60) or scaling (80 %) a
 * photo leaves, while different photos of a person lie at .6-.8.
 */
#define DUPLICATE_COSINE .95F

struct enrolled_face {
    int64_t id;
    char uuid[STORE_UUID_TEXT];
};

struct enrolled {
    int64_t subject_id;
    char subject_uuid[STORE_UUID_TEXT];
    bool subject_is_new;
    struct enrolled_face *faces; /* n_faces, in the order given */
    int64_t audit_id;
    int64_t at_ms;
};

/*
 * Enrolls n_faces ≥ 1 faces of one photo under one subject.  *ret is complete when after (may be NULL) is called.
 * Owns:   ret->faces is carved from mem.
 * Errors: ERR_NOT_FOUND collection, subject; ERR_CONFLICT the collection uses another model by now, or the subject belongs to
 *         another collection; ERR_EXISTS a duplicate, the note names the face that is there; ERR_MISUSE no face, an embedding that is not finite or not of unit length (to 1e-3);
 *         as store_name_check and store_json_check.
 */
MUST_CHECK enum err store_enroll(struct store *store, const struct enroll *what, const struct after_commit *after,
                                 struct arena *mem, struct enrolled *ret, struct err_note *note);

/*
 * Enrolls many at once, in one transaction: all of them or none.  ret[i] belongs to what[i].  On an error *ret_failed is the
 * one to blame, or n when it is none of them.
 * Errors: as store_enroll.
 */
MUST_CHECK enum err store_enroll_many(struct store *store, const struct enroll *what, int n,
                                      const struct after_commit *after, struct arena *mem, struct enrolled *ret,
                                      int *ret_failed, struct err_note *note);

#endif
