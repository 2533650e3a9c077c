/*
 * place.c: the largest first, each into the lowest gap.
 *
 * Laying pieces in order of time, as an allocator would, lets small ones split the gap that a large one needs next; from
 * the largest to the smallest the big activations settle first and the small ones fill what is left between them (greedy
 * by size, Pisarchyk and Lee 2020, within a few per cent of the lower bound on networks like ours).
 */
#include "core/graph/place.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/size.h"

/* The largest first; the earlier one among equals, so that the plan does not depend on qsort. */
static int compare_items(const void *a, const void *b)
{
    const struct place_item *left = *(struct place_item *const *)a;
    const struct place_item *right = *(struct place_item *const *)b;

    if (left->bytes != right->bytes) {
        return left->bytes > right->bytes ? -1 : 1;
    }
    return left < right ? -1 : left > right;
}

/* The lowest offset where bytes are free during all of item's time; placed is sorted by offset. */
static size_t lowest_gap(const struct place_item *item, size_t bytes, struct place_item *const *placed, int n_placed)
{
    size_t offset = 0;

    for (int i = 0; i < n_placed; i++) {
        const struct place_item *other = placed[i];
        if (other->last < item->first || other->first > item->last) {
            continue;
        }
        if (other->offset >= offset && other->offset - offset >= bytes) {
            break;
        }
        size_t end = other->offset + ((other->bytes + PLACE_ALIGN - 1) & ~(size_t)(PLACE_ALIGN - 1));
        offset = end > offset ? end : offset;
    }
    return offset;
}

/* Keeps placed sorted by offset. */
static void insert_item(struct place_item *item, struct place_item **placed, int n_placed)
{
    int at = n_placed;

    while (at > 0 && placed[at - 1]->offset > item->offset) {
        placed[at] = placed[at - 1];
        at--;
    }
    placed[at] = item;
}

enum err place_items(struct place_item *items, int count, size_t *ret_bytes)
{
    struct place_item **order = MEM_ARRAY(struct place_item *, (size_t)count);
    struct place_item **placed = MEM_ARRAY(struct place_item *, (size_t)count);
    enum err err = order == NULL || placed == NULL ? ERR_NOMEM : ERR_NONE;
    size_t top = 0;
    int n_placed = 0;

    for (int i = 0; err == ERR_NONE && i < count; i++) {
        order[i] = &items[i];
    }
    if (err == ERR_NONE && count > 0) {
        qsort(order, (size_t)count, sizeof(struct place_item *), compare_items);
    }
    for (int i = 0; err == ERR_NONE && i < count; i++) {
        struct place_item *item = order[i];
        size_t bytes;
        size_t end;
        if (!size_round_up(item->bytes, PLACE_ALIGN, &bytes)) {
            err = ERR_LIMIT;
            break;
        }
        item->offset = lowest_gap(item, bytes, placed, n_placed);
        if (!size_add(item->offset, bytes, &end)) {
            err = ERR_LIMIT;
            break;
        }
        top = end > top ? end : top;
        if (bytes > 0) {
            insert_item(item, placed, n_placed++);
        }
    }
    mem_free(order);
    mem_free(placed);
    if (err == ERR_NONE) {
        *ret_bytes = top;
    }
    return err;
}
