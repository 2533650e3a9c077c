/*
 * label_faces.h: a teacher looks at many photos, and what it says becomes a file of labels.
 */
#ifndef SERVER_LABEL_FACES_H
#define SERVER_LABEL_FACES_H

#include "core/base/cancel.h"
#include "core/train/detector_labels.h"
#include "server/people_folder.h"

/*
 * Labels the photos of a folder on some threads.  The file is written every few hundred photos, so that a call after one that was
 * cut off goes on; a whole file is only read.  A photo that cannot be read has no faces and is not trained on.
 * Owns:   *ret is carved from mem.
 * Errors: those of reading and writing, of loading the teacher; ERR_CONFLICT the file is of other photos; ERR_CANCELLED.
 */
MUST_CHECK enum err label_faces(const char *teacher, const struct people_folder *folder, int threads,
                                const char *labels_path, struct cancel *cancel, struct arena *mem,
                                struct detector_labels *ret, struct err_note *note);

#endif
