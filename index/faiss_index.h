/*
 * faiss_index.h: rows of floats that FAISS holds, as they are or in a form of its own, and scores.
 *
 * The one door to FAISS.  It knows row numbers, not ids, and takes no lock: a search beside any call that changes crashes
 * inside FAISS, so index.c keeps them apart.  Searches side by side are safe.
 * FAISS checks neither the dimension nor the values it is given; whoever calls has done so.
 */
#ifndef INDEX_FAISS_INDEX_H
#define INDEX_FAISS_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "index/faiss_memory.h"

struct faiss_index;

/* Makes an empty flat inner-product index.  Errors: ERR_NOMEM, ERR_FOREIGN. */
MUST_CHECK enum err faiss_index_new(int dim, struct faiss_index **ret, struct err_note *note);

/* Everything that it held is overwritten (faiss_memory.h); NULL does nothing. */
void faiss_index_free(struct faiss_index *faiss);

size_t faiss_index_rows(const struct faiss_index *faiss);

/* The floats of a row of a flat index, writable.  Owns: the index; valid until the next append. */
float *faiss_index_row(struct faiss_index *faiss, size_t row);

/* Appends n rows at the end, or none.  Shapes: vectors [n, dim] f32.  Errors: ERR_NOMEM, ERR_FOREIGN. */
MUST_CHECK enum err faiss_index_append(struct faiss_index *faiss, const float *vectors, size_t n,
                                       struct err_note *note);

/*
 * Appends n rows of zeros, with memory for exactly these, so that rows written through faiss_index_row never move.  An index
 * that is empty before.  Errors: ERR_NOMEM, ERR_FOREIGN.
 */
MUST_CHECK enum err faiss_index_reserve(struct faiss_index *faiss, size_t n, struct err_note *note);

/*
 * Scores every row and gives the n best, best first; in which order equal scores come, and which of them are cut off, is
 * not defined.  In a flat index equal rows have equal scores, to the bit.  Other kinds may miss some, and their scores may be off; row -1
 * stands where they found fewer.
 * Shapes: query [dim] f32; ret_scores, ret_rows [n] with 1 ≤ n ≤ rows.
 * Errors: ERR_NOMEM, ERR_FOREIGN.
 * Threads: any number beside each other.
 */
MUST_CHECK enum err faiss_index_search(struct faiss_index *faiss, const float *query, size_t n, float *ret_scores,
                                       int64_t *ret_rows, struct err_note *note);

/* ---- Other kinds ------------------------------------------------------------------------------------------------- */

/*
 * Makes an empty inner-product index after a description of FAISS's factory ("IVF256,SQ8"), with parameters as FAISS names them
 * ("nprobe=16"; NULL: none).  FAISS crashes on some descriptions that make no sense: accelerator.h knows which do.
 * allowance, for this, for training and appending, is lent until the index is freed.
 * Errors: ERR_UNSUPPORTED FAISS's own words; ERR_NOMEM, also for what is not allowed.
 */
MUST_CHECK enum err faiss_index_make(int dim, const char *description, const char *parameters,
                                     struct faiss_allowance *allowance, struct faiss_index **ret,
                                     struct err_note *note);

/* Whether rows can be added; some kinds learn from a sample first.  Training may take minutes. */
bool faiss_index_is_trained(const struct faiss_index *faiss);
MUST_CHECK enum err faiss_index_train(struct faiss_index *faiss, const float *vectors, size_t n, struct err_note *note);

#endif
