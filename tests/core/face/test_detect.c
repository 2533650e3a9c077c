/*
 * test_detect.c: detectors of our own making, whose scores are the colours of single pixels: red fires at stride 8, green
 * at 16, blue at 32.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/face/detect.h"
#include "tests/core/face/tiny_graph.h"

enum kind {
    KIND_RANK_2,       /* [rows, columns], perm 2 3 0 1, by kind: the published export */
    KIND_RANK_3,       /* [1, rows, columns], by stride */
    KIND_NO_POINTS,    /* six outputs */
    KIND_TWO_SCORES,   /* twelve outputs, as YuNet */
    KIND_LOGITS,       /* without Sigmoid */
    KIND_OTHER_LAYOUT, /* boxes as [rows, 5] */
};

static const struct preprocess raw = {COLOR_RGB, {0, 0, 0}, {1, 1, 1}};

/* Conv → Transpose → Reshape: what all SCRFD exports end in. */
static value_id head(struct graph *graph, value_id x, int stride, int columns, const float *weights, const float *bias,
                     enum kind kind)
{
    const int64_t perm[2][4] = {{2, 3, 0, 1}, {0, 2, 3, 1}};
    const bool rank_2 = kind != KIND_RANK_3;
    const struct attr attr = {.name = "perm", .kind = ATTR_INTS, .ints = perm[rank_2 ? 0 : 1], .count = 4};
    const int64_t to_2[2] = {-1, columns};
    const int64_t to_3[3] = {1, -1, columns};

    value_id y = tiny_conv(graph, x, stride, 2 * columns, 3, weights, bias);
    y = tiny_node(graph, "Transpose", &attr, 1, y, -1, -1);
    return tiny_node(graph, "Reshape", NULL, 0, y, tiny_ints(graph, rank_2 ? 2 : 3, rank_2 ? to_2 : to_3), -1);
}

/* Two anchors a cell; the second is a little less sure, and gives the same box. */
static struct graph *detector_graph_of(enum kind kind, int64_t height, int64_t width)
{
    struct graph *graph = tiny_new();
    const value_id x = tiny_input(graph, 1, 3, height, width);
    value_id score[3];
    value_id box[3];
    value_id point[3];

    for (int i = 0; i < 3; i++) {
        float weights[20 * 3] = {0};
        float bias[20] = {0};
        weights[i] = .08F; /* a full 255 gives 10.4, 128 just above 0 */
        weights[3 + i] = .08F;
        bias[0] = -10;
        bias[1] = -11;
        score[i] = head(graph, x, 8 << i, 1, weights, bias, kind);
        if (kind != KIND_LOGITS) {
            score[i] = tiny_node(graph, "Sigmoid", NULL, 0, score[i], -1, -1);
        }
        memset(weights, 0, sizeof weights);
        const int columns = kind == KIND_OTHER_LAYOUT ? 5 : 4;
        for (int k = 0; k < columns; k++) {
            bias[k] = (float)(k + 1);
            bias[columns + k] = (float)(k + 1);
        }
        box[i] = head(graph, x, 8 << i, columns, weights, bias, kind);
        for (int k = 0; k < 10; k++) {
            bias[k] = (float)k / 4;
            bias[10 + k] = (float)k / 4;
        }
        point[i] = head(graph, x, 8 << i, 10, weights, bias, kind);
    }
    for (int i = 0; i < 3; i++) {
        tiny_output(graph, score[i]);
        if (kind == KIND_TWO_SCORES) {
            tiny_output(graph, tiny_node(graph, "Relu", NULL, 0, score[i], -1, -1));
        }
        if (kind == KIND_RANK_3) {
            tiny_output(graph, box[i]);
            tiny_output(graph, point[i]);
        }
    }
    for (int i = 0; i < 3 && kind != KIND_RANK_3; i++) {
        tiny_output(graph, box[i]);
    }
    for (int i = 0; i < 3 && kind != KIND_RANK_3 && kind != KIND_NO_POINTS; i++) {
        tiny_output(graph, point[i]);
    }
    return tiny_seal(graph);
}

