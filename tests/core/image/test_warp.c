/* test_warp.c: affine maps, their inverses, and pieces of images against the definition. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/random.h"
#include "core/image/warp.h"

static double pixel(const struct image *in, int x, int y, int channel)
{
    return x < 0 || y < 0 || x >= in->width || y >= in->height ? 0 : in->rgb[3 * (y * in->width + x) + channel];
}

static double exact(const struct image *in, double x, double y, int channel)
{
    double left = floor(x);
    double top = floor(y);
    double u = x - left;
    double v = y - top;

    if (!(fabs(x) < 1e6 && fabs(y) < 1e6)) {
        return 0;
    }
    int i = (int)left;
    int k = (int)top;
    return (1 - v) * ((1 - u) * pixel(in, i, k, channel) + u * pixel(in, i + 1, k, channel)) +
           v * ((1 - u) * pixel(in, i, k + 1, channel) + u * pixel(in, i + 1, k + 1, channel));
}

static void equals_the_definition(void **state)
{
    static const struct affine rows[] = {
        {1, 0, 0, 0, 1, 0},
        {1, 0, -3, 0, 1, 5},
        {1, 0, 0.5, 0, 1, 0.25},
        {0.7, -0.7, 10, 0.7, 0.7, -5},
        {2.5, 0.1, -20, -0.1, 2.5, -20},
        {-1, 0, 29, 0, -1, 19},
        {1e300, 0, 0, 0, 1e300, 0},
        {NAN, 0, 0, 0, 1, 0},
        {1, 0, INFINITY, 0, 1, 0},
        {1, 0, -1e18, 0, 1, 1e18},
        {0.01, 0, 28.995, 0, 0.01, 18.995},
    };
    size_t blocks = mem_live_blocks();
    struct arena *arena = arena_new(1 << 20);
    struct random random = random_seeded(6, 0);
    struct image in;
    struct image out;

    assert_int_equal(image_new(30, 20, arena, &in), ERR_NONE);
    assert_int_equal(image_new(41, 37, arena, &out), ERR_NONE);
    for (int i = 0; i < 3 * 30 * 20; i++) {
        in.rgb[i] = (uint8_t)random_below(&random, 256);
    }
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        const struct affine *m = &rows[row];
        memset(out.rgb, 0xEE, 3 * 41 * 37);
        image_warp(&in, m, &out);
        for (int i = 0; i < 3 * 41 * 37; i++) {
            int x = i / 3 % 41;
            int y = i / 3 / 41;
            double wanted = exact(&in, m->a * x + m->b * y + m->c, m->d * x + m->e * y + m->f, i % 3);
            if (fabs(out.rgb[i] - wanted) > 0.501) {
                fail_msg("row %zu: value %d is %d, not %.3f", row, i, out.rgb[i], wanted);
            }
        }
    }
    arena_free(arena);
    assert_int_equal(mem_live_blocks(), blocks);
}

static void inverts(void **state)
{
    static const struct affine maps[] = {
        {1, 0, 0, 0, 1, 0}, {2, 0, 5, 0, 3, -7}, {0.7, -0.7, 10, 0.7, 0.7, -5}, {1e-9, 0, 1, 0, 1e-9, 1}};

    for (size_t row = 0; row < sizeof maps / sizeof *maps; row++) {
        struct affine m = maps[row];
        struct affine back;
        assert_int_equal(affine_invert(&m, &back), ERR_NONE);
        double x = m.a * 3 + m.b * 4 + m.c;
        double y = m.d * 3 + m.e * 4 + m.f;
        if (fabs(back.a * x + back.b * y + back.c - 3) > 1e-6 || fabs(back.d * x + back.e * y + back.f - 4) > 1e-6) {
            fail_msg("row %zu: the point does not come back", row);
        }
    }
}

static void refuses_what_has_no_inverse(void **state)
{
    static const struct affine maps[] = {{0, 0, 0, 0, 0, 0},
                                         {1, 2, 0, 2, 4, 0},
                                         {NAN, 0, 0, 0, 1, 0},
                                         {1, 0, INFINITY, 0, 1, 0},
                                         {1e-300, 0, 0, 0, 1e-300, 0}};

    for (size_t row = 0; row < sizeof maps / sizeof *maps; row++) {
        struct affine ret = {.a = 77};
        if (affine_invert(&maps[row], &ret) != ERR_MISUSE || ret.a != 77) {
            fail_msg("row %zu: inverted", row);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_definition),
        cmocka_unit_test(inverts),
        cmocka_unit_test(refuses_what_has_no_inverse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
