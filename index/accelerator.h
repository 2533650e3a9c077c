/*
 * accelerator.h: what FAISS makes, after a description of its factory, of the rows of one full segment: a second opinion on which
 * of them may be the best.
 *
 * It decides no score: whoever asks scores the rows that it names (search.c).  It lives in memory only, is filled once, and
 * never changed: when one of its rows is removed, all of it is overwritten and freed.  So every kind of FAISS's will do, also those that
 * cannot remove.  Once filled, any number of threads may ask.
 */
#ifndef INDEX_ACCELERATOR_H
#define INDEX_ACCELERATOR_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "index/faiss_memory.h"
#include "index/index.h"

/* What was understood of a description. */
struct acceleration {
    char text[INDEX_ACCELERATION_CHARS]; /* as given; "": none */
    char description[INDEX_ACCELERATION_CHARS + 2];
    char parameters[INDEX_ACCELERATION_CHARS + 16]; /* FAISS's, with our defaults; "": none */
    int parts;                                      /* that a product code cuts a vector into; 0: it is none */
    size_t least_rows;                              /* fewer teach it nothing */
};

/*
 * Understands "Flat", "SQ4" "SQ6" "SQ8" "SQfp16", "PQ16" "PQ16x10", "IVF256,CODE" "IVF256_HNSW32,CODE", where CODE is one of those
 * before, "HNSW32" "HNSW32,CODE" (without the x10; behind IVF to x8), and behind a space FAISS's parameters "nprobe=16" and "efSearch=64,efConstruction=80".  No other:
 * FAISS crashes on some that make no sense ("HNSW0"), prints on stderr what it refuses and forgets to free what it had made of it, and keeps the codes of "x4fs" where nobody can
 * overwrite them.  An inverted file that is not told how many lists to look into looks into a sixteenth of them, at least 8: FAISS's
 * own choice is one, and misses half of the people.
 * Errors: ERR_UNSUPPORTED.
 */
MUST_CHECK enum err acceleration_parse(const char *text, struct acceleration *ret, struct err_note *note);

struct accelerator {
    struct accelerator *next; /* among those that were dropped */
    struct faiss_index *faiss;
    uint16_t *rows; /* of the segment, by FAISS's numbers */
    size_t n, room;
    struct faiss_allowance allowance; /* while it is filled; held is what it holds in the end */
};

/*
 * An empty one for up to n rows.  Where *stop becomes true, the call that goes on in FAISS soon fails.
 * Errors, also of the two below: ERR_UNSUPPORTED, ERR_FOREIGN FAISS's own words; ERR_LIMIT it takes far more memory than the vectors do;
 *         ERR_NOMEM; ERR_CANCELLED.
 */
MUST_CHECK enum err accelerator_new(const struct acceleration *what, int dim, size_t n, const atomic_bool *stop,
                                    struct accelerator **ret, struct err_note *note);

/* How many of so many rows it wants to learn from before any is added; 0: none.  As few as FAISS asks for, because learning takes
 * seconds to minutes. */
size_t accelerator_sample(const struct accelerator *accelerator, const struct acceleration *what, size_t n);
MUST_CHECK enum err accelerator_train(struct accelerator *accelerator, const float *sample, size_t n,
                                      struct err_note *note);

/* Shapes: rows [n] of the segment, vectors [n, dim]. */
MUST_CHECK enum err accelerator_add(struct accelerator *accelerator, const uint16_t *rows, const float *vectors,
                                    size_t n, struct err_note *note);

/* Overwrites and frees all that it holds; NULL does nothing. */
void accelerator_free(struct accelerator *accelerator);

size_t accelerator_bytes(const struct accelerator *accelerator);

/*
 * The rows of the segment that may be the n best, in no order.
 * Shapes: query [dim]; ret_rows [n], n ≤ ACCELERATOR_MOST.
 * Errors: ERR_NOMEM, ERR_FOREIGN: then somebody else must answer.
 * Threads: any number beside each other.
 */
#define ACCELERATOR_MOST 2048
MUST_CHECK enum err accelerator_search(const struct accelerator *accelerator, const float *query, size_t n,
                                       uint16_t *ret_rows, size_t *ret_count);

#endif
