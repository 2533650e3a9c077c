/*
 * line_face.h: the face that one line of an export (export.h) is: its embedding, whose it is, and what else the line knows of it.
 *
 * Reads one line and writes nothing: import_lines.c has the file and the rows.
 */
#ifndef SERVER_GALLERY_LINE_FACE_H
#define SERVER_GALLERY_LINE_FACE_H

#include <jansson.h>

#include "server/gallery/live.h"
#include "server/store/collection_rows.h"
#include "server/store/enroll.h"

/* Where the faces go. */
struct line_target {
    struct gallery_worker *worker;
    const struct collection_row *collection; /* its id and what it keeps */
    const struct pair *pair;
    bool refuse_duplicates;
};

/* The text of a member; NULL if it is none. */
const char *line_text(const json_t *object, const char *name);

/*
 * What the line asks to enroll.  A vector that has unit length but for the rounding of its decimals stays as it is.
 * Owns:   all that *ret points to is carved from the worker's arena.
 * Errors: GALLERY_BAD_NAME, GALLERY_BAD_METADATA, GALLERY_WRONG_DIMENSION, GALLERY_BAD_EMBEDDING; ERR_FORMAT enrolled_at is no
 *         time; GALLERY_NOT_AN_IMAGE, GALLERY_DAMAGED_IMAGE, GALLERY_WRONG_CROP_SIZE the crop; ERR_LIMIT the arena is spent;
 *         ERR_NOMEM.
 */
MUST_CHECK enum err line_face_read(const struct line_target *target, const json_t *face, struct enroll *ret,
                                   struct gallery_fault *fault);

#endif
