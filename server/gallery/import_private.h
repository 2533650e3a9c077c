/*
 * import_private.h: what the two kinds of import share: which parts are done, and the rows of those that failed.
 */
#ifndef SERVER_GALLERY_IMPORT_PRIVATE_H
#define SERVER_GALLERY_IMPORT_PRIVATE_H

#include "server/gallery/gallery_private.h"
#include "server/gallery/import.h"
#include "server/store/import_rows.h"

#define IMPORT_FAILED_AT_ONCE 512

struct import {
    struct gallery *gallery;
    const struct import_plan *plan;
    int64_t file_bytes;

    const unsigned char *done; /* bits, from import_rows.h */
    int64_t n_done;

    struct import_item failed[IMPORT_FAILED_AT_ONCE]; /* not written yet; their texts live in mem */
    int n_failed;
    struct arena *mem; /* emptied when they are written */
};

/* Whether a part has its row already. */
bool import_is_done(const struct import *import, int64_t number);

/* Remembers what became of a part that was not enrolled, and writes many at a time.  Texts are copied. */
MUST_CHECK enum err import_failed(struct import *import, int64_t number, const char *name, const char *outcome,
                                  const char *sentence, struct err_note *note);
MUST_CHECK enum err import_flush(struct import *import, struct err_note *note);

/* ERR_CANCELLED when somebody has asked; tells the progress. */
MUST_CHECK enum err import_goes_on(const struct import *import, int64_t position);

/* What one part's failure means: *ret_outcome is its word if it is the part's own fault, NULL if the import must end. */
const char *import_outcome(enum err err, const struct gallery_fault *fault);

MUST_CHECK enum err import_photos(struct import *import, struct gallery_fault *fault);
MUST_CHECK enum err import_lines(struct import *import, struct gallery_fault *fault);

#endif
