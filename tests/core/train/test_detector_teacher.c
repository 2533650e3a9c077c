/* test_detector_teacher.c: what a cell of YuNet says, what several looks agree on, and a network that is no YuNet. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/op/op_list.h"
#include "core/train/detector_teacher.h"

static const float scale[TEACHER_VIEWS] = {1.28F, 1.28F, 1, 1, .56F, .56F};

static void a_cell(void **state)
{
    float box[4 * 6] = {0};
    float point[10 * 6] = {0};
    float class_score[6] = {0, 0, 0, 0, .81F, 2};
    float object_score[6] = {0, 0, 0, 0, .25F, 1};
    struct teacher_level level = {.stride = 16,
                                  .columns = 3,
                                  .rows = 2,
                                  .class_score = class_score,
                                  .object_score = object_score,
                                  .box = box,
                                  .point = point};

    box[16] = .5F;
    box[17] = -.25F;
    box[18] = logf(4);
    box[19] = logf(2);
    point[42] = 1;
    point[43] = 2;
    struct face face = teacher_decode(&level, 4); /* column 1, row 1 */
    assert_true(fabsf(face.score - .45F) < 1e-6F);
    /* the middle is at (1.5, .75) · 16, the sides are 64 and 32 */
    assert_true(fabsf(face.box[0] + 8) < 1e-4F && fabsf(face.box[2] - 56) < 1e-4F);
    assert_true(fabsf(face.box[1] + 4) < 1e-4F && fabsf(face.box[3] - 28) < 1e-4F);
    assert_true(face.point[1][0] == 32 && face.point[1][1] == 48);
    assert_true(face.point[0][0] == 16 && face.point[0][1] == 16);
    assert_true(teacher_decode(&level, 5).score == 1); /* cut to 0..1 */
}

static struct teacher_sight sight(int view, float x, float side, float score)
{
    struct teacher_sight one = {
        .face = {.box = {x, 50, x + side, 50 + side}, .score = score}, .view = view, .scale = scale[view]};

    for (int i = 0; i < 5; i++) {
        one.face.point[i][0] = x + 10 * (float)i;
        one.face.point[i][1] = 60;
    }
    return one;
}

static void most_agree(void **state)
{
    /* two sights of one look: the better counts */
    struct teacher_sight sights[] = {sight(0, 100, 90, .9F), sight(0, 112, 90, .5F), sight(1, 102, 90, .95F),
                                     sight(2, 99, 90, .8F),  sight(3, 101, 90, .7F), sight(4, 125, 90, .65F)};
    struct labelled_face labels[6];

    assert_int_equal(teacher_join(sights, 6, scale, labels), 1);
    assert_false(labels[0].unsure);
    assert_true(labels[0].face.score == .95F);
    assert_true(labels[0].face.box[0] == 101); /* of 99 100 101 102 125 */
    /* 30 beside the mean of 100 102 99 101 125 */
    assert_true(fabsf(labels[0].face.point[3][0] - 135.4F) < 1e-4F);
}

static void clear_points(void **state)
{
    static const struct {
        float side;
        int from;       /* of the looks 0 to 5, those from here see it */
        float x0, step; /* look v has its points at x0 + v · step */
        float mean;
    } rows[] = {{80, 0, 100, 1, 101.5F},  /* 45 pixels in the smallest two: the mean of the looks 0 to 3 */
                {90, 0, 100, 1, 102.5F},  /* 50 pixels: all */
                {40, 0, 100, 1, 100.5F},  /* 51 in the first two */
                {30, 0, 100, 1, 100.5F},  /* clear in none: the largest two */
                {30, 2, 100, 1, 102.5F}}; /* the largest that saw it */

    for (int i = 0; i < (int)(sizeof rows / sizeof rows[0]); i++) {
        struct teacher_sight sights[TEACHER_VIEWS];
        struct labelled_face labels[TEACHER_VIEWS];
        int n = 0;
        for (int v = rows[i].from; v < TEACHER_VIEWS; v++, n++) {
            sights[n] = sight(v, 100, rows[i].side, .9F);
            for (int k = 0; k < 5; k++) {
                sights[n].face.point[k][0] = rows[i].x0 + rows[i].step * (float)v;
            }
        }
        assert_int_equal(teacher_join(sights, n, scale, labels), 1);
        if (fabsf(labels[0].face.point[2][0] - rows[i].mean) > 1e-3F) {
            fail_msg("row %d: the points are at %g", i, (double)labels[0].face.point[2][0]);
        }
    }
}

