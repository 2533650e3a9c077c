/*
 * face_rows.h: enrolled faces.  A face's row id is the id under which the index holds its embedding.
 */
#ifndef SERVER_STORE_FACE_ROWS_H
#define SERVER_STORE_FACE_ROWS_H

#include "server/store/store.h"

/* From what the embedding was made. */
enum face_source {
    FACE_FROM_PHOTO,
    FACE_FROM_CROP,     /* the caller sent an aligned crop: box and points are zeros */
    FACE_FROM_EMBEDDING /* the caller sent the vector itself: nothing else is known */
};

const char *face_source_word(enum face_source source); /* "photo", "crop", "embedding" */

struct face_row {
    int64_t id;
    char uuid[STORE_UUID_TEXT];
    int64_t collection_id;
    int64_t subject_id;
    char subject_uuid[STORE_UUID_TEXT];
    const char *subject_name;
    enum face_source source;
    float box[4];                        /* x0 y0 x1 y1, pixels of the upright photo */
    float point[5][2];                   /* the same pixels */
    float score;                         /* the detector's */
    const char *quality;                 /* JSON object, as given at enrolling */
    int photo_width_px, photo_height_px; /* upright; 0: unknown */
    bool has_crop, has_photo;
    bool set_aside; /* neither searched nor compared with (finding_rows.h) */
    int64_t created_ms;
};

/* Errors of the two: ERR_NOT_FOUND. */
MUST_CHECK enum err store_face_find_uuid(struct store *store, const char *uuid, struct arena *mem, struct face_row *ret,
                                         struct err_note *note);
MUST_CHECK enum err store_face_get(struct store *store, int64_t id, struct arena *mem, struct face_row *ret,
                                   struct err_note *note);

/*
 * Looks up many at once, for the hits of a search: ret[i] belongs to ids[i]; a face that is no longer there has ret[i].id 0
 * and is no error.  All are read from one state of the database.
 */
MUST_CHECK enum err store_face_get_many(struct store *store, const int64_t *ids, int n, struct arena *mem,
                                        struct face_row **ret, struct err_note *note);

/* Whose each face is: ret[i] is the row id of the subject of ids[i], 0 where the face is no longer there. */
MUST_CHECK enum err store_face_subjects(struct store *store, const int64_t *ids, int n, int64_t *ret,
                                        struct err_note *note);

/*
 * The faces of a collection that came from a photo, byte for byte, in the order of enrolling, without those that are set aside;
 * the first FACES_OF_PHOTO.
 * Owns:   *ret is carved from mem.
 */
#define FACES_OF_PHOTO 32
MUST_CHECK enum err store_face_list_photo(struct store *store, int64_t collection_id, const unsigned char *sha256,
                                          struct arena *mem, struct face_row **ret, int *ret_count,
                                          struct err_note *note);

/* The faces of a subject in the order of enrolling; *ret_next is NULL at the end of the list. */
MUST_CHECK enum err store_face_list(struct store *store, int64_t subject_id, const struct store_page *page,
                                    struct arena *mem, struct face_row **ret, int *ret_count, const char **ret_next,
                                    struct err_note *note);

/* Erases one face; its subject stays, also without any.  Owns: ret->face_ids is carved from mem.  Errors: ERR_NOT_FOUND. */
MUST_CHECK enum err store_face_delete(struct store *store, int64_t id, const char *actor,
                                      const struct after_commit *after, struct arena *mem, struct receipt *ret,
                                      struct err_note *note);

#endif
