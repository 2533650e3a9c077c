/*
 * test_elementwise_backward.c: gradients of activations, stretched products, PRelu and pools: the same sources in double
 * against differences, inputs kept away from kinks; the kinks themselves; then float against double.
 */
#include "core/kernel/elementwise_backward.h"
#include "core/kernel/lanes_private.h"
#include "core/kernel/pooling_backward.h"
#include "core/kernel/pooling_window_private.h"

#include "gradient_check.h"

/* ---- The same sources in double ------------------------------------------------------------------------------------ */

#undef CORE_KERNEL_LANES_PRIVATE_H
#define float double
#define lanes lanes_f64
#define LANES LANES_F64
#define lanes_total lanes_total_f64
#define lanes_load lanes_load_f64
#define lanes_sum lanes_sum_f64
#define lanes_dot lanes_dot_f64
#define unary_f32 unary_f64
#define binary_f32 binary_f64
#define binary_i64 binary_i64_again
#define binary_i32 binary_i32_again
#define unary_backward_f32 unary_backward_f64
#define stretched_backward_f32 stretched_backward_f64
#define prelu_backward_f32 prelu_backward_f64
#define pooling_max_ref pooling_max_f64
#define pooling_mean_ref pooling_mean_f64
#define pooling_max_backward_ref pooling_max_backward_f64
#define pooling_mean_backward_ref pooling_mean_backward_f64
#define expf exp
#define fabsf fabs
#define tanhf tanh
void unary_f64(enum unary what, double alpha, double beta, const double *x, double *y, int64_t count);
void binary_f64(enum binary what, const struct strided *s, const double *a, const double *b, void *y);
void binary_i64_again(enum binary what, const struct strided *s, const int64_t *a, const int64_t *b, void *y);
void binary_i32_again(enum binary what, const struct strided *s, const int32_t *a, const int32_t *b, void *y);
void unary_backward_f64(enum unary what, double alpha, double beta, const double *at, const double *dy, double *dx,
                        int64_t count);
void stretched_backward_f64(const struct strided *s, double factor, const double *dy, const double *other,
                            double *grad);
void prelu_backward_f64(const struct strided *s, const double *x, const double *slope, const double *dy, double *dx,
                        double *dslope);
void pooling_max_f64(const struct pooling_shape *s, const double *x, double *y);
void pooling_mean_f64(const struct pooling_shape *s, bool count_padding, const double *x, double *y);
void pooling_max_backward_f64(const struct pooling_shape *s, const double *x, const double *dy, double *dx);
void pooling_mean_backward_f64(const struct pooling_shape *s, bool count_padding, const double *dy, double *dx);
#include "core/kernel/elementwise.c"
#undef EACH
#include "core/kernel/elementwise_backward.c"
#include "core/kernel/pooling_backward_ref.c"
#include "core/kernel/pooling_ref.c"
#undef float
#undef unary_f32
#undef binary_f32
#undef unary_backward_f32
#undef stretched_backward_f32
#undef prelu_backward_f32
#undef pooling_max_ref
#undef pooling_mean_ref
#undef pooling_max_backward_ref
#undef pooling_mean_backward_ref

/* One function y = f(a, b) of a dense output; what it is, is said by the checks. */
struct problem {
    enum unary unary;
    enum binary binary;
    struct strided s; /* inputs 0: a, 1: b, seen from y */
    struct pooling_shape pool;
    bool count_padding;
    void (*forward)(struct problem *p);
    int64_t n_a, n_b, n_y;
    double *a, *b, *y, *dy, *da, *db;
};

#define ALPHA 0.25
#define BETA 0.5

static double value(void *context)
{
    struct problem *p = context;
    double sum = 0;

    p->forward(p);
    for (int64_t i = 0; i < p->n_y; i++) {
        sum += p->y[i] * p->dy[i];
    }
    return sum;
}

static void problem_fill(struct problem *p, double gap)
{
    struct random random = random_seeded(3, 5);

    p->a = random_doubles(&random, p->n_a, gap);
    p->b = random_doubles(&random, p->n_b, 0);
    p->dy = random_doubles(&random, p->n_y, 0);
    round_to_float(p->a, p->n_a);
    round_to_float(p->b, p->n_b);
    round_to_float(p->dy, p->n_y);
    p->y = zero_doubles(p->n_y);
    p->da = zero_doubles(p->n_a);
    p->db = zero_doubles(p->n_b);
    p->forward(p);
}

