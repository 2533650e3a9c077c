/*
 * invert_private.h: the parts that a descent is made of.
 *
 * invert.c lives and descends; invert_part.c takes some pictures through the network and back; invert_statistics.c compares what
 * all parts have seen with what the network remembers, between the two.
 */
#ifndef CORE_TRAIN_INVERT_PRIVATE_H
#define CORE_TRAIN_INVERT_PRIVATE_H

#include "core/train/canvas.h"
#include "core/train/invert.h"
#include "core/train/optimizer.h"
#include "core/train/tape.h"

struct inversion;

/* Some pictures of the batch on a tape of their own. */
struct part {
    struct inversion *run;
    int from, n;
    struct tape *tape;
    struct tensor input;  /* [n, 3, side, side] as the network takes it */
    struct tensor output; /* of the last forward */
    float *pixels;        /* [n, 3, side, side] in −1 .. 1 */
    float *d_pixels, *d_input, *seen;
    float *numbers; /* of one canvas */
    float *unit, *length, *d_unit, *d_out;
    struct glance *glances;
    struct prior_sums sums; /* of all norms, one behind the other */
    double cosine, variation, energy;
    enum err err;
    struct err_note note;
};

struct inversion {
    const struct graph *graph;
    const struct invert_options *options;
    struct parameters *parameters;
    struct canvas canvas;
    int side, dim, n, n_parts;
    int people;    /* different targets */
    size_t pixels; /* 3 · side² */
    float *target; /* [n, dim] unit rows */
    struct part *parts;
    struct optimizer *optimizer, *common_optimizer;
    float *p, *dp;           /* [n, canvas.count] */
    float *common, *dcommon; /* [canvas.count]: what every picture has beside its own */
    float *work;             /* [n, pixels] */
    struct arena *mem;
    long step;
    bool plain, mirrored; /* the pictures are seen as they are, for the end */

    /* Of the norms, one behind the other; NULL before the first forward. */
    int n_norms;
    int64_t channels;
    double *mean, *squares; /* followed over steps: means of values and of squares */
    float *offset, *slope;
    double prior;
    double followed; /* share that the followed statistics have gathered */
};

/* ---- One part (any thread) --------------------------------------------------------------------------------------- */

/* Room and a tape for part->n pictures from part->from on.  Errors: ERR_LIMIT, ERR_NOMEM. */
MUST_CHECK enum err part_init(struct inversion *run, struct part *part, struct err_note *note);

/* From the numbers of its pictures to what the network makes of them and their statistics; the first error stays in part->err. */
void part_forward(struct part *part);

/* From there back to the derivatives of the numbers, with what the statistics say. */
void part_back(struct part *part);

/* ---- The statistics of all parts --------------------------------------------------------------------------------- */

/* After the first forward, when the norms are known: room for what is kept of them. */
MUST_CHECK enum err statistics_init(struct inversion *run);

/* Adds up what a part's norms have seen; nothing before statistics_init. */
void statistics_of_part(struct part *part);

/* Lets the statistics follow, and finds the line of derivatives for each channel. */
void statistics_compare(struct inversion *run);

/* A tape's hook: adds the derivatives to what entered a norm.  context is the part. */
void statistics_gradient(void *context, int norm, const struct tape_norm *is, float *x_grad);

#endif
