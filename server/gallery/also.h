/*
 * also.h: who else has a face that is about to be enrolled.
 *
 * A face that stands under two names makes each answer about it "ambiguous", and whoever enrolls it a second time learns of that
 * only at the door.  So an enrolment asks the index first, from the cosine on from which an identification would call it a match
 * (decision.h), and the rows for the same photo, byte for byte.  It is a report: what is done with it is the caller's.
 *
 * Of the faces that are near enough the nearest ALSO_LOOK are looked at: of a subject with so many faces nearer than a stranger's
 * nobody needs to be told.  A face of the same photo that is no match is told too (a photo may show two people); its cosine says so.
 */
#ifndef SERVER_GALLERY_ALSO_H
#define SERVER_GALLERY_ALSO_H

#include <stdbool.h>
#include <stdint.h>

#include "server/gallery/gallery.h"

#define ALSO_MOST 5 /* other subjects, each with one face */
#define ALSO_LOOK 256

struct also_face {
    int64_t row_id;
    const char *subject_id;
    const char *subject_name;
    const char *face_id;
    bool has_cosine; /* false: the collection's model has no embedding of that face */
    float cosine;
    bool same_photo;
};

struct also {
    bool asked; /* false: nobody knows */
    int n;      /* the nearest first, then those that are only of the same photo */
    struct also_face faces[ALSO_MOST];
};

/* The nearest is a match, so that it would be the same face under two names. */
bool also_matches(const struct also *also, float threshold);

struct also_probe {
    int64_t subject_id;                /* row id of the subject that gets the face; 0: it has no row yet */
    const char *subject_name;          /* its name, or NULL */
    const unsigned char *photo_sha256; /* NULL: there was no photo */
};

struct pair;
struct collection_row;

/* From which cosine on a face of this collection is somebody's. */
MUST_CHECK enum err also_threshold(struct gallery_worker *worker, const struct collection_row *collection,
                                   const struct pair *pair, float *ret, struct gallery_fault *fault);

/*
 * Asks for n faces at once.
 * Shapes: vectors [n, dim of the pair's model] f32 of unit length; probes [n]; ret [n].
 * Owns:   texts of *ret are carved from mem.
 * Errors: those of the index and of the rows; ERR_LIMIT mem is spent.  *ret is then unchanged.
 */
MUST_CHECK enum err also_find(struct gallery_worker *worker, const struct pair *pair, int64_t collection_id,
                              float threshold, const struct also_probe *probes, const float *vectors, int n,
                              struct arena *mem, struct also *ret, struct err_note *note);

/* "subject ... has this face already: face ..., cosine ...": ids, because sentences are logged. */
void also_say(const struct also *also, struct err_note *note);

#endif
