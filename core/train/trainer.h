/*
 * trainer.h: one phase of learning: a student, labels, an objective, an optimiser; and what came of it.
 *
 * A run is phases and what lies between them, for instance sub-center ArcFace's: train_phase with three sub-centers,
 * purify_plain or purify_refined, train_phase with one.  A phase changes the student's parameters and nothing else.
 *
 * The same bits at any number of threads: a batch is cut into shards of a fixed number of crops, each shard goes through one
 * tape, and gradients are added in the order of the shards.  What happens in an epoch is a function of (seed, epoch).
 * With a checkpoint folder a phase that was cut off anywhere goes on from its last checkpoint and ends with the same bits;
 * one that had ended returns at once.  So a run is resumed by running it again.
 */
#ifndef CORE_TRAIN_TRAINER_H
#define CORE_TRAIN_TRAINER_H

#include "core/train/objective.h"
#include "core/train/optimizer.h"
#include "core/train/student.h"

struct train_options {
    struct objective objective;
    struct optimizer_options optimizer;
    struct schedule schedule; /* steps and warmup are filled in by the phase */
    float warmup_share;       /* of all steps */
    float weight_decay;       /* of weights and centers; never of biases, norms and slopes */
    float center_rate;        /* times the schedule's rate */
    float clip;               /* greatest length of the network's gradient; 0: any */
    int epochs;
    int batch, shard; /* crops; batch is a multiple of shard */
    bool balanced;    /* people take turns, however many photos each has */
    bool batch_statistics, dropout;
    uint64_t seed;

    const int *centers_of; /* [classes] sub-centers of each, 1 .. objective.subcenters; NULL: all have as many */
    const float
        *frozen; /* [n_frozen, dim] unit rows of people who are not in the data set: they only push.  May be NULL */
    int n_frozen;

    const char *checkpoint_folder; /* exists; NULL: none */
    long checkpoint_every;         /* steps; 0: only at the end, and when cancelled */
};

/* Fine-tuning of a small set, ARCFACE.md's advice: ArcFace, SGD .9, rate .002 with a cosine, centers × 10, decay 5e-4, clip 5, 10 epochs, batch 32 in
 * shards of 8, running statistics. */
struct train_options train_default(void);

/* Fixed counts of 5° each, of the angles between embeddings and their own centers. */
#define TRAIN_ANGLE_BINS 36

/* One step, as it is kept for the report. */
struct train_point {
    float loss;  /* of the classification */
    float terms; /* of what stands beside it, with the part of the crops that follow */
    float rate;
    float angle;   /* mean, radians */
    float correct; /* share nearest to their own class */
    float norm;    /* of the network's gradient, before clipping */
};

/* One step, as it is told while it runs. */
struct train_step {
    long step, steps; /* done; in all */
    long epoch;
    const struct train_point *point;
    double images_per_s; /* of those that teach */
    size_t peak_bytes;   /* of all tapes */
};

/* Called after every step, on the thread that runs the phase. */
typedef void train_watch(void *context, const struct train_step *step);

struct train_result {
    long steps, epochs;
    long begun_at; /* step: 0, or that of the checkpoint */
    int classes, subcenters;
    int *centers_of;            /* [classes] of the rows of centers that each class has; NULL: all subcenters */
    struct train_point *points; /* [steps] */
    uint32_t (*angles)[TRAIN_ANGLE_BINS]; /* [epochs] */
    float *centers;                       /* [classes · subcenters, dim] unit rows; softmax: raw weights */
    size_t peak_bytes;                    /* of all tapes, forward and back */
    struct arena *mem;                    /* holds all of this */
};
void train_result_release(struct train_result *result);

/* The label of a crop that teaches no class, and is only kept where the teacher has it: by the terms of distillation, once an epoch; it takes
 * no part where none of them has a weight. */
#define TRAIN_FOLLOWS (-2)

/*
 * Runs one phase.
 * Shapes: label [count of the student's crops]: 0 .. classes-1, TRAIN_FOLLOWS, or -1 for crops that take no part; every class has a
 *         crop.  Crops that follow are shards of their own beside those of the batches, spread evenly over the steps of an epoch; they
 *         change neither how many steps there are nor which crops teach in each.
 * Owns:   *ret until train_result_release.
 * Errors: ERR_MISUSE options that contradict each other, a class without a crop; ERR_CANCELLED: the parameters and the checkpoint
 *         are those of the last whole step; ERR_CONFLICT the folder holds another run's checkpoint; ERR_FORMAT the loss is no number
 *         any more: the note says at which step (the student's parameters are then those of that step); ERR_UNSUPPORTED,
 *         ERR_CORRUPT, ERR_LIMIT, ERR_NOMEM, ERR_IO, ERR_NO_SPACE.
 */
MUST_CHECK enum err train_phase(struct student *student, const int *label, int classes,
                                const struct train_options *options, struct cancel *cancel, train_watch *watch,
                                void *context, struct train_result *ret, struct err_note *note);

#endif
