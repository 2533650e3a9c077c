/*
 * test_conv_learn.c: the convolutions of training against the definition in double precision, forward and back, with every
 * instruction set that this processor has and with the reference, and with canaries behind every output and behind the scratch.
 */
#include "core/kernel/conv_learn.h"

#include "core/kernel/conv_backward.h"
#include "core/kernel/kernels.h"
#include "core/kernel/probe.h"

#include "gradient_check.h"

#define float double
#define conv_f32_ref conv_f64_ref
#define conv_backward_f32_ref conv_backward_f64_ref
#define finish_rows no_finish
static void no_finish(const struct finish *finish, const double *base, int64_t channel0, int64_t n_rows, int64_t n_cols,
                      double *y, int64_t ld)
{
}
void conv_f64_ref(const struct conv_shape *s, const double *x, const double *w, const struct finish *finish, double *y);
void conv_backward_f64_ref(const struct conv_shape *s, const double *x, const double *w, const double *dy, double *dx,
                           double *dw, double *db);
#include "core/kernel/conv_backward_ref.c"
#include "core/kernel/conv_ref.c"
#undef float
#undef conv_f32_ref
#undef conv_backward_f32_ref
#undef finish_rows

struct row {
    int64_t n, ic, oc, h, w, kernel, stride, pad, pad_end;
};

static const struct row rows[] = {
    /* Winograd: tiles that fit, that hang over, one pixel, odd channels, every padding, several blocks. */
    {1, 16, 16, 4, 4, 3, 1, 1, 1},
    {1, 16, 16, 1, 1, 3, 1, 1, 1},
    {3, 16, 33, 5, 6, 3, 1, 1, 1},
    {2, 17, 31, 7, 9, 3, 1, 1, 1},
    {2, 19, 16, 8, 3, 3, 1, 0, 0},
    {1, 16, 20, 6, 5, 3, 1, 2, 2},
    {1, 18, 18, 9, 7, 3, 1, 0, 2},
    {1, 18, 18, 7, 9, 3, 1, 2, 0},
    {8, 24, 40, 14, 14, 3, 1, 1, 1},
    {9, 64, 64, 7, 7, 3, 1, 1, 1},
    {2, 64, 32, 41, 40, 3, 1, 1, 1},
    {1, 256, 64, 14, 14, 3, 1, 1, 1},
    /* Direct products: few channels, strides, windows of all kinds, whole images in a block and parts of them. */
    {1, 1, 1, 2, 2, 3, 1, 1, 1},
    {3, 3, 16, 13, 14, 3, 1, 1, 1},
    {2, 3, 64, 15, 16, 3, 2, 1, 1},
    {1, 7, 5, 9, 9, 3, 2, 1, 0},
    {4, 16, 16, 14, 14, 3, 2, 1, 1},
    {3, 17, 33, 15, 13, 3, 2, 1, 1},
    {2, 64, 64, 56, 56, 3, 2, 1, 1},
    {5, 130, 65, 7, 7, 3, 2, 1, 1},
    {2, 32, 48, 14, 14, 1, 2, 0, 0},
    {2, 20, 24, 9, 10, 1, 3, 0, 0},
    {1, 16, 24, 11, 12, 5, 1, 2, 2},
    {1, 16, 24, 12, 17, 5, 3, 2, 1},
    {2, 8, 8, 7, 7, 7, 1, 0, 0},
    {1, 4, 9, 8, 7, 2, 2, 0, 0},
    {1, 5, 6, 8, 9, 2, 1, 1, 0},
    {1, 9, 6, 10, 9, 3, 4, 1, 3},
    {2, 9, 6, 10, 9, 2, 3, 0, 0}, /* pixels that no output sees */
    /* Pointwise. */
    {2, 24, 40, 9, 7, 1, 1, 0, 0},
};
#define N_ROWS ((int)(sizeof rows / sizeof rows[0]))

#define GUARD 32
#define FILL 0.5F

struct problem {
    struct conv_shape s;
    int64_t n_x, n_w, n_y;
    double *x, *w, *y, *bound, *dy, *dx, *dw;
    float *x32, *w32, *dy32;
};

