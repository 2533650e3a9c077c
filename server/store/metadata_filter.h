/*
 * metadata_filter.h: whether metadata say what a filter wants.
 *
 * A filter is made once and asked for every subject of a collection, so it reads the text of the metadata as it stands, without
 * making values of it: some 100 ns a subject.  What a filter means is said in filter_rows.h.
 * Immutable once made: any thread.
 */
#ifndef SERVER_STORE_METADATA_FILTER_H
#define SERVER_STORE_METADATA_FILTER_H

#include <stdbool.h>

#include "core/base/attr.h"
#include "core/base/err.h"

struct metadata_filter;

/* Errors: ERR_FORMAT no JSON; ERR_MISUSE no object, more members than STORE_FILTER_MEMBERS, or values within values. */
MUST_CHECK enum err metadata_filter_new(const char *filter, struct metadata_filter **ret, struct err_note *note);
void metadata_filter_free(struct metadata_filter *filter); /* NULL does nothing */

/* metadata: a JSON object; what is none, or broken, does not pass. */
bool metadata_filter_passes(const struct metadata_filter *filter, const char *metadata);

#endif
