/*
 * export.h: a collection's faces as lines of JSON, to be kept or to be imported elsewhere.
 *
 *     {"type":"header","format":1,"collection":..,"model":..,"dim":..,"faces":..,"exported_at":..}
 *     {"type":"face","id":..,"subject":{"id","name","external_id","metadata"},"enrolled_at":..,"source":..,"box":..,
 *      "landmarks":..,"score":..,"quality":{..},"photo":{"width","height","sha256"},"norm":..,"embedding":[..],"crop":base64}
 *     {"type":"end","faces":..,"set_aside":..}
 *
 * A file without its last line was cut off.  Embeddings are printed so that reading gives the same bits.
 *
 * Consistency: pages by key up to the newest face at the start, each page one state of the rows.  One read transaction for the
 * whole would be one state for all, but a client that reads slowly would keep the write-ahead log from being cut for hours, and
 * would be handed what was erased meanwhile.  So: every face that was there at the start and still is when its page comes is
 * exported once; none that was erased before, none that was enrolled later; each with its subject as of its page.
 * Memory: one page, whatever the size of the collection.
 */
#ifndef SERVER_GALLERY_EXPORT_H
#define SERVER_GALLERY_EXPORT_H

#include "server/gallery/gallery.h"
#include "server/store/export_rows.h"

#define EXPORT_FORMAT 1

struct export;

/* Begins.  collection NULL: "default".  The gallery must outlive it.  Errors: GALLERY_NO_SUCH_COLLECTION; ERR_NOMEM and those of the rows. */
MUST_CHECK enum err gallery_export(struct gallery_worker *worker, const char *collection, enum export_crops crops,
                                   struct export **ret, struct gallery_fault *fault);

/* Gives the next lines, valid until the next call; *ret_bytes 0: there are no more.  After an error it must not be called again. */
MUST_CHECK enum err export_next(struct export *export, const char **ret, size_t *ret_bytes);
void export_free(struct export *export);

#endif
