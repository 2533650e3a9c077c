/*
 * test_loss.c: the gradients of the losses, proven in double precision by central differences; then float against double.
 *
 * The double version is the same source with float replaced: in float no step size tells a wrong term from rounding.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tgmath.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/base/random.h"
#include "core/kernel/gemm.h"
#include "core/train/loss.h"

/* ---- The same source in double ----------------------------------------------------------------------------------- */

#undef CORE_TRAIN_LOSS_H
#define float double
#define gemm_f32 gemm_f64
#define unit_rows unit_rows_f64
#define unit_rows_backward unit_rows_backward_f64
#define margin margin_f64
#define margin_stats margin_stats_f64
#define margin_by_name margin_by_name_f64
#define margin_work_floats margin_work_floats_f64
#define target_logit target_logit_f64
#define margin_loss margin_loss_f64
#define softmax_loss softmax_loss_f64
#define sample_classes sample_classes_f64
#define intra_loss intra_loss_f64
#define inter_loss inter_loss_f64
#define triplet_loss triplet_loss_f64
#define distill_cosine distill_cosine_f64
#define distill_l2 distill_l2_f64
#define distill_kl distill_kl_f64
static void gemm_f64(enum gemm_side ta, enum gemm_side tb, int64_t m, int64_t n, int64_t k, double alpha,
                     const double *a, int64_t lda, const double *b, int64_t ldb, double beta, double *c, int64_t ldc)
{
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t p = 0; p < k; p++) {
                double left = ta == GEMM_AS_IS ? a[i * lda + p] : a[p * lda + i];
                sum += left * (tb == GEMM_AS_IS ? b[p * ldb + j] : b[j * ldb + p]);
            }
            c[i * ldc + j] = alpha * sum + (beta == 0 ? 0 : beta * c[i * ldc + j]);
        }
    }
}
#include "core/train/loss.c"
#undef float
#undef gemm_f32
#undef unit_rows
#undef unit_rows_backward
#undef margin
#undef margin_stats
#undef margin_by_name
#undef margin_work_floats
#undef target_logit
#undef margin_loss
#undef softmax_loss
#undef sample_classes
#undef intra_loss
#undef inter_loss
#undef triplet_loss
#undef distill_cosine
#undef distill_l2
#undef distill_kl

/* ---- A small problem --------------------------------------------------------------------------------------------- */

enum {
    ROWS = 7,
    DIM = 6,
    CLASSES = 5,
    MOST_SUB = 3
};
enum term {
    MARGIN,
    SOFTMAX,
    INTRA,
    INTER,
    TRIPLET,
    COSINE,
    L2,
    KL
};

struct problem {
    enum term term;
    struct margin_f64 margin;
    int subcenters;
    const int *centers_of;
    int label[ROWS];
    double x[ROWS * DIM];
    double w[CLASSES * MOST_SUB * DIM];
    double bias[CLASSES];
    double teacher[ROWS * DIM];
    double teacher_cosine[ROWS * CLASSES];
};

static const double WEIGHT = 0.7; /* so that a forgotten weight shows */

/* Value and gradient of one term as a function of the raw embeddings, the raw centers and the bias. */
static double evaluate(const struct problem *p, double *dx, double *dw, double *db)
{
    double u[ROWS * DIM];
    double v[CLASSES * MOST_SUB * DIM];
    double lu[ROWS];
    double lv[CLASSES * MOST_SUB];
    double du[ROWS * DIM] = {0};
    double dv[CLASSES * MOST_SUB * DIM] = {0};
    double work[ROWS * CLASSES * (MOST_SUB + 2) + ROWS * ROWS];
    int centers = CLASSES * p->subcenters;
    double value = 0;

    memset(dx, 0, sizeof u);
    memset(dw, 0, sizeof v);
    memset(db, 0, CLASSES * sizeof *db);
    unit_rows_f64(p->x, ROWS, DIM, u, lu);
    unit_rows_f64(p->w, centers, DIM, v, lv);
    switch (p->term) {
    case MARGIN: {
        struct margin_stats_f64 stats = {0};
        margin_loss_f64(&p->margin, WEIGHT, u, p->label, ROWS, DIM, v, CLASSES, p->subcenters, p->centers_of, work, du,
                        dv, &stats);
        value = stats.loss;
        break;
    }
    case SOFTMAX:
        value = softmax_loss_f64(WEIGHT, p->x, p->label, ROWS, DIM, p->w, p->bias, CLASSES, work, dx, dw, db);
        break;
    case INTRA: value = intra_loss_f64(WEIGHT, u, p->label, ROWS, DIM, v, p->subcenters, p->centers_of, du, dv); break;
    case INTER: value = inter_loss_f64(WEIGHT, p->label, ROWS, DIM, v, CLASSES, dv); break;
    case TRIPLET: value = triplet_loss_f64(WEIGHT, 0.35, u, p->label, ROWS, DIM, work, du); break;
    case COSINE: value = distill_cosine_f64(WEIGHT, u, p->teacher, ROWS, DIM, du); break;
    case L2: value = distill_l2_f64(WEIGHT, u, p->teacher, ROWS, DIM, du); break;
    case KL: value = distill_kl_f64(WEIGHT, 8, u, p->teacher_cosine, ROWS, DIM, v, CLASSES, work, du, dv); break;
    }
    unit_rows_backward_f64(u, lu, du, ROWS, DIM, dx);
    unit_rows_backward_f64(v, lv, dv, centers, DIM, dw);
    return WEIGHT * value;
}

