/*
 * optimizer.h: how a gradient becomes a step.
 *
 * Parameters, gradients and moments are blocks of equal layout; ranges of them have their own learning rate and decay, and a
 * range with rate 0 is frozen.  SGD with momentum as PyTorch defines it (velocity = μ·velocity + gradient + decay·weight; weight −= rate·
 * velocity), and AdamW (Loshchilov and Hutter 2019: decay beside the gradient, not in it).
 * One thread per object; the same input gives the same bits.
 */
#ifndef CORE_TRAIN_OPTIMIZER_H
#define CORE_TRAIN_OPTIMIZER_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/err.h"

struct optimizer_range {
    size_t begin, end; /* floats of the block, end not included */
    float rate_factor; /* times the schedule's rate: 0 frozen, 10 for new centers */
    float weight_decay;
};

struct optimizer_options {
    enum optimizer_kind {
        OPTIMIZER_SGD,
        OPTIMIZER_ADAMW
    } kind;
    float momentum;     /* SGD: .9 */
    float beta1, beta2; /* AdamW: .9, .999 */
    float epsilon;      /* AdamW: 1e-8 */
};

struct optimizer;

/*
 * Makes an optimiser for a block of count floats; ranges must be rising, not overlapping, within the block; what lies in none is
 * frozen.  Copies both.
 * Errors: ERR_MISUSE; ERR_NOMEM.
 */
MUST_CHECK enum err optimizer_new(const struct optimizer_options *options, const struct optimizer_range *ranges,
                                  int n_ranges, size_t count, struct optimizer **ret);
void optimizer_free(struct optimizer *optimizer);

/* One step: changes weight; gradient is only read. */
void optimizer_step(struct optimizer *optimizer, float rate, const float *gradient, float *weight);

/* The state for a checkpoint: a pointer to state_floats floats (moments), and the number of steps so far. */
float *optimizer_state(struct optimizer *optimizer, size_t *ret_floats);
long optimizer_steps(const struct optimizer *optimizer);
void optimizer_set_steps(struct optimizer *optimizer, long steps);

/* Scales the gradient of [begin, end) down to at most limit in length; returns its length before.  limit ≤ 0: only measures. */
double gradient_clip(float *gradient, size_t begin, size_t end, double limit);

/* ---- Schedules --------------------------------------------------------------------------------------------------- */

struct schedule {
    enum schedule_kind {
        SCHEDULE_CONSTANT,
        SCHEDULE_STEP,      /* × factor at each of the given shares of the way */
        SCHEDULE_COSINE,    /* half a cosine from 1 to 0 */
        SCHEDULE_POLYNOMIAL /* (1 − way) ^ power; 1 is the reference code's linear decay */
    } kind;
    float rate;   /* after the warm-up */
    long steps;   /* in all */
    long warmup;  /* rising linearly from rate / warmup; 0: none */
    float power;  /* polynomial */
    float factor; /* step: .1 */
    float at[8];  /* step: shares of the way after the warm-up, rising */
    int n_at;
};

/* The rate of a step, numbered from 0; 0 beyond the last. */
float schedule_rate(const struct schedule *schedule, long step);

#endif
