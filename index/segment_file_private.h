/*
 * segment_file_private.h: what the two sources of a segment's file share.
 *
 * Errors: ERR_IO, ERR_NO_SPACE, ERR_DENIED by the system's word; ERR_CORRUPT a file that has become shorter.
 */
#ifndef INDEX_SEGMENT_FILE_PRIVATE_H
#define INDEX_SEGMENT_FILE_PRIVATE_H

#include <stddef.h>

#include "core/base/err.h"
#include "index/segment_file.h"

/* Every so many bytes have a checksum, and every part begins with one: what a removal touches is summed again, so they are few. */
#define SEGMENT_FILE_CHUNK 4096

/* Which of the sums is that of a chunk, both counted from 0. */
size_t segment_file_sum_of(const struct segment_layout *layout, size_t chunk);

/* Says what errno says of "cannot DOING PATH". */
MUST_CHECK enum err segment_file_errno(struct err_note *note, const char *doing, const char *path);

MUST_CHECK enum err segment_file_read(const struct segment_file *file, void *ret, size_t bytes, size_t offset,
                                      struct err_note *note);
MUST_CHECK enum err segment_file_put(const struct segment_file *file, const void *from, size_t bytes, size_t offset,
                                     struct err_note *note);

#endif
