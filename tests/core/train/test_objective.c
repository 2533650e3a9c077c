/* test_objective.c: what a shard of crops that only follow the teacher asks for. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/random.h"
#include "core/train/objective.h"

enum {
    ROWS = 5,
    BATCH = 8,
    DIM = 6,
    CLASSES = 4
};

static float x[ROWS * DIM];
static float teacher[ROWS * DIM];
static float v[CLASSES * DIM];
static float taught[CLASSES * DIM];

static void draw_units(struct random *random, float *ret, int n)
{
    float length[ROWS];

    for (int i = 0; i < n * DIM; i++) {
        ret[i] = (float)random_normal(random);
    }
    unit_rows(ret, n, DIM, ret, length);
}

static int draw(void **state)
{
    struct random random = random_seeded(1, 1);

    (void)state;
    for (int i = 0; i < ROWS * DIM; i++) {
        x[i] = 3 * (float)random_normal(&random);
    }
    draw_units(&random, teacher, ROWS);
    draw_units(&random, v, CLASSES);
    draw_units(&random, taught, CLASSES);
    return 0;
}

/* Gradient and value put together from the losses themselves. */
static double compose(float l2, float cosine, float kl, float weight, float *dx, float *dv)
{
    float u[ROWS * DIM];
    float length[ROWS];
    float du[ROWS * DIM] = {0};
    float similar[ROWS * CLASSES];
    float work[ROWS * CLASSES];
    float share = weight * ROWS / BATCH;
    double value = 0;

    unit_rows(x, ROWS, DIM, u, length);
    for (int i = 0; i < ROWS * CLASSES; i++) {
        similar[i] = 0;
        for (int k = 0; k < DIM; k++) {
            similar[i] += teacher[i / CLASSES * DIM + k] * taught[i % CLASSES * DIM + k];
        }
    }
    value += (double)l2 * distill_l2(l2 * share, u, teacher, ROWS, DIM, du);
    value += (double)cosine * distill_cosine(cosine * share, u, teacher, ROWS, DIM, du);
    if (kl > 0) {
        value += (double)kl * distill_kl(kl * share, 64, u, similar, ROWS, DIM, v, CLASSES, work, du, dv);
    }
    unit_rows_backward(u, length, du, ROWS, DIM, dx);
    return value;
}

static void who_follows_is_asked_for_distillation_alone(void **state)
{
    static const struct {
        float l2, cosine, kl, weight;
    } rows[] = {{1, 0, 0, 1}, {0, 2, 0, 1}, {0, 0, .5F, 1}, {1, .5F, .25F, .75F}};

    (void)state;
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        struct objective objective = objective_default();
        const struct objective_classes classes = {.classes = CLASSES, .v = v, .taught = taught};
        struct objective_sums sums = {.rows = 16, .loss = 3, .terms = 2, .correct = 4, .angle = 5};
        float work[4 * ROWS * DIM + 16 * ROWS * CLASSES];
        float dx[ROWS * DIM];
        float dv[CLASSES * DIM] = {0};
        float wanted_dx[ROWS * DIM] = {0};
        float wanted_dv[CLASSES * DIM] = {0};
        objective.distill_l2 = rows[r].l2;
        objective.distill_cosine = rows[r].cosine;
        objective.distill_kl = rows[r].kl;
        objective.intra = objective.inter = objective.triplet = 1; /* these ask whose a row is: nobody's */
        assert_true(objective_distils(&objective));
        assert_true(objective_work_floats(&objective, ROWS, DIM, CLASSES) <= sizeof work / sizeof work[0]);
        objective_follow(&objective, x, teacher, ROWS, rows[r].weight, BATCH, DIM, &classes, work, dx, dv, &sums);
        double value = compose(rows[r].l2, rows[r].cosine, rows[r].kl, rows[r].weight, wanted_dx, wanted_dv);
        for (int i = 0; i < ROWS * DIM; i++) {
            if (fabsf(dx[i] - wanted_dx[i]) > 1e-5F * (1 + fabsf(wanted_dx[i]))) {
                fail_msg("row %zu: gradient %d is %g, not %g", r, i, (double)dx[i], (double)wanted_dx[i]);
            }
        }
        for (int i = 0; i < CLASSES * DIM; i++) {
            if (fabsf(dv[i] - wanted_dv[i]) > 1e-5F * (1 + fabsf(wanted_dv[i]))) {
                fail_msg("row %zu: gradient %d of the centers is %g, not %g", r, i, (double)dv[i],
                         (double)wanted_dv[i]);
            }
        }
        assert_float_equal(sums.terms, 2 + ROWS * (double)rows[r].weight * value, 1e-4);
        assert_true(sums.rows == 16 && sums.loss == 3 && sums.correct == 4 && sums.angle == 5);
    }
    struct objective none = objective_default();
    none.intra = 1;
    assert_false(objective_distils(&none));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(who_follows_is_asked_for_distillation_alone)};

    return cmocka_run_group_tests(tests, draw, NULL);
}
