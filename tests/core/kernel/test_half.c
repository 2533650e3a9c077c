/* test_half.c: every half that there is comes back from its float, and floats between two halves go to the nearer, or even, one. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "core/kernel/half.h"

/* By the definition. */
static float float_of(unsigned half)
{
    const int exponent = (int)(half >> 10 & 31);
    const float fraction = (float)(half & 1023) / 1024;
    const float magnitude = exponent == 0 ? ldexpf(fraction, -14) : ldexpf(1 + fraction, exponent - 15);

    return half >> 15 != 0 ? -magnitude : magnitude;
}

static void rounds_to_the_nearest(void **state)
{
    for (unsigned half = 0; half < 0x7C00; half++) { /* the finite ones above zero */
        const float x = float_of(half);
        assert_int_equal(half_of(x), half);
        assert_int_equal(half_of(-x), half | 0x8000U);
        if (half == 0x7BFF) {
            continue;
        }
        const float middle = (x + float_of(half + 1)) / 2; /* exact */
        assert_int_equal(half_of(middle), half % 2 == 0 ? half : half + 1);
        assert_int_equal(half_of(nextafterf(middle, 0)), half);
        assert_int_equal(half_of(nextafterf(middle, INFINITY)), half + 1);
    }
    assert_int_equal(half_of(65519.99F), 0x7BFF);
    assert_int_equal(half_of(65520.0F), 0x7C00);
    assert_int_equal(half_of(-INFINITY), 0xFC00);
    assert_int_equal(half_of(1e-9F), 0);
    assert_true(half_of(NAN) > 0x7C00);
}

static void squeezes_in_place(void **state)
{
    float x[5] = {1, -2, 0.5F, 65504, 0};
    const uint16_t expected[5] = {0x3C00, 0xC000, 0x3800, 0x7BFF, 0};
    float large[2] = {1, 70000};
    float broken[2] = {1, NAN};
    uint16_t got[5];

    assert_true(half_squeeze(x, 5));
    memcpy(got, x, sizeof got);
    assert_memory_equal(got, expected, sizeof got);
    assert_false(half_squeeze(large, 2));
    assert_true(large[0] == 1 && large[1] == 70000);
    assert_false(half_squeeze(broken, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounds_to_the_nearest),
        cmocka_unit_test(squeezes_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
