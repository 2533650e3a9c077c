/*
 * filter_rows.h: the faces of those subjects whose metadata says what a filter wants.
 */
#ifndef SERVER_STORE_FILTER_ROWS_H
#define SERVER_STORE_FILTER_ROWS_H

#include "server/store/store.h"

/*
 * A filter is a JSON object.  A subject passes if its metadata has each of the filter's members with an equal value; where the
 * filter has a list, with one of its values.  Numbers are equal by value; texts, true, false and null as they are; an object in a
 * filter is refused.  {} lets everybody pass.
 * Shapes: at most STORE_FILTER_MEMBERS members.
 * Owns:   *ret belongs to the caller (mem_free); row ids, in no order, without those that are set aside.
 * Errors: ERR_MISUSE a filter that is none; ERR_FORMAT no JSON.
 */
#define STORE_FILTER_MEMBERS 16
MUST_CHECK enum err store_filter_faces(struct store *store, int64_t collection_id, const char *filter, int64_t **ret,
                                       size_t *ret_count, struct err_note *note);

#endif