static struct problem problem_of(const struct row *r)
{
    int64_t out[2] = {(r->h + r->pad + r->pad_end - r->kernel) / r->stride + 1,
                      (r->w + r->pad + r->pad_end - r->kernel) / r->stride + 1};
    struct problem p = {.s = {.n = r->n,
                              .groups = 1,
                              .ic = r->ic,
                              .oc = r->oc,
                              .in = {1, r->h, r->w},
                              .kernel = {1, r->kernel, r->kernel},
                              .stride = {1, r->stride, r->stride},
                              .dilation = {1, 1, 1},
                              .pad = {0, r->pad, r->pad},
                              .out = {1, out[0], out[1]}}};
    struct random random = random_seeded(11, 3);
    const struct finish none = {0};

    p.n_x = r->n * r->ic * r->h * r->w;
    p.n_w = r->oc * r->ic * r->kernel * r->kernel;
    p.n_y = r->n * r->oc * out[0] * out[1];
    p.x = random_doubles(&random, p.n_x, 0);
    p.w = random_doubles(&random, p.n_w, 0);
    p.dy = random_doubles(&random, p.n_y, 0);
    round_to_float(p.x, p.n_x);
    round_to_float(p.w, p.n_w);
    round_to_float(p.dy, p.n_y);
    p.y = zero_doubles(p.n_y);
    p.bound = zero_doubles(p.n_y);
    p.dx = zero_doubles(p.n_x);
    p.dw = zero_doubles(p.n_w);
    p.x32 = as_floats(p.x, p.n_x);
    p.w32 = as_floats(p.w, p.n_w);
    p.dy32 = as_floats(p.dy, p.n_y);
    conv_f64_ref(&p.s, p.x, p.w, &none, p.y);
    conv_backward_f64_ref(&p.s, p.x, p.w, p.dy, p.dx, p.dw, NULL);
    for (int64_t i = 0; i < p.n_x; i++) {
        p.x[i] = fabs(p.x[i]);
    }
    for (int64_t i = 0; i < p.n_w; i++) {
        p.w[i] = fabs(p.w[i]);
    }
    conv_f64_ref(&p.s, p.x, p.w, &none, p.bound);
    return p;
}

static void problem_release(struct problem *p)
{
    mem_free(p->x);
    mem_free(p->w);
    mem_free(p->y);
    mem_free(p->bound);
    mem_free(p->dy);
    mem_free(p->dx);
    mem_free(p->dw);
    mem_free(p->x32);
    mem_free(p->w32);
    mem_free(p->dy32);
}

static float *filled(int64_t count)
{
    float *list = MEM_ARRAY(float, (size_t)count + GUARD);

    assert_non_null(list);
    for (int64_t i = 0; i < count + GUARD; i++) {
        list[i] = FILL;
    }
    return list;
}

static void check_guard(int row, const char *what, const float *list, int64_t count)
{
    for (int64_t i = count; i < count + GUARD; i++) {
        if (list[i] != FILL) {
            fail_msg("row %d: something was written behind %s", row, what);
        }
    }
}

static void check_forward(int row, const struct learn_loops *loops, const struct problem *p, void *work)
{
    float *y = filled(p->n_y);
    float *bias = filled(p->s.oc);
    const struct finish finish = {.bias = bias};
    double largest = largest_of(p->bound, p->n_y);

    conv_learn_f32_by(loops, &p->s, p->x32, p->w32, &finish, y, work);
    for (int64_t i = 0; i < p->n_y; i++) {
        double should = p->y[i] + (double)FILL;
        if (!(fabs((double)y[i] - should) <= (double)CONV_LEARN_TOLERANCE * (largest + 1))) {
            fail_msg("row %d: output %lld is %.9g, not %.9g (of sums up to %g)", row, (long long)i, (double)y[i],
                     should, largest);
        }
    }
    check_guard(row, "y", y, p->n_y);
    mem_free(y);
    mem_free(bias);
}

static void check_back(int row, const struct learn_loops *loops, const struct problem *p, void *work)
{
    float *dx = filled(p->n_x);
    float *dw = filled(p->n_w);

    conv_learn_weight_f32_by(loops, &p->s, p->x32, p->dy32, dw, work);
    conv_learn_data_f32_by(loops, &p->s, p->w32, p->dy32, dx, work);
    check_floats(row, "x", dx, (double)FILL, p->dx, p->n_x);
    check_floats(row, "w", dw, (double)FILL, p->dw, p->n_w);
    check_guard(row, "dx", dx, p->n_x);
    check_guard(row, "dw", dw, p->n_w);
    mem_free(dx);
    mem_free(dw);
}

