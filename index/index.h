/*
 * index.h: nearest vectors.  Ids and floats; it knows neither faces nor rows.
 *
 * An index holds vectors of unit length under ids of the caller and finds the ids with the greatest inner product, which
 * for unit vectors is the cosine.  It is derived and disposable: the truth are the caller's rows.
 * Threads: any number may search while one adds or removes; a search sees each change whole, and every change that had
 *         returned before the search began.
 */
#ifndef INDEX_INDEX_H
#define INDEX_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

struct index;

/* Errors: ERR_MISUSE dim below 1 or above 4096; ERR_NOMEM; ERR_FOREIGN. */
MUST_CHECK enum err index_new(int dim, struct index **ret, struct err_note *note);
void index_free(struct index *index);

int index_dim(const struct index *index);
int64_t index_count(struct index *index);
size_t index_bytes(struct index *index); /* memory held, an estimate */

/*
 * Adds n vectors; each found by the next search.
 * Shapes: vectors [n, dim] f32 of unit length (to 1e-3), finite; ids ≥ 0, not yet in the index.
 * Errors: ERR_MISUSE not finite, not of unit length, a negative id; ERR_EXISTS an id is there already, or twice in ids;
 *         nothing has then been added.  ERR_NOMEM, ERR_FOREIGN.
 */
MUST_CHECK enum err index_add(struct index *index, const int64_t *ids, const float *vectors, size_t n,
                              struct err_note *note);

/* Removes ids; unknown ones are passed over.  *ret_removed may be NULL.  From the return on no search finds them, and their
 * floats are overwritten. */
MUST_CHECK enum err index_remove(struct index *index, const int64_t *ids, size_t n, size_t *ret_removed,
                                 struct err_note *note);

struct index_hit {
    int64_t id;
    float cosine;
};

/*
 * Finds at most k hits with cosine ≥ min_cosine, best first; equal cosines by smaller id.
 * Shapes: query [dim] f32 of unit length; ret_hits room for k.
 * Errors: ERR_MISUSE k below 1, a query that is not finite or not of unit length; ERR_NOMEM, ERR_FOREIGN.
 */
MUST_CHECK enum err index_search(struct index *index, const float *query, int k, float min_cosine,
                                 struct index_hit *ret_hits, int *ret_count, struct err_note *note);

/* The vector of an id, copied out.  Errors: ERR_NOT_FOUND. */
MUST_CHECK enum err index_get(struct index *index, int64_t id, float *ret, struct err_note *note);

#endif
