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

/*
 * Gives the memory of removed vectors back: copies what lives of half-dead parts into new ones.  Adding and removing do some of
 * this each time, so it is for an owner who has a background thread and wants it done at once; it may take a second, searches do
 * not notice, and changes wait a few milliseconds.
 */
void index_tidy(struct index *index);

struct index_hit {
    int64_t id;
    float cosine;
};

/*
 * Finds at most k hits with cosine ≥ min_cosine, best first; equal cosines by smaller id.
 * Where min_cosine is high enough for the dimension (from .24 at 512, .42 at 128) codes of one bit sort out first; they
 * miss a hit whose cosine is min_cosine itself with probability 3e-7, a better one less often.  index_search_many can be
 * told not to.
 * Shapes: query [dim] f32 of unit length; ret_hits room for k.
 * Errors: ERR_MISUSE k below 1, a query that is not finite or not of unit length; ERR_NOMEM, ERR_FOREIGN.
 */
MUST_CHECK enum err index_search(struct index *index, const float *query, int k, float min_cosine,
                                 struct index_hit *ret_hits, int *ret_count, struct err_note *note);

/* ---- More than one query, and ways to answer it -------------------------------------------------------------------- */

enum index_way {
    INDEX_WAY_PLANNED, /* the fastest for this dimension and least cosine, which is what index_search takes */
    INDEX_WAY_EXACT,   /* the fastest of those that never miss a hit: all but the codes of one bit */
    INDEX_WAY_FLOATS,  /* every vector is scored */
    INDEX_WAY_BYTES,   /* codes of one byte a dimension rule out by proof all but a few */
    INDEX_WAY_BITS     /* codes of one bit do, and miss a hit exactly at the least cosine with probability 3e-7 */
};

/* {0} but for k and min_cosine is what index_search asks. */
struct index_ask {
    int k;
    float min_cosine;
    enum index_way way;
    /* Says whether a hit may have this id; NULL: any.  Asked, on the searching thread, only of ids that codes do not rule out;
     * it must not call the index. */
    bool (*allow)(void *context, int64_t id);
    void *context;
};

/*
 * Answers n queries, up to 16 of them in one pass over the index; each answer is what index_search would give, and all are
 * of one moment per 16.
 * Shapes: queries [n, dim] f32 of unit length; ret_hits [n, k], ret_counts [n].
 * Errors: as index_search.
 */
MUST_CHECK enum err index_search_many(struct index *index, const float *queries, size_t n, const struct index_ask *ask,
                                      struct index_hit *ret_hits, int *ret_counts, struct err_note *note);

/* The vector of an id, copied out.  Errors: ERR_NOT_FOUND. */
MUST_CHECK enum err index_get(struct index *index, int64_t id, float *ret, struct err_note *note);

#endif
