/*
 * test_detector_loss.c: the gradients of a cell's losses, in double precision by central differences; then float against
 * double, and the values where they are known.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/random.h"
#include "core/train/detector_loss.h"

/* ---- The same source in double ----------------------------------------------------------------------------------- */

#undef CORE_TRAIN_DETECTOR_LOSS_H
#define float double
#define expf exp
#define logf log
#define sqrtf sqrt
#define fabsf fabs
#define fminf fmin
#define fmaxf fmax
#define detector_goal detector_goal_f64
#define detector_loss detector_loss_f64
#define detector_loss_none detector_loss_none_f64
#define detector_loss_face detector_loss_face_f64
#define quality_focal quality_focal_f64
#define distance_iou distance_iou_f64
#define smooth_l1 smooth_l1_f64
#include "core/train/detector_loss.c"
#undef float
#undef expf
#undef logf
#undef sqrtf
#undef fabsf
#undef fminf
#undef fmaxf
#undef detector_goal
#undef detector_loss
#undef detector_loss_none
#undef detector_loss_face
#undef quality_focal
#undef distance_iou
#undef smooth_l1

#define STEP 1e-5
#define BOUND 1e-7

static void assert_near(double got, double expected, double bound, const char *what, int row)
{
    if (!(fabs(got - expected) <= bound * (1 + fabs(expected)))) {
        fail_msg("%s, row %d: %.12g instead of %.12g", what, row, got, expected);
    }
}

static void score_slopes(void **state)
{
    static const double logits[] = {-30, -4.6, -1, -.1, 0, .3, 2, 12};
    static const double qualities[] = {0, .25, .7, 1};
    double slope;
    double unused;

    for (int i = 0; i < 8; i++) {
        for (int k = 0; k < 4; k++) {
            double y = qualities[k];
            double high = quality_focal_f64(logits[i] + STEP, y, &unused);
            double low = quality_focal_f64(logits[i] - STEP, y, &unused);
            (void)quality_focal_f64(logits[i], y, &slope);
            assert_near((high - low) / (2 * STEP), slope, BOUND, "quality focal", 4 * i + k);
            float single;
            (void)quality_focal((float)logits[i], (float)y, &single);
            assert_near((double)single, slope, 1e-5, "in float", 4 * i + k);
        }
    }
    /* at the wanted score nothing is lost; far from it, the cross entropy is */
    assert_near(quality_focal_f64(log(.7 / .3), .7, &slope), 0, 1e-12, "no loss", 0);
    assert_near(slope, 0, 1e-12, "no slope", 0);
    assert_near(quality_focal_f64(0, 0, &slope), .25 * log(2), 1e-12, "half way", 0);
}

/* Apart, overlapping from each side, inside, around, and with no area of its own. */
static const double boxes[][4] = {{3, 4, 30, 41},   {-20, 6, 18, 37},  {12, 11, 20, 26},
                                  {-4, -7, 61, 55}, {50, 60, 70, 90},  {8, -30, 32, 9},
                                  {24, 25, 90, 70}, {-60, 9, -35, 39}, {30, 12, 20, 40}};
static const double face[4] = {10, 10, 33, 38};
#define N_BOXES ((int)(sizeof boxes / sizeof boxes[0]))

