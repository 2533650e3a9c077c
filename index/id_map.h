/*
 * id_map.h: from the caller's ids to rows.
 *
 * A hash table with open addressing: no allocation per entry.  Entries never move: a removed one keeps its place until the table is
 * made anew.  So one thread may change it while any number look up, without a lock: an id that is neither put nor removed
 * meanwhile is found where it is, and one that is put again at another row is found at either of the two.
 * Threads: one changes; many may find, in the table itself or in a copy of the struct, for as long as nobody releases it.
 */
#ifndef INDEX_ID_MAP_H
#define INDEX_ID_MAP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"

struct id_map_slot {
    _Atomic uint64_t id_plus_1;  /* 0: never used; written once, after its row */
    _Atomic uint64_t row_plus_1; /* 0: removed */
};

/* {0} is a valid empty map. */
struct id_map {
    struct id_map_slot *slots;
    size_t n_slots; /* 0 or a power of two */

    /* the changing thread's */
    size_t count; /* ids that are there */
    size_t used;  /* and those that were */
};

void id_map_release(struct id_map *map);

/* Whether the next extra calls of id_map_put find room. */
bool id_map_has_room(const struct id_map *map, size_t extra);

/* Makes a copy that has, without what was removed; false if memory is spent. */
MUST_CHECK bool id_map_copy(const struct id_map *map, size_t extra, struct id_map *ret);

/* Sets the row of an id ≥ 0, new or known; there is room for a new one. */
void id_map_put(struct id_map *map, int64_t id, size_t row);

/* Finds the row of an id; false if it is not there. */
MUST_CHECK bool id_map_find(const struct id_map *map, int64_t id, size_t *ret_row);

/* Forgets an id; one that is not there is fine. */
void id_map_remove(struct id_map *map, int64_t id);

#endif
