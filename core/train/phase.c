/* phase.c: one step: a batch in shards, their gradients added in order, the change of what learns. */
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/train/phase_private.h"

/* PyTorch's: how fast running statistics follow. */
#define FOLLOW 0.1F

/* Those who follow are drawn in another order than those who teach. */
#define FOLLOW_SEED 0xD1B54A32D192ED03U

/* ---- Who ---------------------------------------------------------------------------------------------------------- */

static enum err order_epoch(struct phase *phase, long epoch, struct arena *mem)
{
    const struct train_options *options = phase->options;
    enum err err = epoch_order(phase->label, phase->n_items, phase->classes, options->balanced, options->seed, epoch,
                               mem, phase->order);

    arena_reset(mem);
    if (err == ERR_NONE && phase->n_followers > 0) {
        err = epoch_order(NULL, phase->n_followers, 0, 0, options->seed ^ FOLLOW_SEED, epoch, mem, phase->follow_order);
        arena_reset(mem);
    }
    phase->ordered = err == ERR_NONE ? epoch : -1;
    return err;
}

/* The batch of a step, and behind it the shards of followers that fall to it. */
static enum err draw(struct phase *phase, long step, struct arena *mem, struct phase_draw *ret)
{
    long epoch = step / phase->steps_per_epoch;
    long in_epoch = step % phase->steps_per_epoch;
    long from = in_epoch * phase->follow_shards / phase->steps_per_epoch;
    long to = (in_epoch + 1) * phase->follow_shards / phase->steps_per_epoch;
    enum err err = phase->ordered == epoch ? ERR_NONE : order_epoch(phase, epoch, mem);

    if (err != ERR_NONE) {
        return err;
    }
    for (int i = 0; i < phase->batch; i++) {
        /* a set smaller than a batch goes round */
        int at = phase->order[(in_epoch * phase->batch + i) % phase->n_items];
        ret->item[i] = phase->items[at];
        ret->label[i] = phase->label[at];
    }
    for (long i = 0; i < (to - from) * phase->shard; i++) {
        long at = (from * phase->shard + i) % phase->n_followers;
        ret->item[phase->batch + i] = phase->followers[phase->follow_order[at]];
    }
    ret->shards = phase->batch / phase->shard + (int)(to - from);
    return ERR_NONE;
}

/* Has the inputs of a step made. */
static enum err ask_ahead(struct phase *phase, long step, struct arena *mem)
{
    enum err err = draw(phase, step, mem, &phase->next);

    if (err == ERR_NONE) {
        ahead_ask(phase->ahead, phase->next.item, phase->next.shards * phase->shard, step / phase->steps_per_epoch);
        phase->asked = step;
    }
    return err;
}

/* This step's crops, and the inputs that were made of them; those of the next are begun. */
static enum err take_ahead(struct phase *phase, struct arena *mem)
{
    enum err err = phase->asked == phase->step ? ERR_NONE : ask_ahead(phase, phase->step, mem);

    if (err == ERR_NONE) {
        const struct phase_draw taken = phase->next;
        phase->next = phase->now;
        phase->now = taken;
        err = ahead_take(phase->ahead, &phase->inputs, phase->note);
    }
    return err == ERR_NONE && phase->step + 1 < phase->steps ? ask_ahead(phase, phase->step + 1, mem) : err;
}

/* Fills v: the unit centers of the chosen classes, then the frozen ones, each repeated for every sub-center. */
static void fill_centers(struct phase *phase)
{
    size_t dim = (size_t)phase->dim;
    size_t k = (size_t)phase->subcenters;
    float *to = phase->v;

    for (int j = 0; j < phase->n_chosen; j++) {
        memcpy(to, phase->centers + (size_t)phase->chosen[j] * k * dim, k * dim * sizeof *to);
        to += k * dim;
    }
    unit_rows(phase->v, phase->n_chosen * phase->subcenters, phase->dim, phase->v, phase->length);
    for (int j = 0; j < phase->options->n_frozen; j++) {
        for (size_t copy = 0; copy < k; copy++, to += dim) {
            memcpy(to, phase->options->frozen + (size_t)j * dim, dim * sizeof *to);
        }
    }
    phase->rows = (phase->n_chosen + phase->options->n_frozen) * phase->subcenters;
    for (int j = 0; phase->centers_now != NULL && j < phase->n_chosen + phase->options->n_frozen; j++) {
        phase->centers_now[j] = j < phase->n_chosen ? phase->options->centers_of[phase->chosen[j]] : 1;
    }
    if (phase->taught != NULL) {
        for (int j = 0; j < phase->n_chosen + phase->options->n_frozen; j++) {
            int from = j < phase->n_chosen ? phase->chosen[j] : phase->classes + j - phase->n_chosen;
            memcpy(phase->taught_now + (size_t)j * dim, phase->taught + (size_t)from * dim, dim * sizeof(float));
        }
    }
}