static void paint(struct image *photo, int x0, int y0, int side, int channel, uint8_t value)
{
    for (int y = y0; y < y0 + side && y < photo->height; y++) {
        for (int x = x0; x < x0 + side && x < photo->width; x++) {
            photo->rgb[3 * (y * photo->width + x) + channel] = value;
        }
    }
}

static void faces_are_found_where_they_are(void **state)
{
    /* One spot of colour in a photo; where the box must begin and end, in photo pixels. */
    static const struct {
        int fixed_height, fixed_width; /* -1: free */
        int photo_width, photo_height, side;
        int spot_x, spot_y, spot_side, channel;
        float box[4];
        float last_x; /* of the last point: 2 strides right of the anchor */
    } rows[] = {
        /* Not scaled. */
        {-1, -1, 640, 320, 640, 80, 40, 1, 0, {72, 24, 104, 72}, 96},
        {-1, -1, 640, 320, 640, 80, 48, 1, 1, {64, 16, 128, 112}, 112},
        {-1, -1, 640, 320, 640, 96, 64, 1, 2, {64, 0, 192, 192}, 160},
        {-1, -1, 320, 640, 640, 80, 40, 1, 0, {72, 24, 104, 72}, 96},
        /* Clipped at the photo's corners. */
        {-1, -1, 640, 320, 640, 0, 0, 1, 0, {0, 0, 24, 32}, 16},
        {-1, -1, 640, 320, 640, 632, 312, 1, 0, {624, 296, 640, 320}, 648},
        /* Halved: a spot of 4 pixels covers two, of which one is an anchor's. */
        {-1, -1, 1280, 640, 640, 158, 78, 6, 0, {144, 48, 208, 144}, 192},
        /* A side of 600 is made 608. */
        {-1, -1, 608, 608, 600, 80, 40, 1, 0, {72, 24, 104, 72}, 96},
        /* Enlarged by 1.3 at most: 200 becomes 260, not 640. */
        {-1, -1, 200, 200, 640, 59, 59, 6, 0, {72 / 1.3F, 64 / 1.3F, 104 / 1.3F, 112 / 1.3F}, 96 / 1.3F},
        /* A fixed input. */
        {320, 640, 640, 320, 0, 80, 40, 1, 0, {72, 24, 104, 72}, 96},
        {320, 640, 1280, 640, 0, 158, 78, 6, 0, {144, 48, 208, 144}, 192},
        {640, 640, 1280, 640, 1024, 158, 78, 6, 0, {144, 48, 208, 144}, 192},
    };
    struct arena *mem = arena_new((size_t)64 << 20);

    (void)state;
    for (int kind = KIND_RANK_2; kind <= KIND_RANK_3; kind++) {
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            const struct detect_options options = {.side = rows[i].side};
            struct detector *detector;
            struct session *session;
            struct image photo;
            struct face *faces = NULL;
            int n_faces = 0;
            struct err_note note = {0};
            struct graph *graph = detector_graph_of((enum kind)kind, rows[i].fixed_height, rows[i].fixed_width);
            if (detector_new(graph, &raw, &detector, &note) != ERR_NONE) {
                fail_msg("row %zu: %s", i, note.text);
            }
            assert_ptr_equal(detector_graph(detector), graph);
            assert_int_equal(session_new(graph, NULL, &session), ERR_NONE);
            assert_int_equal(image_new(rows[i].photo_width, rows[i].photo_height, mem, &photo), ERR_NONE);
            paint(&photo, rows[i].spot_x, rows[i].spot_y, rows[i].spot_side, rows[i].channel, 255);
            if (detector_run(detector, session, &photo, &options, mem, &faces, &n_faces, &note) != ERR_NONE) {
                fail_msg("row %zu: %s", i, note.text);
            }
            if (n_faces != 1) { /* the second anchor is suppressed */
                fail_msg("row %zu: %d faces", i, n_faces);
            }
            for (int k = 0; k < 4; k++) {
                if (faces[0].box[k] < rows[i].box[k] - .01F || faces[0].box[k] > rows[i].box[k] + .01F) {
                    fail_msg("row %zu: side %d of the box at %g, not %g", i, k, (double)faces[0].box[k],
                             (double)rows[i].box[k]);
                }
            }
            assert_float_equal(faces[0].point[4][0], rows[i].last_x, .01);
            session_free(session);
            detector_free(detector);
            arena_reset(mem);
        }
    }
    arena_free(mem);
    assert_int_equal(mem_live_blocks(), 0);
}

