/*
 * test_ten_steps_torch.c: ten steps of training against what PyTorch computes (fixtures/ten_steps_torch.py): in
 * each step the loss and the length of every gradient, at the end what has changed.
 *
 * A step here is put together as trainer.c and phase.c do it, of the same parts, but without a data set: the images are
 * given.
 */
#include "core/train/tape.h"

#include "core/train/objective.h"
#include "core/train/optimizer.h"
#include "network.h"
#include "torch_fixture.h"

#define FIXTURE "tests/core/train/fixtures/ten_steps_torch.bin"
#define STEPS 10
#define WARMUP 2
#define SHARDS 2
#define SHARD 4
#define BATCH (SHARDS * SHARD)
#define IMAGE_FLOATS (3 * 12 * 12)
#define DIM 5
#define CLASSES 4
#define CENTER_FLOATS (CLASSES * DIM)
#define CLIP 5.0
#define DECAY .05F
#define CENTER_RATE 10.0F

/*
 * A gradient is off by the roundings of a dozen layers and of s = 64, and passes that on to the next step; the worst
 * seen, on the reference kernels, is 1.2e-6 of a loss and 2e-5 of a length.  The floor of a length is for shifts that
 * statistics of the batch take away again: 0, but for rounding, beside a gradient of 300.  The floor of a change is ten
 * roundings of a number near 1.
 */
static const struct torch_bound LOSS = {.relative = 1e-5};
static const struct torch_bound LENGTH = {.relative = 5e-5, .floor = 1e-5};
static const struct torch_bound CHANGE = {.relative = 1e-5, .floor = 1e-6};

static const int LABEL[BATCH] = {0, 1, 2, 3, 3, 1, 0, 2};

struct run {
    const char *name;
    struct optimizer_options optimizer;
    float rate;
    bool batch_statistics;
};

/* The order of RUNS in the script. */
static const struct run RUNS[] = {
    {"sgd", {.kind = OPTIMIZER_SGD, .momentum = .9F}, .rate = .002F},
    {"sgd with statistics of the batch",
     {.kind = OPTIMIZER_SGD, .momentum = .9F},
     .rate = .001F,
     .batch_statistics = true},
    {"adamw", {.kind = OPTIMIZER_ADAMW, .beta1 = .9F, .beta2 = .999F, .epsilon = 1e-8F}, .rate = .001F},
};

/* What all runs begin with. */
struct beginning {
    const float *images;
    float *block; /* of parameters and running statistics */
    const float *centers;
};

struct training {
    const struct run *run;
    struct graph *graph;
    struct parameters *parameters;
    struct tape *tape;
    struct optimizer *network_steps, *center_steps;
    float *gradients, *work;
    float centers[CENTER_FLOATS], center_gradient[CENTER_FLOATS];
    float v[CENTER_FLOATS], dv[CENTER_FLOATS], length[CLASSES];
    double loss;
};

/* Learnt parameters in the order of the nodes, then running statistics: the order of the list and of the file. */
static void take_block(const struct parameters *p, struct torch_fixture *fixture, float *ret)
{
    for (int i = 0; i < p->count; i++) {
        memcpy(ret + p->list[i].offset, torch_take(fixture, p->list[i].count), p->list[i].count * sizeof *ret);
    }
}

static void make_optimizers(struct training *t)
{
    const struct parameters *p = t->parameters;
    const struct optimizer_range centers = {
        .begin = 0, .end = CENTER_FLOATS, .rate_factor = CENTER_RATE, .weight_decay = DECAY};
    struct optimizer_range ranges[64];
    int n = 0;

    assert_true(p->count <= 64);
    for (int i = 0; i < p->count && p->list[i].offset < p->n_trainable; i++) {
        const struct parameter *one = &p->list[i];
        ranges[n++] = (struct optimizer_range){.begin = one->offset,
                                               .end = one->offset + one->count,
                                               .rate_factor = 1,
                                               .weight_decay = one->kind == PARAMETER_WEIGHT ? DECAY : 0};
    }
    assert_int_equal(optimizer_new(&t->run->optimizer, ranges, n, p->n_floats, &t->network_steps), ERR_NONE);
    assert_int_equal(optimizer_new(&t->run->optimizer, &centers, 1, CENTER_FLOATS, &t->center_steps), ERR_NONE);
}

static void training_init(struct training *t, const struct run *run, const struct objective *objective)
{
    const struct tape_options options = {.batch_statistics = run->batch_statistics};
    struct err_note note = {0};

    *t = (struct training){.run = run, .graph = net_residual(1)};
    graph_seal(t->graph);
    torch_check(parameters_new(t->graph, &t->parameters, &note), &note);
    torch_check(tape_new(t->graph, t->parameters, &options, &t->tape, &note), &note);
    t->gradients = parameters_block(t->parameters);
    t->work = MEM_ARRAY(float, objective_work_floats(objective, SHARD, DIM, CLASSES));
    assert_true(t->gradients != NULL && t->work != NULL);
    make_optimizers(t);
}

static void training_release(struct training *t)
{
    optimizer_free(t->network_steps);
    optimizer_free(t->center_steps);
    mem_free(t->gradients);
    mem_free(t->work);
    tape_free(t->tape);
    parameters_free(t->parameters);
    graph_free(t->graph);
}

static void add_shard(struct training *t, const struct objective *objective, const float *images, const int *label,
                      struct objective_sums *sums)
{
    const struct objective_classes classes = {.classes = CLASSES, .v = t->v};
    struct tensor input = {.type = DTYPE_F32, .shape = NET_SHAPE(SHARD, 3, 12, 12), .data = (void *)images};
    struct tensor output;
    struct err_note note = {0};
    float dx[SHARD * DIM];
    float angles[SHARD];