static void fill(struct problem *p, uint64_t seed)
{
    struct random random = random_seeded(seed, 1);
    double length[ROWS];

    for (int i = 0; i < ROWS * DIM; i++) {
        p->x[i] = 1.5 * random_normal(&random);
        p->teacher[i] = random_normal(&random);
    }
    unit_rows_f64(p->teacher, ROWS, DIM, p->teacher, length);
    for (int i = 0; i < CLASSES * MOST_SUB * DIM; i++) {
        p->w[i] = 0.8 * random_normal(&random);
    }
    for (int i = 0; i < ROWS * CLASSES; i++) {
        p->teacher_cosine[i] = 2 * random_uniform(&random) - 1;
    }
    for (int j = 0; j < CLASSES; j++) {
        p->bias[j] = random_normal(&random);
    }
    for (int i = 0; i < ROWS; i++) {
        p->label[i] = (int)random_below(&random, CLASSES);
    }
    p->label[1] = p->label[0]; /* at least one pair, for the triplets */
    p->label[2] = (p->label[0] + 1) % CLASSES;
}

/* ---- Rows -------------------------------------------------------------------------------------------------------- */

#define PLAIN_MARGIN(s, a, b, c)                                                     \
    {                                                                                \
        .scale = (s), .m1 = (a), .m2 = (b), .m3 = (c), .monotone = true, .filter = 1 \
    }

static const struct row {
    const char *name;
    enum term term;
    struct margin_f64 margin;
    int subcenters;
} rows[] = {
    {"softmax", SOFTMAX, {.scale = 0}, 1},
    {"norm-softmax", MARGIN, PLAIN_MARGIN(8, 1, 0, 0), 1},
    {"sphereface", MARGIN, PLAIN_MARGIN(8, 1.35, 0, 0), 1},
    {"cosface", MARGIN, PLAIN_MARGIN(8, 1, 0, .35), 1},
    {"arcface", MARGIN, PLAIN_MARGIN(8, 1, .5, 0), 1},
    {"arcface, sharp", MARGIN, PLAIN_MARGIN(16, 1, .5, 0), 1},
    {"cm1", MARGIN, PLAIN_MARGIN(8, 1, .3, .2), 1},
    {"cm2", MARGIN, PLAIN_MARGIN(8, .9, .4, .15), 1},
    {"sub-center arcface, K = 2", MARGIN, PLAIN_MARGIN(8, 1, .5, 0), 2},
    {"sub-center arcface, K = 3", MARGIN, PLAIN_MARGIN(8, 1, .5, 0), 3},
    {"not monotone", MARGIN, {.scale = 8, .m1 = 1, .m2 = .5, .filter = 1}, 1},
    {"inter-class filtering", MARGIN, {.scale = 8, .m1 = 1, .m3 = .4, .monotone = true, .filter = .2}, 3},
    {"intra", INTRA, {.scale = 0}, 1},
    {"intra, K = 3", INTRA, {.scale = 0}, 3},
    {"inter", INTER, {.scale = 0}, 1},
    {"triplet", TRIPLET, {.scale = 0}, 1},
    {"distill, cosine", COSINE, {.scale = 0}, 1},
    {"distill, L2", L2, {.scale = 0}, 1},
    {"distill, KL", KL, {.scale = 0}, 1},
};

