/*
 * search.h: the best rows of a view.
 *
 * Codes say which rows may belong into the answer, and these alone are scored by their floats, always in the same way; so the
 * answer's cosines are the same to the bit whichever way is taken.  It takes no lock and allocates nothing.
 */
#ifndef INDEX_SEARCH_H
#define INDEX_SEARCH_H

#include <stddef.h>
#include <stdint.h>

#include "index/codes.h"
#include "index/index.h"
#include "index/view.h"

/* What one query needs; memory as search_room_bytes says. */
struct search_query {
    const float *vector;    /* [dim] */
    struct index_hit *hits; /* room for k; a heap with the worst on top while the search runs, then best first */
    size_t n_hits;
    float least;   /* what a hit must reach, so far as is known from elsewhere */
    uint8_t *room; /* search_room_bytes, aligned to 64 */
    struct codes_int8_query int8;
    struct codes_bits_query bits;
};

#define SEARCH_MAX_QUERIES 16
#define SEARCH_MAX_ROOM_BYTES (CODES_MAX_DIM + CODES_BITS_ROOM_BYTES(CODES_MAX_DIM))

/* Of one query: its codes in bytes and its table.  A multiple of 64, at most SEARCH_MAX_ROOM_BYTES. */
size_t search_room_bytes(const struct codes *codes);

/* Which way a search takes over that many rows, so many of which may be hits, if none is demanded. */
enum index_way search_plan(const struct codes *codes, size_t rows, size_t allowed, float min_cosine,
                           enum index_way wanted);

/* Shapes: queries [n], n ≤ SEARCH_MAX_QUERIES; their vectors, hits and rooms are set. */
void search_view(const struct codes *codes, const struct view *view, const struct index_ask *ask,
                 struct search_query *queries, size_t n);

#endif
