/* test_place.c: nothing overlaps in time and bytes, for any items; known cases are packed as tightly as possible. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/base/random.h"
#include "core/graph/place.h"

static void check(const struct place_item *items, int count, size_t bytes, int row)
{
    for (int i = 0; i < count; i++) {
        const struct place_item *a = &items[i];
        if (a->offset % PLACE_ALIGN != 0 || a->offset + a->bytes > bytes) {
            fail_msg("row %d item %d: offset %zu", row, i, a->offset);
        }
        for (int j = 0; j < i; j++) {
            const struct place_item *b = &items[j];
            bool in_time = a->first <= b->last && b->first <= a->last;
            bool in_bytes = a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
            if (in_time && in_bytes) {
                fail_msg("row %d: items %d and %d overlap", row, i, j);
            }
        }
    }
}

static void random_items_never_overlap(void **state)
{
    size_t blocks = mem_live_blocks();
    struct random random = random_seeded(7, 0);
    struct place_item items[60];

    for (int row = 0; row < 300; row++) {
        int count = (int)random_below(&random, 60);
        size_t live_most = 0;
        size_t all = 0;
        for (int i = 0; i < count; i++) {
            int first = (int)random_below(&random, 40);
            items[i] = (struct place_item){.bytes = random_below(&random, 5) == 0 ? 0 : random_below(&random, 5000),
                                           .first = first,
                                           .last = first + (int)random_below(&random, 6)};
            all += (items[i].bytes + 63) / 64 * 64;
        }
        size_t bytes = 1;
        assert_int_equal(place_items(items, count, &bytes), ERR_NONE);
        check(items, count, bytes, row);
        for (int step = 0; step < 46; step++) {
            size_t live = 0;
            for (int i = 0; i < count; i++) {
                live += items[i].first <= step && step <= items[i].last ? (items[i].bytes + 63) / 64 * 64 : 0;
            }
            live_most = live > live_most ? live : live_most;
        }
        /* Not proven for this method, but what makes it worth its place: far below no sharing, near the lower bound. */
        assert_true(bytes >= live_most && bytes <= all && bytes <= live_most + live_most / 2);
    }
    assert_int_equal(mem_live_blocks(), blocks);
}

static void a_chain_needs_its_largest_pair(void **state)
{
    struct place_item items[] = {{.bytes = 640, .first = 0, .last = 1},
                                 {.bytes = 6400, .first = 1, .last = 2},
                                 {.bytes = 1280, .first = 2, .last = 3},
                                 {.bytes = 64, .first = 3, .last = 4}};
    size_t bytes;

    assert_int_equal(place_items(items, 4, &bytes), ERR_NONE);
    assert_int_equal(bytes, 6400 + 1280);
    check(items, 4, bytes, 0);
}

static void sizes_beyond_the_address_space_are_refused(void **state)
{
    struct place_item items[] = {{.bytes = SIZE_MAX / 2, .first = 0, .last = 1},
                                 {.bytes = SIZE_MAX / 2, .first = 0, .last = 1},
                                 {.bytes = SIZE_MAX / 2, .first = 0, .last = 1}};
    size_t bytes = 5;

    assert_int_equal(place_items(items, 3, &bytes), ERR_LIMIT);
    items[0].bytes = SIZE_MAX - 3;
    assert_int_equal(place_items(items, 1, &bytes), ERR_LIMIT);
    assert_int_equal(bytes, 5);
    mem_fail_at(1);
    enum err err = place_items(items, 1, &bytes);
    mem_fail_at(-1);
    assert_int_equal(err, ERR_NOMEM);
    assert_int_equal(place_items(items, 0, &bytes), ERR_NONE);
    assert_int_equal(bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_items_never_overlap),
        cmocka_unit_test(a_chain_needs_its_largest_pair),
        cmocka_unit_test(sizes_beyond_the_address_space_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
