/*
 * decision.h: where a cosine becomes a yes, a no, or "two of them".  No second place decides a threshold.
 *
 * The defaults, and why.  Threshold .40: the recognisers of the ArcFace family put strangers at .00-.02 with a deviation
 * of .07-.09 and the same person at .6-.7 with .1, so .40 is more than four deviations from either.  Rate 1e-4 for models that
 * are calibrated: what access control asks for at least, and what some ten thousand pairs of strangers can support.
 * Margin .03: what a cosine moves by when the same photo is compressed to JPEG quality 60 or scaled to 80 % (60 pairs of LFW,
 * two recognisers: 95 % within .024, at most .037), so that a runner-up within it might as well be the best tomorrow.
 *
 * Pure functions; any thread.
 */
#ifndef SERVER_GALLERY_DECISION_H
#define SERVER_GALLERY_DECISION_H

#include <stdbool.h>

#include "core/base/err.h"
#include "server/gallery/gallery.h"

/* One measured point: among pairs of different people, this share has at least this cosine. */
struct calibration_point {
    double fmr;
    float cosine;
};

/* Points by falling rate and rising cosine; 0 points: not calibrated. */
#define CALIBRATION_MAX_POINTS 64
struct calibration {
    int n_points;
    struct calibration_point points[CALIBRATION_MAX_POINTS];
};

/* What the caller wants to be sure of; at most one of threshold and max_fmr. */
struct threshold_wish {
    bool has_threshold;
    float threshold; /* -1 .. 1 */
    bool has_max_fmr;
    double max_fmr; /* 0 .. 1, both excluded */
    bool has_margin;
    float margin; /* 0 .. 2 */
};

/*
 * Chooses the threshold: what the caller wishes, else what the collection wishes, else the policy's rate if the model is
 * calibrated (the nearest rate that its table reaches), else the policy's cosine.
 * collection may be NULL.  *ret_margin is negative when nothing is ambiguous.
 * Errors: ERR_MISUSE (GALLERY_BAD_OPTION) not a number, out of range, both at once; ERR_CONFLICT (GALLERY_UNSUPPORTED_RATE)
 *         a rate asked for by the caller that the table does not reach, or a model without a table.
 */
MUST_CHECK enum err decision_threshold(const struct threshold_wish *caller, const struct threshold_wish *collection,
                                       const struct calibration *calibration, const struct gallery_policy *policy,
                                       struct threshold_used *ret, float *ret_margin, struct gallery_fault *fault);

/* Whether a wish makes sense for a model with this calibration; errors as above. */
MUST_CHECK enum err decision_check_wish(const struct threshold_wish *wish, const struct calibration *calibration,
                                        struct gallery_fault *fault);

/*
 * The cosine for a rate, and back: straight lines in (log rate, cosine), because tails of impostor cosines fall about
 * exponentially.  Both return false outside of the table, where nothing was measured.
 */
bool calibration_cosine(const struct calibration *calibration, double fmr, float *ret);
bool calibration_fmr(const struct calibration *calibration, float cosine, double *ret);

enum decision {
    DECISION_MATCH,
    DECISION_UNKNOWN,  /* nobody reaches the threshold */
    DECISION_AMBIGUOUS /* somebody does, but another subject is within the margin */
};

/* best and runner_up are the cosines of the two best different subjects; -2 when there is none. */
#define DECISION_NOBODY (-2.0F)
enum decision decision_make(float best, float runner_up, float threshold, float margin);

/* "match", "unknown", "ambiguous" */
const char *decision_word(enum decision decision);

#endif
