/*
 * ahead.h: the inputs of the next batch, made on threads of their own while this one is learnt from.
 *
 * Decoding and augmenting a crop needs nothing of what learns, so it need not wait for a step, nor a step for it.  Each input is a
 * function of (student, crop, epoch) alone: who makes it, and when, changes no bit.
 * One thread asks and takes, in turns; at most two batches are in memory, the one that is learnt from and the next.
 */
#ifndef CORE_TRAIN_AHEAD_H
#define CORE_TRAIN_AHEAD_H

#include "core/train/student.h"

struct ahead;

/*
 * Starts the threads, for batches of at most so many crops.
 * Owns:   *ret belongs to the caller (ahead_free); student must outlive it.
 * Errors: ERR_NOMEM, also where a thread cannot be started.
 */
MUST_CHECK enum err ahead_new(const struct student *student, int most, int threads, struct ahead **ret);

/* Stops what is being made. */
void ahead_free(struct ahead *ahead);

/* Begins to make the inputs of a batch.  Shapes: item [n] crops, copied.  Nothing that was asked for is still untaken. */
void ahead_ask(struct ahead *ahead, const int *item, int n, long epoch);

/*
 * Waits for what was asked for.
 * Shapes: *ret [n, floats of an input] in the order of the crops, valid until the next but one is asked for.
 * Errors: those of student_fill.
 */
MUST_CHECK enum err ahead_take(struct ahead *ahead, float **ret, struct err_note *note);

#endif
