/*
 * generation_rows.h: pictures made from embeddings: whose a job was asked for, and what it made.
 *
 * Both are personal data.  They go with their subject, and with the first of its faces that is erased; an embedding that was
 * given is kept until the job has ended and no longer.
 */
#ifndef SERVER_STORE_GENERATION_ROWS_H
#define SERVER_STORE_GENERATION_ROWS_H

#include "server/store/replay_rows.h"

/* What is asked for: a subject, or (subject_id 0) an embedding. */
struct generation_new {
    int64_t collection_id;
    int64_t subject_id;
    const float *embedding;
    int dim;
    const char *kind;      /* of the job */
    const char *arguments; /* of the job, JSON object */
    const char *actor;
    const struct replay *replay; /* the answer to keep, made from the job's struct job_row; NULL: none */
};

/* Queues the job together with what it is asked for.  Errors: ERR_NOT_FOUND the collection or the subject; as store_job_add. */
MUST_CHECK enum err store_generation_add(struct store *store, const struct generation_new *what, int64_t *ret_job,
                                         struct err_note *note);

struct generation_row {
    int64_t subject_id; /* 0: none */
    const float *embedding;
    int dim;
};

/* Owns: the embedding is carved from mem.  Errors: ERR_NOT_FOUND it was erased with its subject, or there is none; ERR_CORRUPT. */
MUST_CHECK enum err store_generation_get(struct store *store, int64_t job_id, struct arena *mem,
                                         struct generation_row *ret, struct err_note *note);

struct generated_picture {
    double cosine;
    const unsigned char *png;
    size_t n_bytes;
};

/*
 * Puts the pictures of a job, numbered from 1, instead of any from before, and adds an audit entry with ids
 * only.
 * Errors: ERR_NOT_FOUND what was asked for has been erased meanwhile: nothing is kept.
 */
MUST_CHECK enum err store_generation_end(struct store *store, int64_t job_id, const char *actor,
                                         const struct generated_picture *pictures, int n, struct err_note *note);

/* Owns: carved from mem.  Errors: ERR_NOT_FOUND; ERR_CORRUPT. */
MUST_CHECK enum err store_generated_get(struct store *store, int64_t job_id, int number, struct arena *mem,
                                        struct generated_picture *ret, struct err_note *note);

#endif
