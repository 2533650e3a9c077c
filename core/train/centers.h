/*
 * centers.h: where class centers begin.
 *
 * Random centers would push a recogniser that already knows faces away from what it knows until they have found their
 * classes; so a center begins at the mean of its class's embeddings, and sub-centers at the means of the class's groups.
 * A function of the embeddings alone; any thread.
 */
#ifndef CORE_TRAIN_CENTERS_H
#define CORE_TRAIN_CENTERS_H

#include "core/base/arena.h"
#include "core/base/err.h"

/* The most centers that a person gets by centers_by_photos. */
#define CENTERS_SEVERAL 3

/* How many centers a person with so many photos gets: three, or one where three would each have too few (below ten). */
int centers_by_photos(int photos);

/*
 * Spherical k-means in each class, begun with the rows that are farthest from each other; a class with fewer photos than
 * sub-centers repeats its mean, and one without any photo gets zeros.
 * Shapes: u [n, dim] unit rows; label [n] in 0 .. classes-1, below 0: passed over; ret [classes · subcenters, dim] unit rows; centers_of
 *         [classes] how many a class has (its rows behind them repeat the first), NULL: all subcenters.
 * Errors: ERR_LIMIT, ERR_NOMEM.
 */
MUST_CHECK enum err centers_begin(const float *u, const int *label, int n, int dim, int classes, int subcenters,
                                  const int *centers_of, struct arena *mem, float *ret);

#endif
