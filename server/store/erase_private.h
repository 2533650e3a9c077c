/*
 * erase_private.h: removing faces with everything that was made of them, inside a change.
 */
#ifndef SERVER_STORE_ERASE_PRIVATE_H
#define SERVER_STORE_ERASE_PRIVATE_H

#include "server/store/db_private.h"

enum erase_what {
    ERASE_FACE,
    ERASE_SUBJECT,
    ERASE_COLLECTION
};

struct erase {
    enum erase_what what;
    int64_t id;
    const char *actor;
    struct arena *mem; /* for the receipt's face ids; not used for a collection */
    struct receipt receipt;
};

/* A db_apply over a struct erase: deletes the rows and writes the audit entry.
 * Errors: ERR_NOT_FOUND, with a sentence that names what is not there. */
MUST_CHECK enum err erase_apply(struct db *db, void *context, struct err_note *note);

/* The whole erasure: the change, then the scrubbing. */
MUST_CHECK enum err erase_run(struct store *store, struct erase *erase, const struct after_commit *after,
                              struct receipt *ret, struct err_note *note);

#endif
