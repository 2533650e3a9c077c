/*
 * canvas.h: a picture as a sum of pictures of falling size, for descending on.
 *
 * An optimiser that gives every number of its own a step of like size (Adam) makes noise of a picture's pixels.  Here a
 * picture is the sum of levels of 112, 56, 28, 14 and 7 pixels a side, each enlarged smoothly: one step moves large areas together
 * and details apart, which is how photos vary (their spectrum falls with the frequency).  Each level has brightness and two
 * axes of colour, which move less; the sum goes through tanh, so a pixel stays within −1 .. 1.
 *
 * Written so that the same lines can be compiled in double.  Any thread, no memory of its own.
 */
#ifndef CORE_TRAIN_CANVAS_H
#define CORE_TRAIN_CANVAS_H

#include <stddef.h>

#define CANVAS_MOST_LEVELS 8

struct canvas {
    int side;
    int levels;                       /* 0 is the finest */
    int side_of[CANVAS_MOST_LEVELS];  /* halved from level to level */
    size_t begin[CANVAS_MOST_LEVELS]; /* [3, side, side] of each level in the numbers of a picture */
    size_t count;                     /* of all numbers of a picture */
    float gain[CANVAS_MOST_LEVELS];   /* a level's share */
    float colour;                     /* of the axes of colour */
    float sides;                      /* share of what tells left from right: 0: the picture is its own mirror image */
};

/*
 * Halves the side as long as it is even and the half has at least least pixels.  The finest level gets the share detail, each
 * next one twice as much, at most 1; sides is 1.
 */
struct canvas canvas_of(int side, int least, float detail, float colour);

/* Shapes: p [count]; ret and work [3, side, side], red, green, blue in −1 .. 1. */
void canvas_draw(const struct canvas *canvas, const float *p, float *work, float *ret);

/* Writes dp from the derivative d by what canvas_draw gave (pixels); d and work are used up. */
void canvas_back(const struct canvas *canvas, const float *pixels, float *d, float *work, float *dp);

#endif
