/*
 * file.h: whole files in and out, and names in folders.
 *
 * Reading has a limit that the caller sets; writing is atomic: after a crash the old content or the new one is there.
 * Any thread.
 */
#ifndef CORE_BASE_FILE_H
#define CORE_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/err.h"

/*
 * Reads a whole file.
 * Owns:   *ret belongs to the caller (mem_free); one zero byte that is not counted stands behind the content.
 * Errors: ERR_NOT_FOUND, ERR_DENIED, ERR_IO; ERR_LIMIT the file is longer than limit_bytes; ERR_NOMEM.
 */
MUST_CHECK enum err file_read(const char *path, size_t limit_bytes, unsigned char **ret, size_t *ret_bytes,
                              struct err_note *note);

/*
 * Maps a whole file read-only.  A file that shrinks while it is mapped kills the process on the next read, so map only
 * what this process owns or what is loaded at once.
 * Owns:   the caller, until file_unmap with the same length.  An empty file is ERR_FORMAT.
 */
MUST_CHECK enum err file_map(const char *path, size_t limit_bytes, const unsigned char **ret, size_t *ret_bytes,
                             struct err_note *note);
void file_unmap(const unsigned char *mapped, size_t bytes);

/*
 * Replaces a file's content: a temporary file beside it, fsync, rename, fsync of the folder.
 * Errors: ERR_NO_SPACE, ERR_DENIED, ERR_NOT_FOUND (the folder), ERR_IO; the old file is then as it was.
 */
MUST_CHECK enum err file_write(const char *path, const void *content, size_t bytes, struct err_note *note);

/* Makes a folder and those above it, mode 0700; one that exists already is fine. */
MUST_CHECK enum err folder_make(const char *path, struct err_note *note);

/* Removes a file; one that does not exist is fine. */
MUST_CHECK enum err file_remove(const char *path, struct err_note *note);

/* Flushes a folder's own entries to the disk, after a rename or a new file in it. */
MUST_CHECK enum err folder_sync(const char *path, struct err_note *note);

bool file_exists(const char *path);

/* The part behind the last slash. */
const char *file_base_name(const char *path);

#endif