enum err phase_choose(struct phase *phase, struct arena *mem)
{
    const struct objective *objective = &phase->options->objective;
    enum err err = phase->ahead == NULL ? draw(phase, phase->step, mem, &phase->now) : take_ahead(phase, mem);

    if (err != ERR_NONE) {
        return err;
    }
    memcpy(phase->batch_class, phase->now.label, (size_t)phase->batch * sizeof *phase->batch_class);
    if (objective->sample_rate < 1) {
        phase->n_chosen =
            sample_classes(phase->now.label, phase->batch, phase->classes, objective->sample_rate, phase->options->seed,
                           (unsigned long long)phase->step, phase->mark, phase->chosen, phase->batch_class);
    }
    if (!objective->softmax) {
        fill_centers(phase);
    }
    return ERR_NONE;
}

/* ---- Shards ------------------------------------------------------------------------------------------------------- */

static bool teaches(const struct phase *phase, int shard)
{
    return shard < phase->batch / phase->shard;
}

static void fill_taught(const struct phase *phase, struct phase_worker *worker, int shard)
{
    const float *teacher = student_teacher(phase->student);
    size_t dim = (size_t)phase->dim;

    for (int i = 0; i < phase->shard; i++) {
        int at = shard * phase->shard + i;
        if (teaches(phase, shard)) {
            worker->label[i] = phase->batch_class[at];
        }
        memcpy(worker->teacher + (size_t)i * dim, teacher + (size_t)phase->now.item[at] * dim, dim * sizeof *teacher);
    }
}

/* The inputs of a shard: those made ahead, or kept maps. */
static enum err take_inputs(const struct phase *phase, struct phase_worker *worker, int shard, float **ret)
{
    const int first = shard * phase->shard;
    enum err err = ERR_NONE;

    if (phase->ahead != NULL) {
        *ret = phase->inputs + (size_t)first * phase->map_floats;
        return ERR_NONE;
    }
    for (int i = 0; i < phase->shard && err == ERR_NONE; i++) {
        err = student_fill(phase->student, phase->now.item[first + i], phase->epoch, worker->mem,
                           worker->input + (size_t)i * phase->map_floats, &worker->note);
        arena_reset(worker->mem);
    }
    *ret = worker->input;
    return err;
}

static enum err run_shard(const struct phase *phase, struct phase_worker *worker, int shard)
{
    const struct train_options *options = phase->options;
    struct tensor input = student_input(phase->student, phase->shard);
    struct tensor output = {0};
    float *inputs = NULL;
    bool softmax = options->objective.softmax;
    float *dv = worker->gradients + phase->parameters->n_floats;
    float *dbias = dv + (size_t)phase->most_rows * (size_t)phase->dim;
    struct objective_classes classes = {.classes = softmax ? phase->classes : phase->n_chosen + options->n_frozen,
                                        .v = softmax ? phase->centers : phase->v,
                                        .centers_of = phase->centers_now,
                                        .bias = phase->centers +
                                                (size_t)phase->classes * (size_t)phase->subcenters * (size_t)phase->dim,
                                        .taught = phase->taught_now};
    uint64_t drop = options->seed + 0x9E3779B97F4A7C15U * (uint64_t)(phase->step * 65536 + shard + 1);

    memset(worker->gradients, 0, phase->gradient_floats * sizeof(float));
    memset(&worker->sums, 0, sizeof worker->sums);
    fill_taught(phase, worker, shard);
    enum err err = take_inputs(phase, worker, shard, &inputs);
    if (err == ERR_NONE) {
        input.data = inputs;
        err = tape_forward(worker->tape, &input, drop, &output, &worker->note);
    }
    if (err == ERR_NONE && teaches(phase, shard)) {
        objective_shard(&options->objective, output.data, worker->label, worker->teacher, phase->shard, phase->batch,
                        phase->dim, &classes, worker->work, worker->dx, dv, dbias, worker->angles, &worker->sums);
    } else if (err == ERR_NONE) {
        objective_follow(&options->objective, output.data, worker->teacher, phase->shard, phase->follow_weight,
                         phase->batch, phase->dim, &classes, worker->work, worker->dx, dv, &worker->sums);
    }
    if (err == ERR_NONE) {
        err = tape_backward(worker->tape, worker->dx, worker->gradients, NULL, &worker->note);
    }
    return err;
}

static void work(void *context, int number)
{
    const struct phase *phase = context;
    struct phase_worker *worker = &phase->worker[number];

    worker->err = cancel_asked(phase->cancel) ? ERR_CANCELLED : run_shard(phase, worker, phase->first_shard + number);
}

