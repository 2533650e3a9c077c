/*
 * faces.h: synthetic embeddings, shaped like those of real faces: four photos a person, whose cosines lie about .65, and
 * strangers whose cosines spread by .065 at 512 dimensions (embeddings do not fill their space evenly) and .088 at 128.
 */
#ifndef TESTS_BENCH_INDEX_FACES_H
#define TESTS_BENCH_INDEX_FACES_H

#include <stddef.h>
#include <stdint.h>

#define FACES_A_PERSON 4

/* A function of (person, photo) alone, so that nobody has to keep them.  Photos from FACES_A_PERSON on are for queries. */
void face_make(size_t dim, uint64_t person, uint64_t photo, float *ret);

/* Of unit length, with exactly this cosine to a unit vector but for rounding. */
void face_at_cosine(size_t dim, const float *vector, double cosine, uint64_t seed, float *ret);

#endif
