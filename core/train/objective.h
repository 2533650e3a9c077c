/*
 * objective.h: what a run asks of the embeddings: one classification loss and any of the terms beside it, over one shard.
 */
#ifndef CORE_TRAIN_OBJECTIVE_H
#define CORE_TRAIN_OBJECTIVE_H

#include "core/base/arena.h"
#include "core/base/err.h"
#include "core/train/loss.h"

struct objective {
    bool softmax; /* the plain one, with a bias a class; else the margin */
    struct margin margin;
    int subcenters;
    double sample_rate; /* share of the classes that a step takes in (Partial FC); 1: all */
    /* weights of the terms; 0: off */
    float intra, inter, triplet, distill_cosine, distill_l2, distill_kl;
    float triplet_margin; /* radians: .35 */
    float kl_scale;       /* 64 */
};

/* Sub-center ArcFace's numbers: margin .5, s = 64, K = 1, every class, no terms. */
struct objective objective_default(void);

/*
 * Sets the classification loss by name: those of margin_by_name, and "softmax".  Errors: ERR_MISUSE: the note lists the names.
 */
MUST_CHECK enum err objective_choose(struct objective *objective, const char *loss, struct err_note *note);

/*
 * Errors: ERR_MISUSE terms that do not go together: softmax, inter and KL need one sub-center; softmax no sampled classes and no center
 *         terms; numbers out of range.
 */
MUST_CHECK enum err objective_check(const struct objective *objective, struct err_note *note);

/* The classes as one step sees them. */
struct objective_classes {
    int classes;           /* those of v: chosen ones, then frozen ones */
    const float *v;        /* [classes · subcenters, dim] unit rows; softmax: the raw weights */
    const int *centers_of; /* [classes] sub-centers that each has (loss.h); NULL: all as many */
    const float *bias;     /* softmax: [classes] */
    const float *taught;   /* [classes, dim] the teacher's class means, for KL; else NULL */
};

/* What a shard has seen; sums over its rows, so shards add up. */
struct objective_sums {
    double rows;
    double loss, terms; /* of the classification; of all terms beside it, weighted */
    double correct, angle;
};

/* Floats of scratch. */
size_t objective_work_floats(const struct objective *objective, int n, int dim, int classes);

/*
 * The loss of one shard of a batch, and its gradients: of the mean over the batch, so those of all shards add up.  Terms among rows
 * (triplet) see the rows of the shard alone.
 * Shapes: x [n, dim] raw embeddings; label [n] positions in classes; teacher [n, dim] unit rows; ret_dx [n, dim], overwritten;
 *         dv as v and dbias, added to; ret_angles [n] of each row to its own center (softmax: zeros).
 */
void objective_shard(const struct objective *objective, const float *x, const int *label, const float *teacher, int n,
                     int batch, int dim, const struct objective_classes *classes, float *work, float *ret_dx, float *dv,
                     float *dbias, float *ret_angles, struct objective_sums *sums);

/*
 * The terms of distillation alone, for a shard of crops that belong to no class; each counts weight times a row of the batch.
 * Shapes: as above; classes for the KL term.  sums: their part of terms; what the classification has seen stays.
 */
void objective_follow(const struct objective *objective, const float *x, const float *teacher, int n, float weight,
                      int batch, int dim, const struct objective_classes *classes, float *work, float *ret_dx,
                      float *dv, struct objective_sums *sums);

/* Whether any term of distillation has a weight. */
bool objective_distils(const struct objective *objective);

#endif
