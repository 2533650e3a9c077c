/*
 * generate.h: faces from what the gallery knows of a person: asked for, made by a job, looked at.
 *
 * The pictures are made by descending through the collection's own model (core/train/invert.h).  They are as personal as the photos: they
 * stand in the database, go with their subject, and every asking, making and looking is an audit entry with ids only.
 */
#ifndef SERVER_GALLERY_GENERATE_H
#define SERVER_GALLERY_GENERATE_H

#include "server/gallery/gallery.h"
#include "server/gallery/long_work.h"

#define GENERATE_KIND "generate"
#define GENERATE_MOST 16

struct generate_wish {
    const char *collection;             /* NULL: the default one */
    struct subject_ref subject;         /* this, or */
    struct gallery_embedding embedding; /* this, of the collection's model */
    int count;                          /* pictures, 1 .. GENERATE_MOST */
    long steps;
    double seconds; /* the descent ends after so long */
    int64_t seed;
};

/* Four pictures, seed 1, and steps and a budget for a CPU. */
struct generate_wish generate_wish_default(void);

/*
 * Queues the job.
 * Errors: GALLERY_NO_SUCH_COLLECTION, GALLERY_NO_SUCH_SUBJECT; GALLERY_TOO_FEW the subject has no faces; GALLERY_BAD_EMBEDDING of another
 *         length than the model's.
 */
MUST_CHECK enum err gallery_generate_ask(struct gallery_worker *worker, const struct generate_wish *wish,
                                         int64_t *ret_job, struct gallery_fault *fault);

struct generated {
    const char *collection;
    const char *model;
    const char *subject_id; /* NULL: an embedding was given */
    int n;
    double cosine[GENERATE_MOST]; /* of each picture, by the same model: high values prove nothing to another model */
    int norms, convolutions;      /* what the model remembers of faces: 0 norms: nothing */
    const char *prior;            /* the same for a person */
    double seconds;
};

/*
 * Makes what a job was asked for and stores it; collection_id and the numbers are the job's.  data: the folder.
 * Errors: ERR_NOT_FOUND the subject, or all of its faces, have been erased meanwhile; ERR_UNSUPPORTED the model cannot be
 *         gone back through (quantised ones); ERR_CANCELLED; ERR_LIMIT it needs too much memory.
 */
MUST_CHECK enum err gallery_generate(struct gallery_worker *worker, const char *data, int64_t job_id,
                                     int64_t collection_id, const struct generate_wish *numbers,
                                     const struct long_work *work, struct generated *ret, struct gallery_fault *fault);

/* A picture that a job made, as PNG.  Owns: the worker's arena.  Errors: ERR_NOT_FOUND. */
MUST_CHECK enum err gallery_generated_picture(struct gallery_worker *worker, int64_t job_id, int number,
                                              const unsigned char **ret, size_t *ret_bytes,
                                              struct gallery_fault *fault);

#endif
