/* test_scrfd.c: outputs recognised by shape, anchors decoded, overlapping boxes suppressed. */

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/face/scrfd_private.h"

enum {
    WIDTH = 96,
    HEIGHT = 64,
    MOST = 16
};

static const char *const names[MOST] = {"o0", "o1", "o2", "o3", "o4", "o5", "o6", "o7",
                                        "o8", "o9", "oa", "ob", "oc", "od", "oe", "of"};

static struct tensor table(struct arena *mem, int64_t rows, int64_t columns, int rank)
{
    struct tensor tensor = {.type = DTYPE_F32, .shape = {.rank = rank, .dim = {rows, columns}}};

    if (rank == 3) {
        tensor.shape = (struct shape){.rank = 3, .dim = {1, rows, columns}};
    }
    tensor.data = ARENA_ARRAY(mem, float, rows *columns + 1);
    assert_non_null(tensor.data);
    return tensor;
}

/* The nine outputs in the published order: scores, boxes, points, each at strides 8, 16, 32. */
static void nine(struct arena *mem, int anchors, int rank, struct tensor ret[SCRFD_OUTPUTS])
{
    static const int64_t columns[3] = {1, 4, 10};

    for (int i = 0; i < SCRFD_OUTPUTS; i++) {
        const int stride = 8 << (i % 3);
        ret[i] = table(mem, (int64_t)(WIDTH / stride) * (HEIGHT / stride) * anchors, columns[i / 3], rank);
    }
}

static void outputs_are_told_apart_by_shape(void **state)
{
    static const struct {
        int anchors, rank;
        int order[SCRFD_OUTPUTS]; /* which of the published ones stands where */
    } rows[] = {
        {2, 2, {0, 1, 2, 3, 4, 5, 6, 7, 8}}, {2, 3, {0, 1, 2, 3, 4, 5, 6, 7, 8}},
        {2, 2, {0, 3, 6, 1, 4, 7, 2, 5, 8}}, /* by stride */
        {1, 3, {8, 7, 6, 5, 4, 3, 2, 1, 0}}, {3, 2, {5, 2, 8, 0, 7, 4, 1, 6, 3}},
        {4, 3, {2, 1, 0, 5, 4, 3, 8, 7, 6}}, /* 4 anchors at stride 16 have the rows of 1 at stride 8 */
    };
    struct arena *mem = arena_new((size_t)4 << 20);

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tensor published[SCRFD_OUTPUTS];
        struct tensor outputs[SCRFD_OUTPUTS];
        struct scrfd_heads heads;
        struct err_note note = {0};
        nine(mem, rows[i].anchors, rows[i].rank, published);
        for (int k = 0; k < SCRFD_OUTPUTS; k++) {
            outputs[k] = published[rows[i].order[k]];
        }
        if (scrfd_recognise(names, outputs, SCRFD_OUTPUTS, WIDTH, HEIGHT, &heads, &note) != ERR_NONE) {
            fail_msg("row %zu is refused: %s", i, note.text);
        }
        assert_int_equal(heads.n_anchors, rows[i].anchors);
        for (int k = 0; k < SCRFD_LEVELS; k++) {
            const struct scrfd_level *level = &heads.level[k];
            if (level->stride != 8 << k || rows[i].order[level->score] != k || rows[i].order[level->box] != 3 + k ||
                rows[i].order[level->point] != 6 + k) {
                fail_msg("row %zu, level %d: score %d, box %d, point %d", i, k, level->score, level->box, level->point);
            }
        }
    }
    arena_free(mem);
    assert_int_equal(mem_live_blocks(), 0);
}

