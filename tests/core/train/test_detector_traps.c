/* test_detector_traps.c: what a detector sees beside the labels is a trap, with the faces there or hidden. */
#include <math.h>

#include "core/train/detector_build.h"
#include "core/train/detector_traps.h"
#include "detector_photos.h"

static struct detector_photos photos;

static int set_up(void **state)
{
    make_photos(&photos);
    return 0;
}

static int tear_down(void **state)
{
    remove_photos(&photos);
    return mem_live_blocks() == 0 ? 0 : -1;
}

/* A detector that has learnt nothing, and says of every cell of its coarsest level that a face is there with this logit. */
static struct detector *says(float logit, struct session **ret)
{
    static const struct preprocess how = {.color = COLOR_RGB, .mean = {127.5F, 127.5F, 127.5F}, .std = {128, 128, 128}};
    const struct build_options options = {.seed = 3};
    struct detector *detector;
    struct graph *graph;

    assert_int_equal(detector_build(DETECTOR_FINDS, &options, &graph, NULL), ERR_NONE);
    for (int i = 0; i < graph_value_count(graph); i++) {
        const struct tensor *tensor = graph_constant(graph, i);
        if (tensor != NULL && strcmp(graph_value_name(graph, i), "head.2.score.bias") == 0) {
            *(float *)tensor->data = logit;
        }
    }
    assert_int_equal(detector_new(graph, &how, &detector, NULL), ERR_NONE);
    assert_int_equal(session_new(detector_graph(detector), NULL, ret), ERR_NONE);
    return detector;
}

static float overlap(const float a[4], const float b[4])
{
    float width = fmaxf(0, fminf(a[2], b[2]) - fmaxf(a[0], b[0]));
    float height = fmaxf(0, fminf(a[3], b[3]) - fmaxf(a[1], b[1]));

    return width * height / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height);
}

static void beside_the_labels(void **state)
{
    struct labelled_photo photo = photos.labels.photos[0];
    struct arena *mem = arena_new((size_t)64 << 20);
    struct session *session;
    struct detector *detector = says(2, &session);
    int shown = 0;
    int hidden = 0;

    assert_int_equal(detector_traps_find(detector, session, &photo, 1, mem, mem, NULL), ERR_NONE);
    for (int i = 0; i < photo.n_traps; i++) {
        shown += !photo.traps[i].hidden;
        hidden += photo.traps[i].hidden;
    }
    /* Without the label all that is seen is a trap; with it as large as one of those, that one is none. */
    assert_true(shown > 0 && hidden > 0);
    struct detector_trap first = photo.traps[0];
    struct labelled_face face = {.unsure = true};
    memcpy(face.face.box, first.box, sizeof first.box);
    assert_false(first.hidden);
    photo.faces = &face;
    assert_int_equal(detector_traps_find(detector, session, &photo, 1, mem, mem, NULL), ERR_NONE);
    int left = 0;
    for (int i = 0; i < photo.n_traps; i++) {
        left += !photo.traps[i].hidden;
        assert_true(photo.traps[i].hidden || overlap(photo.traps[i].box, face.face.box) < .3F);
    }
    assert_true(left < shown);
    session_free(session);
    detector_free(detector);
    arena_free(mem);
}

static void nothing_is_seen(void **state)
{
    struct labelled_photo photo = photos.labels.photos[1];
    struct arena *mem = arena_new((size_t)64 << 20);
    struct session *session;
    struct detector *detector = says(-6, &session);
    struct detector_trap old = {.hidden = true};

    photo.traps = &old;
    photo.n_traps = 1;
    photo.path = "/tmp/no such photo";
    assert_int_equal(detector_traps_find(detector, session, &photo, 1, mem, mem, NULL), ERR_NOT_FOUND);
    assert_int_equal(photo.n_traps, 1);
    photo.path = photos.labels.photos[1].path;
    assert_int_equal(detector_traps_find(detector, session, &photo, 1, mem, mem, NULL), ERR_NONE);
    assert_int_equal(photo.n_traps, 0);
    session_free(session);
    detector_free(detector);
    arena_free(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(beside_the_labels), cmocka_unit_test(nothing_is_seen)};

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
