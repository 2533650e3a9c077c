/*
 * test_gradients.c: the networks at hand learn as written: the way back runs on real crops, every gradient is finite, and
 * along its own direction the embeddings change as much as its length says.
 *
 * The networks run in float here, so a difference over a small step drowns in rounding and over a large one in curvature and
 * in the kinks of some hundred thousand activations.  Two steps are extrapolated, and 2 % are allowed: a layer that is
 * forgotten or twice there shows, and finer proof is in tests/core.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/base/random.h"
#include "core/train/tape.h"
#include "tests/real/real_support.h"

enum {
    N_CROPS = 4,
    SIDE = 112
};

#define BOUND 0.02

struct network {
    struct graph *graph;
    struct parameters *parameters;
    struct tape *tape;
    struct tensor input;
    int64_t n_out;
    float *out_grad;
    double scale; /* Σ |output · out_grad| */
};

static void check(enum err err, const struct err_note *note)
{
    if (err != ERR_NONE) {
        fail_msg("%s: %s", err_word(err), note->text);
    }
}

/* The reference crops as the network wants them. */
static void load_crops(struct network *n, const struct preprocess *how, int64_t n_images)
{
    size_t n_bytes;
    unsigned char *crops = real_read(&n_bytes, "reference/aligned_112_rgb_u8.bin");
    float *x = MEM_ARRAY(float, (size_t)(n_images * 3 * SIDE * SIDE));

    assert_non_null(x);
    for (int64_t i = 0; i < n_images * 3 * SIDE * SIDE; i++) {
        int64_t pixel = i % (SIDE * SIDE);
        int64_t c = i / (SIDE * SIDE) % 3;
        int64_t image = i / (SIDE * SIDE) / 3;
        x[i] = ((float)crops[(image * SIDE * SIDE + pixel) * 3 + c] - how->mean[c]) / how->std[c];
    }
    mem_free(crops);
    n->input = (struct tensor){.type = DTYPE_F32, .shape = {4, {n_images, 3, SIDE, SIDE}}, .data = x};
}

static struct network load(const char *name, bool batch_statistics)
{
    struct network n = {0};
    struct preprocess how;
    struct err_note note = {0};
    struct tensor output;
    struct random random = random_seeded(1, 1);
    const struct tape_options options = {.batch_statistics = batch_statistics, .input_gradient = true};

    n.graph = real_graph(name, ONNX_AS_WRITTEN, &how);
    check(graph_fold_constants(n.graph, &note), &note);
    graph_seal(n.graph);
    check(parameters_new(n.graph, &n.parameters, &note), &note);
    check(tape_new(n.graph, n.parameters, &options, &n.tape, &note), &note);
    load_crops(&n, &how, N_CROPS);
    check(tape_forward(n.tape, &n.input, 0, &output, &note), &note);
    n.n_out = shape_elements(&output.shape);
    n.out_grad = MEM_ARRAY(float, (size_t)n.n_out);
    assert_non_null(n.out_grad);
    for (int64_t i = 0; i < n.n_out; i++) {
        n.out_grad[i] = (float)random_normal(&random);
        n.scale += fabs((double)((const float *)output.data)[i] * (double)n.out_grad[i]);
    }
    return n;
}

static void release(struct network *n)
{
    tape_free(n->tape);
    parameters_free(n->parameters);
    graph_free(n->graph);
    mem_free(n->input.data);
    mem_free(n->out_grad);
}

static double value(struct network *n)
{
    struct tensor output;
    struct err_note note = {0};
    double sum = 0;

    check(tape_forward(n->tape, &n->input, 0, &output, &note), &note);
    for (int64_t i = 0; i < n->n_out; i++) {
        sum += (double)((const float *)output.data)[i] * (double)n->out_grad[i];
    }
    return sum;
}

/* The change of the value along a direction, per unit of its length. */
static double slope_along(struct network *n, float *at, const float *direction, size_t count, double length, double h)
{
    float *here = mem_copy(at, count * sizeof *at);
    double sides[2];

    assert_non_null(here);
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < count; i++) {
            at[i] = here[i] + (float)((side == 0 ? h : -h) * (double)direction[i] / length);
        }
        sides[side] = value(n);
    }
    memcpy(at, here, count * sizeof *at);
    mem_free(here);
    return (sides[0] - sides[1]) / (2 * h);
}

static double length_of(const float *list, size_t count)
{
    double sum = 0;

    for (size_t i = 0; i < count; i++) {
        sum += (double)list[i] * (double)list[i];
    }
    return sqrt(sum);
}

static void check_along(struct network *n, const char *model, const char *what, float *at, const float *gradient,
                        size_t count)
{
    double length = length_of(gradient, count);

    if (!(isfinite(length) && length > 0)) {
        fail_msg("%s, gradient of %s: its length is %g", model, what, length);
    }
    /* A step that changes the value by 5e-4 of what it is the sum of, some hundred times its rounding. */
    double h = 5e-4 * n->scale / length;
    double coarse = slope_along(n, at, gradient, count, length, h);
    double fine = slope_along(n, at, gradient, count, length, h / 2);
    double slope = (4 * fine - coarse) / 3;
    printf("# %s %s: |gradient| %.6g, difference %.6g (%.6g, %.6g)\n", model, what, length, slope, coarse, fine);
    if (!(fabs(slope - length) <= BOUND * length)) {
        fail_msg("%s, gradient of %s: its length is %.6g, the difference along it %.6g", model, what, length, slope);
    }
}

static void whole_networks(void **state)
{
    static const struct {
        const char *model;
        bool batch_statistics;
    } rows[] = {{"mobilefacenet_128", false}, {"mobilefacenet_y1_128", false}, {"mobilefacenet_y1_128", true}};

    for (int r = 0; r < 3; r++) {
        struct network n = load(rows[r].model, rows[r].batch_statistics);
        struct parameters *p = n.parameters;
        float *gradients = parameters_block(p);
        size_t n_input = (size_t)shape_elements(&n.input.shape);
        float *input_grad = MEM_ARRAY(float, n_input);
        struct err_note note = {0};
        size_t n_learnt = 0;
        assert_true(gradients != NULL && input_grad != NULL);
        check(tape_backward(n.tape, n.out_grad, gradients, input_grad, &note), &note);
        for (int i = 0; i < p->count; i++) {
            n_learnt += p->list[i].offset < p->n_trainable ? p->list[i].count : 0;
        }
        printf("# %s%s: %zu parameters learnt, peak %.1f MB for %d crops\n", rows[r].model,
               rows[r].batch_statistics ? ", statistics of the batch" : "", n_learnt,
               (double)tape_peak_bytes(n.tape) / 1e6, N_CROPS);
        check_along(&n, rows[r].model, "the input", n.input.data, input_grad, n_input);
        for (int i = 0; i < p->count; i++) {
            const struct parameter *one = &p->list[i];
            bool learnt = one->offset < p->n_trainable;
            for (size_t k = one->offset; k < one->offset + one->count; k++) {
                assert_true(isfinite((double)gradients[k]));
            }
            /* All of them would take minutes: some matrices from the first to the last. */
            if (learnt && one->kind == PARAMETER_WEIGHT && (i % 40 == 0 || one->shape.rank == 2)) {
                check_along(&n, rows[r].model, one->name, p->values + one->offset, gradients + one->offset, one->count);
            }
        }
        mem_free(gradients);
        mem_free(input_grad);
        release(&n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_networks),
    };

    real_skip_without_shared();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
