/*
 * wire.h: reading protocol-buffer records from untrusted bytes.
 *
 * A reader of our own instead of protobuf-c: it borrows the bytes where protobuf-c copies every one, allocates nothing,
 * needs no generated code, and checks depth, counts and lengths against what is there (protobuf-c 1.4 follows nesting
 * without a limit, and a file can make it allocate 70 times the file's size).  It reads only; writing is another file's
 * task.
 *
 *     struct wire_field field;
 *     while (wire_next(&wire, &field)) { switch (field.number) ... }
 *     if (wire_failed(&wire)) → ERR_FORMAT
 *
 * A field of an unexpected type, a length that does not fit, a group, or nesting beyond WIRE_MAX_DEPTH fails the reader:
 * it then yields nothing more.  Every use of a field's content names the type it expects by the function it calls.
 */
#ifndef CORE_ONNX_WIRE_H
#define CORE_ONNX_WIRE_H

#include "core/base/bytes.h"

#define WIRE_MAX_DEPTH 32

enum wire_type {
    WIRE_VARINT = 0,
    WIRE_FIXED64 = 1,
    WIRE_BYTES = 2,
    WIRE_FIXED32 = 5
};

struct wire {
    struct bytes bytes;
    int depth;
};

struct wire_field {
    uint32_t number;
    enum wire_type type;
    uint64_t number_value; /* WIRE_VARINT, WIRE_FIXED64, WIRE_FIXED32 */
    struct bytes content;  /* WIRE_BYTES, borrowed */
};

struct wire wire_over(const void *bytes, size_t n_bytes);

/* Reads the next field; false at the end and after a failure. */
bool wire_next(struct wire *wire, struct wire_field *ret);
bool wire_failed(const struct wire *wire);

/* Fails the reader, for a caller that found the content wrong. */
void wire_fail(struct wire *wire);

/* ---- One field's content; each fails wire if the field is of another type ---------------------------------------- */

/* The record inside a field.  A failure inside it is the child's; the caller asks the child. */
struct wire wire_enter(struct wire *wire, const struct wire_field *field);

int64_t wire_int(struct wire *wire, const struct wire_field *field);
float wire_float(struct wire *wire, const struct wire_field *field);
struct bytes wire_bytes(struct wire *wire, const struct wire_field *field);

/*
 * Numbers of a repeated field: one by itself, or many packed into one field.  Counting reads them once; taking them
 * writes at most room of them to ret.
 */
size_t wire_count_ints(struct wire *wire, const struct wire_field *field);
size_t wire_count_floats(struct wire *wire, const struct wire_field *field);
size_t wire_count_doubles(struct wire *wire, const struct wire_field *field);
size_t wire_take_ints(struct wire *wire, const struct wire_field *field, int64_t *ret, size_t room);
size_t wire_take_floats(struct wire *wire, const struct wire_field *field, float *ret, size_t room);
size_t wire_take_doubles(struct wire *wire, const struct wire_field *field, double *ret, size_t room);

#endif
