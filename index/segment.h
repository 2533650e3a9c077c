/*
 * segment.h: up to 65,536 rows: floats in FAISS, their codes, ids, and which of them live.
 *
 * A full segment may have a file (segment_file.h), which is overwritten where it is; or it was made of one, then it has no memory
 * of its own but the live bits: floats, codes and ids are the file's, mapped, and FAISS is not asked.
 *
 * Its memory is reserved when it is made, so that nothing moves while others read.  One writer appends and removes; readers
 * know a segment through a view (view.h), which says how many rows they may look at and which live: rows behind those are
 * being written, and rows that no view shows are being overwritten.  Therefore codes are written for 16 rows at once, which is
 * a quarter of a block of bits, before any view shows the last of them; the loose rows behind have floats only.
 */
#ifndef INDEX_SEGMENT_H
#define INDEX_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "index/codes.h"
#include "index/index.h"

#define SEGMENT_MAX_ROWS INDEX_SEGMENT_ROWS
#define SEGMENT_NO_ID INT64_C(-1)

/* The last one may be short. */
static inline size_t segment_bits_blocks(size_t rows)
{
    return (rows + SCAN_BITS_ROWS - 1) / SCAN_BITS_ROWS;
}

struct accelerator;
struct faiss_index;
struct segment_file;

struct segment {
    /* immutable */
    const struct codes *codes; /* lent */
    size_t capacity;           /* rows, a multiple of 16 */
    bool mapped;               /* floats, codes and ids are a file's, and read-only */
    struct faiss_index *faiss; /* holds capacity rows from the start; NULL if mapped */
    float *floats;             /* [capacity, dim] */

    /* Written by the writer, read through a view. */
    struct codes_at at; /* of all rows */
    int64_t *ids;       /* SEGMENT_NO_ID once removed */
    uint16_t *live[2];  /* a bit a row, set until it is removed; views hold live[now], the other one is the writer's */

    /* the writer's */
    int now;
    size_t rows;                     /* written */
    size_t dead;                     /* of these removed */
    bool marking;                    /* between segment_marks_begin and segment_wipe_marked */
    size_t marks, marks_end;         /* the blocks from the first to behind the last with a mark */
    struct segment_file *file;       /* NULL: none; being written, or sealed */
    bool saving;                     /* a thread is writing the file: the segment stays where it is */
    struct accelerator *accelerator; /* what FAISS has made of its living rows; NULL: nothing */
    int64_t removed_ns;              /* when a row was last removed; 0: never */
};

/* Errors: ERR_NOMEM, ERR_FOREIGN. */
MUST_CHECK enum err segment_new(const struct codes *codes, size_t capacity, struct segment **ret,
                                struct err_note *note);

/* Makes one of a file, whose rows it trusts.  Owns: take_file, also when this fails.  Errors: ERR_NOMEM. */
MUST_CHECK enum err segment_of_file(const struct codes *codes, struct segment_file *take_file, struct segment **ret,
                                    struct err_note *note);

/* Takes a segment's file over into one that is made of it, and has the same rows alive.  The file is mapped if need be.
 * Errors: ERR_NOMEM, ERR_IO; the segment is then as it was. */
MUST_CHECK enum err segment_to_file(struct segment *segment, struct segment **ret, struct err_note *note);

/* Overwrites and frees what is in memory, and closes the file; NULL does nothing. */
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
bool segment_mark_dead(struct segment *segment, size_t row); /* false: it is already */
void segment_marks_end(struct segment *segment);
/* In the file too, which is not flushed.  Errors: ERR_IO, ERR_NO_SPACE the file; it has then lost its name. */
MUST_CHECK enum err segment_wipe_marked(struct segment *segment, struct err_note *note);

/* Removes and overwrites a row of a segment that no view shows. */
void segment_kill(struct segment *segment, size_t row);

/* Makes the codes of its living rows anew and compares, 64 at a time: the first of those that differ, or capacity.
 * Shapes: room [segment_wrong_codes_room]. */
size_t segment_wrong_codes_room(const struct codes *codes);
size_t segment_wrong_codes(const struct segment *segment, uint8_t *room);

size_t segment_bytes(const struct segment *segment); /* in memory; what is mapped is the system's to drop */

#endif
