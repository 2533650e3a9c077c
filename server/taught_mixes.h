/*
 * taught_mixes.h: faces of nobody, for a student that has seen all that there are.
 *
 * A teacher says something of every face, of those too that no camera saw.  The more of them it is asked about, the more of what it
 * knows the student gets, where real photos are few (Beyer et al., Knowledge distillation: a good teacher is patient and consistent,
 * CVPR 2022).  A mix is what lies between two aligned crops of two people, pixel by pixel: its eyes stand where all eyes stand.
 */
#ifndef SERVER_TAUGHT_MIXES_H
#define SERVER_TAUGHT_MIXES_H

#include "core/train/dataset.h"

/*
 * Writes a data set that holds all of from, and behind it n mixes, each of two crops drawn with the seed, each a person of its own.
 * Errors: ERR_MISUSE from has one person only; those of the data set, of decoding and of encoding.
 */
MUST_CHECK enum err taught_mixes_write(const struct dataset *from, int n, uint64_t seed, const char *path,
                                       struct err_note *note);

#endif
