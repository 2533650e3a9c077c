/*
 * cut.h: where a network can be cut in two, for training its upper layers alone.
 */
#ifndef CORE_TRAIN_CUT_H
#define CORE_TRAIN_CUT_H

#include "core/graph/graph.h"

/*
 * Names the lowest value through which everything passes and above which at most a share (0 .. 1) of the convolutions lies; the
 * product at the end always lies above.
 * Owns:   the name lives as long as the graph.  graph is finished.
 * Errors: ERR_NOT_FOUND there is none; ERR_NOMEM.
 */
MUST_CHECK enum err cut_find(const struct graph *graph, double share, const char **ret, struct err_note *note);

#endif
