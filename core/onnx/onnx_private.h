/*
 * onnx_private.h: the records of an ONNX file, read one at a time into an arena.
 *
 * Field numbers are those of the standard's onnx.proto.
 */
#ifndef CORE_ONNX_ONNX_PRIVATE_H
#define CORE_ONNX_ONNX_PRIVATE_H

#include "core/onnx/onnx.h"
#include "core/onnx/wire.h"

/*
 * Copies a name or text: UTF-8 without control characters, so that it may stand in a note, a log line and JSON.
 * what names it in notes.
 */
MUST_CHECK enum err onnx_read_text(struct wire *wire, const struct wire_field *field, struct arena *mem,
                                   const char *what, const char **ret, struct err_note *note);

/* A TensorProto.  *ret_name is "" if it has none. */
MUST_CHECK enum err onnx_read_tensor(struct wire wire, struct arena *mem, struct tensor *ret, const char **ret_name,
                                     struct err_note *note);

/* The enum of TensorProto.data_type; DTYPE_NONE for types that we do not have. */
enum dtype onnx_dtype(int64_t data_type);
/* Its name in the standard ("float16"), for notes. */
const char *onnx_dtype_name(int64_t data_type);

/* An AttributeProto.  Owns: everything in *ret is carved from mem. */
MUST_CHECK enum err onnx_read_attr(struct wire wire, struct arena *mem, struct attr *ret, struct err_note *note);

/* A ValueInfoProto that is a tensor: its name, type and shape (free dimensions -1, rank -1 if it declares none). */
MUST_CHECK enum err onnx_read_value_info(struct wire wire, struct arena *mem, const char **ret_name,
                                         enum dtype *ret_type, struct shape *ret_shape, struct err_note *note);

#endif
