/* test_detector_assign.c: which cells answer for which face. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/train/detector_assign.h"

#define SIDE 256
#define CELLS (32 * 32 + 16 * 16 + 8 * 8)

static struct labelled_face square(float x, float y, float side, bool unsure)
{
    return (struct labelled_face){.face = {.box = {x - side / 2, y - side / 2, x + side / 2, y + side / 2}},
                                  .unsure = unsure};
}

static void assign(const struct labelled_face *faces, int n, int ret[CELLS], int *ret_positive)
{
    struct arena *mem = arena_new((size_t)1 << 20);

    assert_int_equal(detector_assign(SIDE, SIDE, faces, n, mem, ret, ret_positive), ERR_NONE);
    arena_free(mem);
}

static void numbers_of_cells(void **state)
{
    assert_int_equal(detector_cells(SIDE, SIDE), CELLS);
    assert_int_equal(detector_cells(64, 32), 32 + 8 + 2);
    struct detector_cell first = detector_cell_at(64, 32, 0);
    assert_true(first.level == 0 && first.x == 0 && first.y == 0);
    struct detector_cell line = detector_cell_at(64, 32, 9);
    assert_true(line.level == 0 && line.x == 8 && line.y == 8);
    struct detector_cell middle = detector_cell_at(64, 32, 32 + 5);
    assert_true(middle.level == 1 && middle.x == 16 && middle.y == 16);
    struct detector_cell last = detector_cell_at(64, 32, 41);
    assert_true(last.level == 2 && last.x == 32 && last.y == 0);
}

/* A face of an anchor's size is its level's alone; between two sizes both may have it, the third never. */
static void levels_follow_sizes(void **state)
{
    static const struct {
        float side;
        unsigned may; /* bit of each level */
    } rows[] = {{14, 1}, {24, 1}, {30, 1}, {45, 3}, {80, 2}, {95, 2}, {150, 6}, {200, 4}, {256, 4}, {400, 4}};
    int target[CELLS];
    int positive;

    for (int i = 0; i < (int)(sizeof rows / sizeof rows[0]); i++) {
        const struct labelled_face face = square(130, 122, rows[i].side, false);
        unsigned seen = 0;
        int count = 0;
        assign(&face, 1, target, &positive);
        for (int k = 0; k < CELLS; k++) {
            if (target[k] >= 0) {
                struct detector_cell cell = detector_cell_at(SIDE, SIDE, k);
                seen |= 1U << cell.level;
                count++;
                assert_true(fabsf(cell.x - 130) < rows[i].side / 2 && fabsf(cell.y - 122) < rows[i].side / 2);
            }
        }
        if (seen == 0 || (seen & ~rows[i].may) != 0) {
            fail_msg("row %d: a face of %g pixels has cells on levels %x", i, (double)rows[i].side, seen);
        }
        assert_int_equal(count, positive);
        assert_true(count <= 9 * DETECTOR_LEVELS);
    }
}

static void neighbours_share(void **state)
{
    const struct labelled_face faces[2] = {square(80, 100, 60, false), square(120, 100, 60, false)};
    int target[CELLS];
    int positive;
    int of[2] = {0};

    assign(faces, 2, target, &positive);
    for (int k = 0; k < CELLS; k++) {
        if (target[k] >= 0) {
            struct detector_cell cell = detector_cell_at(SIDE, SIDE, k);
            of[target[k]]++;
            /* whoever is nearer has it */
            assert_true(target[k] == (cell.x > 100));
        }
    }
    assert_true(of[0] > 0 && of[1] > 0);
}

static void unsure_ones_are_not_judged(void **state)
{
    const struct labelled_face faces[2] = {square(70, 70, 40, true), square(78, 74, 24, false)};
    int target[CELLS];
    int positive;
    int unsure = 0;

    assign(faces, 2, target, &positive);
    for (int k = 0; k < CELLS; k++) {
        struct detector_cell cell = detector_cell_at(SIDE, SIDE, k);
        bool inside = fabsf(cell.x - 70) <= 20 && fabsf(cell.y - 70) <= 20;
        if (target[k] == DETECTOR_CELL_UNSURE) {
            assert_true(inside);
            unsure++;
        } else {
            assert_true(target[k] == 1 || (target[k] == DETECTOR_CELL_NONE && !inside));
        }
    }
    assert_true(unsure > 0 && positive > 0);

    assign(NULL, 0, target, &positive);
    assert_int_equal(positive, 0);
    for (int k = 0; k < CELLS; k++) {
        assert_int_equal(target[k], DETECTOR_CELL_NONE);
    }
}

static void needs_memory(void **state)
{
    struct arena *mem = arena_new(64);
    const struct labelled_face face = square(70, 70, 40, false);
    int target[CELLS];
    int positive = 77;

    assert_int_equal(detector_assign(SIDE, SIDE, &face, 1, mem, target, &positive), ERR_LIMIT);
    assert_int_equal(positive, 77);
    arena_free(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(numbers_of_cells), cmocka_unit_test(levels_follow_sizes),
                                       cmocka_unit_test(neighbours_share), cmocka_unit_test(unsure_ones_are_not_judged),
                                       cmocka_unit_test(needs_memory)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
