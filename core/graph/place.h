/*
 * place.h: many pieces of memory, each needed for a while, laid into one block.
 */
#ifndef CORE_GRAPH_PLACE_H
#define CORE_GRAPH_PLACE_H

#include <stddef.h>

#include "core/base/err.h"

#define PLACE_ALIGN 64

struct place_item {
    size_t bytes;
    int first, last; /* needed from step first to step last, both included */
    size_t offset;   /* the answer, a multiple of PLACE_ALIGN */
};

/*
 * Gives every item an offset so that no two overlap at the same time and in the same bytes; *ret_bytes is the block's size.
 * Cost:   quadratic in count.
 * Errors: ERR_LIMIT the block's size does not fit in size_t; ERR_NOMEM.
 */
MUST_CHECK enum err place_items(struct place_item *items, int count, size_t *ret_bytes);

#endif