static void box_slopes(void **state)
{
    double slope[4];
    double unused[4];
    double overlap;

    for (int i = 0; i < N_BOXES; i++) {
        (void)distance_iou_f64(boxes[i], face, slope, &overlap);
        for (int k = 0; k < 4; k++) {
            double high[4];
            double low[4];
            memcpy(high, boxes[i], sizeof high);
            memcpy(low, boxes[i], sizeof low);
            high[k] += STEP;
            low[k] -= STEP;
            double difference =
                distance_iou_f64(high, face, unused, &overlap) - distance_iou_f64(low, face, unused, &overlap);
            assert_near(difference / (2 * STEP), slope[k], BOUND, "box", 4 * i + k);
        }
    }
    assert_near(distance_iou_f64(face, face, slope, &overlap), 0, 1e-12, "the same box", 0);
    assert_near(overlap, 1, 1e-12, "the same box overlaps", 0);
    /* half of it: the middles are a quarter of the width apart */
    const double half[4] = {10, 10, 21.5, 38};
    double expected = .5 + 5.75 * 5.75 / (23.0 * 23 + 28 * 28);
    assert_near(distance_iou_f64(half, face, slope, &overlap), expected, 1e-12, "half the box", 0);
    assert_near(overlap, .5, 1e-12, "half overlaps", 0);
}

/* The score's slope takes the overlap as given, so only the others are differences of the sum. */
static void cell_slopes(void **state)
{
    struct random random = random_seeded(3, 1);

    for (int i = 0; i < 20; i++) {
        const double stride = 8 << i % 3;
        struct detector_goal_f64 goal;
        struct detector_goal goal_float;
        struct detector_loss_f64 loss;
        double row[15];
        double grad[15] = {0};
        float row_float[15];
        float grad_float[15] = {0};

        for (int k = 0; k < 15; k++) {
            row[k] = (k < 5 ? 1.5 : 0) + random_normal(&random);
            row_float[k] = (float)row[k];
            row[k] = (double)row_float[k];
        }
        goal = (struct detector_goal_f64){.box = {40, 44, 40 + 3 * stride, 44 + 4 * stride}};
        for (int k = 0; k < 10; k++) {
            goal.point[k] = 48 + stride * random_normal(&random);
        }
        for (int k = 0; k < 10; k++) {
            goal_float.point[k] = (float)goal.point[k];
            goal.point[k] = (double)goal_float.point[k];
            goal_float.box[k % 4] = (float)goal.box[k % 4];
        }
        loss = detector_loss_face_f64(row, 56, 56, stride, &goal, .5, grad);
        (void)detector_loss_face(row_float, 56, 56, (float)stride, &goal_float, .5F, grad_float);
        for (int k = 0; k < 15; k++) {
            double unused[15] = {0};
            double keep = row[k];
            row[k] = keep + STEP;
            struct detector_loss_f64 high = detector_loss_face_f64(row, 56, 56, stride, &goal, .5, unused);
            row[k] = keep - STEP;
            struct detector_loss_f64 low = detector_loss_face_f64(row, 56, 56, stride, &goal, .5, unused);
            row[k] = keep;
            double difference = high.box + high.point - low.box - low.point + (k == 0 ? high.score - low.score : 0);
            assert_near(.5 * difference / (2 * STEP), grad[k], 1e-6, "cell", 15 * i + k);
            assert_near((double)grad_float[k], grad[k], 2e-5, "cell in float", 15 * i + k);
        }
        assert_true(loss.overlap >= 0 && loss.overlap <= 1);
    }
}

static void added_not_set(void **state)
{
    const float row[15] = {.5F, 1, 1, 1, 1};
    const struct detector_goal goal = {.box = {0, 0, 16, 16}};
    float once[15] = {0};
    float twice[15] = {0};

    (void)detector_loss_face(row, 8, 8, 8, &goal, 1, once);
    (void)detector_loss_face(row, 8, 8, 8, &goal, 1, twice);
    (void)detector_loss_face(row, 8, 8, 8, &goal, 1, twice);
    for (int k = 0; k < 15; k++) {
        assert_true(twice[k] == 2 * once[k]);
    }
    float none[15] = {0};
    assert_true(detector_loss_none(row, 1, none) > 0);
    assert_true(none[0] > 0);
    for (int k = 1; k < 15; k++) {
        assert_true(none[k] == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(score_slopes), cmocka_unit_test(box_slopes),
                                       cmocka_unit_test(cell_slopes), cmocka_unit_test(added_not_set)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