/* What shows only at half the scale is found by the second look; a fixed input looks twice too. */
static void a_second_look_sees_larger_faces(void **state)
{
    static const int64_t sizes[2][2] = {{-1, -1}, {320, 640}};
    struct arena *mem = arena_new((size_t)64 << 20);

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const struct detect_options options = {.side = 640};
        struct graph *graph = detector_graph_of(KIND_RANK_3, sizes[i][0], sizes[i][1]);
        struct detector *detector;
        struct session *session;
        struct image photo;
        struct face *faces = NULL;
        int n_faces = -1;
        assert_int_equal(detector_new(graph, &raw, &detector, NULL), ERR_NONE);
        assert_int_equal(session_new(graph, NULL, &session), ERR_NONE);
        assert_int_equal(image_new(640, 320, mem, &photo), ERR_NONE);
        assert_int_equal(detector_run(detector, session, &photo, &options, mem, &faces, &n_faces, NULL), ERR_NONE);
        assert_int_equal(n_faces, 0);
        /* Three of the four pixels that become one, but not the one where an anchor looks at full scale. */
        paint(&photo, 161, 80, 1, 0, 255);
        paint(&photo, 160, 81, 1, 0, 255);
        paint(&photo, 161, 81, 1, 0, 255);
        assert_int_equal(detector_run(detector, session, &photo, &options, mem, &faces, &n_faces, NULL), ERR_NONE);
        assert_int_equal(n_faces, 1);
        assert_float_equal(faces[0].box[0], 144, .01);
        assert_float_equal(faces[0].box[3], 144, .01);
        session_free(session);
        detector_free(detector);
        arena_reset(mem);
    }
    arena_free(mem);
    assert_int_equal(mem_live_blocks(), 0);
}

static void options_decide_what_counts(void **state)
{
    /* Three spots, 200 pixels apart, of falling brightness: 10.4, 4, .24 through the sigmoid: .99997, .982, .56. */
    static const struct {
        struct detect_options options;
        enum err err;
        int n_faces;
    } rows[] = {
        {{.side = 640}, ERR_NONE, 3},
        {{.side = 640, .min_score = .6F}, ERR_NONE, 2},
        {{.side = 640, .min_score = .99F}, ERR_NONE, 1},
        {{.side = 640, .min_score = .2F}, ERR_NONE, 3},
        {{.side = 640, .max_faces = 2}, ERR_NONE, 2},
        {{.side = 640, .max_overlap = 1}, ERR_NONE, 5}, /* the second anchors of the first two count too */
        {{.side = -1}, ERR_MISUSE, 0},
        {{.side = 8193}, ERR_MISUSE, 0},
        {{.side = 640, .min_score = -1}, ERR_MISUSE, 0},
        {{.side = 640, .max_faces = -1}, ERR_MISUSE, 0},
        {{.side = 640, .max_enlarge = -1}, ERR_MISUSE, 0},
        {{.side = 640, .max_overlap = -1}, ERR_MISUSE, 0},
    };
    struct arena *mem = arena_new((size_t)64 << 20);
    struct graph *graph = detector_graph_of(KIND_RANK_2, -1, -1);
    struct detector *detector;
    struct session *session;

    (void)state;
    assert_int_equal(detector_new(graph, &raw, &detector, NULL), ERR_NONE);
    assert_int_equal(session_new(graph, NULL, &session), ERR_NONE);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct image photo;
        struct face *faces = NULL;
        int n_faces = 0;
        assert_int_equal(image_new(640, 320, mem, &photo), ERR_NONE);
        paint(&photo, 80, 80, 1, 0, 175);
        paint(&photo, 280, 80, 1, 0, 255);
        paint(&photo, 480, 80, 1, 0, 128);
        const enum err err = detector_run(detector, session, &photo, &rows[i].options, mem, &faces, &n_faces, NULL);
        if (err != rows[i].err || n_faces != rows[i].n_faces) {
            fail_msg("row %zu: %s, %d faces", i, err_word(err), n_faces);
        }
        for (int k = 1; k < n_faces; k++) {
            assert_true(faces[k - 1].score >= faces[k].score);
        }
        arena_reset(mem);
    }
    struct arena *small = arena_new((size_t)1 << 20);
    struct image photo;
    struct face *faces;
    int n_faces;
    assert_int_equal(image_new(640, 320, mem, &photo), ERR_NONE);
    assert_int_equal(detector_run(detector, session, &photo, &rows[0].options, small, &faces, &n_faces, NULL),
                     ERR_LIMIT);
    arena_free(small);
    session_free(session);
    detector_free(detector);
    arena_free(mem);
    assert_int_equal(mem_live_blocks(), 0);
}

