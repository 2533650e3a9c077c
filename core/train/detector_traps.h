/*
 * detector_traps.h: where a detector sees faces in labelled photos that are none: what its next training should look at.
 *
 * Each photo is searched twice, as it is and with its faces painted over, one of the two at the size that the daemon looks at and the
 * other one larger, which of them the seed says.  A trap is what scores .3 and is no labelled place, be that sure or unsure, to an
 * intersection over union of .3.  It becomes part of the labels, and scenes show it more often than chance would.
 */
#ifndef CORE_TRAIN_DETECTOR_TRAPS_H
#define CORE_TRAIN_DETECTOR_TRAPS_H

#include "core/face/detect.h"
#include "core/train/detector_labels.h"

/*
 * Finds the traps of one photo; those that it had are forgotten.
 * Owns:   photo->traps is carved from kept; scratch is used up by as much as the photo takes.
 * Errors: reading and decoding the photo; those of detector_run; ERR_LIMIT, ERR_NOMEM.
 * Threads: any, with a session and two arenas of its own.
 */
MUST_CHECK enum err detector_traps_find(const struct detector *detector, struct session *session,
                                        struct labelled_photo *photo, uint64_t seed, struct arena *scratch,
                                        struct arena *kept, struct err_note *note);

#endif