static void few_agree(void **state)
{
    static const struct {
        float side;
        int views;   /* how many looks see it */
        float score; /* all of them with this */
        bool unsure;
    } rows[] = {{90, 1, .9F, true},
                {90, 2, .9F, true},
                {90, 3, .9F, false},
                {90, 6, .9F, false},
                {90, 6, .55F, true},
                /* too small to be seen in the smallest two looks: half of four is enough */
                {18, 2, .9F, false},
                {18, 1, .9F, true},
                /* not to be expected in any: two are needed all the same */
                {9, 1, .9F, true},
                {9, 2, .9F, false}};

    for (int i = 0; i < (int)(sizeof rows / sizeof rows[0]); i++) {
        struct teacher_sight sights[TEACHER_VIEWS];
        struct labelled_face labels[TEACHER_VIEWS];
        for (int v = 0; v < rows[i].views; v++) {
            sights[v] = sight(v, 30, rows[i].side, rows[i].score);
        }
        assert_int_equal(teacher_join(sights, rows[i].views, scale, labels), 1);
        if (labels[0].unsure != rows[i].unsure) {
            fail_msg("row %d: unsure is %d", i, labels[0].unsure);
        }
    }
}

static void two_faces(void **state)
{
    struct teacher_sight sights[8];
    struct labelled_face labels[8];

    for (int v = 0; v < 4; v++) {
        sights[2 * v] = sight(v, 20, 60, .7F);
        sights[2 * v + 1] = sight(v, 120, 60, .9F);
    }
    assert_int_equal(teacher_join(sights, 8, scale, labels), 2);
    assert_true(labels[0].face.box[0] == 120 && labels[1].face.box[0] == 20);
    assert_int_equal(teacher_join(sights, 0, scale, labels), 0);
}

static void no_teacher(void **state)
{
    const struct shape shape = {4, {1, 3, 640, 640}};
    struct graph *graph;
    struct detector_teacher *teacher = NULL;
    struct err_note note = {0};
    value_id in;
    value_id out;

    assert_int_equal(graph_new(op_list(), (size_t)1 << 20, &graph), ERR_NONE);
    assert_int_equal(graph_set_opset(graph, "", 11, NULL), ERR_NONE);
    assert_int_equal(graph_add_input(graph, "input", DTYPE_F32, &shape, &in, NULL), ERR_NONE);
    assert_int_equal(graph_value(graph, "cls_8", &out, NULL), ERR_NONE);
    assert_int_equal(graph_add_node(graph, "", "Relu", "relu", &(struct attrs){0}, &in, 1, &out, 1, NULL), ERR_NONE);
    assert_int_equal(graph_add_output(graph, out, DTYPE_F32, &shape, NULL), ERR_NONE);
    assert_int_equal(graph_finish(graph, NULL), ERR_NONE);
    graph_seal(graph);
    assert_int_equal(detector_teacher_new(graph, &teacher, &note), ERR_UNSUPPORTED);
    assert_non_null(strstr(note.text, "obj_8"));
    assert_null(teacher);
    assert_int_equal(mem_live_blocks(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_cell),       cmocka_unit_test(most_agree),
                                       cmocka_unit_test(clear_points), cmocka_unit_test(few_agree),
                                       cmocka_unit_test(two_faces),    cmocka_unit_test(no_teacher)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
