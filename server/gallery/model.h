/*
 * model.h: a network with everything that makes its numbers, in memory once for all collections that use it.
 *
 * A model is immutable and counted.  Sessions run it: one per thread, made by workers.
 */
#ifndef SERVER_GALLERY_MODEL_H
#define SERVER_GALLERY_MODEL_H

#include "core/face/align.h"
#include "core/face/detect.h"
#include "core/face/embed.h"
#include "server/gallery/manifest.h"
#include "server/store/replay_rows.h"

#define MODEL_LIMIT_BYTES ((size_t)4 << 30)

struct model {
    char version[STORE_VERSION_TEXT];
    char onnx_sha256[STORE_VERSION_TEXT];
    int64_t row_id;            /* in the store; 0: it has no row (detectors) */
    struct manifest manifest;  /* its calibration is read by models_calibration: it may be replaced at any time */
    const char *name;          /* of the file, for people */
    struct detector *detector; /* exactly one of the two */
    struct recognizer *recognizer;
    int dim;  /* 0 for a detector */
    int side; /* 0 for a detector */
    size_t constant_bytes;
    struct arena *mem; /* texts of the manifest */

    /* guarded by the lock of the models it belongs to */
    int refs;
    struct model *next;
};

const struct graph *model_graph(const struct model *model);

/* In the place of a path: the model inside the program (core/models). */
#define MODEL_BUILT_IN "built-in"

/*
 * The bytes of a model's file: mapped, or inside the program.  Errors: those of file_map; ERR_NOT_FOUND the program was built without the
 * model.
 */
struct model_bytes {
    const unsigned char *bytes;
    size_t n_bytes;
    bool mapped;
};
MUST_CHECK enum err model_bytes_open(const char *path, enum model_role role, struct model_bytes *ret,
                                     struct err_note *note);
void model_bytes_close(struct model_bytes *bytes);

/*
 * Loads a file and the manifest beside it (FILE.json), or what is assumed without one.
 * Owns:   *ret has one reference and belongs to no struct models yet; model_free, or models_take.
 * Errors: those of onnx.h, detect.h, embed.h, manifest.h; the note begins with the file's name.
 */
MUST_CHECK enum err model_load(const char *path, enum model_role role, struct model **ret, struct err_note *note);
/* The same from bytes in memory, which are not needed afterwards, and the text of a manifest (NULL: assumed).  name: for people. */
MUST_CHECK enum err model_load_bytes(const char *name, const void *bytes, size_t n_bytes, const char *manifest,
                                     enum model_role role, struct model **ret, struct err_note *note);
void model_free(struct model *model);

/* ---- All that are in memory -------------------------------------------------------------------------------------- */

struct models;
struct store;

/* folder: where models are copied to; made if it is not there.  store NULL: models have neither copies nor rows. */
MUST_CHECK enum err models_new(struct store *store, const char *folder, struct models **ret, struct err_note *note);
void models_free(struct models *models); /* every model has been given back */

/*
 * Makes a recogniser known: its file and manifest are copied into the folder at first use, its row is added, its calibration
 * brought up to date.
 * Owns:   take, also when this fails.  *ret is a loan: the same version that was there already, or take itself.
 */
MUST_CHECK enum err models_take(struct models *models, struct model *take, const char *path, struct arena *mem,
                                struct model **ret, struct err_note *note);

/* The same for a model whose file is in memory, as it was loaded; the answer to keep as store_model_add has it. */
MUST_CHECK enum err models_take_bytes(struct models *models, struct model *take, const void *bytes, size_t n_bytes,
                                      const struct replay *replay, struct arena *mem, struct model **ret,
                                      struct err_note *note);

/* Removes the files of a model that has no row any more.  Errors: ERR_IO, ERR_DENIED. */
enum err models_remove_files(struct models *models, const char *file, struct err_note *note);

/*
 * Lends the model of a row, loaded from the folder if it is not in memory.
 * Errors: ERR_NOT_FOUND the row; ERR_CORRUPT the file is gone, unreadable as a model, or not the one the version names;
 *         ERR_NOMEM, ERR_LIMIT, ERR_IO reading it.
 */
MUST_CHECK enum err models_get(struct models *models, int64_t row_id, struct arena *mem, struct model **ret,
                               struct err_note *note);

/* Another loan of a model that the caller holds. */
struct model *models_ref(struct models *models, struct model *model);

/* Ends a loan; the last one frees the model.  NULL does nothing. */
void models_unref(struct models *models, struct model *model);

/* The table of thresholds of a model that the caller holds, as it is in force now. */
void models_calibration(struct models *models, const struct model *model, struct calibration *ret);

/* From the after_commit of a model's row: whoever asks from now on gets this table. */
void models_calibrate(struct models *models, int64_t row_id, const struct calibration *calibration);

/* Calls for every recogniser in memory, under the lock: the call must be short and must not come back here. */
void models_each(struct models *models, void (*call)(void *context, const struct model *model), void *context);

#endif