/* How many of three sub-centers the classes have where they differ. */
static const int mixed[CLASSES] = {1, 3, 2, 1, 3};

/* The relative difference of one derivative and its central difference, against the greatest gradient of the tensor. */
static double worst_difference(struct problem *p, double *values, int count, const double *gradient)
{
    const double h = 1e-5;
    double largest = 1e-30;
    double worst = 0;
    double unused_x[ROWS * DIM];
    double unused_w[CLASSES * MOST_SUB * DIM];
    double unused_b[CLASSES];

    for (int i = 0; i < count; i++) {
        largest = fabs(gradient[i]) > largest ? fabs(gradient[i]) : largest;
    }
    for (int i = 0; i < count; i++) {
        double kept = values[i];
        values[i] = kept + h;
        double above = evaluate(p, unused_x, unused_w, unused_b);
        values[i] = kept - h;
        double below = evaluate(p, unused_x, unused_w, unused_b);
        values[i] = kept;
        double apart = fabs((above - below) / (2 * h) - gradient[i]) / (largest + 1e-6);
        worst = apart > worst ? apart : worst;
    }
    return worst;
}

/* Draws where a kink lies within reach of the step are passed over: two sub-centers or the fallback angle almost tie. */
static bool near_a_kink(const struct problem *p)
{
    double u[ROWS * DIM];
    double v[CLASSES * MOST_SUB * DIM];
    double length[CLASSES * MOST_SUB + ROWS];
    const double reach = 1e-3;

    unit_rows_f64(p->x, ROWS, DIM, u, length);
    unit_rows_f64(p->w, CLASSES * p->subcenters, DIM, v, length);
    for (int i = 0; i < ROWS; i++) {
        for (int j = 0; j < CLASSES; j++) {
            double best = -2;
            double second = -2;
            for (int k = 0; k < p->subcenters; k++) {
                double c = dot(u + i * DIM, v + (j * p->subcenters + k) * DIM, DIM);
                second = c > best ? best : c > second ? c : second;
                best = c > best ? c : best;
            }
            bool own = j == p->label[i];
            double turn = cos((PI - p->margin.m2) / (p->margin.m1 > 0 ? p->margin.m1 : 1));
            double slope = sin(p->margin.m1 * acos(best) + p->margin.m2) * p->margin.m1 / sqrt(1 - best * best);
            if (best - second < reach || (own && (fabs(best - turn) < reach || slope > LOSS_SLOPE_CAP - 1)) ||
                fabs(best - p->margin.filter) < reach || 1 - fabs(best) < reach) {
                return true;
            }
        }
    }
    if (p->term == TRIPLET) {
        for (int i = 0; i < ROWS; i++) {
            double best = -2;
            double second = -2;
            for (int j = 0; j < ROWS; j++) {
                double c = dot(u + i * DIM, u + j * DIM, DIM);
                if (p->label[j] != p->label[i]) {
                    second = c > best ? best : c > second ? c : second;
                    best = c > best ? c : best;
                }
            }
            for (int j = 0; j < ROWS; j++) {
                double c = dot(u + i * DIM, u + j * DIM, DIM);
                if (j != i && p->label[j] == p->label[i] && fabs(acos(c) + .35 - acos(best)) < reach) {
                    return true;
                }
            }
            if (best - second < reach) {
                return true;
            }
        }
    }
    return false;
}

/* Returns how many draws were tried. */
static int worst_of_draws(const struct row *row, const int *centers_of, double *ret_worst)
{
    int tried = 0;

    *ret_worst = 0;
    for (uint64_t seed = 1; tried < 20 && seed < 400; seed++) {
        struct problem p = {
            .term = row->term, .margin = row->margin, .subcenters = row->subcenters, .centers_of = centers_of};
        double dx[ROWS * DIM];
        double dw[CLASSES * MOST_SUB * DIM];
        double db[CLASSES];
        fill(&p, seed);
        if (near_a_kink(&p)) {
            continue;
        }
        tried++;
        (void)evaluate(&p, dx, dw, db);
        double of_x = worst_difference(&p, p.x, ROWS * DIM, dx);
        double of_w = worst_difference(&p, p.w, CLASSES * p.subcenters * DIM, dw);
        double of_b = worst_difference(&p, p.bias, CLASSES, db);
        *ret_worst = fmax(*ret_worst, fmax(of_x, fmax(of_w, of_b)));
    }
    return tried;
}

