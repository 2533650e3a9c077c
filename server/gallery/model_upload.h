/*
 * model_upload.h: models come and go while the daemon runs: an ONNX file is proven to be a recogniser that works here before it is
 * listed, the versions that are known, deleting one that nobody uses.
 *
 * The self-test embeds drawn crops: every number must be finite, the same crop must give the same embedding twice and in a batch
 * with others, and different crops must give different ones.  It says that the file works, not that it is good: see evaluate.
 */
#ifndef SERVER_GALLERY_MODEL_UPLOAD_H
#define SERVER_GALLERY_MODEL_UPLOAD_H

#include "server/gallery/gallery.h"
#include "server/store/model_rows.h"

struct model_upload {
    const void *onnx;
    size_t n_bytes;
    const char *manifest; /* JSON text; NULL: what is assumed without one (manifest.h) */
    const char *name;     /* for people; NULL: "uploaded" */
};

struct model_uploaded {
    char version[STORE_VERSION_TEXT];
    bool is_new; /* false: this version was known already */
    const char *name;
    int dim, side;
    bool flip, calibrated;
    int batch;           /* crops that one run can take; 1: the graph pins or mixes its batch */
    float batch_cosine;  /* the same crop alone and in a batch */
    float others_cosine; /* two different crops: the nearest pair */
    double embed_ms;     /* one crop */
    const char *assumed; /* what was assumed for want of a manifest; NULL: nothing */
};

/*
 * Owns:   *ret is carved from the worker's arena; the upload is not needed afterwards.
 * Errors: GALLERY_BAD_MODEL not ONNX, an operator that is not computed here, not a recogniser, a manifest that is wrong, failed the
 *         self-test: the note says which; GALLERY_BAD_NAME; ERR_LIMIT, ERR_NOMEM, ERR_IO, ERR_NO_SPACE.
 */
MUST_CHECK enum err gallery_model_upload(struct gallery_worker *worker, const struct model_upload *upload,
                                         struct model_uploaded *ret, struct gallery_fault *fault);

struct known_model {
    struct model_row row;
    bool calibrated;
    bool is_default;      /* new collections get it */
    const char **used_by; /* names of collections */
    int n_used_by;
    const char *parent; /* version; NULL: not trained here, or its parent is gone */
};

/* Every version that has a row, oldest first; next NULL at the end of the list. */
MUST_CHECK enum err gallery_known_models(struct gallery_worker *worker, const char *page_token, int limit,
                                         struct known_model **ret, int *ret_count, const char **ret_next,
                                         struct gallery_fault *fault);

/*
 * Deletes a model with its files and the embeddings it made; collections cannot go back to it any more.
 * Errors: GALLERY_NO_SUCH_MODEL; GALLERY_MODEL_IN_USE by a collection, or for new ones.  An activation that is on its way to it
 *         fails in words.
 */
MUST_CHECK enum err gallery_model_delete(struct gallery_worker *worker, const char *version,
                                         struct gallery_fault *fault);

#endif