static void other_networks_are_refused_in_words(void **state)
{
    /* Rows × columns of each output; 0 ends the list. */
    static const struct {
        int64_t shape[MOST][2];
        const char *words;
    } rows[] = {
        {{{192, 1}, {48, 1}, {12, 1}, {192, 4}, {48, 4}, {12, 4}}, "no outputs for the five points"},
        {{{1, 1000}}, "'o0' has the shape [1, 1000]"},
        {{{96, 1}, {24, 1}, {6, 1}, {96, 1}, {24, 1}, {6, 1}, {96, 4}, {24, 4}, {6, 4}, {96, 10}, {24, 10}, {6, 10}},
         "YuNet"},
        {{{192, 1}, {48, 1}, {192, 4}, {48, 4}, {192, 10}, {48, 10}}, "2 outputs for scores"},
        {{{192, 1}, {48, 1}, {12, 1}, {192, 4}, {48, 4}, {12, 4}, {192, 10}, {48, 10}, {24, 10}},
         "five points at stride 32"},
        {{{192, 1}, {48, 1}, {12, 1}, {192, 4}, {24, 4}, {12, 4}, {192, 10}, {48, 10}, {12, 10}}, "box at stride 16"},
        {{{192, 1}, {192, 1}, {12, 1}, {192, 4}, {48, 4}, {12, 4}, {192, 10}, {48, 10}, {12, 10}}, "score at stride 8"},
        {{{191, 1}, {48, 1}, {12, 1}, {192, 4}, {48, 4}, {12, 4}, {192, 10}, {48, 10}, {12, 10}}, "191 rows"},
        {{{96000, 1}, {48, 1}, {12, 1}, {192, 4}, {48, 4}, {12, 4}, {192, 10}, {48, 10}, {12, 10}}, "96000 rows"},
        {{{0}}, "0 outputs for scores"},
    };
    struct arena *mem = arena_new((size_t)16 << 20);

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tensor outputs[MOST];
        struct scrfd_heads heads;
        struct err_note note = {0};
        int n = 0;
        while (n < MOST && rows[i].shape[n][0] > 0) {
            outputs[n] = table(mem, rows[i].shape[n][0], rows[i].shape[n][1], 2);
            n++;
        }
        const enum err err = scrfd_recognise(names, outputs, n, WIDTH, HEIGHT, &heads, &note);
        if (err != ERR_UNSUPPORTED || strstr(note.text, rows[i].words) == NULL) {
            fail_msg("row %zu: %s: %s", i, err_word(err), note.text);
        }
    }

    /* Not a table at all: integers, four dimensions, a batch of two. */
    for (int i = 0; i < 3; i++) {
        struct tensor outputs[SCRFD_OUTPUTS];
        struct scrfd_heads heads;
        struct err_note note = {0};
        nine(mem, 2, 3, outputs);
        if (i == 0) {
            outputs[4].type = DTYPE_I32;
        } else if (i == 1) {
            outputs[4].shape.rank = 4;
            outputs[4].shape.dim[3] = 1;
        } else {
            outputs[4].shape.dim[0] = 2;
        }
        assert_int_equal(scrfd_recognise(names, outputs, SCRFD_OUTPUTS, WIDTH, HEIGHT, &heads, &note), ERR_UNSUPPORTED);
        assert_non_null(strstr(note.text, "'o4'"));
    }
    arena_free(mem);
    assert_int_equal(mem_live_blocks(), 0);
}

/* Sets one anchor: its score, box distances 1 2 3 4 and points (i / 2, -i), all in strides. */
static void set_anchor(const struct scrfd_heads *heads, struct tensor *outputs, int level, int64_t row, float score)
{
    const struct scrfd_level *at = &heads->level[level];

    ((float *)outputs[at->score].data)[row] = score;
    for (int i = 0; i < 4; i++) {
        ((float *)outputs[at->box].data)[4 * row + i] = (float)(i + 1);
    }
    for (int i = 0; i < 5; i++) {
        ((float *)outputs[at->point].data)[10 * row + 2 * i] = (float)i / 2;
        ((float *)outputs[at->point].data)[10 * row + 2 * i + 1] = (float)-i;
    }
}

static void anchors_stand_at_their_cells(void **state)
{
    static const struct {
        int level, anchors;
        int64_t row;
        float x, y;
    } rows[] = {
        {0, 2, 0, 0, 0},    {0, 2, 1, 0, 0},     {0, 2, 2, 8, 0},   {0, 2, 23, 88, 0},
        {0, 2, 24, 0, 8},   {0, 2, 191, 88, 56}, {1, 2, 11, 80, 0}, {1, 2, 12, 0, 16},
        {1, 2, 47, 80, 48}, {2, 2, 11, 64, 32},  {0, 1, 12, 0, 8},  {2, 3, 17, 64, 32},
    };
    struct arena *mem = arena_new((size_t)4 << 20);

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tensor outputs[SCRFD_OUTPUTS];
        struct scrfd_heads heads;
        struct face *faces;
        int n_faces;
        const float stride = (float)(8 << rows[i].level);
        nine(mem, rows[i].anchors, 2, outputs);
        assert_int_equal(scrfd_recognise(names, outputs, SCRFD_OUTPUTS, WIDTH, HEIGHT, &heads, NULL), ERR_NONE);
        set_anchor(&heads, outputs, rows[i].level, rows[i].row, .75F);
        assert_int_equal(scrfd_decode(&heads, outputs, WIDTH, HEIGHT, .75F, mem, &faces, &n_faces, NULL), ERR_NONE);
        if (n_faces != 1 || faces[0].score != .75F || faces[0].box[0] != rows[i].x - stride ||
            faces[0].box[1] != rows[i].y - 2 * stride || faces[0].box[2] != rows[i].x + 3 * stride ||
            faces[0].box[3] != rows[i].y + 4 * stride || faces[0].point[3][0] != rows[i].x + 1.5F * stride ||
            faces[0].point[3][1] != rows[i].y - 3 * stride) {
            fail_msg("row %zu: %d faces, box from (%g, %g)", i, n_faces, (double)faces[0].box[0],
                     (double)faces[0].box[1]);
        }
        assert_int_equal(scrfd_decode(&heads, outputs, WIDTH, HEIGHT, .7501F, mem, &faces, &n_faces, NULL), ERR_NONE);
        assert_int_equal(n_faces, 0);
        arena_reset(mem);
    }
    arena_free(mem);
    assert_int_equal(mem_live_blocks(), 0);
}

