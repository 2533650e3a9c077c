/*
 * multipart.h: the parts of a multipart/form-data body (RFC 7578) that lies completely in memory.
 *
 * Ours, because the HTTP library's reader is tied to a live connection and would tie the handlers to it as well; what is
 * needed is a scan for a boundary within known bytes.  Not: nested multipart, transfer encodings (the RFC forbids them),
 * file names (never used).
 */
#ifndef SERVER_HTTP_MULTIPART_H
#define SERVER_HTTP_MULTIPART_H

#include <stddef.h>

#include "core/base/arena.h"
#include "core/base/err.h"

struct part {
    const char *name;           /* carved from the arena; UTF-8 without zero bytes, not empty */
    const unsigned char *bytes; /* within the body */
    size_t n_bytes;
};

#define MULTIPART_MAX_PARTS 32

/*
 * Splits a body by the boundary that content_type names.
 * Shapes: ret_parts has room for MULTIPART_MAX_PARTS.
 * Errors: ERR_FORMAT no boundary, or the body does not keep to it; ERR_LIMIT too many parts, or mem; ERR_NOMEM.
 */
MUST_CHECK enum err multipart_parse(const char *content_type, const void *body, size_t n_bytes, struct arena *mem,
                                    struct part *ret_parts, int *ret_count, struct err_note *note);

#endif
