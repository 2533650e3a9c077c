/*
 * gate.h: whether a recogniser that was trained may take the place of the one it was trained from.
 *
 * A rule over figures that were measured elsewhere (evaluate.h): it sees no embeddings and no files.  On what was held out, and on a guard
 * where one is named, the lower end of the interval of the change in TAR must not lie below minus the allowed loss; on what was held out
 * the change itself must be a gain.  What could not be measured is not proven; nor is anything where most photos seem to stand under a wrong
 * name, for the names of what was held out are then no better.  Any thread.
 */
#ifndef CORE_TRAIN_GATE_H
#define CORE_TRAIN_GATE_H

#include <stdbool.h>

#include "core/train/measure.h"

#define GATE_REASON_TEXT 400

/* The change of TAR from one recogniser to the other on one set of people. */
struct gate_change {
    double fmr;          /* at which it was measured; 0: the pairs support no rate, and tar says nothing */
    struct interval tar; /* 0 .. 1; of the paired bootstrap by identity */
};

struct gate_question {
    double allowed_loss; /* of TAR, 0 .. 1 */
    double misnamed;     /* share of the photos that were to teach which seem to be somebody else's */
    struct gate_change held;
    bool has_guard; /* a guard was named */
    struct gate_change guard;
};

/* Returns whether the gate opens; reason says why or why not in a sentence with the figures, in points of TAR. */
bool gate_judge(const struct gate_question *question, char reason[GATE_REASON_TEXT]);

#endif