static void problem_release(struct problem *p)
{
    mem_free(p->a);
    mem_free(p->b);
    mem_free(p->y);
    mem_free(p->dy);
    mem_free(p->da);
    mem_free(p->db);
}

static void forward_unary(struct problem *p)
{
    unary_f64(p->unary, p->unary == UNARY_CLIP ? -BETA : ALPHA, BETA, p->a, p->y, p->n_a);
}

static void activations(void **state)
{
    static const enum unary rows[] = {UNARY_RELU, UNARY_LEAKY_RELU, UNARY_CLIP, UNARY_SIGMOID, UNARY_TANH};
    size_t live = mem_live_blocks();

    for (int i = 0; i < (int)(sizeof rows / sizeof *rows); i++) {
        struct problem p = {.unary = rows[i], .forward = forward_unary, .n_a = 83, .n_y = 83};
        double low = p.unary == UNARY_CLIP ? -BETA : ALPHA;
        problem_fill(&p, 0.01);
        unary_backward_f64(p.unary, low, BETA, p.unary == UNARY_LEAKY_RELU ? p.a : p.y, p.dy, p.da, p.n_a);
        check_differences(i, "x", value, &p, p.a, p.da, p.n_a);

        float *at = as_floats(p.unary == UNARY_LEAKY_RELU ? p.a : p.y, p.n_a);
        float *dy = as_floats(p.dy, p.n_y);
        float *dx = MEM_ARRAY(float, 83);
        dx[3] = 0;
        unary_backward_f32(p.unary, (float)low, (float)BETA, at, dy, dx, p.n_a);
        check_floats(i, "x", dx, 0, p.da, p.n_a);
        unary_backward_f32(p.unary, (float)low, (float)BETA, at, dy, dx, p.n_a); /* adds */
        assert_true(fabs((double)dx[5] - 2 * p.da[5]) <= 1e-5 * (1 + fabs(p.da[5])));
        mem_free(at);
        mem_free(dy);
        mem_free(dx);
        problem_release(&p);
    }
    assert_int_equal(mem_live_blocks(), live);
}

static void kinks(void **state)
{
    static const float at[] = {-1, 0, 1, 0.5F, -0.5F};
    static const float dy[] = {1, 1, 1, 1, 1};
    static const struct {
        enum unary what;
        float dx[5];
    } rows[] = {
        {UNARY_RELU, {0, 0, 1, 1, 0}},
        {UNARY_LEAKY_RELU, {.25F, .25F, 1, 1, .25F}},
        {UNARY_CLIP, {0, 0, 0, 0, 0}}, /* 0.25 .. 0.5: all outside or on an edge */
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        float dx[5] = {0};
        unary_backward_f32(rows[i].what, .25F, .5F, at, dy, dx, 5);
        assert_memory_equal(dx, rows[i].dx, sizeof dx);
    }
    const struct strided one = {.rank = 1, .dim = {5}};
    const float slope = .25F;
    float dx[5] = {0};
    float dslope = 0;
    prelu_backward_f32(&one, at, &slope, dy, dx, &dslope);
    assert_memory_equal(dx, rows[1].dx, sizeof dx);
    assert_true(dslope == -1.5F);
    /* The first of two equal pixels takes it all. */
    const struct pooling_shape pool = {1, {1, 1, 3}, {1, 1, 3}, {1, 1, 1}, {1, 1, 1}, {0}, {0}, {1, 1, 1}};
    const float row[] = {1, 2, 2};
    float grad[3] = {0};
    pooling_max_backward_ref(&pool, row, dy, grad);
    assert_true(grad[0] == 0 && grad[1] == 1 && grad[2] == 0);
}

/* ---- Two inputs ---------------------------------------------------------------------------------------------------- */

/* A dimension is 0 in the mask where the input does not stretch along it: it has one element there. */
struct stretch_row {
    int rank;
    int64_t dim[3];
    unsigned a, b; /* bit d: the input has dimension d */
};

