/* test_quality.c: each measure answers to what it measures, and to nothing else. */

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/face/align.h"
#include "core/face/quality.h"

#define PI 3.14159265358979323846

/* A head in space, in halves of the eyes' distance: x to the right, y down, z towards the camera. */
static const double head[5][3] = {{-1, 0, 0}, {1, 0, 0}, {0, 1.15, 1.05}, {-.83, 2.31, .05}, {.83, 2.31, .05}};

/* The points of that head, turned about its axis (yaw), leaning in the picture (roll), with the eyes so far apart when
 * frontal, the eyes' middle at (x, y). */
static struct face face_at(double yaw_degrees, double roll_degrees, double eyes_px, double x, double y)
{
    const double yaw = yaw_degrees * PI / 180;
    const double roll = roll_degrees * PI / 180;
    struct face face = {.score = .9F};

    for (int i = 0; i < 5; i++) {
        const double turned = (head[i][0] * cos(yaw) + head[i][2] * sin(yaw)) * eyes_px / 2;
        const double down = head[i][1] * eyes_px / 2;
        face.point[i][0] = (float)(x + turned * cos(roll) - down * sin(roll));
        face.point[i][1] = (float)(y + turned * sin(roll) + down * cos(roll));
    }
    face.box[2] = face.box[3] = 1;
    return face;
}

/* Squares of two greys with sharp edges; softened by a mean over 3 pixels, so many times. */
static void draw_crop(struct image *crop, int low, int high, int softened)
{
    for (int i = 0; i < 112 * 112; i++) {
        const int grey = (i % 112 / 28 + i / 112 / 28) % 2 == 0 ? low : high;
        memset(crop->rgb + (size_t)3 * (size_t)i, grey, 3);
    }
    while (softened-- > 0) {
        static uint8_t copy[112 * 112 * 3];
        memcpy(copy, crop->rgb, sizeof copy);
        for (int y = 1; y < 111; y++) {
            for (int x = 1; x < 111; x++) {
                int sum = 0;
                for (int k = 0; k < 9; k++) {
                    sum += copy[3 * ((y + k / 3 - 1) * 112 + x + k % 3 - 1)];
                }
                memset(crop->rgb + 3 * (y * 112 + x), sum / 9, 3);
            }
        }
    }
}

struct scene {
    double yaw, roll, eyes_px, x, y;
    float score;
    int low, high, softened;
};

static const struct scene good = {0, 0, 60, 200, 180, .9F, 70, 170, 1};

static struct quality judge(const struct scene *scene, enum quality_level level)
{
    static uint8_t pixels[112 * 112 * 3];
    const struct image photo = {.width = 400, .height = 400}; /* only its size matters */
    struct image crop = {.width = 112, .height = 112, .rgb = pixels};
    struct face face = face_at(scene->yaw, scene->roll, scene->eyes_px, scene->x, scene->y);
    struct quality quality;

    face.score = scene->score;
    draw_crop(&crop, scene->low, scene->high, scene->softened);
    quality_judge(&photo, &face, &crop, level, &quality);
    return quality;
}

