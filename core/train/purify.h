/*
 * purify.h: which photos stand under a wrong name.
 *
 * Two rules.  The plain one is sub-center ArcFace's own (Deng et al., ECCV 2020; TPAMI 2022, section 3.2): a class's dominant
 * sub-center is the one that most of its photos are nearest to, and a photo farther than 75° from it is dropped.  A photo pulls
 * its own center, so with few photos a person the plain rule misses many; the refined rule judges each photo against
 * the dominant center as it would be without that photo.  The refined rule needs no trained centers, so it also runs on
 * stored embeddings alone.
 *
 * Both only judge; nothing is changed.  Any thread.
 */
#ifndef CORE_TRAIN_PURIFY_H
#define CORE_TRAIN_PURIFY_H

#include <stdbool.h>

#include "core/base/arena.h"
#include "core/base/err.h"

#define PURIFY_DEGREES 75.0F

struct verdict {
    int subcenter; /* plain: nearest of its class's sub-centers; refined: 0 in the dominant group, else 1 */
    float degrees; /* to its class's dominant center (refined: without this photo); 180 when there is none */
    bool keep;
    bool unsure; /* refined: the class holds too few photos that agree to judge by; kept */
    int likely;  /* for a dropped photo: the class whose dominant center is nearest, within the angle; else -1 */
    float likely_degrees;
};

/*
 * The plain rule.  Ties for dominance go to the lowest sub-center; a photo of another sub-center is kept if it is close enough to
 * the dominant one; exactly max_degrees is dropped.
 * Shapes: u [n, dim] unit rows; label [n] in 0 .. classes-1; v [classes · subcenters, dim] unit rows, of which a class has centers_of
 *         [classes] (NULL: all); ret [n].
 * Errors: ERR_LIMIT or ERR_NOMEM as arena_why says.
 */
MUST_CHECK enum err purify_plain(const float *u, const int *label, int n, int dim, const float *v, int classes,
                                 int subcenters, const int *centers_of, float max_degrees, struct arena *mem,
                                 struct verdict *ret);

/*
 * The refined rule: the dominant group of a class grows from the photo with the most near neighbours, and is settled by
 * judging every photo against the mean of the other members, until nothing changes.
 * Shapes and errors as above.
 */
MUST_CHECK enum err purify_refined(const float *u, const int *label, int n, int dim, int classes, float max_degrees,
                                   struct arena *mem, struct verdict *ret);

/*
 * The dominant center of one person's photos, by the refined rule: the direction of the mean of those that belong together.
 * Shapes: u [n, dim] unit rows; ret [dim], of length 1.
 * Errors: ERR_NOT_FOUND no photos, or ones that cancel out; as above.
 */
MUST_CHECK enum err purify_center(const float *u, int n, int dim, struct arena *mem, float *ret);

/*
 * Which photos of people who taught neither of two recognisers stand under a wrong name: those that the refined rule drops by both.
 * One recogniser alone would also drop the hard photos that the other may have come to know, and so decide what it is measured on.
 * Shapes: before [n, dim_before], after [n, dim_after] unit rows; ret [n].  Errors as above.
 */
MUST_CHECK enum err purify_both(const float *before, int dim_before, const float *after, int dim_after,
                                const int *label, int n, int classes, float max_degrees, struct arena *mem, bool *ret);

#endif
