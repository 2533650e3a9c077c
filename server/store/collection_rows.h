/*
 * collection_rows.h: namespaces of subjects.  A collection is pinned to one model version; its embeddings, index and
 * thresholds belong to that pair.
 */
#ifndef SERVER_STORE_COLLECTION_ROWS_H
#define SERVER_STORE_COLLECTION_ROWS_H

#include "server/store/store.h"

/* What is kept of a photo beside the embedding. */
enum keep {
    KEEP_NONE,
    KEEP_CROP,
    KEEP_PHOTO
};

/* "none", "crop", "photo", and back; an unknown word returns false. */
const char *keep_word(enum keep keep);
bool keep_from_word(const char *word, enum keep *ret);

struct collection_row {
    int64_t id;
    const char *name;
    int64_t model_id;
    const char *model; /* its version (model_rows.h) */
    enum keep keep;
    const char *settings; /* JSON object: thresholds, retention; the gallery knows the members */
    int64_t created_ms, updated_ms;
};

struct collection_new {
    const char *name;
    int64_t model_id;
    enum keep keep;
    const char *settings; /* NULL: {} */
};

/* Errors: ERR_EXISTS the name; ERR_NOT_FOUND the model; ERR_CONFLICT it is not a recogniser; as store_name_check and
 * store_json_check. */
MUST_CHECK enum err store_collection_add(struct store *store, const struct collection_new *what, const char *actor,
                                         struct arena *mem, struct collection_row *ret, struct err_note *note);

/* Errors of the three: ERR_NOT_FOUND. */
MUST_CHECK enum err store_collection_find(struct store *store, const char *name, struct arena *mem,
                                          struct collection_row *ret, struct err_note *note);
MUST_CHECK enum err store_collection_get(struct store *store, int64_t id, struct arena *mem, struct collection_row *ret,
                                         struct err_note *note);

struct collection_counts {
    int64_t n_subjects, n_faces;
};
MUST_CHECK enum err store_collection_count(struct store *store, int64_t id, struct collection_counts *ret,
                                           struct err_note *note);

/* In the order of creation; *ret_next is NULL at the end of the list. */
MUST_CHECK enum err store_collection_list(struct store *store, const struct store_page *page, struct arena *mem,
                                          struct collection_row **ret, int *ret_count, const char **ret_next,
                                          struct err_note *note);

/* Replaces what is kept of photos to come, and the settings.  Errors: ERR_NOT_FOUND; as store_json_check. */
MUST_CHECK enum err store_collection_change(struct store *store, int64_t id, enum keep keep, const char *settings,
                                            const char *actor, struct err_note *note);

/* Erases the collection with everything in it.  Errors: ERR_NOT_FOUND.  receipt->face_ids is NULL: its whole index goes. */
MUST_CHECK enum err store_collection_delete(struct store *store, int64_t id, const char *actor,
                                            const struct after_commit *after, struct receipt *ret,
                                            struct err_note *note);

#endif
