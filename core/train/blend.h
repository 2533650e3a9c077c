/*
 * blend.h: how far to follow what was learnt.
 *
 * Few people teach much about themselves and little about strangers.  The weights before and after a tuning lie in one basin, and
 * those between them, w = (1 − share) · before + share · after, are often better on strangers than either end, and forget less
 * (Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022).  How far is chosen on people who took no part in the
 * tuning; whoever judges the result needs others again.
 *
 * The choice: the share with the highest mean TAR over the false match rates of BLEND_RATES that the pairs support.  One rate
 * alone hangs on a handful of impostor pairs; their mean is an area under the curve that matters.  Of equals the smaller share wins; share
 * 0 says that nothing was learnt that helps strangers.
 */
#ifndef CORE_TRAIN_BLEND_H
#define CORE_TRAIN_BLEND_H

#include "core/train/student.h"

/* Shares that are tried: quarters, from none to all. */
#define BLEND_SHARES 5
#define BLEND_RATES 1e-1, 3e-2, 1e-2, 3e-3, 1e-3

struct blend {
    float share;                /* chosen */
    float shares[BLEND_SHARES]; /* tried, rising */
    double score[BLEND_SHARES]; /* mean TAR */
};

/*
 * Tries the shares between before and the student's parameters of now, and leaves the student at the best.
 * Shapes: before: a block of the student's parameters; item [n] crops, person [n] theirs, in 0 .. people-1, none of them learnt on.
 * Errors: ERR_MISUSE no rate is supported by the pairs (30 errors are expected at it), or no pair shows one person: the student is
 *         as it was; those of student_embed: the student then is between the two.
 */
MUST_CHECK enum err blend_choose(struct student *student, const float *before, const int *item, const int *person,
                                 int n, int people, struct cancel *cancel, struct blend *ret, struct err_note *note);

/* Sets the student's parameters to a share of the way from before to after.  Shapes: blocks of parameters. */
void blend_set(struct student *student, const float *before, const float *after, float share);

#endif