static const struct stretch_row stretches[] = {
    {3, {2, 3, 17}, 7, 7}, {3, {2, 3, 17}, 7, 2}, {3, {2, 3, 17}, 7, 0}, {3, {2, 3, 17}, 0, 7}, {3, {2, 3, 17}, 7, 4},
    {3, {2, 3, 17}, 7, 5}, {3, {4, 5, 1}, 3, 2},  {3, {2, 3, 17}, 1, 4}, {3, {1, 1, 1}, 7, 7},  {3, {2, 0, 3}, 7, 5},
};
#define N_STRETCHES ((int)(sizeof stretches / sizeof *stretches))

static int64_t steps_of(const struct stretch_row *row, unsigned mask, int64_t *step)
{
    int64_t count = 1;

    for (int d = row->rank - 1; d >= 0; d--) {
        step[d] = (mask >> d & 1U) != 0 ? count : 0;
        count *= (mask >> d & 1U) != 0 ? row->dim[d] : 1;
    }
    return count;
}

static void forward_binary(struct problem *p)
{
    struct strided s = p->s;

    strided_simplify(&s, 2);
    binary_f64(p->binary, &s, p->a, p->b, p->y);
}

/* The view with the two inputs exchanged, or the second one only. */
static struct strided view(const struct problem *p, int first)
{
    struct strided s = p->s;

    memcpy(s.step[0], p->s.step[first], sizeof s.step[0]);
    memcpy(s.step[1], p->s.step[1 - first], sizeof s.step[1]);
    strided_simplify(&s, 2);
    return s;
}

static struct problem stretched_problem(const struct stretch_row *row, enum binary what)
{
    struct problem p = {.binary = what, .forward = forward_binary, .n_y = row->dim[0] * row->dim[1] * row->dim[2]};

    p.s.rank = row->rank;
    memcpy(p.s.dim, row->dim, sizeof row->dim);
    p.n_a = steps_of(row, row->a, p.s.step[0]);
    p.n_b = steps_of(row, row->b, p.s.step[1]);
    problem_fill(&p, what == BINARY_PRELU ? 0.01 : 0);
    return p;
}

static void products_of_stretched_inputs(void **state)
{
    size_t live = mem_live_blocks();

    for (int i = 0; i < 3 * N_STRETCHES; i++) {
        static const enum binary whats[] = {BINARY_ADD, BINARY_SUB, BINARY_MUL};
        enum binary what = whats[i % 3];
        struct problem p = stretched_problem(&stretches[i / 3], what);
        struct strided to_a = view(&p, 0);
        struct strided to_b = view(&p, 1);
        double sign = what == BINARY_SUB ? -1 : 1;
        bool product = what == BINARY_MUL;
        stretched_backward_f64(&to_a, 1, p.dy, product ? p.b : NULL, p.da);
        stretched_backward_f64(&to_b, sign, p.dy, product ? p.a : NULL, p.db);
        check_differences(i, "a", value, &p, p.a, p.da, p.n_a);
        check_differences(i, "b", value, &p, p.b, p.db, p.n_b);

        float *a = as_floats(p.a, p.n_a);
        float *b = as_floats(p.b, p.n_b);
        float *dy = as_floats(p.dy, p.n_y);
        float *da = MEM_ARRAY(float, p.n_a > 0 ? (size_t)p.n_a : 0);
        float *db = MEM_ARRAY(float, (size_t)p.n_b);
        stretched_backward_f32(&to_a, 1, dy, product ? b : NULL, da);
        stretched_backward_f32(&to_b, (float)sign, dy, product ? a : NULL, db);
        check_floats(i, "a", da, 0, p.da, p.n_a);
        check_floats(i, "b", db, 0, p.db, p.n_b);
        mem_free(a);
        mem_free(b);
        mem_free(dy);
        mem_free(da);
        mem_free(db);
        problem_release(&p);
    }
    assert_int_equal(mem_live_blocks(), live);
}

