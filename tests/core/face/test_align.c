/* test_align.c: the similarity onto the template, and the crop. */

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/face/align.h"

static const float template_112[5][2] = {
    {38.2946F, 51.6963F}, {73.5318F, 51.5014F}, {56.0252F, 71.7366F}, {41.5493F, 92.3655F}, {70.7299F, 92.2041F}};

/* The points that a turn by degrees, a scale and a shift make of the template. */
static void move_template(double degrees, double scale, double shift_x, double shift_y, float ret[5][2])
{
    const double angle = degrees * 3.14159265358979323846 / 180.0;

    for (int i = 0; i < 5; i++) {
        const double x = template_112[i][0];
        const double y = template_112[i][1];
        ret[i][0] = (float)(scale * (cos(angle) * x - sin(angle) * y) + shift_x);
        ret[i][1] = (float)(scale * (sin(angle) * x + cos(angle) * y) + shift_y);
    }
}

static void similarity_undoes_every_move(void **state)
{
    static const struct {
        double degrees, scale, x, y;
    } rows[] = {{0, 1, 0, 0},      {0, 1, 30, -20},    {0, 2.5, 0, 0},   {30, 1, 0, 0},       {-45, .5, 100, 200},
                {90, 3, 1000, 50}, {180, 1, 500, 500}, {-170, 10, 0, 0}, {5, .02, 3000, 4000}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        float point[5][2];
        struct affine map;
        move_template(rows[i].degrees, rows[i].scale, rows[i].x, rows[i].y, point);
        assert_int_equal(align_similarity(point, 112, &map), ERR_NONE);
        for (int k = 0; k < 5; k++) {
            const double x = map.a * point[k][0] + map.b * point[k][1] + map.c;
            const double y = map.d * point[k][0] + map.e * point[k][1] + map.f;
            /* The points are floats: at (3000, 4000) and a scale of .02 their last bit is a hundredth of a pixel. */
            if (fabs(x - template_112[k][0]) > .02 || fabs(y - template_112[k][1]) > .02) {
                fail_msg("row %zu, point %d comes to (%g, %g)", i, k, x, y);
            }
        }
        if (map.a != map.e || map.b != -map.d) {
            fail_msg("row %zu is no similarity", i);
        }
    }
}

/* The template lands where the networks of each crop size expect it. */
static void sides_scale_the_template(void **state)
{
    static const struct {
        int side;
        double nose_x, nose_y;
    } rows[] = {
        {112, 56.0252, 71.7366},
        {224, 112.0504, 143.4732},
        {896, 448.2016, 573.8928}, /* a multiple of both: 112 counts */
        {128, 56.0252 + 8, 71.7366},
        {256, 2 * (56.0252 + 8), 143.4732},
        {160, 56.0252 * 160 / 112, 71.7366 * 160 / 112},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct affine map;
        assert_int_equal(align_similarity(template_112, rows[i].side, &map), ERR_NONE);
        const double x = map.a * (double)template_112[2][0] + map.b * (double)template_112[2][1] + map.c;
        const double y = map.d * (double)template_112[2][0] + map.e * (double)template_112[2][1] + map.f;
        if (fabs(x - rows[i].nose_x) > 1e-4 || fabs(y - rows[i].nose_y) > 1e-4) {
            fail_msg("row %zu: the nose comes to (%g, %g)", i, x, y);
        }
    }
}

/* With errors in the points the answer is the best in the sense of least squares: no small change makes it better. */
static double squared_error(const float point[5][2], const struct affine *map)
{
    double sum = 0.0;

    for (int i = 0; i < 5; i++) {
        const double x = map->a * point[i][0] + map->b * point[i][1] + map->c - template_112[i][0];
        const double y = map->d * point[i][0] + map->e * point[i][1] + map->f - template_112[i][1];
        sum += x * x + y * y;
    }
    return sum;
}

