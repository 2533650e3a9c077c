/*
 * index_ids.c: which row an id has in a view.
 *
 * What lives in a view that somebody holds stands in the map that the view has, at the row that it has there: ids are put in before a
 * view shows them, and taken out when none does any more.  So a search looks its ids up without a lock, however many they are.
 * Rewriting alone moves rows: while the map does not know all the new ones, the view says so, and the old ones are translated.
 */
#include <assert.h>

#include "index/index_private.h"

/* Parts stand in the order of their slots, of which few are empty.  NULL: none is of that slot. */
static const struct part *part_of(const struct view *view, size_t slot)
{
    size_t i = slot < view->n_parts ? slot + 1 : view->n_parts;

    while (i > 0 && view->parts[i - 1].slot > slot) {
        i--;
    }
    return i > 0 && view->parts[i - 1].slot == slot ? &view->parts[i - 1] : NULL;
}

/* The copy has the number of the first source: an id that stands in the copy where the map says has been put there already. */
static size_t landed(const struct rewrite *rewrite, int64_t id, size_t location)
{
    const size_t row = location % SEGMENT_MAX_ROWS;

    for (size_t i = 0; i < rewrite->n; i++) {
        if (rewrite->slots[i] == location / SEGMENT_MAX_ROWS &&
            !(i == 0 && row < rewrite->to->rows && rewrite->to->ids[row] == id)) {
            return index_location(rewrite->slots[0], rewrite->moved[i][row] - 1);
        }
    }
    return location;
}

bool index_ids_find(const struct view *view, int64_t id, struct row_at *ret)
{
    size_t location;

    if (!id_map_find(&view->ids, id, &location)) {
        return false;
    }
    if (view->landed != NULL) {
        location = landed(view->landed, id, location);
    }
    const struct part *part = part_of(view, location / SEGMENT_MAX_ROWS);
    const size_t row = location % SEGMENT_MAX_ROWS;
    if (part == NULL || row >= part->rows || (part->live[row / SCAN_ROWS] >> row % SCAN_ROWS & 1U) == 0) {
        return false; /* not yet, or no longer */
    }
    *ret = (struct row_at){.part = (size_t)(part - view->parts), .row = row};
    return true;
}

bool index_ids_reserve(struct index *index, size_t n)
{
    struct id_map copy;

    if (id_map_has_room(&index->map, n)) {
        return true;
    }
    if (!id_map_copy(&index->map, n, &copy)) {
        return false;
    }
    struct id_map old = index->map;
    index->map = copy;
    index_show(index);
    views_wait(&index->views); /* for those who look into the old one */
    id_map_release(&old);
    return true;
}
