/* test_resize.c: scaling against the definition in double precision. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "core/base/mem.h"
#include "core/base/random.h"
#include "core/image/resize.h"

static int clamp(int i, int size)
{
    return i < 0 ? 0 : i >= size ? size - 1 : i;
}

/* The definition: source x = (x + .5) · scale − .5, edges repeated. */
static double exact(const struct image *in, int width, int height, int x, int y, int channel)
{
    double at_x = (x + 0.5) * in->width / width - 0.5;
    double at_y = (y + 0.5) * in->height / height - 0.5;
    int left = (int)floor(at_x);
    int top = (int)floor(at_y);
    double sum = 0;

    for (int corner = 0; corner < 4; corner++) {
        int i = left + corner % 2;
        int k = top + corner / 2;
        double weight = (corner % 2 ? at_x - left : 1 - at_x + left) * (corner / 2 ? at_y - top : 1 - at_y + top);
        sum += weight * in->rgb[3 * (clamp(k, in->height) * in->width + clamp(i, in->width)) + channel];
    }
    return sum;
}

static void equals_the_definition(void **state)
{
    static const int rows[][4] = {{8, 8, 8, 8},     {64, 48, 32, 24}, {64, 48, 31, 23},  {31, 23, 64, 48},
                                  {1, 1, 5, 7},     {5, 7, 1, 1},     {2, 3, 100, 1},    {97, 89, 13, 88},
                                  {33, 65, 34, 66}, {640, 3, 111, 2}, {128, 88, 64, 44}, {3, 200, 16, 100}};
    size_t blocks = mem_live_blocks();
    struct random random = random_seeded(5, 0);

    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        struct arena *arena = arena_new((size_t)16 << 20);
        struct image in;
        struct image out;
        int w = rows[row][2];
        int h = rows[row][3];
        assert_int_equal(image_new(rows[row][0], rows[row][1], arena, &in), ERR_NONE);
        for (int i = 0; i < 3 * in.width * in.height; i++) {
            in.rgb[i] = (uint8_t)(random_below(&random, 3) * 255 / 2); /* black, grey, white: the worst case */
        }
        assert_int_equal(image_resize(&in, w, h, arena, &out), ERR_NONE);
        assert_int_equal(out.width, w);
        assert_int_equal(out.height, h);
        for (int i = 0; i < 3 * w * h; i++) {
            double wanted = exact(&in, w, h, i / 3 % w, i / 3 / w, i % 3);
            if (fabs(out.rgb[i] - wanted) > 0.501) {
                fail_msg("row %zu: value %d is %d, not %.3f", row, i, out.rgb[i], wanted);
            }
        }
        arena_free(arena);
    }
    assert_int_equal(mem_live_blocks(), blocks);
}

static void keeps_an_image_of_the_same_size(void **state)
{
    struct arena *arena = arena_new(1 << 20);
    struct image in;
    struct image out;

    assert_int_equal(image_new(19, 11, arena, &in), ERR_NONE);
    for (int i = 0; i < 3 * 19 * 11; i++) {
        in.rgb[i] = (uint8_t)(i * 37);
    }
    assert_int_equal(image_resize(&in, 19, 11, arena, &out), ERR_NONE);
    assert_memory_equal(in.rgb, out.rgb, 3 * 19 * 11);
    arena_free(arena);
}

static void refuses_and_leaves_the_output(void **state)
{
    size_t blocks = mem_live_blocks();
    struct arena *arena = arena_new(100000);
    struct image in;
    struct image out = {.width = -7};

    assert_int_equal(image_new(10, 10, arena, &in), ERR_NONE);
    assert_int_equal(image_resize(&in, 0, 5, arena, &out), ERR_MISUSE);
    assert_int_equal(image_resize(&in, 5, -1, arena, &out), ERR_MISUSE);
    assert_int_equal(image_resize(&in, 1000, 1000, arena, &out), ERR_LIMIT);
    assert_int_equal(image_resize(&in, 33000, 1, arena, &out), ERR_LIMIT); /* the image fits, the weights do not */
    assert_int_equal(image_new(INT32_MAX, INT32_MAX, arena, &out), ERR_LIMIT);
    assert_int_equal(image_new(0, 1, arena, &out), ERR_MISUSE);
    assert_int_equal(out.width, -7);
    arena_free(arena);

    enum err err = ERR_NOMEM;
    for (long n = 0; err != ERR_NONE; n++) {
        arena = arena_new((size_t)8 << 20);
        assert_int_equal(image_new(10, 10, arena, &in), ERR_NONE);
        mem_fail_at(n);
        err = image_resize(&in, 400, 300, arena, &out);
        mem_fail_at(-1);
        assert_true(err == ERR_NOMEM || (err == ERR_NONE && n > 0));
        arena_free(arena);
    }
    assert_int_equal(mem_live_blocks(), blocks);
}

/* Both axes keep the factor where the sides are rounded or cut, and beyond the input its edge is repeated. */
static void scale_keeps_its_factor(void **state)
{
    static const struct {
        int in_width, in_height;
        double factor;
        int width, height;
    } rows[] = {{64, 48, .5, 32, 24}, {64, 49, .25, 16, 12}, {64, 50, .25, 16, 13}, {50, 50, 1.3, 65, 65},
                {10, 10, 1, 10, 10},  {10, 10, .5, 20, 9},   {1280, 3, .05, 64, 1}};
    size_t blocks = mem_live_blocks();
    struct random random = random_seeded(6, 0);

    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        struct arena *arena = arena_new((size_t)16 << 20);
        struct image in;
        struct image out;
        assert_int_equal(image_new(rows[row].in_width, rows[row].in_height, arena, &in), ERR_NONE);
        for (int i = 0; i < 3 * in.width * in.height; i++) {
            in.rgb[i] = (uint8_t)(random_below(&random, 3) * 255 / 2);
        }
        assert_int_equal(image_scale(&in, rows[row].factor, rows[row].width, rows[row].height, arena, &out), ERR_NONE);
        for (int i = 0; i < 3 * out.width * out.height; i++) {
            double at_x = fmin((i / 3 % out.width + 0.5) / rows[row].factor - 0.5, in.width - 1);
            double at_y =
                fmin((double)(i / 3 / out.width) / rows[row].factor + 0.5 / rows[row].factor - 0.5, in.height - 1);
            int left = (int)floor(at_x);
            int top = (int)floor(at_y);
            double wanted = 0;
            for (int corner = 0; corner < 4; corner++) {
                int x = clamp(left + corner % 2, in.width);
                int y = clamp(top + corner / 2, in.height);
                wanted += (corner % 2 ? at_x - left : 1 - at_x + left) * (corner / 2 ? at_y - top : 1 - at_y + top) *
                          in.rgb[3 * (y * in.width + x) + i % 3];
            }
            if (fabs(out.rgb[i] - wanted) > 0.51) {
                fail_msg("row %zu, number %d: %d, not %g", row, i, out.rgb[i], wanted);
            }
        }
        assert_int_equal(image_scale(&in, 0, 1, 1, arena, &out), ERR_MISUSE);
        assert_int_equal(image_scale(&in, -1, 1, 1, arena, &out), ERR_MISUSE);
        assert_int_equal(image_scale(&in, NAN, 1, 1, arena, &out), ERR_MISUSE);
        arena_free(arena);
    }
    assert_int_equal(mem_live_blocks(), blocks);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_definition),
        cmocka_unit_test(scale_keeps_its_factor),
        cmocka_unit_test(keeps_an_image_of_the_same_size),
        cmocka_unit_test(refuses_and_leaves_the_output),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