static void gradients_match_differences(void **state)
{
    (void)state;
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        for (int mix = 0; mix <= (rows[r].subcenters == MOST_SUB); mix++) {
            double worst;
            int tried = worst_of_draws(&rows[r], mix ? mixed : NULL, &worst);
            if (tried < 5 || worst > 1e-7) {
                fail_msg("row %zu (%s%s): %d draws, worst relative difference %.3g", r, rows[r].name,
                         mix ? ", mixed" : "", tried, worst);
            }
        }
    }
}

/* A center that a class does not have acts like none: like a copy of its first one, which never wins against it. */
static void absent_centers_are_none(void **state)
{
    (void)state;
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        if (rows[r].subcenters != MOST_SUB) {
            continue;
        }
        struct problem p = {
            .term = rows[r].term, .margin = rows[r].margin, .subcenters = MOST_SUB, .centers_of = mixed};
        double dx[2][ROWS * DIM];
        double dw[2][CLASSES * MOST_SUB * DIM];
        double db[CLASSES];
        fill(&p, 3);
        for (int j = 0; j < CLASSES; j++) { /* those that are absent lie where they would win */
            for (int k = mixed[j]; k < MOST_SUB; k++) {
                memcpy(p.w + (j * MOST_SUB + k) * DIM, p.x + (j + k) % ROWS * DIM, DIM * sizeof(double));
            }
        }
        double with = evaluate(&p, dx[0], dw[0], db);
        p.centers_of = NULL;
        assert_true(evaluate(&p, dx[1], dw[1], db) != with); /* they do win, where they count */
        for (int j = 0; j < CLASSES; j++) {
            for (int k = mixed[j]; k < MOST_SUB; k++) {
                memcpy(p.w + (j * MOST_SUB + k) * DIM, p.w + j * MOST_SUB * DIM, DIM * sizeof(double));
            }
        }
        assert_true(evaluate(&p, dx[1], dw[1], db) == with);
        assert_memory_equal(dx[0], dx[1], sizeof dx[0]);
        assert_memory_equal(dw[0], dw[1], sizeof dw[0]);
        for (int j = 0; j < CLASSES; j++) {
            for (int i = mixed[j] * DIM; i < MOST_SUB * DIM; i++) {
                assert_true(dw[0][j * MOST_SUB * DIM + i] == 0);
            }
        }
    }
}

/* One center of three for every class is the loss of one center. */
static void one_of_three_is_one(void **state)
{
    static const int ones[CLASSES] = {1, 1, 1, 1, 1};
    struct problem p = {.term = MARGIN, .margin = PLAIN_MARGIN(8, 1, .5, 0), .subcenters = 3, .centers_of = ones};
    double dx[2][ROWS * DIM];
    double dw[2][CLASSES * MOST_SUB * DIM];
    double db[CLASSES];

    (void)state;
    fill(&p, 4);
    double with = evaluate(&p, dx[0], dw[0], db);
    for (int j = 0; j < CLASSES; j++) {
        memmove(p.w + j * DIM, p.w + j * MOST_SUB * DIM, DIM * sizeof(double));
    }
    p.subcenters = 1;
    p.centers_of = NULL;
    assert_true(fabs(evaluate(&p, dx[1], dw[1], db) - with) < 1e-12);
    for (int i = 0; i < ROWS * DIM; i++) {
        assert_true(fabs(dx[0][i] - dx[1][i]) < 1e-12);
    }
    for (int i = 0; i < CLASSES * DIM; i++) {
        assert_true(fabs(dw[0][i / DIM * MOST_SUB * DIM + i % DIM] - dw[1][i]) < 1e-12);
    }
}