static void similarity_is_the_least_squares_one(void **state)
{
    const float point[5][2] = {{87.3F, 330.4F}, {128.9F, 306.3F}, {120.5F, 336.7F}, {114.8F, 369.1F}, {148.8F, 349.6F}};
    struct affine best;

    (void)state;
    assert_int_equal(align_similarity(point, 112, &best), ERR_NONE);
    const double least = squared_error(point, &best);
    for (int i = 0; i < 8; i++) {
        struct affine other = best;
        const double step = i % 2 == 0 ? 1e-4 : -1e-4;
        other.a += i / 2 == 0 ? step : 0;
        other.e += i / 2 == 0 ? step : 0;
        other.b -= i / 2 == 1 ? step : 0;
        other.d += i / 2 == 1 ? step : 0;
        other.c += i / 2 == 2 ? step : 0;
        other.f += i / 2 == 3 ? step : 0;
        if (squared_error(point, &other) <= least) {
            fail_msg("row %d is better than the best", i);
        }
    }
}

static void no_face_is_refused(void **state)
{
    static const float rows[][5][2] = {
        {{5, 5}, {5, 5}, {5, 5}, {5, 5}, {5, 5}},
        {{0, 0}, {0, 0}, {0, 0}, {0, 0}, {0, 0}},
        {{NAN, 0}, {1, 0}, {0, 1}, {1, 1}, {2, 2}},
        {{INFINITY, 0}, {1, 0}, {0, 1}, {1, 1}, {2, 2}},
        {{1e30F, 0}, {-1e30F, 0}, {0, 1e30F}, {0, -1e30F}, {0, 0}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct affine map = {.a = 42};
        if (align_similarity(rows[i], 112, &map) != ERR_FORMAT) {
            fail_msg("row %zu is accepted", i);
        }
        assert_true(map.a == 42); /* untouched */
    }
}

static void crop_is_the_photo_seen_through_the_map(void **state)
{
    struct arena *mem = arena_new((size_t)8 << 20);
    struct image photo;
    struct image crop;
    struct face face = {.score = 1};

    (void)state;
    assert_non_null(mem);
    assert_int_equal(image_new(200, 180, mem, &photo), ERR_NONE);
    for (int i = 0; i < 3 * 200 * 180; i++) {
        photo.rgb[i] = (uint8_t)(i * 7 % 251);
    }
    /* Shifted by whole pixels: the crop is a cut-out, exactly, and black where the photo ends. */
    move_template(0, 1, 120, 30, face.point);
    assert_int_equal(align_face(&photo, &face, 112, mem, &crop), ERR_NONE);
    assert_int_equal(crop.width, 112);
    assert_int_equal(crop.height, 112);
    for (int y = 0; y < 112; y++) {
        for (int x = 0; x < 112; x++) {
            for (int c = 0; c < 3; c++) {
                const int got = crop.rgb[3 * (y * 112 + x) + c];
                const int want = x + 120 < 200 ? photo.rgb[3 * ((y + 30) * 200 + x + 120) + c] : 0;
                /* Rounding of the points moves the map by a millionth of a pixel, at most one grey level at the edge. */
                if (abs(got - want) > 1) {
                    fail_msg("pixel (%d, %d): %d, not %d", x, y, got, want);
                }
            }
        }
    }

    memset(face.point, 0, sizeof face.point);
    assert_int_equal(align_face(&photo, &face, 112, mem, &crop), ERR_FORMAT);
    struct arena *small = arena_new(1024);
    move_template(0, 1, 0, 0, face.point);
    assert_int_equal(align_face(&photo, &face, 112, small, &crop), ERR_LIMIT);
    arena_free(small);
    arena_free(mem);
    assert_int_equal(mem_live_blocks(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(similarity_undoes_every_move),           cmocka_unit_test(sides_scale_the_template),
        cmocka_unit_test(similarity_is_the_least_squares_one),    cmocka_unit_test(no_face_is_refused),
        cmocka_unit_test(crop_is_the_photo_seen_through_the_map),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
