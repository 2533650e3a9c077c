/* probe_learn.c: the self-test of the loops of training. */
#include "core/kernel/conv_learn.h"
#include "core/kernel/probe.h"

/*
 * Winograd's way with more channels than a block and tiles that hang over, and with several images; then direct products with
 * few channels and a stride, and with pixels that no output sees.
 */
static const struct conv_shape shapes[] = {
    {1, 1, 17, 19, {1, 5, 3}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {1, 5, 3}},
    {2, 1, 16, 16, {1, 1, 5}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 2}, {1, 1, 5}},
    {2, 1, 3, 5, {1, 7, 9}, {1, 3, 3}, {1, 2, 2}, {1, 1, 1}, {0, 1, 1}, {1, 4, 5}},
    {1, 1, 9, 6, {1, 5, 8}, {1, 2, 2}, {1, 1, 3}, {1, 1, 1}, {0, 0, 0}, {1, 4, 3}},
};

/* The largest of these. */
enum {
    X = 2 * 3 * 7 * 9,
    Y = 19 * 5 * 3,
    W = 19 * 17 * 9,
    WORK = 47 * 1024
};

static bool forward_works(const struct learn_loops *loops, const struct conv_shape *s, double tolerance, float *work)
{
    float x[X];
    float w[W];
    float y[Y];
    float expected[Y];
    const struct finish none = {0};

    probe_floats(x, X, 60);
    probe_floats(w, W, 61);
    conv_learn_f32_by(loops, s, x, w, &none, y, work);
    conv_learn_f32_by(&learn_loops_ref, s, x, w, &none, expected, work);
    return probe_close(y, expected, s->n * s->oc * conv_out_pixels(s), tolerance, (double)(s->ic * conv_taps(s)));
}

static bool data_works(const struct learn_loops *loops, const struct conv_shape *s, double tolerance, float *work)
{
    float w[W];
    float dy[Y];
    float dx[X];
    float expected[X];

    probe_floats(w, W, 62);
    probe_floats(dy, Y, 63);
    probe_floats(dx, X, 64);
    probe_floats(expected, X, 64);
    conv_learn_data_f32_by(loops, s, w, dy, dx, work);
    conv_learn_data_f32_by(&learn_loops_ref, s, w, dy, expected, work);
    return probe_close(dx, expected, s->n * s->ic * conv_in_pixels(s), tolerance, (double)(s->oc * conv_taps(s)));
}

static bool weight_works(const struct learn_loops *loops, const struct conv_shape *s, double tolerance, float *work)
{
    float x[X];
    float dy[Y];
    float dw[W];
    float expected[W];

    probe_floats(x, X, 65);
    probe_floats(dy, Y, 66);
    probe_floats(dw, W, 67);
    probe_floats(expected, W, 67);
    conv_learn_weight_f32_by(loops, s, x, dy, dw, work);
    conv_learn_weight_f32_by(&learn_loops_ref, s, x, dy, expected, work);
    return probe_close(dw, expected, s->oc * s->ic * conv_taps(s), tolerance, (double)(s->n * conv_out_pixels(s)));
}

bool learn_loops_probe(const struct kernels *candidate, double tolerance)
{
    const struct learn_loops *loops = candidate->learn_loops;
    _Alignas(64) float work[WORK];
    bool works = true;

    for (int i = 0; works && i < (int)(sizeof shapes / sizeof shapes[0]); i++) {
        size_t bytes = 0;
        works = conv_learn_backward_work_bytes(&shapes[i], &bytes) && bytes <= sizeof work &&
                forward_works(loops, &shapes[i], tolerance, work) && data_works(loops, &shapes[i], tolerance, work) &&
                weight_works(loops, &shapes[i], tolerance, work);
    }
    return works;
}
