/* decision.c: thresholds, rates and the margin. */
#include "server/gallery/decision.h"

#include <math.h>
#include <stddef.h>

static enum err refuse(struct gallery_fault *fault, enum gallery_reason reason)
{
    fault->reason = reason;
    return reason == GALLERY_UNSUPPORTED_RATE ? ERR_CONFLICT : ERR_MISUSE;
}

bool calibration_cosine(const struct calibration *calibration, double fmr, float *ret)
{
    for (int i = 0; i + 1 < calibration->n_points; i++) {
        const struct calibration_point *a = &calibration->points[i];
        const struct calibration_point *b = &calibration->points[i + 1];
        if (fmr <= a->fmr && fmr >= b->fmr) {
            double along = (log(a->fmr) - log(fmr)) / (log(a->fmr) - log(b->fmr));
            *ret = (float)((1 - along) * a->cosine + along * b->cosine);
            return true;
        }
    }
    return false;
}

bool calibration_fmr(const struct calibration *calibration, float cosine, double *ret)
{
    for (int i = 0; i + 1 < calibration->n_points; i++) {
        const struct calibration_point *a = &calibration->points[i];
        const struct calibration_point *b = &calibration->points[i + 1];
        if (cosine >= a->cosine && cosine <= b->cosine) {
            double along = ((double)cosine - a->cosine) / ((double)b->cosine - a->cosine);
            *ret = exp((1 - along) * log(a->fmr) + along * log(b->fmr));
            return true;
        }
    }
    return false;
}

static enum err check_wish(const struct threshold_wish *wish, struct gallery_fault *fault)
{
    if (wish->has_threshold && wish->has_max_fmr) {
        return ERR_SAY(&fault->note, refuse(fault, GALLERY_BAD_OPTION),
                       "threshold and max_fmr exclude each other: give one of them");
    }
    if (wish->has_threshold && !(wish->threshold >= -1 && wish->threshold <= 1)) {
        return ERR_SAY(&fault->note, refuse(fault, GALLERY_BAD_OPTION), "threshold must be a cosine from -1 to 1");
    }
    if (wish->has_max_fmr && !(wish->max_fmr > 0 && wish->max_fmr < 1)) {
        return ERR_SAY(&fault->note, refuse(fault, GALLERY_BAD_OPTION),
                       "max_fmr must be a rate between 0 and 1, such as 0.0001");
    }
    if (wish->has_margin && !(wish->margin >= 0 && wish->margin <= 2)) {
        return ERR_SAY(&fault->note, refuse(fault, GALLERY_BAD_OPTION),
                       "margin must be a cosine difference from 0 to 2");
    }
    return ERR_NONE;
}

enum err decision_check_wish(const struct threshold_wish *wish, const struct calibration *calibration,
                             struct gallery_fault *fault)
{
    enum err err = check_wish(wish, fault);
    float unused;

    if (err != ERR_NONE || !wish->has_max_fmr || calibration_cosine(calibration, wish->max_fmr, &unused)) {
        return err;
    }
    if (calibration->n_points < 2) {
        return ERR_SAY(
            &fault->note, refuse(fault, GALLERY_UNSUPPORTED_RATE),
            "this collection's model has no calibration, so a false match rate cannot be asked for: give threshold "
            "as a cosine");
    }
    return ERR_SAY(&fault->note, refuse(fault, GALLERY_UNSUPPORTED_RATE),
                   "the model's calibration reaches false match rates from %g to %g, not %g",
                   calibration->points[calibration->n_points - 1].fmr, calibration->points[0].fmr, wish->max_fmr);
}

/* The cosine of the policy's rate, or of the nearest one that was measured. */
static float policy_cosine(const struct calibration *calibration, const struct gallery_policy *policy)
{
    const struct calibration_point *strictest = &calibration->points[calibration->n_points - 1];
    float cosine = strictest->cosine;

    if (!calibration_cosine(calibration, policy->max_fmr, &cosine) && policy->max_fmr > calibration->points[0].fmr) {
        cosine = calibration->points[0].cosine;
    }
    return cosine;
}

enum err decision_threshold(const struct threshold_wish *caller, const struct threshold_wish *collection,
                            const struct calibration *calibration, const struct gallery_policy *policy,
                            struct threshold_used *ret, float *ret_margin, struct gallery_fault *fault)
{
    enum err err = decision_check_wish(caller, calibration, fault);

    if (err != ERR_NONE) {
        return err;
    }
    struct threshold_used used = {.calibrated = calibration->n_points >= 2};
    bool collection_says = collection != NULL && (collection->has_threshold || collection->has_max_fmr);
    const struct threshold_wish *wish = caller->has_threshold || caller->has_max_fmr ? caller
                                        : collection_says                            ? collection
                                                                                     : NULL;
    bool decided = false;
    if (wish != NULL && wish->has_threshold) {
        used.cosine = wish->threshold;
        decided = true;
    } else if (wish != NULL && wish->has_max_fmr) {
        decided = calibration_cosine(calibration, wish->max_fmr, &used.cosine);
    }
    if (!decided) { /* also a collection's rate that a new calibration no longer reaches */
        used.cosine = used.calibrated ? policy_cosine(calibration, policy) : policy->threshold;
    }
    used.has_fmr = calibration_fmr(calibration, used.cosine, &used.fmr);
    *ret = used;
    *ret_margin = caller->has_margin                             ? caller->margin
                  : collection != NULL && collection->has_margin ? collection->margin
                                                                 : policy->margin;
    return ERR_NONE;
}

enum decision decision_make(float best, float runner_up, float threshold, float margin)
{
    if (best < threshold) {
        return DECISION_UNKNOWN;
    }
    return best - runner_up < margin ? DECISION_AMBIGUOUS : DECISION_MATCH;
}

const char *decision_word(enum decision decision)
{
    switch (decision) {
    case DECISION_MATCH: return "match";
    case DECISION_UNKNOWN: return "unknown";
    case DECISION_AMBIGUOUS: return "ambiguous";
    }
    return "unknown";
}