static void prelu_with_any_slope(void **state)
{
    size_t live = mem_live_blocks();

    for (int i = 0; i < N_STRETCHES; i++) {
        if (stretches[i].a != 7) {
            continue; /* the data never stretches to the slope */
        }
        struct problem p = stretched_problem(&stretches[i], BINARY_PRELU);
        struct strided s = {.rank = p.s.rank};
        memcpy(s.dim, p.s.dim, sizeof s.dim);
        memcpy(s.step[0], p.s.step[1], sizeof s.step[0]);
        strided_simplify(&s, 1);
        prelu_backward_f64(&s, p.a, p.b, p.dy, p.da, p.db);
        check_differences(i, "x", value, &p, p.a, p.da, p.n_a);
        check_differences(i, "slope", value, &p, p.b, p.db, p.n_b);

        float *x = as_floats(p.a, p.n_a);
        float *slope = as_floats(p.b, p.n_b);
        float *dy = as_floats(p.dy, p.n_y);
        float *dx = MEM_ARRAY(float, p.n_a > 0 ? (size_t)p.n_a : 0);
        float *dslope = MEM_ARRAY(float, (size_t)p.n_b);
        prelu_backward_f32(&s, x, slope, dy, dx, NULL);
        prelu_backward_f32(&s, x, slope, dy, NULL, dslope);
        check_floats(i, "x", dx, 0, p.da, p.n_a);
        check_floats(i, "slope", dslope, 0, p.db, p.n_b);
        mem_free(x);
        mem_free(slope);
        mem_free(dy);
        mem_free(dx);
        mem_free(dslope);
        problem_release(&p);
    }
    assert_int_equal(mem_live_blocks(), live);
}

/* ---- Pools --------------------------------------------------------------------------------------------------------- */

static void forward_max(struct problem *p)
{
    pooling_max_f64(&p->pool, p->a, p->y);
}

static void forward_mean(struct problem *p)
{
    pooling_mean_f64(&p->pool, p->count_padding, p->a, p->y);
}

static void pools(void **state)
{
    static const struct pooling_shape rows[] = {
        {3, {1, 6, 6}, {1, 2, 2}, {1, 2, 2}, {1, 1, 1}, {0}, {0}, {1, 3, 3}},
        {2, {1, 7, 5}, {1, 3, 3}, {1, 2, 2}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}, {1, 4, 3}},
        {2, {1, 5, 5}, {1, 2, 2}, {1, 2, 2}, {1, 1, 1}, {0}, {0}, {1, 3, 3}}, /* as ceil_mode makes it */
        {1, {1, 1, 9}, {1, 1, 2}, {1, 1, 1}, {1, 1, 3}, {0, 0, 1}, {0, 0, 1}, {1, 1, 8}},
        {1, {3, 4, 4}, {2, 3, 2}, {1, 1, 2}, {1, 1, 1}, {0, 1, 0}, {0, 1, 0}, {2, 4, 2}},
        {0, {1, 4, 4}, {1, 2, 2}, {1, 2, 2}, {1, 1, 1}, {0}, {0}, {1, 2, 2}},
    };
    size_t live = mem_live_blocks();

    for (int i = 0; i < 3 * (int)(sizeof rows / sizeof *rows); i++) {
        const struct pooling_shape *s = &rows[i / 3];
        bool max = i % 3 == 0;
        struct problem p = {.pool = *s, .count_padding = i % 3 == 1, .forward = max ? forward_max : forward_mean};
        p.n_a = s->planes * s->in[0] * s->in[1] * s->in[2];
        p.n_y = s->planes * s->out[0] * s->out[1] * s->out[2];
        problem_fill(&p, 0);
        for (int64_t k = 0; k < p.n_a; k++) {
            p.a[k] = (double)(k * 29 % p.n_a) / 64; /* all different: no ties near each other */
        }
        if (max) {
            pooling_max_backward_f64(s, p.a, p.dy, p.da);
        } else {
            pooling_mean_backward_f64(s, p.count_padding, p.dy, p.da);
        }
        check_differences(i, "x", value, &p, p.a, p.da, p.n_a);

        float *x = as_floats(p.a, p.n_a);
        float *dy = as_floats(p.dy, p.n_y);
        float *dx = MEM_ARRAY(float, p.n_a > 0 ? (size_t)p.n_a : 0);
        if (max) {
            pooling_max_backward_ref(s, x, dy, dx);
        } else {
            pooling_mean_backward_ref(s, p.count_padding, dy, dx);
        }
        check_floats(i, "x", dx, 0, p.da, p.n_a);
        mem_free(x);
        mem_free(dy);
        mem_free(dx);
        problem_release(&p);
    }
    assert_int_equal(mem_live_blocks(), live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(activations),          cmocka_unit_test(kinks), cmocka_unit_test(products_of_stretched_inputs),
        cmocka_unit_test(prelu_with_any_slope), cmocka_unit_test(pools),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
