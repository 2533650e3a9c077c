/* id_map.c: linear probing, at most three quarters full. */
#include "index/id_map.h"

#include <assert.h>

#include "core/base/mem.h"
#include "core/base/size.h"

/* Row ids come one after the other; a multiplication by 2^64 / phi spreads them (Knuth, volume 3, 6.4). */
static size_t home_of(const struct id_map *map, uint64_t id_plus_1)
{
    uint64_t mixed = id_plus_1 * UINT64_C(0x9E3779B97F4A7C15);
    return (size_t)(mixed >> 20) & (map->n_slots - 1);
}

/*
 * The slot that holds the id, or the unused one where it would be put; at least one is unused.  Who reads an id here also sees the
 * row that was written before it.
 */
static struct id_map_slot *slot_of(const struct id_map *map, int64_t id)
{
    const uint64_t id_plus_1 = (uint64_t)id + 1;
    size_t i = home_of(map, id_plus_1);

    for (;;) {
        const uint64_t there = atomic_load_explicit(&map->slots[i].id_plus_1, memory_order_acquire);
        if (there == 0 || there == id_plus_1) {
            return &map->slots[i];
        }
        i = (i + 1) & (map->n_slots - 1);
    }
}

void id_map_release(struct id_map *map)
{
    mem_free(map->slots);
    *map = (struct id_map){0};
}

bool id_map_has_room(const struct id_map *map, size_t extra)
{
    return extra <= map->n_slots / 4 * 3 - map->used;
}

bool id_map_copy(const struct id_map *map, size_t extra, struct id_map *ret)
{
    struct id_map copy = {.n_slots = 16};
    size_t wanted;

    if (!size_add(map->count, extra, &wanted) || !size_mul(wanted, 2, &wanted)) {
        return false;
    }
    while (copy.n_slots < wanted) {
        if (!size_mul(copy.n_slots, 2, &copy.n_slots)) {
            return false;
        }
    }
    copy.slots = MEM_ARRAY(struct id_map_slot, copy.n_slots);
    if (copy.slots == NULL) {
        return false;
    }
    for (size_t i = 0; i < map->n_slots; i++) {
        const uint64_t row_plus_1 = atomic_load_explicit(&map->slots[i].row_plus_1, memory_order_relaxed);
        if (row_plus_1 != 0) {
            const uint64_t id_plus_1 = atomic_load_explicit(&map->slots[i].id_plus_1, memory_order_relaxed);
            id_map_put(&copy, (int64_t)(id_plus_1 - 1), (size_t)(row_plus_1 - 1));
        }
    }
    *ret = copy;
    return true;
}

void id_map_put(struct id_map *map, int64_t id, size_t row)
{
    struct id_map_slot *slot = slot_of(map, id);
    const bool is_new = atomic_load_explicit(&slot->id_plus_1, memory_order_relaxed) == 0;

    if (atomic_load_explicit(&slot->row_plus_1, memory_order_relaxed) == 0) {
        map->count++;
    }
    atomic_store_explicit(&slot->row_plus_1, (uint64_t)row + 1, memory_order_relaxed);
    if (is_new) {
        assert(id_map_has_room(map, 1));
        map->used++;
        atomic_store_explicit(&slot->id_plus_1, (uint64_t)id + 1, memory_order_release);
    }
}

bool id_map_find(const struct id_map *map, int64_t id, size_t *ret_row)
{
    if (map->n_slots == 0) {
        return false;
    }
    const struct id_map_slot *slot = slot_of(map, id);
    const uint64_t row_plus_1 = atomic_load_explicit(&slot->row_plus_1, memory_order_relaxed);
    const uint64_t id_plus_1 = atomic_load_explicit(&slot->id_plus_1, memory_order_relaxed);
    if (row_plus_1 == 0 || id_plus_1 != (uint64_t)id + 1) { /* unused a moment ago, it may be another's by now */
        return false;
    }
    *ret_row = (size_t)(row_plus_1 - 1);
    return true;
}

void id_map_remove(struct id_map *map, int64_t id)
{
    if (map->n_slots == 0) {
        return;
    }
    struct id_map_slot *slot = slot_of(map, id);
    if (atomic_load_explicit(&slot->row_plus_1, memory_order_relaxed) != 0) {
        atomic_store_explicit(&slot->row_plus_1, 0, memory_order_relaxed);
        map->count--;
    }
}
