/* test_augment.c: each change does what it says, and the same draw gives the same bytes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/base/random.h"
#include "core/train/augment.h"

enum {
    SIDE = 112,
    BYTES = SIDE * SIDE * 3
};

static uint8_t pixels[BYTES];
static uint8_t changed[BYTES];
static uint8_t again[BYTES];

/* Smooth waves in each channel, so that small moves make small differences. */
static struct image smooth(void)
{
    for (int y = 0; y < SIDE; y++) {
        for (int x = 0; x < SIDE; x++) {
            for (int c = 0; c < 3; c++) {
                pixels[3 * (y * SIDE + x) + c] = (uint8_t)(128 + 60 * sin(.07 * x * (c + 1)) + 60 * cos(.05 * y + c));
            }
        }
    }
    return (struct image){SIDE, SIDE, pixels};
}

static double mean_difference(const uint8_t *a, const uint8_t *b)
{
    double sum = 0;
    for (int i = 0; i < BYTES; i++) {
        sum += abs(a[i] - b[i]);
    }
    return sum / BYTES;
}

static void nothing_asked_changes_nothing(void **state)
{
    struct image crop = smooth();
    struct image out = {SIDE, SIDE, changed};
    struct augment none = {0};

    (void)state;
    assert_int_equal(augment_crop(&none, 1, 2, 3, &crop, NULL, &out), ERR_NONE);
    assert_memory_equal(pixels, changed, BYTES);
}

static void a_flip_is_a_mirror(void **state)
{
    struct image crop = smooth();
    struct image out = {SIDE, SIDE, changed};
    struct augment flip = {.flip = 1};

    (void)state;
    assert_int_equal(augment_crop(&flip, 1, 2, 3, &crop, NULL, &out), ERR_NONE);
    for (int y = 0; y < SIDE; y++) {
        for (int x = 0; x < SIDE; x++) {
            assert_memory_equal(&changed[3 * (y * SIDE + x)], &pixels[3 * (y * SIDE + SIDE - 1 - x)], 3);
        }
    }
}

static void the_draw_repeats_and_differs(void **state)
{
    struct image crop = smooth();
    struct image out = {SIDE, SIDE, changed};
    struct image twice = {SIDE, SIDE, again};
    struct augment how = augment_default();
    struct arena *mem = arena_new((size_t)8 << 20);
    int different = 0;

    (void)state;
    for (long index = 0; index < 60; index++) {
        assert_int_equal(augment_crop(&how, 7, index % 3, index, &crop, mem, &out), ERR_NONE);
        assert_int_equal(augment_crop(&how, 7, index % 3, index, &crop, mem, &twice), ERR_NONE);
        assert_memory_equal(changed, again, BYTES);
        assert_int_equal(augment_crop(&how, 7, index % 3 + 1, index, &crop, mem, &twice), ERR_NONE);
        different += memcmp(changed, again, BYTES) != 0;
        arena_reset(mem);
    }
    assert_true(different > 50);
    arena_free(mem);
}

/* Each change alone: it happens, and stays within what its strength allows. */
static void every_change_is_mild(void **state)
{
    static const struct {
        struct augment how;
        double least, most; /* mean difference in grey levels, over draws */
    } rows[] = {
        {{.move = 1, .move_degrees = 5, .move_scale = .05F, .move_pixels = 2}, 1, 30},
        {{.light = 1, .light_strength = .25F}, 3, 50},
        {{.grey = 1}, 5, 60},
        {{.blur = 1, .blur_pixels = 1.2F}, .05, 4},
        {{.jpeg = 1, .jpeg_quality = 40}, .3, 6},
        {{.erase = 1, .erase_share = .3F}, .02, 6},
    };
    struct image crop = smooth();
    struct image out = {SIDE, SIDE, changed};
    struct arena *mem = arena_new((size_t)8 << 20);

    (void)state;
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        double sum = 0;
        for (long index = 0; index < 20; index++) {
            assert_int_equal(augment_crop(&rows[r].how, 3, 0, index, &crop, mem, &out), ERR_NONE);
            sum += mean_difference(pixels, changed) / 20;
            arena_reset(mem);
        }
        if (sum < rows[r].least || sum > rows[r].most) {
            fail_msg("row %zu: mean difference %.3f", r, sum);
        }
    }
    arena_free(mem);
}

static void grey_has_no_colour(void **state)
{
    struct image crop = smooth();
    struct image out = {SIDE, SIDE, changed};
    struct augment grey = {.grey = 1};

    (void)state;
    assert_int_equal(augment_crop(&grey, 1, 2, 3, &crop, NULL, &out), ERR_NONE);
    for (int i = 0; i < BYTES; i += 3) {
        assert_true(changed[i] == changed[i + 1] && changed[i] == changed[i + 2]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_asked_changes_nothing),
        cmocka_unit_test(a_flip_is_a_mirror),
        cmocka_unit_test(the_draw_repeats_and_differs),
        cmocka_unit_test(every_change_is_mild),
        cmocka_unit_test(grey_has_no_colour),
    };
    return cmocka_run_group_tests_name("augment", tests, NULL, NULL);
}
