/* id_map.c: linear probing, at most half full. */
#include "index/id_map.h"

#include <assert.h>

#include "core/base/mem.h"
#include "core/base/size.h"

/* Row ids come one after the other; a multiplication by 2^64 / phi spreads them (Knuth, volume 3, 6.4). */
static size_t home_of(const struct id_map *map, int64_t id)
{
    uint64_t mixed = (uint64_t)id * UINT64_C(0x9E3779B97F4A7C15);
    return (size_t)(mixed >> 20) & (map->n_slots - 1);
}

/* The slot that holds the id, or the empty one where it would be put.  At least one slot is empty. */
static size_t slot_of(const struct id_map *map, int64_t id)
{
    size_t i = home_of(map, id);

    while (map->slots[i].row_plus_1 != 0 && map->slots[i].id != id) {
        i = (i + 1) & (map->n_slots - 1);
    }
    return i;
}

void id_map_release(struct id_map *map)
{
    mem_free(map->slots);
    *map = (struct id_map){0};
}

bool id_map_reserve(struct id_map *map, size_t extra)
{
    struct id_map bigger = {.n_slots = map->n_slots == 0 ? 16 : map->n_slots, .count = map->count};
    size_t wanted;

    if (!size_add(map->count, extra, &wanted) || !size_mul(wanted, 2, &wanted)) {
        return false;
    }
    while (bigger.n_slots < wanted) {
        if (!size_mul(bigger.n_slots, 2, &bigger.n_slots)) {
            return false;
        }
    }
    if (bigger.n_slots == map->n_slots) {
        return true;
    }
    bigger.slots = MEM_ARRAY(struct id_map_slot, bigger.n_slots);
    if (bigger.slots == NULL) {
        return false;
    }
    for (size_t i = 0; i < map->n_slots; i++) {
        if (map->slots[i].row_plus_1 != 0) {
            bigger.slots[slot_of(&bigger, map->slots[i].id)] = map->slots[i];
        }
    }
    mem_free(map->slots);
    *map = bigger;
    return true;
}

void id_map_put(struct id_map *map, int64_t id, size_t row)
{
    size_t i = slot_of(map, id);

    if (map->slots[i].row_plus_1 == 0) {
        assert(map->count < map->n_slots / 2);
        map->count++;
    }
    map->slots[i] = (struct id_map_slot){.id = id, .row_plus_1 = (uint64_t)row + 1};
}

bool id_map_find(const struct id_map *map, int64_t id, size_t *ret_row)
{
    if (map->count == 0) {
        return false;
    }
    const struct id_map_slot *slot = &map->slots[slot_of(map, id)];
    if (slot->row_plus_1 == 0) {
        return false;
    }
    *ret_row = (size_t)(slot->row_plus_1 - 1);
    return true;
}

void id_map_remove(struct id_map *map, int64_t id)
{
    if (map->count == 0) {
        return;
    }
    size_t mask = map->n_slots - 1;
    size_t hole = slot_of(map, id);
    if (map->slots[hole].row_plus_1 == 0) {
        return;
    }
    /* Entries behind the hole that a search from their home would no longer reach move into it (Knuth's algorithm R). */
    for (size_t i = (hole + 1) & mask; map->slots[i].row_plus_1 != 0; i = (i + 1) & mask) {
        size_t home = home_of(map, map->slots[i].id);
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            map->slots[hole] = map->slots[i];
            hole = i;
        }
    }
    map->slots[hole] = (struct id_map_slot){0};
    map->count--;
}
