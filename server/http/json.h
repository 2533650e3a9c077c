/*
 * json.h: untrusted JSON in, documents out.
 *
 * Before the library sees a byte, one pass bounds the nesting and the number of values, so that neither the stack nor the
 * heap depends on what somebody sends.
 */
#ifndef SERVER_HTTP_JSON_H
#define SERVER_HTTP_JSON_H

#include <jansson.h>
#include <stddef.h>

#include "core/base/arena.h"
#include "core/base/err.h"

#define JSON_MAX_VALUES 65536

/*
 * Parses one JSON object.
 * Owns:   *ret, json_decref.
 * Errors: ERR_LIMIT deeper than max_depth, or more than JSON_MAX_VALUES values; ERR_FORMAT not JSON (NaN and numbers beyond a
 *         double's range are not), not an object, a member twice, not UTF-8, an escaped zero byte; ERR_NOMEM.
 */
MUST_CHECK enum err json_read(const void *bytes, size_t n_bytes, int max_depth, json_t **ret, struct err_note *note);

/* The same for one array. */
MUST_CHECK enum err json_read_array(const void *bytes, size_t n_bytes, int max_depth, json_t **ret,
                                    struct err_note *note);

/*
 * A float as JSON: nine digits, which is what a float needs to come back the same; a document with one that is not finite
 * cannot be made.
 */
#define JSON_WRITE_FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(9))

#endif
