/*
 * find_traps.h: a set of labelled photos is searched for what a detector takes for faces: detector_traps.h over all of them.
 */
#ifndef SERVER_FIND_TRAPS_H
#define SERVER_FIND_TRAPS_H

#include "core/base/cancel.h"
#include "core/train/detector_labels.h"

/*
 * Adds the traps of the detector in a file (ONNX, as train-detector writes it) to the labels.  They are written to traps_path, a
 * file of labels without faces; if that is there, it is read instead and nothing is searched.
 * Owns:   what is added is carved from mem.
 * Errors: ERR_CANCELLED: nothing was written; ERR_CONFLICT traps_path is about other photos; reading the detector, the photos, the
 *         file; ERR_NOMEM, ERR_LIMIT, ERR_IO.
 */
MUST_CHECK enum err find_traps(const char *detector, struct detector_labels *labels, const char *traps_path,
                               struct cancel *cancel, struct arena *mem, struct err_note *note);

#endif
