/*
 * detector_teacher.h: a YuNet detector that says where the faces of a photo are, several times over.
 *
 * YuNet (Wu, Peng, Yu 2023) has twelve outputs: at the strides 8, 16 and 32 a class and an object score, a box and five points.
 * One look at a photo is shaky by a few percent of the distance between the eyes.  So each photo is looked at six times, at
 * three sizes and mirrored at each, all six in one canvas of the network's fixed size; a face is where enough of them agree,
 * and its box and points are the medians.  Where only some say so, the place is marked as unsure.
 * The teacher is immutable and shared; the session that runs it belongs to one thread.
 */
#ifndef CORE_TRAIN_DETECTOR_TEACHER_H
#define CORE_TRAIN_DETECTOR_TEACHER_H

#include "core/graph/session.h"
#include "core/train/detector_labels.h"

#define TEACHER_VIEWS 6

struct detector_teacher;

/*
 * Takes a sealed graph (freed by detector_teacher_free, also when this fails): input [1, 3, 640, 640], blue green red 0..255.
 * Errors: ERR_UNSUPPORTED not such a network: the note says which output is missing.
 */
MUST_CHECK enum err detector_teacher_new(struct graph *take, struct detector_teacher **ret, struct err_note *note);
void detector_teacher_free(struct detector_teacher *teacher);
const struct graph *detector_teacher_graph(const struct detector_teacher *teacher);

/*
 * Labels one photo.
 * Owns:   *ret is carved from mem.
 * Errors: ERR_FORMAT the network gives no numbers; ERR_LIMIT, ERR_NOMEM.  No face is no error.
 */
MUST_CHECK enum err detector_teacher_label(const struct detector_teacher *teacher, struct session *session,
                                           const struct image *photo, struct arena *mem, struct labelled_face **ret,
                                           int *ret_count, struct err_note *note);

/* ---- Its parts, for tests ------------------------------------------------------------------------------------------ */

/* One level's outputs: rows of cells, y-major. */
struct teacher_level {
    int stride;
    int columns, rows;
    const float *class_score, *object_score; /* [rows · columns] */
    const float *box;                        /* [rows · columns, 4] */
    const float *point;                      /* [rows · columns, 10] */
};

/* The face of one cell, in pixels of the network's input; the score is the geometric mean of both. */
struct face teacher_decode(const struct teacher_level *level, int cell);

/* One face as one look saw it, in pixels of the photo. */
struct teacher_sight {
    struct face face;
    int view;    /* 0 .. TEACHER_VIEWS-1: large, large mirrored, middle, ... */
    float scale; /* of the view */
};

/*
 * Joins what the looks saw, best score first: sights of one place become one label.  It is a face if at least half of those
 * looks saw it with a score of .6 in which it is large enough to be seen (12 pixels), two at least; else unsure.
 * Shapes: sights [n] in any order, sorted by this; ret room for n.  scale of each view.  Returns how many labels.
 */
int teacher_join(struct teacher_sight *sights, int n, const float scale[TEACHER_VIEWS], struct labelled_face *ret);

#endif
