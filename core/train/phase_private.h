/*
 * phase_private.h: a phase while it runs: what trainer.c leads through and phase.c computes a step of.
 */
#ifndef CORE_TRAIN_PHASE_PRIVATE_H
#define CORE_TRAIN_PHASE_PRIVATE_H

#include "core/train/ahead.h"
#include "core/train/tape.h"
#include "core/train/trainer.h"

/* One thread's share: a tape and a block of gradients. */
struct phase_worker {
    struct tape *tape;
    struct arena *mem;
    float *input;     /* [shard, map_floats]; NULL with ahead */
    float *gradients; /* the network's block, then dv [rows, dim], then dbias [classes] */
    float *work;
    float *dx;
    float *teacher;
    float *angles;
    int *label;
    struct objective_sums sums;
    enum err err;
    struct err_note note;
};

/* The crops of a step. */
struct phase_draw {
    int *item;  /* [rows of most shards]: the batch, then the shards of followers */
    int *label; /* [batch] classes */
    int shards;
};

struct phase {
    struct student *student;
    struct parameters *parameters;
    const struct train_options *options;
    struct cancel *cancel;
    int dim;
    int threads;
    size_t map_floats; /* of one crop's input */

    /* who takes part */
    int *items; /* [n_items] crops */
    int *label; /* [n_items] */
    int n_items;
    int *followers; /* [n_followers] crops that are kept near the teacher, and teach no class */
    int n_followers;
    long follow_shards;  /* of an epoch, the last one filled up from the first */
    float follow_weight; /* so that each counts as much in an epoch as a crop that teaches */
    int classes, subcenters;
    int batch, shard;
    long steps_per_epoch, steps;
    struct schedule schedule;

    /* what learns */
    float *centers; /* [classes · subcenters, dim], then the softmax's bias [classes] */
    size_t center_floats;
    struct optimizer *network_steps;
    struct optimizer *center_steps;

    /* one step */
    int *order;             /* [n_items] positions of this epoch */
    long ordered;           /* epoch that order is of, -1: none */
    int *follow_order;      /* [n_followers] of the same epoch */
    struct phase_draw now;  /* this step's */
    struct phase_draw next; /* the next one's, whose inputs are being made */
    long asked;             /* the step that next is of; -1: none */
    float *inputs;          /* [rows of most shards, map_floats] of now; NULL without ahead */
    int *batch_class;       /* [batch] positions in chosen */
    int *chosen;            /* [classes] */
    int *centers_now;       /* [chosen + frozen] sub-centers of each; NULL: all have as many */
    int n_chosen;
    unsigned char *mark;
    int rows; /* of v: (chosen + frozen) · subcenters */
    int most_rows;
    float *v;          /* [most_rows, dim] */
    float *length;     /* [most_rows] */
    float *taught;     /* [classes + frozen, dim] of all; NULL without KL */
    float *taught_now; /* of the step's classes */
    float *total;      /* as a worker's gradients */
    size_t gradient_floats;
    float *center_gradient; /* [center_floats] */
    struct objective_sums sums;
    uint32_t step_bins[TRAIN_ANGLE_BINS];
    uint32_t (*angle_bins)[TRAIN_ANGLE_BINS]; /* [epochs], of whole steps */
    int first_shard;                          /* of the round that runs */
    long step, epoch;

    struct ahead *ahead; /* NULL: the inputs are kept maps, which are copied in no time */
    struct phase_worker *worker;
    struct err_note *note;
};

/* Chooses the batch of phase->step. */
MUST_CHECK enum err phase_choose(struct phase *phase, struct arena *mem);

/*
 * Computes the gradients of the step's batch into total and center_gradient, and its sums.  Nothing that learns has changed.
 * Errors: ERR_CANCELLED; those of tapes and the data set.
 */
MUST_CHECK enum err phase_gradient(struct phase *phase);

/* Clips, steps, and follows the running statistics.  Fills point.  Errors: ERR_FORMAT a gradient or the loss is no number. */
MUST_CHECK enum err phase_apply(struct phase *phase, struct train_point *point);

#endif