static void broken_outputs_are_errors(void **state)
{
    static const float scores[] = {NAN, 1.01F, -.01F, INFINITY, -6.0F};
    struct arena *mem = arena_new((size_t)4 << 20);
    struct tensor outputs[SCRFD_OUTPUTS];
    struct scrfd_heads heads;
    struct face *faces;
    int n_faces;

    (void)state;
    nine(mem, 2, 3, outputs);
    assert_int_equal(scrfd_recognise(names, outputs, SCRFD_OUTPUTS, WIDTH, HEIGHT, &heads, NULL), ERR_NONE);
    for (size_t i = 0; i < sizeof scores / sizeof scores[0]; i++) {
        struct err_note note = {0};
        set_anchor(&heads, outputs, 1, 5, scores[i]);
        if (scrfd_decode(&heads, outputs, WIDTH, HEIGHT, .5F, mem, &faces, &n_faces, &note) != ERR_FORMAT ||
            strstr(note.text, "score") == NULL) {
            fail_msg("row %zu: the score %g passes: %s", i, (double)scores[i], note.text);
        }
    }
    set_anchor(&heads, outputs, 1, 5, .9F);
    ((float *)outputs[heads.level[1].point].data)[10 * 5 + 9] = NAN;
    assert_int_equal(scrfd_decode(&heads, outputs, WIDTH, HEIGHT, .5F, mem, &faces, &n_faces, NULL), ERR_FORMAT);
    /* What is not asked for may be anything. */
    set_anchor(&heads, outputs, 1, 5, .4F);
    ((float *)outputs[heads.level[1].box].data)[4 * 5] = NAN;
    assert_int_equal(scrfd_decode(&heads, outputs, WIDTH, HEIGHT, .5F, mem, &faces, &n_faces, NULL), ERR_NONE);
    /* Another input size than the outputs are for. */
    assert_int_equal(scrfd_decode(&heads, outputs, WIDTH, HEIGHT + 32, .5F, mem, &faces, &n_faces, NULL), ERR_FORMAT);
    struct arena *small = arena_new(256);
    for (int i = 0; i < 40; i++) {
        set_anchor(&heads, outputs, 0, i, .9F);
    }
    assert_int_equal(scrfd_decode(&heads, outputs, WIDTH, HEIGHT, .5F, small, &faces, &n_faces, NULL), ERR_LIMIT);
    arena_free(small);
    arena_free(mem);
    assert_int_equal(mem_live_blocks(), 0);
}

static void weaker_overlapping_boxes_go(void **state)
{
    /* Boxes of 10 × 10 pixels (sides count both ends) at x; what is left are the x in order. */
    static const struct {
        int n;
        float x[4], score[4];
        float max_overlap;
        int max_faces;
        int n_left;
        float left[4];
    } rows[] = {
        {0, {0}, {0}, .4F, 9, 0, {0}},
        {1, {5}, {.6F}, .4F, 9, 1, {5}},
        {2, {0, 20}, {.6F, .7F}, .4F, 9, 2, {20, 0}}, /* best first */
        {2, {0, 4}, {.6F, .7F}, .4F, 9, 1, {4}},      /* 6 of 14 columns are common: .4286 */
        {2, {0, 4}, {.6F, .7F}, .43F, 9, 2, {4, 0}},
        {2, {0, 5}, {.6F, .7F}, .4F, 9, 2, {5, 0}},                      /* 5 of 15: .333 */
        {2, {0, 0}, {.7F, .7F}, .4F, 9, 1, {0}},                         /* the same box twice */
        {3, {0, 4, 8}, {.8F, .9F, .7F}, .4F, 9, 1, {4}},                 /* both neighbours of the best */
        {3, {0, 4, 8}, {.9F, .8F, .7F}, .4F, 9, 2, {0, 8}},              /* what went suppresses nothing */
        {4, {0, 20, 40, 60}, {.5F, .8F, .6F, .7F}, .4F, 2, 2, {20, 60}}, /* the weakest beyond the count */
        {3, {40, 0, 20}, {.5F, .5F, .5F}, .4F, 9, 3, {0, 20, 40}},       /* equal scores: by place */
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct face faces[4] = {{.score = 0}};
        for (int k = 0; k < rows[i].n; k++) {
            faces[k] = (struct face){.box = {rows[i].x[k], 3, rows[i].x[k] + 9, 12}, .score = rows[i].score[k]};
        }
        const int n_left = scrfd_suppress(faces, rows[i].n, rows[i].max_overlap, rows[i].max_faces);
        if (n_left != rows[i].n_left) {
            fail_msg("row %zu: %d are left", i, n_left);
        }
        for (int k = 0; k < n_left; k++) {
            if (faces[k].box[0] != rows[i].left[k]) {
                fail_msg("row %zu: at %d stands the box of %g", i, k, (double)faces[k].box[0]);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outputs_are_told_apart_by_shape), cmocka_unit_test(other_networks_are_refused_in_words),
        cmocka_unit_test(anchors_stand_at_their_cells),    cmocka_unit_test(broken_outputs_are_errors),
        cmocka_unit_test(weaker_overlapping_boxes_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
