/*
 * import.h: many people at once, from a file that somebody sent: an archive of photos with one folder for each subject, or the
 * lines of an export (export.h), packed by gzip or not.
 *
 * Every part of the file has a number and in the end one row that says what became of it (import_rows.h).  What is enrolled
 * and its row are written together, so an import that was killed begins again at the front, passes over what has a row, and
 * enrolls nothing twice.
 */
#ifndef SERVER_GALLERY_IMPORT_H
#define SERVER_GALLERY_IMPORT_H

#include "server/gallery/enroll.h"

struct import_plan {
    const char *path;       /* of the file; tells itself what it is */
    const char *collection; /* NULL: "default" */
    int64_t job_id;         /* whose rows */
    enum faces_wanted faces;
    enum quality_wanted quality;
    enum on_duplicate on_duplicate;
    const char *actor;

    int n_workers;                                                /* threads that look at photos; at least 1 */
    size_t arena_bytes;                                           /* of each */
    struct cancel *cancel;                                        /* may be NULL */
    void (*progress)(void *context, int64_t done, int64_t total); /* bytes of the file; may be NULL */
    void *context;
};

/*
 * Errors: ERR_CANCELLED; ERR_FORMAT, ERR_UNSUPPORTED, ERR_LIMIT the file (unpack.h; lines: the note names the line); ERR_CONFLICT
 *         the lines' embeddings are of another model than the collection's: the note names both; GALLERY_NO_SUCH_COLLECTION,
 *         GALLERY_NO_MODEL; ERR_NO_SPACE, ERR_BUSY, ERR_IO, ERR_NOMEM.  What was enrolled before stays.
 */
MUST_CHECK enum err gallery_import(struct gallery *gallery, const struct import_plan *plan,
                                   struct gallery_fault *fault);

#endif
