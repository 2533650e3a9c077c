/*
 * train_proof.h: whether a model that was trained is better than the one it was trained from, by both models' embeddings of the same
 * crops as the daemon makes them.
 */
#ifndef SERVER_TRAIN_PROOF_H
#define SERVER_TRAIN_PROOF_H

#include <jansson.h>
#include <stdbool.h>

#include "core/base/cancel.h"
#include "core/train/dataset.h"
#include "core/train/parts.h"
#include "server/gallery/model.h"

struct proof_question {
    const struct model *before;
    const void *onnx; /* what was trained; it runs with the other's preprocessing */
    size_t n_bytes;
    const struct dataset *dataset;
    const struct dataset *guard; /* of people who must not be recognised worse; NULL: none */
    const int *person;           /* [count] of dataset */
    const struct parts *parts;
    const bool *dropped; /* [count] found to be mislabelled, of those that taught */
    int count, people;
    double allowed_loss; /* of TAR, 0 .. 1 */
    float purify_deg;
    uint64_t seed;
    int threads;
    struct cancel *cancel; /* looked at before each crop and each evaluation */
};

/*
 * Adds "held", "gallery" and, with a guard, "guard" (each before, after, left_out: photos under a wrong name), "gain" and "guard_gain" (value,
 * low, high, fmr), "calibrated" and "gate" (passed, reason) to the report and makes the manifest of the new model: the old one's with a calibration measured on the people held out, or without.
 * Owns:   *ret_manifest is jansson's text, free().
 * Errors: ERR_UNSUPPORTED the new file does not run; ERR_CORRUPT a crop; ERR_CANCELLED; ERR_LIMIT, ERR_NOMEM.
 */
MUST_CHECK enum err proof_make(const struct proof_question *question, struct arena *mem, json_t *report,
                               char **ret_manifest, struct err_note *note);

#endif
