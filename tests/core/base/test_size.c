/* test_size.c: sums and products of sizes, at the edge of what fits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/base/size.h"

static void adds_multiplies_and_rounds_within_range(void **state)
{
    size_t size = 7;
    int64_t dim = 7;

    assert_true(size_add(SIZE_MAX - 1, 1, &size) && size == SIZE_MAX);
    assert_true(size_mul(SIZE_MAX / 3, 3, &size) && size == SIZE_MAX / 3 * 3);
    assert_true(size_mul(0, SIZE_MAX, &size) && size == 0);
    assert_true(size_round_up(0, 64, &size) && size == 0);
    assert_true(size_round_up(1, 64, &size) && size == 64);
    assert_true(size_round_up(64, 64, &size) && size == 64);
    assert_true(size_round_up(SIZE_MAX - 63, 64, &size) && size == SIZE_MAX - 63);
    assert_true(dim_mul(INT64_MAX, 1, &dim) && dim == INT64_MAX);
    assert_true(dim_mul(INT64_MIN, 1, &dim) && dim == INT64_MIN);
}

static void refuses_what_does_not_fit_and_leaves_the_output(void **state)
{
    size_t size = 7;
    int64_t dim = 7;

    assert_false(size_add(SIZE_MAX, 1, &size));
    assert_false(size_mul(SIZE_MAX / 2 + 1, 2, &size));
    assert_false(size_round_up(SIZE_MAX - 62, 64, &size));
    assert_false(dim_mul(INT64_MAX, 2, &dim));
    assert_false(dim_mul(INT64_MIN, -1, &dim));
    assert_int_equal(size, 7);
    assert_int_equal(dim, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adds_multiplies_and_rounds_within_range),
        cmocka_unit_test(refuses_what_does_not_fit_and_leaves_the_output),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
