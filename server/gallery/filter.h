/*
 * filter.h: the faces that a filter lets pass, kept for as long as no row changes.
 *
 * Finding them takes some 400 ms for a million subjects, and doors ask with the same few filters all day.  What is kept is of one
 * moment (anchor_rows.h): the first change of any row lets the next one who asks look again.
 * Any thread.
 */
#ifndef SERVER_GALLERY_FILTER_H
#define SERVER_GALLERY_FILTER_H

#include "server/store/store.h"

struct filters;

struct filtered {
    /* immutable */
    int64_t *ids; /* [n] row ids of faces */
    size_t n;

    int refs; /* guarded by the lock of the filters it belongs to */
};

/* store is lent. */
MUST_CHECK enum err filters_new(struct store *store, struct filters **ret, struct err_note *note);
void filters_free(struct filters *filters); /* everything has been given back; NULL does nothing */

/* Errors: those of store_filter_faces.  Owns: *ret is a loan until filters_unref. */
MUST_CHECK enum err filters_get(struct filters *filters, int64_t collection_id, const char *filter,
                                struct filtered **ret, struct err_note *note);
void filters_unref(struct filters *filters, struct filtered *filtered); /* NULL does nothing */

#endif
