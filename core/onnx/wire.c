/* wire.c: protocol-buffer records, bounded by their bytes. */
#include "core/onnx/wire.h"

#include <string.h>

struct wire wire_over(const void *bytes, size_t n_bytes)
{
    return (struct wire){.bytes = bytes_over(bytes, n_bytes), .depth = 0};
}

bool wire_failed(const struct wire *wire)
{
    return bytes_failed(&wire->bytes);
}

void wire_fail(struct wire *wire)
{
    wire->bytes.failed = true;
    wire->bytes.left = 0;
}

bool wire_next(struct wire *wire, struct wire_field *ret)
{
    if (wire->bytes.left == 0) {
        return false;
    }
    uint64_t tag = bytes_varint(&wire->bytes);
    struct wire_field field = {.number = (uint32_t)(tag >> 3)};
    if (tag > UINT32_MAX || field.number == 0) {
        wire_fail(wire);
        return false;
    }
    switch (tag & 7U) {
    case WIRE_VARINT:
        field.type = WIRE_VARINT;
        field.number_value = bytes_varint(&wire->bytes);
        break;
    case WIRE_FIXED64:
        field.type = WIRE_FIXED64;
        field.number_value = bytes_u64le(&wire->bytes);
        break;
    case WIRE_FIXED32:
        field.type = WIRE_FIXED32;
        field.number_value = bytes_u32le(&wire->bytes);
        break;
    case WIRE_BYTES: {
        uint64_t len = bytes_varint(&wire->bytes);
        if (len > wire->bytes.left) {
            wire_fail(wire);
            return false;
        }
        const unsigned char *at = bytes_take(&wire->bytes, (size_t)len);
        field.type = WIRE_BYTES;
        field.content = bytes_over(at, (size_t)len);
        break;
    }
    default: wire_fail(wire); return false; /* groups, which ONNX does not have, and types that do not exist */
    }
    if (wire_failed(wire)) {
        return false;
    }
    *ret = field;
    return true;
}

static bool expect(struct wire *wire, const struct wire_field *field, enum wire_type type)
{
    if (field->type != type) {
        wire_fail(wire);
        return false;
    }
    return true;
}

struct wire wire_enter(struct wire *wire, const struct wire_field *field)
{
    struct wire child = {.bytes = field->content, .depth = wire->depth + 1};

    if (!expect(wire, field, WIRE_BYTES) || child.depth > WIRE_MAX_DEPTH) {
        wire_fail(wire);
        wire_fail(&child);
    }
    return child;
}

int64_t wire_int(struct wire *wire, const struct wire_field *field)
{
    return expect(wire, field, WIRE_VARINT) ? (int64_t)field->number_value : 0;
}

static float float_of(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

float wire_float(struct wire *wire, const struct wire_field *field)
{
    return expect(wire, field, WIRE_FIXED32) ? float_of((uint32_t)field->number_value) : 0;
}

struct bytes wire_bytes(struct wire *wire, const struct wire_field *field)
{
    return expect(wire, field, WIRE_BYTES) ? field->content : bytes_over(NULL, 0);
}

/* ---- Repeated numbers -------------------------------------------------------------------------------------------- */

size_t wire_count_ints(struct wire *wire, const struct wire_field *field)
{
    if (field->type == WIRE_VARINT) {
        return 1;
    }
    if (!expect(wire, field, WIRE_BYTES)) {
        return 0;
    }
    size_t count = 0;
    struct bytes packed = field->content;
    while (packed.left > 0) {
        (void)bytes_varint(&packed);
        count++;
    }
    if (bytes_failed(&packed)) {
        wire_fail(wire);
        return 0;
    }
    return count;
}

/* Fixed-size numbers, packed or alone. */
static size_t count_fixed(struct wire *wire, const struct wire_field *field, enum wire_type alone, size_t size)
{
    if (field->type == alone) {
        return 1;
    }
    if (!expect(wire, field, WIRE_BYTES)) {
        return 0;
    }
    if (field->content.left % size != 0) {
        wire_fail(wire);
        return 0;
    }
    return field->content.left / size;
}

size_t wire_count_floats(struct wire *wire, const struct wire_field *field)
{
    return count_fixed(wire, field, WIRE_FIXED32, sizeof(float));
}

size_t wire_count_doubles(struct wire *wire, const struct wire_field *field)
{
    return count_fixed(wire, field, WIRE_FIXED64, sizeof(double));
}

size_t wire_take_ints(struct wire *wire, const struct wire_field *field, int64_t *ret, size_t room)
{
    size_t count = wire_count_ints(wire, field);
    struct bytes packed = field->content;

    count = count < room ? count : room;
    for (size_t i = 0; i < count; i++) {
        ret[i] = (int64_t)(field->type == WIRE_VARINT ? field->number_value : bytes_varint(&packed));
    }
    return count;
}

size_t wire_take_floats(struct wire *wire, const struct wire_field *field, float *ret, size_t room)
{
    size_t count = wire_count_floats(wire, field);
    struct bytes packed = field->content;

    count = count < room ? count : room;
    for (size_t i = 0; i < count; i++) {
        ret[i] = float_of(field->type == WIRE_FIXED32 ? (uint32_t)field->number_value : bytes_u32le(&packed));
    }
    return count;
}

size_t wire_take_doubles(struct wire *wire, const struct wire_field *field, double *ret, size_t room)
{
    size_t count = wire_count_doubles(wire, field);
    struct bytes packed = field->content;

    count = count < room ? count : room;
    for (size_t i = 0; i < count; i++) {
        uint64_t bits = field->type == WIRE_FIXED64 ? field->number_value : bytes_u64le(&packed);
        memcpy(&ret[i], &bits, sizeof bits);
    }
    return count;
}
