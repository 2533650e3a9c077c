/*
 * subject_rows.h: the people of a collection.  A subject comes into being with its first face (enroll.h).
 */
#ifndef SERVER_STORE_SUBJECT_ROWS_H
#define SERVER_STORE_SUBJECT_ROWS_H

#include "server/store/store.h"

struct subject_row {
    int64_t id;
    char uuid[STORE_UUID_TEXT];
    int64_t collection_id;
    const char *name;        /* unique in its collection, compared byte by byte */
    const char *external_id; /* the caller's own key; NULL: none */
    const char *metadata;    /* JSON object */
    int64_t n_faces;
    int64_t created_ms, updated_ms;
};

/* Errors of the three: ERR_NOT_FOUND. */
MUST_CHECK enum err store_subject_find_name(struct store *store, int64_t collection_id, const char *name,
                                            struct arena *mem, struct subject_row *ret, struct err_note *note);
MUST_CHECK enum err store_subject_find_uuid(struct store *store, const char *uuid, struct arena *mem,
                                            struct subject_row *ret, struct err_note *note);
MUST_CHECK enum err store_subject_get(struct store *store, int64_t id, struct arena *mem, struct subject_row *ret,
                                      struct err_note *note);

/* The subjects of a collection in the order of creation; *ret_next is NULL at the end of the list. */
MUST_CHECK enum err store_subject_list(struct store *store, int64_t collection_id, const struct store_page *page,
                                       struct arena *mem, struct subject_row **ret, int *ret_count,
                                       const char **ret_next, struct err_note *note);

struct subject_change {
    const char *name;        /* NULL leaves it, in all three */
    const char *external_id; /* "" removes it */
    const char *metadata;
};

/* Errors: ERR_NOT_FOUND; ERR_EXISTS another subject of the collection has the name; as store_name_check and
 * store_json_check. */
MUST_CHECK enum err store_subject_change(struct store *store, int64_t id, const struct subject_change *change,
                                         const char *actor, struct err_note *note);

/* All subjects of all collections: walks the smallest index of the table, about 10 ms for a million. */
MUST_CHECK enum err store_subject_count(struct store *store, int64_t *ret, struct err_note *note);

/* Erases the subject with its faces, embeddings, crops, and photos that show nobody else enrolled.
 * Owns:   ret->face_ids is carved from mem.  Errors: ERR_NOT_FOUND. */
MUST_CHECK enum err store_subject_delete(struct store *store, int64_t id, const char *actor,
                                         const struct after_commit *after, struct arena *mem, struct receipt *ret,
                                         struct err_note *note);

#endif
