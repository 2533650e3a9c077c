/* test_id_map.c: the map against a plain list, through growth, collisions and removals. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <setjmp.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/base/random.h"
#include "index/id_map.h"

enum {
    IDS = 700,
    STEPS = 20000
};

static void put(struct id_map *map, int64_t id, size_t row)
{
    if (!id_map_has_room(map, 1)) {
        struct id_map copy;
        assert_true(id_map_copy(map, 1, &copy));
        assert_true(id_map_has_room(&copy, 1));
        id_map_release(map);
        *map = copy;
    }
    id_map_put(map, id, row);
}

static void test_empty(void **state)
{
    struct id_map map = {0};
    size_t row = 77;

    assert_false(id_map_find(&map, 0, &row));
    id_map_remove(&map, 5);
    assert_int_equal(row, 77);
    assert_int_equal(map.count, 0);
    id_map_release(&map);
    assert_int_equal(mem_live_blocks(), 0);
}

/* Ids of several shapes: neighbours, multiples of the table's length, the extremes. */
static int64_t id_of(int i)
{
    switch (i % 4) {
    case 0: return i;
    case 1: return (int64_t)i << 20;
    case 2: return INT64_MAX - i;
    default: return (int64_t)((uint64_t)i * 0x10001ULL << 30 & INT64_MAX);
    }
}

static void test_against_a_list(void **state)
{
    struct random random = random_seeded(7, 1);
    struct id_map map = {0};
    size_t rows[IDS] = {0}; /* row + 1; 0 not there */
    size_t count = 0;

    for (int step = 0; step < STEPS; step++) {
        int i = (int)random_below(&random, IDS);
        /* Phases of mostly adding and mostly removing, so that the table fills and empties. */
        if (random_below(&random, 10) < ((step / 2500) % 2 == 0 ? 8U : 2U)) {
            size_t row = (size_t)random_below(&random, 1000);
            count += rows[i] == 0;
            put(&map, id_of(i), row);
            rows[i] = row + 1;
        } else {
            count -= rows[i] != 0;
            id_map_remove(&map, id_of(i));
            rows[i] = 0;
        }
        if (step % 97 != 0) {
            continue;
        }
        assert_int_equal(map.count, count);
        for (int j = 0; j < IDS; j++) {
            size_t row = 0;
            if (id_map_find(&map, id_of(j), &row) != (rows[j] != 0) || (rows[j] != 0 && row != rows[j] - 1)) {
                fail_msg("step %d: id %lld is at row %zu, not %zu - 1", step, (long long)id_of(j), row, rows[j]);
            }
        }
    }
    id_map_release(&map);
    assert_int_equal(mem_live_blocks(), 0);
}

/* Removed entries keep their places for a while, and not for ever. */
static void test_ids_that_come_and_go(void **state)
{
    struct id_map map = {0};
    size_t row;

    for (int64_t id = 0; id < 50000; id++) {
        put(&map, id, (size_t)id);
        id_map_remove(&map, id - 100);
        assert_int_equal(map.count, id < 100 ? id + 1 : 100);
        assert_true(map.n_slots <= 512);
    }
    for (int64_t id = 0; id < 50000; id++) {
        assert_int_equal(id_map_find(&map, id, &row), id >= 49900);
    }
    id_map_release(&map);
    assert_int_equal(mem_live_blocks(), 0);
}

/* A copy of the struct goes on finding what neither changes. */
static void test_a_reader_beside_changes(void **state)
{
    struct id_map map = {0};
    size_t row = 0;

    assert_true(id_map_copy(&map, 600, &map));
    for (int64_t id = 0; id < 100; id++) {
        put(&map, id, (size_t)id);
    }
    const struct id_map seen = map;
    for (int64_t id = 100; id < 600; id++) {
        put(&map, id, (size_t)id);
        id_map_remove(&map, id - 50);
        put(&map, 7, (size_t)id);
        assert_true(id_map_find(&seen, id % 40, &row));
        assert_int_equal(row, id % 40 == 7 ? id : id % 40);
    }
    id_map_release(&map);
    assert_int_equal(mem_live_blocks(), 0);
}

static void test_out_of_memory_changes_nothing(void **state)
{
    struct id_map map = {0};
    struct id_map copy = {0};
    size_t row = 0;

    assert_false(id_map_has_room(&map, 1));
    mem_fail_at(0);
    assert_false(id_map_copy(&map, 1, &copy));
    mem_fail_at(-1);
    assert_false(id_map_has_room(&map, SIZE_MAX));
    assert_false(id_map_copy(&map, SIZE_MAX / 2 + 1, &copy));
    put(&map, 3, 4);
    mem_fail_at(0);
    assert_false(id_map_copy(&map, 100, &copy));
    mem_fail_at(-1);
    assert_null(copy.slots);
    assert_true(id_map_find(&map, 3, &row));
    assert_int_equal(row, 4);
    id_map_release(&map);
    assert_int_equal(mem_live_blocks(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_against_a_list),
        cmocka_unit_test(test_ids_that_come_and_go),
        cmocka_unit_test(test_a_reader_beside_changes),
        cmocka_unit_test(test_out_of_memory_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
