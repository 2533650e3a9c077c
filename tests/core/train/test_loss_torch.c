/*
 * test_loss_torch.c: every loss against what PyTorch computes (fixtures/losses_torch.py): values and gradients, those
 * of the raw embeddings and centers.
 *
 * test_loss.c proves that a gradient belongs to its value; this one proves that the value is the paper's.
 */
#include "core/train/loss.h"

#include <string.h>

#include "torch_fixture.h"

#define FIXTURE "tests/core/train/fixtures/losses_torch.bin"
#define N 8
#define DIM 8
#define CLASSES 5
#define MOST_SUBCENTERS 3
#define MOST_ROWS (CLASSES * MOST_SUBCENTERS)
#define WEIGHT .5F

/*
 * With s = 64 a logit is up to 64, and there neighbouring floats are 4e-6 apart; a probability moves by as much,
 * relative to itself, and so does its gradient.  A few such roundings stay below 1e-5; the worst seen is 2e-6.
 */
static const struct torch_bound BOUND = {.relative = 1e-5};

/* One case: what is given, what comes out.  u, v and their gradients are of unit rows; the plain softmax has none. */
struct problem {
    int label[N];
    const float *x, *w, *more;
    float u[N * DIM], du[N * DIM], dx[N * DIM];
    float v[MOST_ROWS * DIM], dv[MOST_ROWS * DIM], dw[MOST_ROWS * DIM];
    float more_gradient[CLASSES];
    float work[N * CLASSES * (MOST_SUBCENTERS + 2) + N * N];
    double correct, angle; /* of margins */
};

struct loss_case {
    const char *name;
    double (*run)(const struct loss_case *c, struct problem *p);
    const char *margin;
    int subcenters;
    float number; /* the filter of a margin, the scale of KL */
    bool straight;
    int n_more;       /* numbers that the loss reads besides */
    bool more_learnt; /* and changes */
};

static double run_softmax(const struct loss_case *c, struct problem *p)
{
    (void)c;
    return softmax_loss(WEIGHT, p->x, p->label, N, DIM, p->w, p->more, CLASSES, p->work, p->dx, p->dw,
                        p->more_gradient);
}

static double run_margin(const struct loss_case *c, struct problem *p)
{
    struct margin margin;
    struct margin_stats stats = {0};

    assert_true(margin_by_name(c->margin, &margin));
    assert_true(margin_work_floats(N, CLASSES, c->subcenters) <= sizeof p->work / sizeof p->work[0]);
    margin.straight = c->straight;
    if (c->number > 0) {
        margin.filter = c->number;
    }
    margin_loss(&margin, WEIGHT, p->u, p->label, N, DIM, p->v, CLASSES, c->subcenters, NULL, p->work, p->du, p->dv,
                &stats);
    p->correct = stats.correct;
    p->angle = stats.mean_angle;
    return stats.loss;
}

static double run_intra(const struct loss_case *c, struct problem *p)
{
    return intra_loss(WEIGHT, p->u, p->label, N, DIM, p->v, c->subcenters, NULL, p->du, p->dv);
}

static double run_inter(const struct loss_case *c, struct problem *p)
{
    (void)c;
    return inter_loss(WEIGHT, p->label, N, DIM, p->v, CLASSES, p->dv);
}

static double run_triplet(const struct loss_case *c, struct problem *p)
{
    (void)c;
    return triplet_loss(WEIGHT, .35F, p->u, p->label, N, DIM, p->work, p->du);
}

static double run_cosine(const struct loss_case *c, struct problem *p)
{
    (void)c;
    return distill_cosine(WEIGHT, p->u, p->more, N, DIM, p->du);
}

static double run_l2(const struct loss_case *c, struct problem *p)
{
    (void)c;
    return distill_l2(WEIGHT, p->u, p->more, N, DIM, p->du);
}