    torch_check(tape_forward(t->tape, &input, 0, &output, &note), &note);
    objective_shard(objective, output.data, label, NULL, SHARD, BATCH, DIM, &classes, t->work, dx, t->dv, NULL, angles,
                    sums);
    torch_check(tape_backward(t->tape, dx, t->gradients, NULL, &note), &note);
}

static void compute_gradient(struct training *t, const struct objective *objective, const float *images)
{
    struct objective_sums sums = {0};

    memset(t->gradients, 0, t->parameters->n_floats * sizeof *t->gradients);
    memset(t->dv, 0, sizeof t->dv);
    memset(t->center_gradient, 0, sizeof t->center_gradient);
    unit_rows(t->centers, CLASSES, DIM, t->v, t->length);
    for (int s = 0; s < SHARDS; s++) {
        add_shard(t, objective, images + (size_t)s * SHARD * IMAGE_FLOATS, LABEL + (size_t)s * SHARD, &sums);
    }
    unit_rows_backward(t->v, t->length, t->dv, CLASSES, DIM, t->center_gradient);
    t->loss = sums.loss / sums.rows;
}

static void apply(struct training *t, float rate)
{
    gradient_clip(t->gradients, 0, t->parameters->n_trainable, CLIP);
    if (t->run->batch_statistics) {
        parameters_follow(t->parameters, t->gradients, .1F, SHARDS);
    }
    optimizer_step(t->network_steps, rate, t->gradients, t->parameters->values);
    optimizer_step(t->center_steps, rate, t->center_gradient, t->centers);
}

static void compare_number(struct torch_bound bound, const char *part, const char *name, double is,
                           struct torch_fixture *fixture)
{
    float number = (float)is;

    torch_compare(bound, part, name, &number, torch_take(fixture, 1), 1);
}

/* Before the step: the clip has not touched the gradients yet. */
static void compare_gradient(struct training *t, int step, struct torch_fixture *fixture)
{
    const struct parameters *p = t->parameters;
    char name[128];

    snprintf(name, sizeof name, "%s, step %d", t->run->name, step + 1);
    compare_number(LOSS, "loss", name, t->loss, fixture);
    compare_number(LENGTH, "gradient's length", name, gradient_clip(t->gradients, 0, p->n_trainable, 0), fixture);
    for (int i = 0; i < p->count && p->list[i].offset < p->n_trainable; i++) {
        const struct parameter *one = &p->list[i];
        snprintf(name, sizeof name, "%s, step %d, %s", t->run->name, step + 1, one->name);
        compare_number(LENGTH, "gradient's length", name,
                       gradient_clip(t->gradients, one->offset, one->offset + one->count, 0), fixture);
    }
    snprintf(name, sizeof name, "%s, step %d, centers", t->run->name, step + 1);
    compare_number(LENGTH, "gradient's length", name, gradient_clip(t->center_gradient, 0, CENTER_FLOATS, 0), fixture);
}

/* What ten steps have changed is a small part of the numbers: the change itself is compared. */
static void compare_change(const char *name, const float *is, const float *should, const float *before, size_t count)
{
    float changed[2048];
    float expected[2048];

    assert_true(count <= sizeof changed / sizeof changed[0]);
    for (size_t i = 0; i < count; i++) {
        changed[i] = is[i] - before[i];
        expected[i] = should[i] - before[i];
    }
    torch_compare(CHANGE, "change", name, changed, expected, count);
}

static void run_steps(const struct run *run, const struct beginning *from, struct torch_fixture *fixture)
{
    const struct objective objective = objective_default();
    const struct schedule schedule = {
        .kind = SCHEDULE_COSINE, .rate = run->rate, .steps = STEPS, .warmup = WARMUP, .power = 1, .factor = .1F};
    struct training t;
    char name[128];

    training_init(&t, run, &objective);
    const struct parameters *p = t.parameters;
    memcpy(p->values, from->block, p->n_floats * sizeof(float));
    memcpy(t.centers, from->centers, sizeof t.centers);
    for (int step = 0; step < STEPS; step++) {
        compute_gradient(&t, &objective, from->images);
        compare_gradient(&t, step, fixture);
        apply(&t, schedule_rate(&schedule, step));
    }
    for (int i = 0; i < p->count; i++) {
        const struct parameter *one = &p->list[i];
        snprintf(name, sizeof name, "%s, %s", run->name, one->name);
        compare_change(name, p->values + one->offset, torch_take(fixture, one->count), from->block + one->offset,
                       one->count);
    }
    snprintf(name, sizeof name, "%s, centers", run->name);
    compare_change(name, t.centers, torch_take(fixture, CENTER_FLOATS), from->centers, CENTER_FLOATS);
    training_release(&t);
}

static void ten_steps_are_those_of_pytorch(void **state)
{
    size_t live = mem_live_blocks();
    struct torch_fixture fixture = torch_open(FIXTURE);
    struct graph *graph = net_residual(1);
    struct parameters *layout;
    struct err_note note = {0};
    struct beginning from = {.images = torch_take(&fixture, (size_t)BATCH * IMAGE_FLOATS)};

    graph_seal(graph);
    torch_check(parameters_new(graph, &layout, &note), &note);
    take_block(layout, &fixture, layout->values);
    from.block = layout->values;
    from.centers = torch_take(&fixture, CENTER_FLOATS);
    for (size_t i = 0; i < sizeof RUNS / sizeof RUNS[0]; i++) {
        run_steps(&RUNS[i], &from, &fixture);
    }
    parameters_free(layout);
    graph_free(graph);
    torch_close(&fixture);
    assert_int_equal(mem_live_blocks(), live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_steps_are_those_of_pytorch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