static void straight_through_only_drops_the_margin_slope(void **state)
{
    /* By definition: where the exact gradient of the target's cosine is g · psi', the straight one is g. */
    struct problem p = {.term = MARGIN, .margin = PLAIN_MARGIN(8, 1, .5, 0), .subcenters = 1};
    double w_unit[CLASSES * DIM];
    double length[CLASSES];
    double u[DIM];
    double v_du[2][DIM];

    (void)state;
    fill(&p, 5);
    unit_rows_f64(p.w, CLASSES, DIM, w_unit, length);
    unit_rows_f64(p.x, 1, DIM, u, length);
    for (int straight = 0; straight < 2; straight++) {
        struct margin_f64 margin = p.margin;
        struct margin_stats_f64 stats = {0};
        double work[CLASSES * 3];
        margin.straight = straight != 0;
        memset(v_du[straight], 0, sizeof v_du[straight]);
        margin_loss_f64(&margin, 1, u, p.label, 1, DIM, w_unit, CLASSES, 1, NULL, work, v_du[straight], NULL, &stats);
    }
    const double *own = w_unit + p.label[0] * DIM;
    double c = dot(u, own, DIM);
    double slope = cos(.5) + sin(.5) * c / sqrt(1 - c * c);
    /* difference of the two = g_y (slope - 1) v_y, so it is parallel to v_y, with g_y from the probabilities */
    double z[CLASSES];
    double sum = 0;
    for (int j = 0; j < CLASSES; j++) {
        z[j] = 8 * (j == p.label[0] ? cos(acos(c) + .5) : dot(u, w_unit + j * DIM, DIM));
        sum += exp(z[j]);
    }
    double g = 8 * (exp(z[p.label[0]]) / sum - 1);
    for (int k = 0; k < DIM; k++) {
        assert_true(fabs(v_du[0][k] - v_du[1][k] - g * (slope - 1) * own[k]) < 1e-9);
    }
}

static void float_agrees_with_double(void **state)
{
    (void)state;
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        if (rows[r].term != MARGIN) {
            continue;
        }
        struct problem p = {.term = MARGIN, .margin = rows[r].margin, .subcenters = rows[r].subcenters};
        struct margin how = {(float)p.margin.scale, (float)p.margin.m1, (float)p.margin.m2,    (float)p.margin.m3,
                             p.margin.monotone,     p.margin.straight,  (float)p.margin.filter};
        double u64[ROWS * DIM], v64[CLASSES * MOST_SUB * DIM], length[CLASSES * MOST_SUB + ROWS];
        double du64[ROWS * DIM] = {0}, work64[ROWS * CLASSES * (MOST_SUB + 2)];
        float u[ROWS * DIM], v[CLASSES * MOST_SUB * DIM], du[ROWS * DIM] = {0};
        float work[ROWS * CLASSES * (MOST_SUB + 2)];
        struct margin_stats_f64 stats64 = {0};
        struct margin_stats stats = {0};
        uint64_t seed = 11;

        do {
            fill(&p, seed++);
        } while (near_a_kink(&p));
        unit_rows_f64(p.x, ROWS, DIM, u64, length);
        unit_rows_f64(p.w, CLASSES * p.subcenters, DIM, v64, length);
        for (int i = 0; i < ROWS * DIM; i++) {
            u[i] = (float)u64[i];
        }
        for (int i = 0; i < CLASSES * p.subcenters * DIM; i++) {
            v[i] = (float)v64[i];
        }
        margin_loss_f64(&p.margin, 1, u64, p.label, ROWS, DIM, v64, CLASSES, p.subcenters, NULL, work64, du64, NULL,
                        &stats64);
        margin_loss(&how, 1, u, p.label, ROWS, DIM, v, CLASSES, p.subcenters, NULL, work, du, NULL, &stats);
        double largest = 0;
        double worst = 0;
        for (int i = 0; i < ROWS * DIM; i++) {
            largest = fmax(largest, fabs(du64[i]));
            worst = fmax(worst, fabs(du64[i] - (double)du[i]));
        }
        if (worst > 1e-5 * largest || fabs(stats.loss - stats64.loss) > 1e-5 * fabs(stats64.loss) ||
            stats.correct != stats64.correct) {
            fail_msg("row %zu (%s): gradient %.3g of %.3g, loss %.9g and %.9g", r, rows[r].name, worst, largest,
                     stats.loss, stats64.loss);
        }
    }
}

