/* test_centers.c: where centers begin, in the plane, where every direction can be read off. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/train/centers.h"

static const double DEGREES = 180 / 3.14159265358979323846;

/* The directions of centers begun from photos at some degrees, and one photo that belongs to nobody. */
static void begin(const int *centers_of, double ret[2 * 3])
{
    static const double at[] = {10, 12, 14, 80, 82, 84, 200, 300, 310, 320};
    static const int of[] = {0, 0, 0, 0, 0, 0, -1, 1, 1, 1};
    struct arena *mem = arena_new((size_t)1 << 20);
    float u[10 * 2];
    float v[2 * 3 * 2];

    for (int i = 0; i < 10; i++) {
        u[2 * i] = (float)cos(at[i] / DEGREES);
        u[2 * i + 1] = (float)sin(at[i] / DEGREES);
    }
    assert_int_equal(centers_begin(u, of, 10, 2, 2, 3, centers_of, mem, v), ERR_NONE);
    for (int c = 0; c < 6; c++) {
        assert_float_equal(hypot((double)v[2 * c], (double)v[2 * c + 1]), 1, 1e-6);
        ret[c] = fmod(atan2((double)v[2 * c + 1], (double)v[2 * c]) * DEGREES + 360, 360);
    }
    arena_free(mem);
}

static void a_class_has_as_many_as_it_is_given(void **state)
{
    static const int centers_of[] = {2, 1};
    double angle[6];

    (void)state;
    begin(centers_of, angle);
    /* two groups of three photos; behind them the first is repeated; the other class is its mean */
    assert_float_equal(fmin(angle[0], angle[1]), 12, .01);
    assert_float_equal(fmax(angle[0], angle[1]), 82, .01);
    assert_true(angle[2] == angle[0]);
    for (int k = 3; k < 6; k++) {
        assert_float_equal(angle[k], 310, .01);
    }
    begin(NULL, angle);
    assert_true(angle[3] != angle[4] && angle[4] != angle[5]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_class_has_as_many_as_it_is_given)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
