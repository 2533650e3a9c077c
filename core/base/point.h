/*
 * point.h: named moments at which a test has the process killed.
 *
 * What must survive a kill at any moment has a few moments that matter: between a commit and what follows it, between a file and its
 * name.  They are named where they are, so that a test reaches each of them and not by luck.  Nothing is armed in service; an
 * unarmed point costs one relaxed load.
 * Threads: any; arming before others run.
 */
#ifndef CORE_BASE_POINT_H
#define CORE_BASE_POINT_H

/* "NAME" or "NAME:N": the Nth time (from 1) that a point of this name is reached, the process kills itself: SIGKILL, no
 * clean-up.  An empty text disarms. */
void point_arm(const char *text);

void point_reached(const char *name);

#endif
