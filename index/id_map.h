/*
 * id_map.h: from the caller's ids to rows.
 *
 * A hash table with open addressing: no allocation per entry, and removing leaves no tombstones behind.
 * One thread, or many that only look up.
 */
#ifndef INDEX_ID_MAP_H
#define INDEX_ID_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"

struct id_map_slot {
    int64_t id;
    uint64_t row_plus_1; /* 0: empty */
};

/* {0} is a valid empty map. */
struct id_map {
    struct id_map_slot *slots;
    size_t n_slots; /* 0 or a power of two */
    size_t count;
};

void id_map_release(struct id_map *map);

/* Makes room so that the next extra calls of id_map_put allocate nothing; false and unchanged if memory is spent. */
MUST_CHECK bool id_map_reserve(struct id_map *map, size_t extra);

/* Sets the row of an id, new or known; room for a new one has been reserved. */
void id_map_put(struct id_map *map, int64_t id, size_t row);

/* Finds the row of an id; false if it is not there. */
MUST_CHECK bool id_map_find(const struct id_map *map, int64_t id, size_t *ret_row);

/* Forgets an id; one that is not there is fine. */
void id_map_remove(struct id_map *map, int64_t id);

#endif
