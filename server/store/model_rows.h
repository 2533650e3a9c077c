/*
 * model_rows.h: model versions.  A version is the SHA-256 over what makes its numbers: the ONNX bytes with preprocessing, flip
 * and alignment; the caller computes it.  A version never changes; its calibration is data beside it.
 */
#ifndef SERVER_STORE_MODEL_ROWS_H
#define SERVER_STORE_MODEL_ROWS_H

#include "server/store/replay_rows.h"

#define STORE_VERSION_TEXT 65 /* 64 hexadecimal digits and the terminating zero */

enum model_role {
    MODEL_RECOGNIZER,
    MODEL_DETECTOR
};

enum model_state {
    MODEL_READY,     /* may be used */
    MODEL_CANDIDATE, /* trained here, not yet proven better */
    MODEL_REJECTED   /* kept with its report */
};

const char *model_role_word(enum model_role role);    /* "recognizer", "detector" */
const char *model_state_word(enum model_state state); /* "ready", "candidate", "rejected" */

struct model_row {
    int64_t id;
    char version[STORE_VERSION_TEXT];
    char onnx_sha256[STORE_VERSION_TEXT];
    enum model_role role;
    enum model_state state;
    const char *name;        /* for people: the file's name where it came from */
    const char *file;        /* its name in the data directory's folder of models */
    int dim;                 /* floats of an embedding; 0 for a detector */
    int side_px;             /* side of the input crop; 0 for a detector */
    bool flip;               /* the mirrored crop is embedded too */
    int align_version;       /* 0 for a detector */
    const char *preprocess;  /* JSON object: color, mean, std */
    const char *calibration; /* JSON object; NULL: not calibrated */
    int64_t calibrated_by;   /* the job that measured it (calibration_rows.h); 0: it came with the model */
    const char *source;      /* where it comes from; NULL: not said */
    const char *licence;     /* NULL: not said */
    int64_t parent_id;       /* what it was trained from; 0: none */
    const char *report;      /* JSON object of its training; NULL: none */
    int64_t created_ms;
};

/*
 * Adds a model, or finds the one of the same version, whose row is then left as it is.  row->id, calibrated_by and created_ms are not read.
 * The answer to keep (NULL: none) is made, from the struct model_row, if the model is new.
 * Owns:   *ret is carved from mem.
 * Errors: ERR_MISUSE version or digest that are not 64 hexadecimal digits, a recogniser without dim and side;
 *         ERR_NOT_FOUND the parent; as store_name_check and store_json_check.
 */
MUST_CHECK enum err store_model_add(struct store *store, const struct model_row *row, const char *actor,
                                    const struct replay *replay, struct arena *mem, struct model_row *ret,
                                    struct err_note *note);

/* Errors of the two: ERR_NOT_FOUND. */
MUST_CHECK enum err store_model_find(struct store *store, const char *version, struct arena *mem, struct model_row *ret,
                                     struct err_note *note);
MUST_CHECK enum err store_model_get(struct store *store, int64_t id, struct arena *mem, struct model_row *ret,
                                    struct err_note *note);

/* In the order of creation; *ret_next is NULL at the end of the list. */
MUST_CHECK enum err store_model_list(struct store *store, const struct store_page *page, struct arena *mem,
                                     struct model_row **ret, int *ret_count, const char **ret_next,
                                     struct err_note *note);

/* The collections whose faces this model embeds now, by name.  Owns: carved from mem. */
MUST_CHECK enum err store_model_users(struct store *store, int64_t id, struct arena *mem, const char ***ret,
                                      int *ret_count, struct err_note *note);

/*
 * Deletes a model that no collection uses, with the embeddings it made and its place in the history of collections, which then
 * cannot go back to it.
 * Errors: ERR_NOT_FOUND; ERR_CONFLICT collections use it: the note says how many.
 */
MUST_CHECK enum err store_model_delete(struct store *store, int64_t id, const char *actor, struct err_note *note);

/* Replaces the calibration by one that comes with the model; NULL removes it; the same again changes nothing.  Errors: ERR_NOT_FOUND; as store_json_check. */
MUST_CHECK enum err store_model_calibrate(struct store *store, int64_t id, const char *calibration, const char *actor,
                                          struct err_note *note);

#endif