static void the_papers_constants_hold(void **state)
{
    /* ARCFACE: slope of psi at an angle, m = .5, and the fallback's jump from -1 to -1.1173 */
    static const struct {
        double degrees, slope;
    } table[] = {{10, 3.60}, {20, 2.20},  {30, 1.71},  {45, 1.36}, {60, 1.15},
                 {90, .878}, {110, .703}, {130, .475}, {150, .047}};
    struct margin_f64 margin = PLAIN_MARGIN(64, 1, .5, 0);
    double slope;

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        (void)target_logit_f64(&margin, cos(table[i].degrees * PI / 180), &slope);
        if (fabs(slope - table[i].slope) > .006) {
            fail_msg("row %zu: %g degrees has slope %g", i, table[i].degrees, slope);
        }
    }
    double turn = cos(PI - .5);
    assert_true(fabs(target_logit_f64(&margin, turn + 1e-9, &slope) + 1) < 1e-6);
    assert_true(fabs(target_logit_f64(&margin, turn - 1e-9, &slope) + 1.1173) < 1e-4);
    assert_true(target_logit_f64(&margin, 1, &slope) > .877 && slope == LOSS_SLOPE_CAP); /* on its center: capped */
    struct margin named;
    assert_true(margin_by_name("cm2", &named));
    assert_true(named.m1 == 0.9F && named.m2 == 0.4F && named.m3 == 0.15F && named.scale == 64);
    assert_false(margin_by_name("arc", &named));
}

static void extremes_stay_finite(void **state)
{
    float u[2 * DIM] = {1, 0, 0, 0, 0, 0, -1};
    float v[2 * DIM] = {1, 0, 0, 0, 0, 0, -1};
    int label[2] = {0, 0}; /* the second row lies opposite its center */
    float work[2 * 2 * 3];
    float du[2 * DIM] = {0};
    float dv[2 * DIM] = {0};
    struct margin_stats stats = {0};
    struct margin margin;

    (void)state;
    assert_true(margin_by_name("arcface", &margin));
    margin_loss(&margin, 1, u, label, 2, DIM, v, 2, 1, NULL, work, du, dv, &stats);
    assert_true(isfinite(stats.loss) && stats.loss > 60);
    assert_true(stats.correct == .5);
    for (int i = 0; i < 2 * DIM; i++) {
        assert_true(isfinite(du[i]) && isfinite(dv[i]));
    }
    float zero[DIM] = {0};
    float unit[DIM];
    float length;
    unit_rows(zero, 1, DIM, unit, &length);
    assert_true(length == 0 && unit[0] == 0);
    unit_rows_backward(unit, &length, du, 1, DIM, zero);
    assert_true(zero[0] == 0);
}

static void sampling_keeps_the_batch_and_its_share(void **state)
{
    enum {
        MANY = 1000
    };
    unsigned char mark[MANY];
    int chosen[MANY];
    int again[MANY];
    int label[4] = {999, 3, 3, 500};
    int position[4];
    int seen[MANY] = {0};

    (void)state;
    for (unsigned long long step = 0; step < 200; step++) {
        int count = sample_classes(label, 4, MANY, .2, 7, step, mark, chosen, position);
        assert_int_equal(count, 200);
        for (int i = 0; i < count; i++) {
            assert_true(i == 0 || chosen[i] > chosen[i - 1]);
            seen[chosen[i]]++;
        }
        for (int i = 0; i < 4; i++) {
            assert_int_equal(chosen[position[i]], label[i]);
        }
        assert_int_equal(sample_classes(label, 4, MANY, .2, 7, step, mark, again, position), count);
        assert_memory_equal(chosen, again, (size_t)count * sizeof *chosen);
    }
    assert_int_equal(seen[3], 200);
    for (int j = 0; j < MANY; j++) { /* 40 expected of the others, deviation 5.6 */
        assert_true(seen[j] > 10);
    }
    assert_int_equal(sample_classes(label, 4, MANY, 0, 7, 0, mark, chosen, position), 3);
    assert_int_equal(sample_classes(label, 4, MANY, 1, 7, 0, mark, chosen, position), MANY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_match_differences), cmocka_unit_test(absent_centers_are_none),
        cmocka_unit_test(one_of_three_is_one),         cmocka_unit_test(straight_through_only_drops_the_margin_slope),
        cmocka_unit_test(float_agrees_with_double),    cmocka_unit_test(the_papers_constants_hold),
        cmocka_unit_test(extremes_stay_finite),        cmocka_unit_test(sampling_keeps_the_batch_and_its_share),
    };
    return cmocka_run_group_tests_name("loss", tests, NULL, NULL);
}
