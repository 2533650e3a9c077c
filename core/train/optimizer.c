/* optimizer.c: SGD with momentum, AdamW, clipping and schedules. */
#include "core/train/optimizer.h"

#include <math.h>

#include "core/base/mem.h"

struct optimizer {
    /* immutable after optimizer_new */
    struct optimizer_options options;
    struct optimizer_range *ranges;
    int n_ranges;
    size_t count;

    /* one thread */
    float *state; /* SGD: velocity [count]; AdamW: first and second moments [2, count] */
    size_t state_floats;
    long steps;
};

enum err optimizer_new(const struct optimizer_options *options, const struct optimizer_range *ranges, int n_ranges,
                       size_t count, struct optimizer **ret)
{
    size_t behind = 0;

    for (int r = 0; r < n_ranges; r++) {
        if (ranges[r].begin < behind || ranges[r].end < ranges[r].begin || ranges[r].end > count) {
            return ERR_MISUSE;
        }
        behind = ranges[r].end;
    }
    struct optimizer *optimizer = MEM_NEW(struct optimizer);
    if (optimizer == NULL) {
        return ERR_NOMEM;
    }
    optimizer->options = *options;
    optimizer->n_ranges = n_ranges;
    optimizer->count = count;
    optimizer->state_floats = options->kind == OPTIMIZER_ADAMW ? 2 * count : count;
    optimizer->ranges = mem_copy(ranges, (size_t)n_ranges * sizeof *ranges);
    optimizer->state = MEM_ARRAY(float, optimizer->state_floats);
    if (optimizer->ranges == NULL || optimizer->state == NULL) {
        optimizer_free(optimizer);
        return ERR_NOMEM;
    }
    *ret = optimizer;
    return ERR_NONE;
}

void optimizer_free(struct optimizer *optimizer)
{
    if (optimizer != NULL) {
        mem_free(optimizer->ranges);
        mem_free(optimizer->state);
        mem_free(optimizer);
    }
}

static void sgd_range(const struct optimizer *optimizer, const struct optimizer_range *range, float rate,
                      const float *gradient, float *weight)
{
    float momentum = optimizer->options.momentum;
    float *velocity = optimizer->state;
    bool first = optimizer->steps == 0; /* PyTorch starts with the gradient itself; with zeros that is the same */

    for (size_t i = range->begin; i < range->end; i++) {
        float g = gradient[i] + range->weight_decay * weight[i];
        velocity[i] = first ? g : momentum * velocity[i] + g;
        weight[i] -= rate * velocity[i];
    }
}

static void adamw_range(const struct optimizer *optimizer, const struct optimizer_range *range, float rate,
                        const float *gradient, float *weight)
{
    const struct optimizer_options *o = &optimizer->options;
    float *first = optimizer->state;
    float *second = optimizer->state + optimizer->count;
    double step = (double)optimizer->steps + 1;
    double correct1 = 1 - pow((double)o->beta1, step);
    double correct2 = 1 - pow((double)o->beta2, step);

    for (size_t i = range->begin; i < range->end; i++) {
        float g = gradient[i];
        weight[i] -= rate * range->weight_decay * weight[i];
        first[i] = o->beta1 * first[i] + (1 - o->beta1) * g;
        second[i] = o->beta2 * second[i] + (1 - o->beta2) * g * g;
        double root = sqrt((double)second[i] / correct2) + (double)o->epsilon;
        weight[i] -= (float)((double)rate * ((double)first[i] / correct1) / root);
    }
}

void optimizer_step(struct optimizer *optimizer, float rate, const float *gradient, float *weight)
{
    for (int r = 0; r < optimizer->n_ranges; r++) {
        const struct optimizer_range *range = &optimizer->ranges[r];
        float own = rate * range->rate_factor;
        if (range->rate_factor == 0) {
            continue; /* frozen: no decay and no moments either */
        }
        if (optimizer->options.kind == OPTIMIZER_SGD) {
            sgd_range(optimizer, range, own, gradient, weight);
        } else {
            adamw_range(optimizer, range, own, gradient, weight);
        }
    }
    optimizer->steps++;
}

float *optimizer_state(struct optimizer *optimizer, size_t *ret_floats)
{
    *ret_floats = optimizer->state_floats;
    return optimizer->state;
}

long optimizer_steps(const struct optimizer *optimizer)
{
    return optimizer->steps;
}

void optimizer_set_steps(struct optimizer *optimizer, long steps)
{
    optimizer->steps = steps;
}

double gradient_clip(float *gradient, size_t begin, size_t end, double limit)
{
    double squares = 0;

    for (size_t i = begin; i < end; i++) {
        squares += (double)gradient[i] * (double)gradient[i];
    }
    double length = sqrt(squares);
    if (limit > 0 && length > limit) {
        float factor = (float)(limit / length);
        for (size_t i = begin; i < end; i++) {
            gradient[i] *= factor;
        }
    }
    return length;
}

float schedule_rate(const struct schedule *schedule, long step)
{
    static const double PI = 3.14159265358979323846;

    if (step < 0 || step >= schedule->steps) {
        return 0;
    }
    if (step < schedule->warmup) {
        return schedule->rate * (float)(step + 1) / (float)schedule->warmup;
    }
    double way = (double)(step - schedule->warmup) / (double)(schedule->steps - schedule->warmup);
    double share = 1;
    switch (schedule->kind) {
    case SCHEDULE_CONSTANT: break;
    case SCHEDULE_STEP:
        for (int i = 0; i < schedule->n_at && way >= (double)schedule->at[i]; i++) {
            share *= (double)schedule->factor;
        }
        break;
    case SCHEDULE_COSINE: share = .5 * (1 + cos(PI * way)); break;
    case SCHEDULE_POLYNOMIAL: share = pow(1 - way, (double)schedule->power); break;
    }
    return (float)((double)schedule->rate * share);
}
