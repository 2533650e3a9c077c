/*
 * remains.h: whether anything of what was erased still lies in the files of a folder.
 *
 * Whoever asks brings what was erased, because nothing that is left knows it: the lines that GET /v1/export gave, an answer of
 * POST /v1/embed, the crop or the photo as a file.  From these the bytes follow as the daemon stores them (a vector as
 * little-endian floats, as sent and at unit length); every file of the folder is read from its first byte to its last for any
 * piece of them.  A piece is REMAINS_PIECE bytes, so whatever is left of at least twice that in one place is found.
 * Not found this way: what was only derived (the index's short codes; `arcfaced index verify` is for these).
 * One thread per object.
 */
#ifndef SERVER_GALLERY_REMAINS_H
#define SERVER_GALLERY_REMAINS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

#define REMAINS_PIECE 32

struct remains;

MUST_CHECK enum err remains_new(struct remains **ret);
void remains_free(struct remains *remains); /* wipes what it was given; NULL does nothing */

/* Adds bytes to look for, under a name for the answer.  What is shorter than a piece, and pieces of hardly any different bytes, are
 * passed over.  Errors: ERR_NOMEM. */
MUST_CHECK enum err remains_add(struct remains *remains, const char *name, const void *bytes, size_t n_bytes);

/*
 * Adds what a file holds: JSON, in one document or one a line, gives its members "embedding" and "crop" at any depth; any other file
 * is looked for as it is, a JPEG without the tables that others have too.
 * Errors: ERR_NOT_FOUND, ERR_DENIED, ERR_IO, ERR_NOMEM; ERR_LIMIT it is longer than 1 GiB; ERR_FORMAT it holds nothing to look for.
 */
MUST_CHECK enum err remains_add_file(struct remains *remains, const char *path, struct err_note *note);

int remains_count(const struct remains *remains); /* things to look for: vectors, crops, photos */

struct remains_found {
    const char *file; /* below the folder */
    const char *name; /* as added */
    int64_t offset;   /* of the first piece in the file */
    int64_t n_pieces; /* found in it, of */
    int64_t n_pieces_of;
};
typedef void remains_tell(void *context, const struct remains_found *found);

struct remains_summary {
    int64_t n_files, n_bytes;
    int64_t n_found; /* pairs of a file and a thing */
};

/*
 * Reads all files below a folder (not through links) and tells what it finds, file by file.  Files may change meanwhile.
 * Errors: ERR_NOT_FOUND, ERR_DENIED, ERR_IO something cannot be read; ERR_NOMEM.
 */
MUST_CHECK enum err remains_scan(struct remains *remains, const char *folder, remains_tell *tell, void *context,
                                 struct remains_summary *ret, struct err_note *note);

#endif