static double run_kl(const struct loss_case *c, struct problem *p)
{
    return distill_kl(WEIGHT, c->number, p->u, p->more, N, DIM, p->v, CLASSES, p->work, p->du, p->dv);
}

/* The order of CASES in the script. */
static const struct loss_case CASES[] = {
    {"softmax", run_softmax, .subcenters = 1, .n_more = CLASSES, .more_learnt = true},
    {"norm_softmax", run_margin, .margin = "norm_softmax", .subcenters = 1},
    {"sphereface", run_margin, .margin = "sphereface", .subcenters = 1},
    {"cosface", run_margin, .margin = "cosface", .subcenters = 1},
    {"arcface", run_margin, .margin = "arcface", .subcenters = 1},
    {"cm1", run_margin, .margin = "cm1", .subcenters = 1},
    {"cm2", run_margin, .margin = "cm2", .subcenters = 1},
    {"arcface of three sub-centers", run_margin, .margin = "arcface", .subcenters = 3},
    {"arcface, filtered", run_margin, .margin = "arcface", .subcenters = 1, .number = .4F},
    {"arcface of three sub-centers, filtered", run_margin, .margin = "arcface", .subcenters = 3, .number = .4F},
    {"arcface, straight through", run_margin, .margin = "arcface", .subcenters = 1, .straight = true},
    {"intra", run_intra, .subcenters = 1},
    {"intra of three sub-centers", run_intra, .subcenters = 3},
    {"inter", run_inter, .subcenters = 1},
    {"triplet", run_triplet, .subcenters = 1},
    {"distillation by cosine", run_cosine, .subcenters = 1, .n_more = N * DIM},
    {"distillation by L2", run_l2, .subcenters = 1, .n_more = N * DIM},
    {"KL, scale 8", run_kl, .subcenters = 1, .number = 8, .n_more = N * CLASSES},
    {"KL, scale 64", run_kl, .subcenters = 1, .number = 64, .n_more = N * CLASSES},
};

static void run_case(const struct loss_case *c, struct torch_fixture *fixture)
{
    struct problem p = {0};
    int rows = CLASSES * c->subcenters;
    size_t n_w = (size_t)rows * DIM;
    float u_length[N];
    float v_length[MOST_ROWS];

    const float *label = torch_take(fixture, N);
    for (int i = 0; i < N; i++) {
        p.label[i] = (int)label[i];
    }
    p.x = torch_take(fixture, (size_t)N * DIM);
    p.w = torch_take(fixture, n_w);
    p.more = torch_take(fixture, (size_t)c->n_more);
    unit_rows(p.x, N, DIM, p.u, u_length);
    unit_rows(p.w, rows, DIM, p.v, v_length);
    float value = (float)c->run(c, &p);
    float correct = (float)p.correct;
    float angle = (float)p.angle;
    unit_rows_backward(p.u, u_length, p.du, N, DIM, p.dx);
    unit_rows_backward(p.v, v_length, p.dv, rows, DIM, p.dw);
    torch_compare(BOUND, "loss", c->name, &value, torch_take(fixture, 1), 1);
    torch_compare(BOUND, "share of correct rows", c->name, &correct, torch_take(fixture, 1), 1);
    torch_compare(BOUND, "mean angle", c->name, &angle, torch_take(fixture, 1), 1);
    torch_compare(BOUND, "embeddings' gradient", c->name, p.dx, torch_take(fixture, (size_t)N * DIM), (size_t)N * DIM);
    torch_compare(BOUND, "centers' gradient", c->name, p.dw, torch_take(fixture, n_w), n_w);
    if (c->more_learnt) {
        torch_compare(BOUND, "bias's gradient", c->name, p.more_gradient, torch_take(fixture, (size_t)c->n_more),
                      (size_t)c->n_more);
    }
}

static void losses_are_those_of_pytorch(void **state)
{
    struct torch_fixture fixture = torch_open(FIXTURE);

    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        run_case(&CASES[i], &fixture);
    }
    torch_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_are_those_of_pytorch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