static void check_set(int row, const struct learn_loops *loops, const struct problem *p)
{
    size_t bytes[2] = {0};
    bool back = conv_learn_has_gradients(&p->s);

    assert_true(conv_learn_f32_work_bytes(&p->s, &bytes[0]));
    assert_true(!back || conv_learn_backward_work_bytes(&p->s, &bytes[1]));
    for (int way = 0; way < 2; way++) {
        char *work = mem_new(bytes[way] + GUARD, 1);
        assert_non_null(work);
        memset(work, 0xFF, bytes[way] + GUARD); /* no numbers: whoever reads what he has not written shows */
        if (way == 0) {
            check_forward(row, loops, p, work);
        } else if (back) {
            check_back(row, loops, p, work);
        }
        for (int i = 0; i < GUARD; i++) {
            if (work[bytes[way] + (size_t)i] != (char)0xFF) {
                fail_msg("row %d: something was written behind the scratch", row);
            }
        }
        mem_free(work);
    }
}

static void every_set_against_doubles(void **state)
{
    size_t live = mem_live_blocks();

    for (int i = 0; i < N_ROWS; i++) {
        struct problem p = problem_of(&rows[i]);
        struct kernels table;
        const struct kernel_variant *variant = NULL;
        for (int n = 0; kernels_nth(KERNELS_learn_loops, n, &table, &variant); n++) {
            check_set(i, table.learn_loops, &p);
        }
        problem_release(&p);
    }
    assert_int_equal(mem_live_blocks(), live);
}

/* ---- The self-test finds each loop that does nothing ---------------------------------------------------------------- */

static void no_winograd(const struct conv_shape *s, const struct winograd_sizes *z, bool flipped, const float *x,
                        const float *w, bool add, float *y, float *work)
{
}

/* Only the way back. */
static void half_winograd(const struct conv_shape *s, const struct winograd_sizes *z, bool flipped, const float *x,
                          const float *w, bool add, float *y, float *work)
{
    if (!flipped) {
        learn_loops_ref.winograd(s, z, flipped, x, w, add, y, work);
    }
}

static void no_winograd_weight(const struct conv_shape *s, const struct winograd_sizes *z, const float *x,
                               const float *dy, float *dw, float *work)
{
}

static void no_dense(const struct conv_shape *s, const struct dense_sizes *z, const float *a, const float *b, float *c,
                     float *work)
{
}

static void each_loop_is_tried(void **state)
{
    struct learn_loops wrong[6];
    struct kernels table = {.learn_loops = &learn_loops_ref};

    assert_true(learn_loops_probe(&table, 0));
    for (int i = 0; i < 6; i++) {
        wrong[i] = learn_loops_ref;
    }
    wrong[0].winograd = no_winograd;
    wrong[1].winograd = half_winograd;
    wrong[2].winograd_weight = no_winograd_weight;
    wrong[3].dense = no_dense;
    wrong[4].dense_data = no_dense;
    wrong[5].dense_weight = no_dense;
    for (int i = 0; i < 6; i++) {
        table.learn_loops = &wrong[i];
        if (learn_loops_probe(&table, (double)CONV_LEARN_TOLERANCE)) {
            fail_msg("row %d: the self-test has not seen a loop that does nothing", i);
        }
    }
}

/* The rows above must not pass because all of them go the old way. */
static void ways_are_taken(void **state)
{
    int ways = 0;

    for (int i = 0; i < N_ROWS; i++) {
        struct problem p = problem_of(&rows[i]);
        ways += conv_learn_has_gradients(&p.s);
        problem_release(&p);
    }
    assert_int_equal(ways, kernels()->learn_loops == &learn_loops_ref ? 0 : N_ROWS - 1);
}

/* The same shape again, after another one has used the scratch: the same bits. */
static void same_bits_again(void **state)
{
    struct problem p = problem_of(&rows[8]);
    const struct finish none = {0};
    size_t bytes = 0;
    float *y[2] = {filled(p.n_y), filled(p.n_y)};

    assert_true(conv_learn_f32_work_bytes(&p.s, &bytes));
    void *work = mem_new(bytes, 1);
    assert_non_null(work);
    conv_learn_f32(&p.s, p.x32, p.w32, &none, y[0], work);
    memset(work, 0x41, bytes);
    conv_learn_f32(&p.s, p.x32, p.w32, &none, y[1], work);
    assert_memory_equal(y[0], y[1], (size_t)p.n_y * sizeof(float));
    mem_free(work);
    mem_free(y[0]);
    mem_free(y[1]);
    problem_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_set_against_doubles),
        cmocka_unit_test(each_loop_is_tried),
        cmocka_unit_test(ways_are_taken),
        cmocka_unit_test(same_bits_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
