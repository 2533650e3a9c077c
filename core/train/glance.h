/*
 * glance.h: a picture seen a little otherwise: mirrored, turned, scaled, shifted, in other light, with noise; and the way back.
 *
 * What one network takes for a person in one position is often a pattern that another network does not see.  A picture that
 * must hold for ever new glances cannot rest on it.  A glance is linear in the picture, so its way back is its transposed.
 *
 * Written so that the same lines can be compiled in double.  Any thread, no memory.
 */
#ifndef CORE_TRAIN_GLANCE_H
#define CORE_TRAIN_GLANCE_H

#include <stdbool.h>

#include "core/base/random.h"

/* How far a glance may go; {0}: the picture as it is. */
struct glance_limits {
    float pixels;  /* shifted by up to so many on each axis */
    float degrees; /* turned */
    float scale;   /* 1 ± so much */
    float light;   /* contrast 1 ± so much, brightness ± half of it (white is 1, black −1) */
    float noise;   /* deviation of what is added to every number */
    bool mirror;   /* every second glance */
};

struct glance {
    float map[6]; /* where in the picture the output's pixel (x, y) is: u = m0 x + m1 y + m2, v = m3 x + m4 y + m5 */
    float gain, shift; /* of what is found there */
    float noise;
    struct random random; /* of the noise */
};

struct glance glance_draw(const struct glance_limits *limits, int side, struct random *random);

/* The picture as it is, or only mirrored. */
struct glance glance_plain(int side, bool mirrored);

/* Shapes: picture and ret [3, side, side].  Beyond the edge the edge goes on. */
void glance_see(const struct glance *glance, int side, const float *picture, float *ret);

/* Adds to d_picture what d, the derivative by what was seen, says. */
void glance_back(const struct glance *glance, int side, const float *d, float *d_picture);

#endif
