/*
 * segment_file.h: a full segment on the disk: written once, and from then on changed in one way only, that rows are
 * overwritten with zeros.
 *
 * Little-endian, in chunks of 4 KiB.  The first is the header: magic, version, dimension, rows, length, whose file it is and
 * of which moment, the rotation of the codes, and its own checksum.  Then, each from a chunk's begin: ids, of which those
 * that were removed are SEGMENT_NO_ID, bit codes, signs, byte codes in two halves, floats; and last a CRC-32C for each of these chunks.
 *
 * Overwriting a row is to touch few pages, because before the removal is answered each of them is written and flushed: chunks
 * are short, nothing but the ids says who lives, and the sums of the chunks that begin among the same 1,024 rows, of every part,
 * stand together.
 *
 * Nothing in a file is believed that does not fit its length and its sums.  What a crash leaves half done does not, and is
 * made again from the caller's rows.
 * One thread at a time may change a file; its map is read by any number meanwhile.
 */
#ifndef INDEX_SEGMENT_FILE_H
#define INDEX_SEGMENT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "index/codes.h"
#include "index/index.h"

#define SEGMENT_FILE_SUFFIX ".segment"
#define SEGMENT_FILE_UNREADY ".unready"
struct segment;

/* Where it begins among the chunks with a sum and how many it has, and the bytes that 1,024 rows take. */
struct segment_part {
    size_t first, n, group_bytes;
};

struct segment_layout {
    size_t ids, bits, signs, high, low, floats, sums, end; /* offsets in bytes */
    struct segment_part parts[6];                          /* the first six of these */
    size_t n_chunks;                                       /* with a sum */
};

struct segment_file {
    struct segment_file *next; /* among the retired */
    char *path;                /* NULL: it has no name any more */
    int fd;
    bool sealed;   /* complete, and under its last name */
    bool left;     /* to somebody else: it is read, and nothing more */
    bool unsynced; /* rows were overwritten since it was last flushed */
    size_t dim, capacity, rows;
    struct segment_layout layout;
    size_t written; /* bytes, until it is sealed */
    uint32_t *sums; /* [n_chunks], in the file's order: segment_file_sum_of */
    struct index_moment moment;
    const uint8_t *map; /* the whole file, or NULL */
};

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

/* Begins a file for a segment.  Errors: ERR_NOMEM, ERR_NO_SPACE, ERR_DENIED, ERR_IO. */
MUST_CHECK enum err segment_file_create(const char *folder, const struct segment *segment,
                                        const struct index_moment *moment, struct segment_file **ret,
                                        struct err_note *note);

/* Writes some more of the segment; *ret_done says that this was the last of it.  Errors: ERR_NO_SPACE, ERR_IO. */
MUST_CHECK enum err segment_file_write(struct segment_file *file, const struct segment *segment, bool *ret_done,
                                       struct err_note *note);

/* Writes header and sums. */
MUST_CHECK enum err segment_file_finish(struct segment_file *file, const struct segment *segment,
                                        const unsigned char owner[INDEX_OWNER_BYTES], struct err_note *note);

/* Flushes, and only that: whoever changes the file meanwhile says so in unsynced. */
MUST_CHECK enum err segment_file_flush(const struct segment_file *file, struct err_note *note);

/* Flushes, and unsynced is false; then gives it its last name. */
MUST_CHECK enum err segment_file_sync(struct segment_file *file, struct err_note *note);
MUST_CHECK enum err segment_file_seal(struct segment_file *file, struct err_note *note);

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

/*
 * Opens a file, checks every byte of it and maps it.  Shapes: ret_rotation as codes_rotation_pack gives them.
 * Errors: ERR_CORRUPT, ERR_FORMAT damaged, or no such file; ERR_UNSUPPORTED another version; ERR_CONFLICT another dimension,
 *         or somebody else's; ERR_NOMEM, ERR_IO.  The note says which.
 */
MUST_CHECK enum err segment_file_open(const char *path, const struct codes *codes,
                                      const unsigned char owner[INDEX_OWNER_BYTES], struct segment_file **ret,
                                      uint8_t *ret_rotation, struct err_note *note);

/* Maps a file that is complete.  Errors: ERR_NOMEM, ERR_IO. */
MUST_CHECK enum err segment_file_map(struct segment_file *file, struct err_note *note);

/* ---- Overwriting ------------------------------------------------------------------------------------------------- */

/*
 * Overwrites the rows whose bits are set in the blocks from block to before end, everything of theirs; the disk has it after
 * a flush.
 * Shapes: died [capacity / 16].  Errors: ERR_IO, ERR_NO_SPACE; then some may be overwritten and others not.
 */
MUST_CHECK enum err segment_file_wipe(struct segment_file *file, const struct codes *codes, const uint16_t *died,
                                      size_t block, size_t end, struct err_note *note);

/*
 * A flush that needs the file for its beginning only: *ret is a descriptor that segment_file_flush_end flushes and closes, or -1 if
 * none was to be had and the file was flushed at once.  Errors: ERR_IO.
 */
bool segment_file_wants_flush(const struct segment_file *file); /* sealed, and overwritten since the last one */
MUST_CHECK enum err segment_file_flush_begin(struct segment_file *file, int *ret, struct err_note *note);
MUST_CHECK enum err segment_file_flush_end(int fd, struct err_note *note);

/* Takes its name away, so that nobody finds it any more; what is mapped can still be read. */
void segment_file_unlink(struct segment_file *file);

/* Overwrites a file that is not open, and takes its name away.  Errors: ERR_IO, ERR_DENIED; one that is not there is fine. */
MUST_CHECK enum err segment_file_destroy_path(const char *path, struct err_note *note);

/* Closes and frees.  A file without a name is overwritten before, which takes a while; NULL does nothing. */
void segment_file_close(struct segment_file *file);

#endif
