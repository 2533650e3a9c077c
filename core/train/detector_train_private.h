/*
 * detector_train_private.h: a run of detector_train while it runs: what detector_train.c begins, saves and ends, and
 * detector_step.c takes a step of.
 */
#ifndef CORE_TRAIN_DETECTOR_TRAIN_PRIVATE_H
#define CORE_TRAIN_DETECTOR_TRAIN_PRIVATE_H

#include <stdatomic.h>

#include "core/train/detector_loss.h"
#include "core/train/detector_train.h"
#include "core/train/optimizer.h"
#include "core/train/tape.h"

#define DETECTOR_MOST_BATCH 1024
#define DETECTOR_MOST_THREADS 64

struct detector_sums {
    double score, box, point, overlap;
    int positive;
};

/* One scene of the batch, drawn before the step. */
struct detector_example {
    struct detector_goal *goal; /* of its faces; mem_free */
    int *target;                /* of its cells */
    int positive;
};

struct detector_run {
    const struct detector_labels *labels;
    const struct detector_train_options *options;
    struct pool *pool;
    struct cancel *cancel;
    struct graph *graph;
    struct parameters *parameters;
    struct optimizer *optimizer;
    struct schedule schedule;
    float *average;  /* as parameters->values */
    float *total;    /* gradient of a step */
    float *gradient; /* [batch / shard, n_floats] */
    float *input;    /* [batch, 3, most side, most side] */
    struct detector_example example[DETECTOR_MOST_BATCH];
    struct detector_sums *sums; /* [batch / shard] */
    int shards;
    int side, cells; /* of this step */
    int positive;    /* cells of this step's batch with a face */
    long step;
    atomic_int next;
    atomic_bool failed;
    struct detector_worker {
        struct tape *tape;
        struct arena *mem;
        float *grad; /* of the outputs of a shard */
        enum err err;
        struct err_note note;
    } worker[DETECTOR_MOST_THREADS];
    struct err_note *note;
};

/* The side of the larger scenes, which every third step takes. */
static inline int detector_greatest_side(const struct detector_train_options *options)
{
    return options->side * 4 / 3 / 32 * 32;
}

/* Takes a step.  Errors: ERR_CANCELLED; ERR_FORMAT the loss is no number; those of scenes and tapes.  Nothing that learns has then changed. */
MUST_CHECK enum err detector_step(struct detector_run *run, struct detector_train_step *told);

#endif
