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

/*
 * Names the value that enters a layer, for training the layer and all above it; NULL: it is the network's input, so the whole network is.
 * name: the layer's own, or that of a value it makes.
 * Owns:   *ret lives as long as the graph.  graph is finished.
 * Errors: ERR_NOT_FOUND there is no such layer: the note lists some; ERR_UNSUPPORTED something passes it by, as the shortcut of a
 *         residual block does: the note names the nearest that can be named; ERR_NOMEM.
 */
MUST_CHECK enum err cut_below(const struct graph *graph, const char *name, const char **ret, struct err_note *note);

#endif
