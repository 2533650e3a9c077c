/*
 * cost.h: what a training would take, in seconds and in bytes, told by trying it on nothing.
 *
 * The network is cut as a training would cut it, and run once on blank images: below the cut, above it, and back.  What a crop costs
 * there, times how often a course (course.h) sees a crop, is the time; the maps, tapes and blocks of parameters that it would keep are
 * the memory.  The time is that of this machine as it is loaded now, and leaves out what comes before and after the child's learning.
 */
#ifndef CORE_TRAIN_COST_H
#define CORE_TRAIN_COST_H

#include "core/graph/graph.h"
#include "core/train/course.h"

struct cost_question {
    double learn; /* share of the convolutions, from the top; 1: all */
    int side;     /* pixels of a crop */
    long photos;  /* all */
    long taught;  /* of them: those that teach */
    int looks;    /* kept of each; 0: 4 */
    int threads;
    const struct course_options *course;
};

struct cost {
    double seconds;
    size_t bytes;                       /* of the process at its most, without the program itself */
    long steps;                         /* of both phases */
    double lower_ms, upper_ms, back_ms; /* of one crop on one thread: below the cut, above it, and back */
};

/*
 * Owns: take is the network as student_load gives it; it is freed, also on error.
 * Errors: those of cut_find, graph_split and tapes; ERR_NOMEM.
 */
MUST_CHECK enum err cost_estimate(struct graph *take, const struct cost_question *question, struct cost *ret,
                                  struct err_note *note);

#endif
