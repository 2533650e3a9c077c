/* test_letterbox.c: how photos of all shapes fit into frames, to the pixel. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/face/letterbox_private.h"

static void photos_fit_their_frames(void **state)
{
    static const struct {
        int photo_width, photo_height;
        int fixed_width, fixed_height, side;
        float max_enlarge;
        int width, height, canvas_width, canvas_height;
    } rows[] = {
        {1280, 886, 0, 0, 640, 1.3F, 640, 443, 640, 448},
        {1280, 886, 0, 0, 320, 1.3F, 320, 222, 320, 224}, /* 221.5 */
        {886, 1280, 0, 0, 320, 1.3F, 222, 320, 224, 320},
        {1280, 886, 640, 640, 0, 1.3F, 640, 443, 640, 640},
        {250, 250, 0, 0, 640, 1.3F, 325, 325, 352, 352}, /* enlarged no further */
        {250, 250, 0, 0, 256, 1.3F, 256, 256, 256, 256},
        {250, 250, 640, 640, 0, 1.3F, 325, 325, 640, 640},
        {250, 250, 640, 640, 0, 10.0F, 640, 640, 640, 640},
        {640, 640, 0, 0, 640, 1.3F, 640, 640, 640, 640},
        {641, 640, 0, 0, 640, 1.3F, 640, 639, 640, 640},
        {16384, 1, 0, 0, 640, 1.3F, 640, 1, 640, 32}, /* never nothing */
        {1, 16384, 0, 0, 640, 1.3F, 1, 640, 32, 640},
        {1, 1, 0, 0, 640, 1.3F, 1, 1, 32, 32},
        {10, 10, 0, 0, 32, 1.3F, 13, 13, 32, 32},
        {492, 10, 0, 0, 640, 1.3F, 640, 13, 640, 32},
        {1000, 500, 320, 640, 0, 1.3F, 320, 160, 320, 640}, /* an upright fixed frame */
        {500, 1000, 640, 320, 0, 1.3F, 160, 320, 640, 320},
        {10, 10, 0, 0, 640, .5F, 5, 5, 32, 32},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct letterbox_frame frame = {.fixed_width = rows[i].fixed_width,
                                              .fixed_height = rows[i].fixed_height,
                                              .side = rows[i].side,
                                              .unit = 32,
                                              .max_enlarge = rows[i].max_enlarge};
        const struct letterbox box = letterbox_fit(rows[i].photo_width, rows[i].photo_height, &frame);
        if (box.width != rows[i].width || box.height != rows[i].height || box.canvas_width != rows[i].canvas_width ||
            box.canvas_height != rows[i].canvas_height) {
            fail_msg("row %zu: %d × %d on %d × %d", i, box.width, box.height, box.canvas_width, box.canvas_height);
        }
    }
}

static void faces_come_back_to_the_photo(void **state)
{
    /* 1000 × 304 at a tenth: 30.4 rows are rounded to 30, and the scale stays a tenth. */
    const struct letterbox_frame frame = {.side = 100, .unit = 32, .max_enlarge = 1};
    const struct letterbox box = letterbox_fit(1000, 304, &frame);
    struct face face = {.box = {-5, 15, 110, 31}, .point = {{10, 15}, {100, 30}, {0, 0}, {-1, -1}, {101, 31}}};

    (void)state;
    assert_int_equal(box.height, 30);
    letterbox_back(&box, &face);
    assert_float_equal(face.box[0], -50, 1e-3);
    assert_float_equal(face.box[1], 150, 1e-3);
    assert_float_equal(face.box[2], 1100, 1e-3);
    assert_float_equal(face.point[1][0], 1000, 1e-3);
    assert_float_equal(face.point[1][1], 300, 1e-3);
    letterbox_clip(&box, &face);
    assert_float_equal(face.box[0], 0, 0);
    assert_float_equal(face.box[1], 150, 1e-3);
    assert_float_equal(face.box[2], 1000, 0);
    assert_float_equal(face.box[3], 304, 0);
    assert_float_equal(face.point[3][0], -10, 1e-3); /* points may lie outside */
}

static void canvas_is_black_around_the_photo(void **state)
{
    struct arena *mem = arena_new((size_t)1 << 20);
    const struct letterbox_frame frame = {.side = 64, .unit = 32, .max_enlarge = 1};
    struct image photo;
    struct image canvas;

    (void)state;
    assert_int_equal(image_new(40, 20, mem, &photo), ERR_NONE);
    for (int i = 0; i < 3 * 40 * 20; i++) {
        photo.rgb[i] = 200;
    }
    const struct letterbox box = letterbox_fit(40, 20, &frame);
    assert_int_equal(letterbox_draw(&box, &photo, mem, &canvas), ERR_NONE);
    assert_int_equal(canvas.width, 64);
    assert_int_equal(canvas.height, 32);
    for (int i = 0; i < 64 * 32; i++) {
        const int want = i % 64 < 40 && i / 64 < 20 ? 200 : 0;
        if (canvas.rgb[3 * i] != want || canvas.rgb[3 * i + 1] != want || canvas.rgb[3 * i + 2] != want) {
            fail_msg("pixel (%d, %d) is %d, not %d", i % 64, i / 64, canvas.rgb[3 * i], want);
        }
    }
    struct arena *small = arena_new(4096);
    assert_int_equal(letterbox_draw(&box, &photo, small, &canvas), ERR_LIMIT);
    arena_free(small);
    arena_free(mem);
    assert_int_equal(mem_live_blocks(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(photos_fit_their_frames),
        cmocka_unit_test(faces_come_back_to_the_photo),
        cmocka_unit_test(canvas_is_black_around_the_photo),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
