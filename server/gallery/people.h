/*
 * people.h: reading and changing what is known about collections, subjects and faces, without looking at a photo.
 *
 * Lists page by key: pass the last answer's next token; NULL begins.
 * Owns: results are carved from the worker's arena.
 * Errors everywhere: ERR_LIMIT, ERR_NOMEM, ERR_BUSY, ERR_IO, ERR_CORRUPT, besides those named.
 */
#ifndef SERVER_GALLERY_PEOPLE_H
#define SERVER_GALLERY_PEOPLE_H

#include "server/gallery/decision.h"
#include "server/gallery/gallery.h"
#include "server/store/collection_rows.h"
#include "server/store/subject_rows.h"

/* ---- Collections ------------------------------------------------------------------------------------------------- */

/* What answers beside the program's own exact search; description NULL: nothing, and all else is 0. */
struct collection_index {
    const char *description; /* after FAISS's factory */
    const char *state;       /* "waiting": too few faces, "building", "ready", "failed": reason says why */
    const char *reason;      /* NULL: none */
    int64_t n_covered;       /* faces that it answers for; the others are searched exactly */
    int64_t n_bytes;
    int n_queries; /* of the measure; 0: not measured */
    double recall_at_1, recall_at_10;
};

struct collection_info {
    const char *name;
    const char *model; /* version it is pinned to */
    int dim;
    enum keep keep;
    int64_t retention_days; /* 0: for ever */
    struct threshold_wish threshold;
    struct collection_index index;
    bool calibrated;
    int64_t created_ms;
    int64_t n_subjects;
    int64_t n_faces;
};

/* What PUT and PATCH say; what is unsaid stays as it is, or gets its default. */
struct collection_change {
    bool has_keep; /* else: as it is; for a new collection: the crop */
    enum keep keep;
    bool has_retention;
    int64_t retention_days;
    const char *model;  /* only when the collection is made: a version this daemon knows; NULL: the default one */
    bool has_threshold; /* replaces all of threshold */
    struct threshold_wish threshold;
    bool has_index;
    const char *index; /* NULL: the exact search alone */
};

/* Names: 1..64 characters of a-z A-Z 0-9 . _ -, beginning with a letter or digit. */
MUST_CHECK enum err gallery_collections(struct gallery_worker *worker, const char *page_token, int limit,
                                        struct collection_info **ret, int *ret_count, const char **ret_next,
                                        struct gallery_fault *fault);
/* Errors: GALLERY_NO_SUCH_COLLECTION. */
MUST_CHECK enum err gallery_collection_get(struct gallery_worker *worker, const char *name, struct collection_info *ret,
                                           struct gallery_fault *fault);
/* Makes the collection, or changes the one that is there (*ret_is_new says which).
 * Errors: GALLERY_BAD_NAME, GALLERY_BAD_OPTION, GALLERY_BAD_INDEX, GALLERY_NO_MODEL, GALLERY_NO_SUCH_MODEL, GALLERY_MODEL_PINNED. */
MUST_CHECK enum err gallery_collection_put(struct gallery_worker *worker, const char *name,
                                           const struct collection_change *change, struct collection_info *ret,
                                           bool *ret_is_new, struct gallery_fault *fault);
/* Errors: GALLERY_NO_SUCH_COLLECTION, GALLERY_BAD_OPTION, GALLERY_BAD_INDEX, GALLERY_MODEL_PINNED. */
MUST_CHECK enum err gallery_collection_patch(struct gallery_worker *worker, const char *name,
                                             const struct collection_change *change, struct collection_info *ret,
                                             struct gallery_fault *fault);

/* ---- Subjects ---------------------------------------------------------------------------------------------------- */

struct subject_info {
    const char *id;
    const char *name;
    const char *collection;
    const char *external_id; /* the caller's own key; NULL: none */
    const char *metadata;    /* JSON object as text */
    int64_t created_ms;
    int64_t updated_ms;
    int64_t n_faces;
};

/* name not NULL: only the subject of exactly this name, if there is one. */
MUST_CHECK enum err gallery_subjects(struct gallery_worker *worker, const char *collection, const char *name,
                                     const char *page_token, int limit, struct subject_info **ret, int *ret_count,
                                     const char **ret_next, struct gallery_fault *fault);
/* Errors: GALLERY_NO_SUCH_SUBJECT. */
MUST_CHECK enum err gallery_subject_get(struct gallery_worker *worker, const char *subject_id, struct subject_info *ret,
                                        struct gallery_fault *fault);

/* struct subject_change is the store's: NULL leaves a member as it is. */
/* Errors: GALLERY_NO_SUCH_SUBJECT, GALLERY_NAME_TAKEN, GALLERY_BAD_NAME, GALLERY_BAD_METADATA. */
MUST_CHECK enum err gallery_subject_patch(struct gallery_worker *worker, const char *subject_id,
                                          const struct subject_change *change, struct subject_info *ret,
                                          struct gallery_fault *fault);

/* ---- Faces ------------------------------------------------------------------------------------------------------- */

struct face_info {
    const char *id;
    const char *subject_id;
    const char *subject_name;
    const char *collection;
    int64_t created_ms;
    bool has_face; /* box and landmarks are known: enrolled from a photo */
    struct photo_size photo;
    float box[4]; /* x y width height, pixels of the upright photo */
    float landmarks[5][2];
    float score;
    const char *quality; /* JSON object as text: {"score": .., "reasons": [..]} and what was measured */
    bool has_crop;
    bool has_photo;
    bool set_aside; /* no search finds it (review.h) */
};

MUST_CHECK enum err gallery_faces(struct gallery_worker *worker, const char *subject_id, const char *page_token,
                                  int limit, struct face_info **ret, int *ret_count, const char **ret_next,
                                  struct gallery_fault *fault);
/* Errors: GALLERY_NO_SUCH_FACE. */
MUST_CHECK enum err gallery_face_get(struct gallery_worker *worker, const char *face_id, struct face_info *ret,
                                     struct gallery_fault *fault);

enum face_picture {
    FACE_CROP,
    FACE_PHOTO
};
struct face_image {
    const unsigned char *bytes; /* as stored */
    size_t n_bytes;
    const char *mime; /* "image/webp" for crops; a photo's is read from its bytes */
};
/* Errors: GALLERY_NO_SUCH_FACE, GALLERY_NO_IMAGE_KEPT. */
MUST_CHECK enum err gallery_face_image(struct gallery_worker *worker, const char *face_id, enum face_picture which,
                                       struct face_image *ret, struct gallery_fault *fault);

#endif