static void reasons_follow_what_is_wrong(void **state)
{
    static const struct {
        struct scene scene;
        unsigned want_auto, want_high;
    } rows[] = {
        {{0, 0, 60, 200, 180, .9F, 70, 170, 1}, 0, 0},
        {{0, 0, 20, 200, 180, .9F, 70, 170, 1}, 0, QUALITY_TOO_SMALL},
        {{0, 0, 8, 200, 180, .9F, 70, 170, 1}, QUALITY_TOO_SMALL, QUALITY_TOO_SMALL},
        {{0, 0, 60, 200, 180, .9F, 70, 170, 30}, QUALITY_BLURRED, QUALITY_BLURRED},
        {{0, 0, 60, 200, 180, .9F, 0, 14, 1}, QUALITY_DARK, QUALITY_DARK},
        {{0, 0, 60, 200, 180, .9F, 240, 255, 1}, QUALITY_DARK, QUALITY_DARK},
        {{0, 0, 60, 200, 180, .9F, 125, 129, 1}, QUALITY_DARK, QUALITY_DARK}, /* flat */
        {{80, 0, 60, 200, 180, .9F, 70, 170, 1}, QUALITY_TURNED_AWAY, QUALITY_TURNED_AWAY},
        {{-80, 0, 60, 200, 180, .9F, 70, 170, 1}, QUALITY_TURNED_AWAY, QUALITY_TURNED_AWAY},
        {{45, 0, 60, 200, 180, .9F, 70, 170, 1}, 0, QUALITY_TURNED_AWAY},
        {{15, 0, 60, 200, 180, .9F, 70, 170, 1}, 0, 0},
        {{0, 40, 60, 200, 180, .9F, 70, 170, 1}, 0, 0}, /* leaning is no fault */
        {{0, 180, 60, 200, 220, .9F, 70, 170, 1}, 0, 0},
        {{0, 0, 60, 20, 180, .9F, 70, 170, 1}, QUALITY_CUT_OFF, QUALITY_CUT_OFF},
        {{0, 0, 60, 200, 370, .9F, 70, 170, 1}, QUALITY_CUT_OFF, QUALITY_CUT_OFF},
        {{0, 0, 60, 200, 180, .52F, 70, 170, 1}, 0, QUALITY_UNSURE},
        {{0, 0, 60, 200, 180, .3F, 70, 170, 1}, QUALITY_UNSURE, QUALITY_UNSURE},
        {{0, 0, 8, 3, 3, .2F, 0, 3, 1},
         QUALITY_TOO_SMALL | QUALITY_DARK | QUALITY_CUT_OFF | QUALITY_UNSURE,
         QUALITY_TOO_SMALL | QUALITY_DARK | QUALITY_CUT_OFF | QUALITY_UNSURE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct quality at_auto = judge(&rows[i].scene, QUALITY_AUTO);
        const struct quality at_high = judge(&rows[i].scene, QUALITY_HIGH);
        const struct quality at_none = judge(&rows[i].scene, QUALITY_NONE);
        if (at_auto.reasons != rows[i].want_auto || at_high.reasons != rows[i].want_high || at_none.reasons != 0) {
            fail_msg(
                "row %zu: reasons %#x at auto, %#x at high, %#x at none (sharpness %g, yaw %g, mean %g, contrast %g, "
                "inside %g)",
                i, at_auto.reasons, at_high.reasons, at_none.reasons, (double)at_auto.sharpness, (double)at_auto.yaw,
                (double)at_auto.brightness, (double)at_auto.contrast, (double)at_auto.inside);
        }
        /* The level chooses the reasons, not the mark. */
        assert_true(at_auto.score == at_high.score && at_auto.score == at_none.score);
        assert_true(at_auto.score >= 0 && at_auto.score <= 1);
    }
}

static void measures_are_what_they_say(void **state)
{
    const struct quality quality = judge(&good, QUALITY_HIGH);
    struct scene scene = good;

    (void)state;
    assert_true(fabs((double)quality.eye_distance_px - 60) < .05);
    assert_true(fabs((double)quality.brightness - 120) < 3);
    assert_true((double)quality.yaw < .01);
    assert_true(quality.inside == 1);
    assert_true(quality.score > .5F);

    /* Turning further never looks more frontal. */
    float last = -1;
    for (int yaw = 0; yaw <= 90; yaw += 5) {
        scene.yaw = yaw;
        const struct quality turned = judge(&scene, QUALITY_NONE);
        assert_true(turned.yaw >= last);
        last = turned.yaw;
    }
    assert_true(last > .8F);

    /* Softer is less sharp; half the contrast is as sharp. */
    scene = good;
    last = 100;
    for (int softened = 0; softened < 8; softened++) {
        scene.softened = softened;
        const struct quality soft = judge(&scene, QUALITY_NONE);
        assert_true(soft.sharpness < last);
        last = soft.sharpness;
    }
    scene = good;
    scene.low = 95;
    scene.high = 145;
    assert_true(fabs((double)judge(&scene, QUALITY_NONE).sharpness / (double)quality.sharpness - 1) < .1);

    /* Half of the crop lies left of the photo. */
    scene = good;
    scene.x = 0;
    assert_true(fabs((double)judge(&scene, QUALITY_NONE).inside - .5) < .07);
}

static void no_points_and_small_crops_are_judged_too(void **state)
{
    uint8_t pixels[8 * 8 * 3] = {0};
    const struct image photo = {.width = 8, .height = 8};
    const struct image crop = {.width = 8, .height = 8, .rgb = pixels};
    const struct face nowhere = {.score = 1};
    struct quality quality;

    (void)state;
    quality_judge(&photo, &nowhere, &crop, QUALITY_AUTO, &quality);
    assert_int_equal(quality.reasons,
                     QUALITY_TOO_SMALL | QUALITY_BLURRED | QUALITY_TURNED_AWAY | QUALITY_DARK | QUALITY_CUT_OFF);
    assert_true(quality.score == 0);
}

static void words_are_stable(void **state)
{
    static const struct {
        enum quality_reason reason;
        const char *word;
    } rows[] = {{QUALITY_TOO_SMALL, "too_small"}, {QUALITY_BLURRED, "blurred"}, {QUALITY_TURNED_AWAY, "turned_away"},
                {QUALITY_DARK, "dark"},           {QUALITY_CUT_OFF, "cut_off"}, {QUALITY_UNSURE, "unsure"}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_string_equal(quality_reason_word(rows[i].reason), rows[i].word);
    }
    assert_int_equal(mem_live_blocks(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reasons_follow_what_is_wrong),
        cmocka_unit_test(measures_are_what_they_say),
        cmocka_unit_test(no_points_and_small_crops_are_judged_too),
        cmocka_unit_test(words_are_stable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