static void other_networks_are_refused_in_words(void **state)
{
    static const struct {
        enum kind kind;
        int64_t height, width;
        const char *words;
    } rows[] = {
        {KIND_NO_POINTS, -1, -1, "no outputs for the five points"},
        {KIND_TWO_SCORES, -1, -1, "YuNet"},
        {KIND_LOGITS, -1, -1, "Sigmoid"},
        {KIND_OTHER_LAYOUT, -1, -1, "5]"},
        {KIND_RANK_2, 300, 300, "not a multiple of 32"},
        {KIND_RANK_2, 1 << 20, 1 << 20, "not a multiple of 32 up to"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct detector *detector = NULL;
        struct err_note note = {0};
        const enum err err =
            detector_new(detector_graph_of(rows[i].kind, rows[i].height, rows[i].width), &raw, &detector, &note);
        if (err != ERR_UNSUPPORTED || strstr(note.text, rows[i].words) == NULL || detector != NULL) {
            fail_msg("row %zu: %s: %s", i, err_word(err), note.text);
        }
    }

    /* One output, four input channels. */
    struct graph *graph = tiny_new();
    struct detector *detector;
    struct err_note note = {0};
    tiny_output(graph, tiny_node(graph, "Relu", NULL, 0, tiny_input(graph, 1, 4, -1, -1), -1, -1));
    assert_int_equal(detector_new(tiny_seal(graph), &raw, &detector, &note), ERR_UNSUPPORTED);
    assert_non_null(strstr(note.text, "[1, 3, height, width]"));
    detector_free(NULL);
    assert_int_equal(mem_live_blocks(), 0);
}

static void no_allocation_fails_badly(void **state)
{
    (void)state;
    for (long n = 0;; n++) {
        struct detector *detector = NULL;
        struct graph *graph = detector_graph_of(KIND_RANK_2, -1, -1);
        mem_fail_at(n);
        const enum err err = detector_new(graph, &raw, &detector, NULL);
        mem_fail_at(-1);
        if (err == ERR_NONE) {
            assert_true(n > 2);
            detector_free(detector);
            break;
        }
        if (err != ERR_NOMEM) {
            fail_msg("allocation %ld: %s", n, err_word(err));
        }
        assert_int_equal(mem_live_blocks(), 0);
    }
    assert_int_equal(mem_live_blocks(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(faces_are_found_where_they_are), cmocka_unit_test(a_second_look_sees_larger_faces),
        cmocka_unit_test(options_decide_what_counts),     cmocka_unit_test(other_networks_are_refused_in_words),
        cmocka_unit_test(no_allocation_fails_badly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
