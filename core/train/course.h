/*
 * course.h: the whole of a tuning: sub-centers, purify, one center, and how far to follow.
 *
 *   first phase (K sub-centers) → both rules judge the photos that teach → from the first weights again: last phase (one center) on what
 *   is left → blend.h chooses a share of the way by the people who were asked to choose.
 *
 * The plain rule looks through the network that learnt the sub-centers; the refined one through the network as it was before, because
 * what has been trained on wrong names has bent towards them.  People who are left with one photo teach nothing about what a person has in
 * common; their photos stay as frozen centers, which only push.  These photos, and those that were dropped, are still faces: where a term of
 * distillation has a weight, they are kept where the network had them (TRAIN_FOLLOWS), against forgetting.  Photos of people who choose
 * or are held out are touched by nothing.
 * Resumed by calling it again with the same folder, like a phase (trainer.h).
 */
#ifndef CORE_TRAIN_COURSE_H
#define CORE_TRAIN_COURSE_H

#include "core/train/blend.h"
#include "core/train/parts.h"
#include "core/train/purify.h"
#include "core/train/trainer.h"

enum course_rule {
    COURSE_KEEPS_ALL, /* no first phase */
    COURSE_PLAIN,
    COURSE_REFINED
};

struct course_options {
    struct train_options
        train;      /* of the last phase; the first has a third of its epochs.  frozen: people whom no photo shows */
    int subcenters; /* of everybody in the first phase (without one: in the last); 0: three of people with ten photos, one of
                       others */
    enum course_rule rule; /* by which photos are dropped */
    float purify_degrees;
    bool blends;        /* false: the whole way */
    const char *folder; /* exists; checkpoints go to folders in it */
};

/* What a fine-tuning uses where nobody says otherwise: train_default with 6 epochs and a squared distance to the teacher of weight 1,
 * refined at 75°, blended.  folder NULL. */
struct course_options course_default(void);

/* Told when a phase begins (step NULL) and after each step. */
struct course_step {
    const char *phase; /* "first", "purify", "last", "choose" */
    const struct train_step *step;
    long done, all; /* steps of the whole course */
};
typedef void course_watch(void *context, const struct course_step *step);

struct course_result {
    struct train_result first, last;
    bool has_first;

    /* what purifying says, of the photos that taught in the first phase */
    int n_judged;
    int *item;               /* [n_judged] crops */
    int *class_of;           /* [n_judged] classes, those of the verdicts' likely */
    int *person_of;          /* [classes] people behind these classes */
    struct verdict *plain;   /* NULL where the loss knows no unit centers */
    struct verdict *refined; /* [n_judged] */
    int subcenters;          /* the most that a person had */
    int n_subcenters;        /* people who had so many, where they are more than one */
    int n_plain, n_refined;  /* dropped */
    bool *dropped;           /* [count] by the rule that was asked for */

    int classes;    /* of the last phase */
    int n_frozen;   /* people with one photo, frozen centers beside those of the options */
    int n_taught;   /* photos of the last phase */
    int n_followed; /* photos in its distillation alone */
    bool blended;   /* false: nobody could be asked, or nobody was to be */
    struct blend blend;
};

/*
 * Shapes: person [count of the student's crops] in 0 .. people-1.
 * Owns: *ret until course_release; its arrays are carved from mem, those of the phases are their own.
 * Errors: those of train_phase and blend_choose; ERR_FORMAT purifying leaves fewer than two people.
 */
MUST_CHECK enum err course_run(struct student *student, const int *person, int people, const struct parts *parts,
                               const struct course_options *options, struct cancel *cancel, course_watch *watch,
                               void *context, struct arena *mem, struct course_result *ret, struct err_note *note);
void course_release(struct course_result *result);

#endif
