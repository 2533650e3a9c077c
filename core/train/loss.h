/*
 * loss.h: what a batch of embeddings is told about itself: the value of each loss and its gradient.
 *
 * The paper is ArcFace (Deng et al., TPAMI 2022, arXiv 1801.07698v4): the combined margin is its equation 4, the intra, inter
 * and triplet terms equations 5 and 6 and section 3.2, sub-centers equation 7, the distillation terms its light-model experiment.
 *
 * Every term but the plain softmax works on unit vectors: u are the rows of the batch, v the centers.  unit_rows makes
 * them and unit_rows_backward carries the gradient through the normalisation, once for all terms:
 *
 *     unit_rows(x) → u;  unit_rows(w) → v;  terms add into du and dv;  unit_rows_backward → dx, dw
 *
 * All gradients are of the mean over the batch and are added to what the caller's arrays hold, times the term's weight.
 * No memory is allocated; labels are 0 .. classes-1, checked by the caller.  Any thread.
 */
#ifndef CORE_TRAIN_LOSS_H
#define CORE_TRAIN_LOSS_H

#include <stdbool.h>
#include <stddef.h>

/* ---- Unit vectors ------------------------------------------------------------------------------------------------ */

/* Shapes: x, ret_u [n, dim]; ret_length [n].  A row shorter than 1e-12 becomes zeros (and gets no gradient). */
void unit_rows(const float *x, int n, int dim, float *ret_u, float *ret_length);

/* Adds (du − (du·u) u) / length to dx, row by row. */
void unit_rows_backward(const float *u, const float *length, const float *du, int n, int dim, float *dx);

/* ---- The classification loss ------------------------------------------------------------------------------------- */

struct margin {
    float scale;      /* s: 64, or 20 for the norm-softmax */
    float m1, m2, m3; /* target logit: s (cos(m1 θ + m2) − m3); (1, 0, 0) is the norm-softmax */
    bool monotone;    /* beyond the angle where m1 θ + m2 passes π, continue falling instead of rising again */
    bool straight;    /* straight-through: the margin changes the value, its gradient is taken as 1 (what the reference
                         code does since 2022); else the exact derivative, capped at LOSS_SLOPE_CAP */
    float
        filter; /* inter-class filtering: another class's cosine above this counts as 0 and gets no gradient (0.4 in the
                         reference's noisy settings); ≥ 1: off */
};

/* sin(θ + m) / sin θ has a pole where an embedding lies on its center; 10 is reached within 3.2° for m = 0.5. */
#define LOSS_SLOPE_CAP 10.0F

/* The margins of the paper by name: norm_softmax, sphereface (1.35), cosface (.35), arcface (.5), cm1, cm2.
 * Returns false and leaves *ret alone for another name. */
bool margin_by_name(const char *name, struct margin *ret);

/* What a step has seen, for the log and the report. */
struct margin_stats {
    double loss;       /* mean of −log p_y */
    double correct;    /* share of rows whose own class has the greatest cosine */
    double mean_angle; /* of the rows to their own centers, radians */
    float *angles;     /* [n] if not NULL: θ_y of each row */
};

/* Floats of scratch that margin_loss needs. */
size_t margin_work_floats(int n, int classes, int subcenters);

/*
 * Sub-center ArcFace: the cosine of a class is the greatest among its sub-centers (row class·subcenters + k of v), and only that
 * one gets the gradient; with one sub-center it is ArcFace, SphereFace, CosFace, CM1, CM2 or the norm-softmax.
 * Shapes: u, du [n, dim]; v, dv [classes · subcenters, dim]; label [n]; work as above; du and dv may be NULL (value only).
 *         centers_of [classes]: of its subcenters rows a class has so many (1 .. subcenters), the rows behind them count for nothing;
 *         NULL: all of them.
 */
void margin_loss(const struct margin *margin, float weight, const float *u, const int *label, int n, int dim,
                 const float *v, int classes, int subcenters, const int *centers_of, float *work, float *du, float *dv,
                 struct margin_stats *ret);

/*
 * The plain softmax, equation 1: logits x·w_j + b_j, nothing normalised.
 * Shapes: x, dx [n, dim]; w, dw [classes, dim]; b, db [classes]; work n · classes floats.  Returns the mean loss.
 */
double softmax_loss(float weight, const float *x, const int *label, int n, int dim, const float *w, const float *b,
                    int classes, float *work, float *dx, float *dw, float *db);

/* ---- Sampled centers (Partial FC) -------------------------------------------------------------------------------- */

/*
 * Chooses the classes of a step: all that the batch holds and random others, rate · classes in all, in rising order.
 * Shapes: label [n]; ret_classes room for all classes; ret_label [n] the labels as positions in ret_classes; mark [classes] scratch.
 * Returns how many were chosen.  A function of (seed, step) and the labels alone.
 */
int sample_classes(const int *label, int n, int classes, double rate, unsigned long long seed, unsigned long long step,
                   unsigned char *mark, int *ret_classes, int *ret_label);

/* ---- Terms beside it --------------------------------------------------------------------------------------------- */

/* Equation 5: mean of θ_y / π, the angle of each row to its own center (the nearest sub-center).  Shapes as margin_loss.  Returns the
 * mean. */
double intra_loss(float weight, const float *u, const int *label, int n, int dim, const float *v, int subcenters,
                  const int *centers_of, float *du, float *dv);

/* Equation 6: minus the mean, over the rows' classes y, of the mean angle between center y and every other center, over π.
 * One sub-center; classes ≥ 2. */
double inter_loss(float weight, const int *label, int n, int dim, const float *v, int classes, float *dv);

/*
 * Triplet on angles: for every row and every other row of its class, the hardest negative of the batch:
 * max(0, θ_positive + m − θ_negative); the mean over such pairs (0 without any).  m is .35 in the paper.
 * Shapes: work n · n floats.
 */
double triplet_loss(float weight, float m, const float *u, const int *label, int n, int dim, float *work, float *du);

/* Distillation from a teacher's unit embeddings t: mean of 1 − u·t, or of |u − t|². */
double distill_cosine(float weight, const float *u, const float *t, int n, int dim, float *du);
double distill_l2(float weight, const float *u, const float *t, int n, int dim, float *du);

/*
 * The paper's KL term: the student's class similarities shall look like the teacher's: mean of KL(q ‖ p) with
 * p = softmax(scale · u·v) and q = softmax(scale · teacher).
 * Shapes: teacher [n, classes] the cosines that the teacher gave, constants here; work n · classes floats.
 */
double distill_kl(float weight, float scale, const float *u, const float *teacher, int n, int dim, const float *v,
                  int classes, float *work, float *du, float *dv);

#endif
