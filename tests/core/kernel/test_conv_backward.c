/*
 * test_conv_backward.c: the definition's gradient in double against differences of the definition's forward; then every
 * fast way in float against it.
 */
#include "core/kernel/conv.h"
#include "core/kernel/conv_backward.h"
#include "core/kernel/conv_direct_backward.h"

#include "gradient_check.h"

/* ---- The same source in double ------------------------------------------------------------------------------------- */

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
    int64_t n, groups, ic, oc; /* channels of a group */
    int64_t in[3], kernel[3], stride[3], dilation[3], pad[3], pad_end[3];
};

static const struct row rows[] = {
    {1, 1, 1, 1, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0}, {0}},
    {2, 1, 3, 5, {1, 7, 11}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
    {2, 1, 3, 16, {1, 13, 14}, {1, 3, 3}, {1, 2, 2}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
    {2, 1, 24, 32, {1, 9, 9}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0}, {0}},
    {3, 1, 7, 5, {1, 8, 8}, {1, 1, 1}, {1, 2, 2}, {1, 1, 1}, {0}, {0}},
    {1, 1, 4, 6, {1, 13, 9}, {1, 3, 5}, {1, 1, 2}, {1, 2, 3}, {0, 2, 6}, {0, 1, 4}},
    {1, 1, 4, 6, {1, 13, 9}, {1, 3, 5}, {1, 1, 1}, {1, 2, 3}, {0, 1, 2}, {0, 3, 4}},
    {1, 1, 2, 3, {1, 6, 5}, {1, 2, 2}, {1, 1, 1}, {1, 1, 1}, {0, 2, 3}, {0, 3, 2}},
    {1, 1, 2, 3, {1, 1, 31}, {1, 1, 4}, {1, 1, 3}, {1, 1, 2}, {0, 0, 2}, {0, 0, 5}},
    {1, 1, 2, 3, {5, 6, 7}, {3, 2, 3}, {2, 1, 1}, {1, 2, 1}, {1, 0, 2}, {1, 1, 0}},
    {2, 8, 1, 1, {1, 9, 9}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
    {2, 8, 1, 1, {1, 28, 28}, {1, 3, 3}, {1, 2, 2}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
    {2, 5, 1, 1, {1, 15, 17}, {1, 3, 3}, {1, 2, 2}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
    {1, 6, 1, 2, {1, 12, 17}, {1, 5, 5}, {1, 1, 1}, {1, 1, 1}, {0, 2, 2}, {0, 2, 2}},
    {2, 4, 1, 1, {1, 7, 7}, {1, 7, 7}, {1, 1, 1}, {1, 1, 1}, {0}, {0}},
    {1, 4, 1, 1, {1, 2, 2}, {1, 7, 7}, {1, 2, 2}, {1, 1, 1}, {0, 3, 3}, {0, 3, 3}},
    {1, 4, 2, 2, {1, 14, 14}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
    {1, 3, 1, 4, {1, 11, 10}, {1, 3, 4}, {1, 3, 3}, {1, 1, 1}, {0, 0, 1}, {0, 0, 1}},
    {1, 3, 2, 1, {1, 11, 19}, {1, 3, 3}, {1, 1, 2}, {1, 2, 2}, {0, 2, 2}, {0, 2, 2}},
    {2, 2, 6, 10, {1, 6, 6}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
    {2, 2, 6, 10, {1, 7, 6}, {1, 3, 3}, {1, 2, 2}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
    {2, 3, 5, 6, {1, 6, 6}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0}, {0}},
    {1, 2, 1, 1, {4, 5, 6}, {2, 3, 3}, {1, 2, 1}, {2, 1, 1}, {1, 1, 1}, {1, 1, 1}},
    {0, 1, 3, 5, {1, 7, 11}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
    {1, 1, 0, 4, {1, 5, 5}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
};
#define N_ROWS ((int)(sizeof rows / sizeof rows[0]))

/* Too large for differences: several tiles of columns. */
static const struct row large[] = {
    {1, 1, 64, 8, {1, 40, 41}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
    {1, 1, 64, 8, {1, 81, 80}, {1, 3, 3}, {1, 2, 2}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
    {2, 1, 64, 64, {1, 14, 14}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
    {2, 32, 1, 1, {1, 56, 56}, {1, 3, 3}, {1, 2, 2}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}},
};

static struct conv_shape shape_of(const struct row *r)
{
    struct conv_shape s = {.n = r->n, .groups = r->groups, .ic = r->ic, .oc = r->oc};

    for (int d = 0; d < 3; d++) {
        s.in[d] = r->in[d];
        s.kernel[d] = r->kernel[d];
        s.stride[d] = r->stride[d];
        s.dilation[d] = r->dilation[d];
        s.pad[d] = r->pad[d];
        s.out[d] = (r->in[d] + r->pad[d] + r->pad_end[d] - (r->kernel[d] - 1) * r->dilation[d] - 1) / r->stride[d] + 1;
    }
    return s;
}

struct problem {
    struct conv_shape s;
    int64_t n_x, n_w, n_b, n_y;
    double *x, *w, *dy, *y, *dx, *dw, *db;
};

static struct problem problem_of(const struct row *r)
{
    struct problem p = {.s = shape_of(r)};
    struct random random = random_seeded(7, 1);

    p.n_x = r->n * r->groups * r->ic * conv_in_pixels(&p.s);
    p.n_w = r->groups * r->oc * r->ic * conv_taps(&p.s);
    p.n_b = r->groups * r->oc;
    p.n_y = r->n * p.n_b * conv_out_pixels(&p.s);
    p.x = random_doubles(&random, p.n_x, 0);
    p.w = random_doubles(&random, p.n_w, 0);
    p.dy = random_doubles(&random, p.n_y, 0);
    round_to_float(p.x, p.n_x);
    round_to_float(p.w, p.n_w);
    round_to_float(p.dy, p.n_y);
    p.y = zero_doubles(p.n_y);
    p.dx = zero_doubles(p.n_x);
    p.dw = zero_doubles(p.n_w);
    p.db = zero_doubles(p.n_b);
    conv_backward_f64_ref(&p.s, p.x, p.w, p.dy, p.dx, p.dw, p.db);
    return p;
}

static void problem_release(struct problem *p)
{
    mem_free(p->x);
    mem_free(p->w);
    mem_free(p->dy);
    mem_free(p->y);
    mem_free(p->dx);
    mem_free(p->dw);
    mem_free(p->db);
}

static double value(void *context)
{
    struct problem *p = context;
    struct finish none = {0};
    double sum = 0;

    conv_f64_ref(&p->s, p->x, p->w, &none, p->y);
    for (int64_t i = 0; i < p->n_y; i++) {
        sum += p->y[i] * p->dy[i];
    }
    return sum;
}

static void definition_against_differences(void **state)
{
    size_t live = mem_live_blocks();

    for (int i = 0; i < N_ROWS; i++) {
        struct problem p = problem_of(&rows[i]);
        check_differences(i, "x", value, &p, p.x, p.dx, p.n_x);
        check_differences(i, "w", value, &p, p.w, p.dw, p.n_w);
        for (int64_t c = 0; c < p.n_b; c++) {
            double sum = 0;
            for (int64_t k = 0; k < p.n_y; k++) {
                sum += k / conv_out_pixels(&p.s) % p.n_b == c ? p.dy[k] : 0;
            }
            assert_true(fabs(sum - p.db[c]) < 1e-9);
        }
        problem_release(&p);
    }
    assert_int_equal(mem_live_blocks(), live);
}

/* Filled beforehand: gradients are added.  Behind each lies a canary. */
static float *filled(int64_t count)
{
    float *list = MEM_ARRAY(float, (size_t)count + 16);

    assert_non_null(list);
    for (int64_t i = 0; i < count + 16; i++) {
        list[i] = 0.5F;
    }
    return list;
}

static void check_filled(int row, const char *what, const float *is, const double *should, int64_t count)
{
    check_floats(row, what, is, 0.5, should, count);
    for (int64_t i = count; i < count + 16; i++) {
        if (is[i] != 0.5F) {
            fail_msg("row %d: something was written behind the gradient of %s", row, what);
        }
    }
}

static void check_fast(int row, const struct row *r)
{
    struct problem p = problem_of(r);
    float *x = as_floats(p.x, p.n_x);
    float *w = as_floats(p.w, p.n_w);
    float *dy = as_floats(p.dy, p.n_y);
    size_t work_bytes = 0;

    assert_true(conv_backward_f32_work_bytes(&p.s, &work_bytes));
    char *work = mem_new(work_bytes + 64, 1);
    assert_non_null(work);
    memset(work, 0x7F, work_bytes + 64); /* large numbers: whoever reads what he has not written shows */
    for (int wanted = 1; wanted < 8; wanted++) {
        float *dx = filled(p.n_x);
        float *dw = filled(p.n_w);
        float *db = filled(p.n_b);
        mem_fail_at(0);
        conv_backward_f32(&p.s, (wanted & 2) != 0 ? x : NULL, (wanted & 1) != 0 ? w : NULL, dy,
                          (wanted & 1) != 0 ? dx : NULL, (wanted & 2) != 0 ? dw : NULL, (wanted & 4) != 0 ? db : NULL,
                          work);
        mem_fail_at(-1);
        if ((wanted & 1) != 0) {
            check_filled(row, "x", dx, p.dx, p.n_x);
        }
        if ((wanted & 2) != 0) {
            check_filled(row, "w", dw, p.dw, p.n_w);
        }
        if ((wanted & 4) != 0) {
            check_filled(row, "bias", db, p.db, p.n_b);
        }
        mem_free(dx);
        mem_free(dw);
        mem_free(db);
    }
    for (int i = 0; i < 64; i++) {
        assert_int_equal(work[work_bytes + (size_t)i], 0x7F);
    }
    mem_free(x);
    mem_free(w);
    mem_free(dy);
    mem_free(work);
    problem_release(&p);
}

static void floats_against_doubles(void **state)
{
    size_t live = mem_live_blocks();

    for (int i = 0; i < N_ROWS; i++) {
        check_fast(i, &rows[i]);
    }
    for (int i = 0; i < (int)(sizeof large / sizeof large[0]); i++) {
        check_fast(100 + i, &large[i]);
    }
    assert_int_equal(mem_live_blocks(), live);
}

/* The variant that this processor does not choose, too. */
static void plain_loops_against_doubles(void **state)
{
    size_t live = mem_live_blocks();

    for (int i = 0; i < N_ROWS; i++) {
        struct problem p = problem_of(&rows[i]);
        if (rows[i].groups > 1) {
            float *x = as_floats(p.x, p.n_x);
            float *w = as_floats(p.w, p.n_w);
            float *dy = as_floats(p.dy, p.n_y);
            float *dx = filled(p.n_x);
            float *dw = filled(p.n_w);
            float *phases = filled((conv_phases(&p.s) + 1) * conv_phase_pixels(&p.s));
            for (int64_t k = 0; k < p.s.n; k++) {
                for (int64_t c = 0; c < p.n_b; c++) {
                    conv_direct_weight_f32_portable(&p.s, x, dy, k, c, dw, phases);
                }
                for (int64_t c = 0; c < p.s.groups * p.s.ic; c++) {
                    conv_direct_data_f32_portable(&p.s, w, dy, k, c, dx, phases);
                }
            }
            check_filled(i, "x", dx, p.dx, p.n_x);
            check_filled(i, "w", dw, p.dw, p.n_w);
            mem_free(x);
            mem_free(w);
            mem_free(dy);
            mem_free(dx);
            mem_free(dw);
            mem_free(phases);
        }
        problem_release(&p);
    }
    assert_int_equal(mem_live_blocks(), live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(definition_against_differences),
        cmocka_unit_test(floats_against_doubles),
        cmocka_unit_test(plain_loops_against_doubles),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
