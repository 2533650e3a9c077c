/*
 * train_flags.h: what a person asks of "arcfaced train", as the engine's options.
 */
#ifndef SERVER_TRAIN_FLAGS_H
#define SERVER_TRAIN_FLAGS_H

#include "core/train/course.h"

struct train_wish {
    const char *out, *set, *dataset, *only, *except, *photos;
    const char *loss, *purify; /* as words, for the report */
    double learn;              /* share of the convolutions, where from is NULL */
    const char *from;          /* layer at which learning begins */
    double holdout;
    long looks, threads;
    bool aligned;
    bool learn_norms;
    struct course_options course; /* folder is not filled in */
};

extern const char train_usage[];

/* Takes the flags out of the arguments; returns false, having said so on standard error, where one of them is wrong. */
bool train_flags_take(struct train_wish *wish, int *argc, char **argv);

#endif
