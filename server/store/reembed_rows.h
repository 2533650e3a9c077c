/*
 * reembed_rows.h: a collection on its way from one model to another: which faces lack the other model's embedding, adding
 * those, and the one step in which the collection changes over.
 *
 * Embeddings of several models may lie side by side; which of them answers is the collection's model alone.
 */
#ifndef SERVER_STORE_REEMBED_ROWS_H
#define SERVER_STORE_REEMBED_ROWS_H

#include "server/store/replay_rows.h"

/* Faces of a collection without an embedding of a model, and why some of them cannot get one. */
struct missing_counts {
    int64_t n_faces; /* of the collection in all */
    int64_t n_missing;
    int64_t n_without_crop; /* of the missing: nothing was kept to embed again */
    int64_t n_other_side;   /* of the missing: the crop has another size than side_px */
};
MUST_CHECK enum err store_missing_count(struct store *store, int64_t collection_id, int64_t model_id, int side_px,
                                        struct missing_counts *ret, struct err_note *note);

/* The next faces that lack an embedding, by ascending row id above after_face_id; at most limit.
 * Owns: *ret is carved from mem. */
MUST_CHECK enum err store_missing_list(struct store *store, int64_t collection_id, int64_t model_id,
                                       int64_t after_face_id, int limit, struct arena *mem, int64_t **ret,
                                       int *ret_count, struct err_note *note);

struct embedding_new {
    int64_t face_id;
    const float *vector; /* [dim of the model], unit length */
    float norm;          /* before normalising; 0: unknown */
};

/*
 * Adds embeddings of a model beside those that are there.  A face that was deleted meanwhile, or has one already, is passed over.
 * Errors: ERR_NOT_FOUND the model.
 */
MUST_CHECK enum err store_embedding_add(struct store *store, int64_t model_id, const struct embedding_new *rows, int n,
                                        struct err_note *note);

/* ---- Changing over ------------------------------------------------------------------------------------------------ */

struct model_switch {
    int64_t collection_id;
    int64_t from_model_id, to_model_id;
    const char *from_settings; /* what the caller made settings from */
    const char *settings;      /* from now on; the former stand with the former model in the history */
    const char *actor;
    const struct replay *replay; /* the answer to keep once it is done, made from this struct; NULL: none */
};

enum switch_outcome {
    SWITCH_DONE,
    SWITCH_MOVED,  /* the collection has another model or other settings by now than the caller knew: nothing changed */
    SWITCH_MISSING /* faces came that have no embedding of the new model yet: nothing changed */
};

/*
 * Pins the collection to the other model, in one transaction with its settings and its history.
 * Errors: ERR_NOT_FOUND collection or model; ERR_CONFLICT the model is no recogniser; as store_json_check.
 */
MUST_CHECK enum err store_collection_switch(struct store *store, const struct model_switch *what,
                                            const struct after_commit *after, enum switch_outcome *ret,
                                            struct err_note *note);

/* A model that the collection has or had. */
struct past_model {
    int64_t id; /* of the entry */
    int64_t model_id;
    const char *model;    /* its version */
    const char *settings; /* of the collection when it left this model; NULL: it has not */
    int64_t since_ms;
};

/* Newest first, the present one included; at most limit. */
MUST_CHECK enum err store_collection_history(struct store *store, int64_t collection_id, int limit, struct arena *mem,
                                             struct past_model **ret, int *ret_count, struct err_note *note);

/* Erases the collection's embeddings of all but the newest `keep` different models of its history, and those entries.
 * *ret_embeddings says how many went. */
MUST_CHECK enum err store_collection_forget_models(struct store *store, int64_t collection_id, int keep,
                                                   const char *actor, int64_t *ret_embeddings, struct err_note *note);

#endif
