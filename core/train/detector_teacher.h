/*
 * detector_teacher.h: a YuNet detector that says where the faces of a photo are, several times over.
 *
 * YuNet (Wu, Peng, Yu 2023) has twelve outputs: at the strides 8, 16 and 32 a class and an object score, a box and five points.
 * One look at a photo is shaky by a few percent of the distance between the eyes.  So each photo is looked at six times, at
 * three sizes and mirrored at each, in four canvases of the network's fixed size; a face is where enough of them agree, its box is
 * the median, and its points are the mean of the looks that show it clearly.  Where only some say so, the place is marked as
 * unsure.
 *
 * Which sizes, by what it does to the points (150 photos of LFW's DevTrain people; distance from another detector's in percent
 * of that between the eyes): single looks with a face of 38 px 10.1, 52 px 8.1, 60 to 83 px 7.9, 92 to 103 px 9.0, 118 px 8.3, 147 px
 * 7.6, 183 px 7.2, 235 px 7.1; the mean of the photo and its mirror image 6.5 to 7.8; the medians of 320, 250 and 140 pixels and
 * mirrored 6.3, their means 6.2; the means of 640, 500 and 140 and mirrored 5.7, which 54 looks of fifteen sizes do not better (5.9).
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
 * looks saw it with a score of .6 in which it is large enough to be seen (12 pixels), two at least; else unsure.  Points come from
 * the looks in which its box has 48 pixels, or from the largest ones that saw it.
 * Shapes: sights [n] in any order, sorted by this; ret room for n.  scale of each view.  Returns how many labels.
 */
int teacher_join(struct teacher_sight *sights, int n, const float scale[TEACHER_VIEWS], struct labelled_face *ret);

#endif