static void add_worker(struct phase *phase, const struct phase_worker *worker)
{
    for (size_t i = 0; i < phase->gradient_floats; i++) {
        phase->total[i] += worker->gradients[i];
    }
    phase->sums.rows += worker->sums.rows;
    phase->sums.loss += worker->sums.loss;
    phase->sums.terms += worker->sums.terms;
    phase->sums.correct += worker->sums.correct;
    phase->sums.angle += worker->sums.angle;
}

/* Gradients of v become those of the centers; rows that were not chosen keep none. */
static void spread_centers(struct phase *phase)
{
    size_t dim = (size_t)phase->dim;
    float *dv = phase->total + phase->parameters->n_floats;
    size_t all = (size_t)phase->classes * (size_t)phase->subcenters;

    memset(phase->center_gradient, 0, phase->center_floats * sizeof(float));
    if (phase->options->objective.softmax) {
        memcpy(phase->center_gradient, dv, all * dim * sizeof *dv);
        memcpy(phase->center_gradient + all * dim, dv + (size_t)phase->most_rows * dim,
               (size_t)phase->classes * sizeof *dv);
        return;
    }
    for (int j = 0; j < phase->n_chosen; j++) {
        size_t from = (size_t)j * (size_t)phase->subcenters;
        size_t to = (size_t)phase->chosen[j] * (size_t)phase->subcenters;
        unit_rows_backward(phase->v + from * dim, phase->length + from, dv + from * dim, phase->subcenters, phase->dim,
                           phase->center_gradient + to * dim);
    }
}

/*
 * Rounds of as many shards as there are threads; after each, gradients are added in the order of the shards: ((0 + s₀) + s₁) + …
 * is the same sum however the rounds fall.
 */
enum err phase_gradient(struct phase *phase)
{
    int shards = phase->now.shards;

    memset(phase->total, 0, phase->gradient_floats * sizeof(float));
    memset(&phase->sums, 0, sizeof phase->sums);
    memset(phase->step_bins, 0, sizeof phase->step_bins);
    for (phase->first_shard = 0; phase->first_shard < shards; phase->first_shard += phase->threads) {
        int now = shards - phase->first_shard < phase->threads ? shards - phase->first_shard : phase->threads;
        pool_run(student_pool(phase->student), now, work, phase);
        for (int t = 0; t < now; t++) {
            const struct phase_worker *worker = &phase->worker[t];
            if (worker->err != ERR_NONE) {
                return worker->note.text[0] == '\0' ? worker->err
                                                    : ERR_SAY(phase->note, worker->err, "%s", worker->note.text);
            }
            add_worker(phase, worker);
            for (int i = 0; i < phase->shard && teaches(phase, phase->first_shard + t); i++) {
                int bin = (int)(worker->angles[i] * (TRAIN_ANGLE_BINS / 3.14159265F));
                phase->step_bins[bin < 0 ? 0 : bin >= TRAIN_ANGLE_BINS ? TRAIN_ANGLE_BINS - 1 : bin]++;
            }
        }
    }
    spread_centers(phase);
    return ERR_NONE;
}

/* ---- The change --------------------------------------------------------------------------------------------------- */

enum err phase_apply(struct phase *phase, struct train_point *point)
{
    const struct objective_sums *sums = &phase->sums;
    float rate = schedule_rate(&phase->schedule, phase->step);
    double norm = gradient_clip(phase->total, 0, phase->parameters->n_trainable, (double)phase->options->clip);
    double centers = gradient_clip(phase->center_gradient, 0, phase->center_floats, 0);

    if (!isfinite(sums->loss) || !isfinite(sums->terms) || !isfinite(norm) || !isfinite(centers)) {
        return ERR_SAY(phase->note, ERR_FORMAT,
                       "step %ld: the loss is %g and its gradient %g: the rate %g is too high, or a crop is no picture",
                       phase->step + 1, sums->loss / sums->rows, norm, (double)rate);
    }
    if (phase->options->batch_statistics) {
        parameters_follow(phase->parameters, phase->total, FOLLOW, phase->now.shards);
    }
    optimizer_step(phase->network_steps, rate, phase->total, phase->parameters->values);
    optimizer_step(phase->center_steps, rate, phase->center_gradient, phase->centers);
    for (int i = 0; i < TRAIN_ANGLE_BINS; i++) {
        phase->angle_bins[phase->epoch][i] += phase->step_bins[i];
    }
    *point = (struct train_point){.loss = (float)(sums->loss / sums->rows),
                                  .terms = (float)(sums->terms / sums->rows),
                                  .rate = rate,
                                  .angle = (float)(sums->angle / sums->rows),
                                  .correct = (float)(sums->correct / sums->rows),
                                  .norm = (float)norm};
    return ERR_NONE;
}
