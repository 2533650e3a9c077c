/*
 * parts.h: who of a data set teaches, who is asked how far to follow, and who judges.
 *
 * Nobody does two of these: a tuning is chosen (blend.h) on people who did not teach, and judged on people who did neither.  Where there
 * are too few people for that, nobody is asked, and where there are fewer still, photos are held out instead of people, two at least of
 * everybody with four: then the judgement speaks about other photos of these people, not about strangers.
 */
#ifndef CORE_TRAIN_PARTS_H
#define CORE_TRAIN_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/arena.h"
#include "core/base/err.h"

#define PARTS_LEAST_HELD 5     /* people, else photos are held out */
#define PARTS_LEAST_CHOOSING 5 /* people, else nobody is asked */
#define PARTS_CHOOSING .2      /* of the people who are not held out */

enum part {
    PART_TEACHES,
    PART_CHOOSES,
    PART_HELD
};

struct parts {
    unsigned char *part;          /* [count] enum part of each photo */
    int teaching, choosing, held; /* people; held: 0 where photos are held out */
    bool held_people;
};

/*
 * Divides.  Only people with at least two photos can judge or choose.  A function of the seed.
 * Shapes: person [count] in 0 .. people-1.
 * Owns: carved from mem.  Errors: ERR_FORMAT fewer than two people are left to learn from; ERR_LIMIT, ERR_NOMEM.
 */
MUST_CHECK enum err parts_make(const int *person, int count, int people, double holdout, uint64_t seed,
                               struct arena *mem, struct parts *ret, struct err_note *note);

#endif
