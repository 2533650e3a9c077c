/*
 * segment.h: up to 65,536 rows: floats in FAISS, their codes, ids, and which of them live.
 *
 * Its memory is reserved when it is made, so that nothing moves while others read.  One writer appends and removes; readers
 * know a segment through a view (view.h), which says how many rows they may look at and which live: rows behind those are
 * being written, and rows that no view shows are being overwritten.  Therefore codes are written by whole blocks of 16 before
 * any view shows the last row of a block; the loose rows behind the last whole block have floats only.
 */
#ifndef INDEX_SEGMENT_H
#define INDEX_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "index/codes.h"

#define SEGMENT_MAX_ROWS 65536

struct faiss_index;

struct segment {
    /* immutable */
    const struct codes *codes; /* lent */
    size_t capacity;           /* rows, a multiple of 16 */
    struct faiss_index *faiss; /* holds capacity rows from the start */
    float *floats;             /* [capacity, dim], in faiss */

    /* Written by the writer, read through a view. */
    uint8_t *int8;
    uint8_t *bits;
    int64_t *ids;
    uint16_t *live[2]; /* a bit a row, set until it is removed; views hold live[now], the other one is the writer's */

    /* the writer's */
    int now;
    size_t rows;  /* written */
    size_t dead;  /* of these removed */
    bool marking; /* between segment_marks_begin and segment_wipe_marked */
};

/* Errors: ERR_NOMEM, ERR_FOREIGN. */
MUST_CHECK enum err segment_new(const struct codes *codes, size_t capacity, struct segment **ret,
                                struct err_note *note);

/* Overwrites and frees; NULL does nothing. */
void segment_free(struct segment *segment);

/* Writes n rows behind the last.  Shapes: vectors [n, dim]; n ≤ capacity - rows. */
void segment_append(struct segment *segment, const int64_t *ids, const float *vectors, size_t n);

/* Makes a copy with more room; every row keeps its number.  Errors: as segment_new. */
MUST_CHECK enum err segment_grow(const struct segment *segment, size_t capacity, struct segment **ret,
                                 struct err_note *note);

bool segment_is_live(const struct segment *segment, size_t row);

/*
 * Removing.  The live bits are copied into the writer's own, which are then changed; they become those for the next view; and
 * when only views with them are left, every row that died is overwritten.
 */
void segment_marks_begin(struct segment *segment);
void segment_mark_dead(struct segment *segment, size_t row);
void segment_marks_end(struct segment *segment);
void segment_wipe_marked(struct segment *segment);

/* Removes and overwrites a row of a segment that no view shows. */
void segment_kill(struct segment *segment, size_t row);

size_t segment_bytes(const struct segment *segment);

#endif
