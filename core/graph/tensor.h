/*
 * tensor.h: a typed block of numbers with a shape.
 *
 * A struct tensor is a view: it does not own its data.  Data is dense, row-major, last dimension fastest.
 */
#ifndef CORE_GRAPH_TENSOR_H
#define CORE_GRAPH_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"

#define TENSOR_MAX_RANK 8

enum dtype {
    DTYPE_NONE = 0, /* no tensor: an optional input that is absent */
    DTYPE_F32,
    DTYPE_F64,
    DTYPE_I64,
    DTYPE_I32,
    DTYPE_U8,
    DTYPE_I8,
    DTYPE_BOOL,
    DTYPE_COUNT
};

/* The set of types a claim allows: DTYPE_BIT(DTYPE_F32) | DTYPE_BIT(DTYPE_I64). */
#define DTYPE_BIT(type) (1U << (unsigned)(type))

struct shape {
    int rank;
    int64_t dim[TENSOR_MAX_RANK]; /* each ≥ 0; a rank of 0 is a scalar with one element */
};

struct tensor {
    enum dtype type;
    struct shape shape;
    void *data; /* NULL while only type and shape are known */
};

size_t dtype_bytes(enum dtype type);
const char *dtype_name(enum dtype type); /* "float", "int64", ... as the ONNX standard names them */

/* Number of elements; false if it does not fit in int64. */
MUST_CHECK bool shape_count(const struct shape *shape, int64_t *ret);
/* The same for shapes that have been checked before. */
int64_t shape_elements(const struct shape *shape);
bool shape_equal(const struct shape *a, const struct shape *b);

/* Writes "[1, 3, 112, 112]" and returns text; for notes. */
#define SHAPE_TEXT_BYTES 192
const char *shape_text(const struct shape *shape, char text[SHAPE_TEXT_BYTES]);

/* Bytes of the data; only for shapes that have been checked. */
size_t tensor_bytes(const struct tensor *tensor);

/* The same where an image [n, c, h, w] lies in blocks of channels (core/kernel/block.h), as it may inside a session. */
size_t tensor_blocked_bytes(const struct tensor *tensor);

#endif
