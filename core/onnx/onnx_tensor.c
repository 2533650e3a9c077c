/* onnx_tensor.c: TensorProto: dimensions, type, and the data in whichever of its fields it lies. */
#include <inttypes.h>
#include <string.h>

#include "core/base/size.h"
#include "core/base/utf8.h"
#include "core/onnx/onnx_private.h"

/* ---- Texts ------------------------------------------------------------------------------------------------------- */

/* The length of the character that starts here, 0 if it is not UTF-8 or is a control character. */
static size_t character_bytes(const unsigned char *at, size_t left)
{
    return *at < 0x20U || *at == 0x7FU ? 0 : utf8_character(at, left);
}

enum err onnx_read_text(struct wire *wire, const struct wire_field *field, struct arena *mem, const char *what,
                        const char **ret, struct err_note *note)
{
    struct bytes text = wire_bytes(wire, field);

    if (wire_failed(wire)) {
        return ERR_SAY(note, ERR_FORMAT, "%s is not a text", what);
    }
    for (size_t at = 0; at < text.left;) {
        size_t len = character_bytes(text.at + at, text.left - at);
        if (len == 0) {
            return ERR_SAY(note, ERR_FORMAT, "%s is not UTF-8 or holds control characters", what);
        }
        at += len;
    }
    char *copy = arena_alloc(mem, text.left + 1, 1);
    if (copy == NULL) {
        return arena_why(mem);
    }
    if (text.left > 0) {
        memcpy(copy, text.at, text.left);
    }
    *ret = copy;
    return ERR_NONE;
}

/* ---- Types ------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    enum dtype type;
} dtypes[] = {{"undefined", DTYPE_NONE},  {"float", DTYPE_F32},       {"uint8", DTYPE_U8},
              {"int8", DTYPE_I8},         {"uint16", DTYPE_NONE},     {"int16", DTYPE_NONE},
              {"int32", DTYPE_I32},       {"int64", DTYPE_I64},       {"string", DTYPE_NONE},
              {"bool", DTYPE_BOOL},       {"float16", DTYPE_NONE},    {"double", DTYPE_F64},
              {"uint32", DTYPE_NONE},     {"uint64", DTYPE_NONE},     {"complex64", DTYPE_NONE},
              {"complex128", DTYPE_NONE}, {"bfloat16", DTYPE_NONE},   {"float8e4m3", DTYPE_NONE},
              {"float8e4m3", DTYPE_NONE}, {"float8e5m2", DTYPE_NONE}, {"float8e5m2", DTYPE_NONE}};

#define N_DTYPES ((int64_t)(sizeof dtypes / sizeof *dtypes))

enum dtype onnx_dtype(int64_t data_type)
{
    return data_type < 0 || data_type >= N_DTYPES ? DTYPE_NONE : dtypes[data_type].type;
}

const char *onnx_dtype_name(int64_t data_type)
{
    return data_type < 0 || data_type >= N_DTYPES ? "unknown" : dtypes[data_type].name;
}

/* ---- Tensors ----------------------------------------------------------------------------------------------------- */

enum tensor_field {
    TENSOR_DIMS = 1,
    TENSOR_DATA_TYPE = 2,
    TENSOR_SEGMENT = 3,
    TENSOR_FLOAT_DATA = 4,
    TENSOR_INT32_DATA = 5,
    TENSOR_STRING_DATA = 6,
    TENSOR_INT64_DATA = 7,
    TENSOR_NAME = 8,
    TENSOR_RAW_DATA = 9,
    TENSOR_DOUBLE_DATA = 10,
    TENSOR_UINT64_DATA = 11,
    TENSOR_EXTERNAL_DATA = 13,
    TENSOR_DATA_LOCATION = 14
};

/* What a first walk over the record finds; nothing is allocated for data before all of it has been checked. */
struct scan {
    const char *name;
    int64_t data_type;
    int64_t dims[TENSOR_MAX_RANK];
    size_t rank;
    bool has_raw;
    struct bytes raw;
    uint32_t typed_field; /* the field that holds the elements, 0: none */
    size_t typed_count;
    bool external, segmented, strings;
};

static void scan_dims(struct wire *wire, const struct wire_field *field, struct scan *scan)
{
    size_t count = wire_count_ints(wire, field);

    if (scan->rank <= TENSOR_MAX_RANK && count <= TENSOR_MAX_RANK - scan->rank) {
        (void)wire_take_ints(wire, field, scan->dims + scan->rank, TENSOR_MAX_RANK - scan->rank);
        scan->rank += count;
    } else {
        scan->rank = TENSOR_MAX_RANK + 1;
    }
}

/* Elements may come in several pieces, but in one field. */
static void scan_typed(struct wire *wire, const struct wire_field *field, size_t count, struct scan *scan)
{
    if (scan->typed_field != 0 && scan->typed_field != field->number) {
        wire_fail(wire);
    }
    scan->typed_field = field->number;
    scan->typed_count += count; /* each element is at least one byte of the file */
}

static enum err scan_field(struct wire *wire, const struct wire_field *field, struct arena *mem, struct scan *scan,
                           struct err_note *note)
{
    switch (field->number) {
    case TENSOR_DIMS: scan_dims(wire, field, scan); break;
    case TENSOR_DATA_TYPE: scan->data_type = wire_int(wire, field); break;
    case TENSOR_SEGMENT: scan->segmented = true; break;
    case TENSOR_FLOAT_DATA: scan_typed(wire, field, wire_count_floats(wire, field), scan); break;
    case TENSOR_INT32_DATA:
    case TENSOR_INT64_DATA:
    case TENSOR_UINT64_DATA: scan_typed(wire, field, wire_count_ints(wire, field), scan); break;
    case TENSOR_DOUBLE_DATA: scan_typed(wire, field, wire_count_doubles(wire, field), scan); break;
    case TENSOR_STRING_DATA: scan->strings = true; break;
    case TENSOR_NAME: return onnx_read_text(wire, field, mem, "a tensor's name", &scan->name, note);
    case TENSOR_RAW_DATA:
        scan->has_raw = true;
        scan->raw = wire_bytes(wire, field);
        break;
    case TENSOR_EXTERNAL_DATA: scan->external = true; break;
    case TENSOR_DATA_LOCATION: scan->external = scan->external || wire_int(wire, field) != 0; break;
    default: break;
    }
    return ERR_NONE;
}

/* The field in which the standard puts the elements of a type that are not raw. */
static uint32_t typed_field_of(enum dtype type)
{
    switch (type) {
    case DTYPE_F32: return TENSOR_FLOAT_DATA;
    case DTYPE_F64: return TENSOR_DOUBLE_DATA;
    case DTYPE_I64: return TENSOR_INT64_DATA;
    case DTYPE_I32:
    case DTYPE_U8:
    case DTYPE_I8:
    case DTYPE_BOOL: return TENSOR_INT32_DATA;
    case DTYPE_NONE:
    case DTYPE_COUNT: break;
    }
    return 0;
}

static enum err check_scan(const struct scan *scan, struct tensor *ret, struct err_note *note)
{
    char text[SHAPE_TEXT_BYTES];
    const char *name = scan->name;
    struct tensor tensor = {.type = onnx_dtype(scan->data_type)};
    int64_t count;
    size_t bytes;

    if (scan->external || scan->segmented) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "tensor '%.80s': %s are not supported: all data must be in the file",
                       name, scan->external ? "external data" : "segments");
    }
    if (scan->strings || tensor.type == DTYPE_NONE) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "tensor '%.80s': type %s (%" PRId64 ") is not supported", name,
                       onnx_dtype_name(scan->data_type), scan->data_type);
    }
    if (scan->rank > TENSOR_MAX_RANK) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "tensor '%.80s': more than %d dimensions", name, TENSOR_MAX_RANK);
    }
    tensor.shape.rank = (int)scan->rank;
    memcpy(tensor.shape.dim, scan->dims, sizeof scan->dims);
    if (!shape_count(&tensor.shape, &count) || !size_mul((size_t)count, dtype_bytes(tensor.type), &bytes)) {
        return ERR_SAY(note, ERR_FORMAT, "tensor '%.80s': shape %s is negative or too large", name,
                       shape_text(&tensor.shape, text));
    }
    if (scan->has_raw && scan->typed_field != 0) {
        return ERR_SAY(note, ERR_FORMAT, "tensor '%.80s': has raw and typed data", name);
    }
    if (scan->has_raw ? scan->raw.left != bytes : scan->typed_count != (size_t)count) {
        return ERR_SAY(note, ERR_FORMAT, "tensor '%.80s': shape %s needs %zu %s, the file holds %zu", name,
                       shape_text(&tensor.shape, text), scan->has_raw ? bytes : (size_t)count,
                       scan->has_raw ? "bytes" : "elements", scan->has_raw ? scan->raw.left : scan->typed_count);
    }
    if (scan->typed_field != 0 && scan->typed_field != typed_field_of(tensor.type)) {
        return ERR_SAY(note, ERR_FORMAT, "tensor '%.80s': data of type %s in a field for another type", name,
                       dtype_name(tensor.type));
    }
    *ret = tensor;
    return ERR_NONE;
}

/* The file is little-endian. */
static void take_raw(const struct bytes *raw, struct tensor *tensor)
{
    unsigned char *to = tensor->data;

    if (raw->left == 0) {
        return;
    }
    memcpy(to, raw->at, raw->left);
    if (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__) {
        size_t size = dtype_bytes(tensor->type);
        for (size_t i = 0; i + size <= raw->left; i += size) {
            for (size_t k = 0; k < size; k++) {
                to[i + k] = raw->at[i + size - 1 - k];
            }
        }
    }
}

/* Integers of every type narrower than int64 stand as varints; a negative one takes ten bytes. */
static bool narrow(enum dtype type, int64_t value, void *data, size_t at)
{
    switch (type) {
    case DTYPE_I64: ((int64_t *)data)[at] = value; return true;
    case DTYPE_I32: ((int32_t *)data)[at] = (int32_t)value; return value >= INT32_MIN && value <= INT32_MAX;
    case DTYPE_U8:
    case DTYPE_BOOL: ((uint8_t *)data)[at] = (uint8_t)value; return value >= 0 && value <= UINT8_MAX;
    case DTYPE_I8: ((int8_t *)data)[at] = (int8_t)value; return value >= INT8_MIN && value <= INT8_MAX;
    case DTYPE_F32:
    case DTYPE_F64:
    case DTYPE_NONE:
    case DTYPE_COUNT: break;
    }
    return false;
}

/* Integers of one field, into the tensor from element at on; how many, or 0 and wire failed if one does not fit. */
static size_t take_ints(struct wire *wire, const struct wire_field *field, struct tensor *tensor, size_t at)
{
    size_t count = wire_count_ints(wire, field);
    struct bytes packed = field->content;

    for (size_t i = 0; i < count; i++) {
        uint64_t value = field->type == WIRE_VARINT ? field->number_value : bytes_varint(&packed);
        if (!narrow(tensor->type, (int64_t)value, tensor->data, at + i)) {
            wire_fail(wire);
            return 0;
        }
    }
    return count;
}

/* The second walk: the number of elements has been checked, so everything fits. */
static void take_typed(struct wire *wire, uint32_t number, struct tensor *tensor)
{
    struct wire_field field;
    size_t count = (size_t)shape_elements(&tensor->shape);
    size_t at = 0;

    while (wire_next(wire, &field)) {
        if (field.number != number) {
            continue;
        }
        if (tensor->type == DTYPE_F32) {
            at += wire_take_floats(wire, &field, (float *)tensor->data + at, count - at);
        } else if (tensor->type == DTYPE_F64) {
            at += wire_take_doubles(wire, &field, (double *)tensor->data + at, count - at);
        } else {
            at += take_ints(wire, &field, tensor, at);
        }
    }
}

enum err onnx_read_tensor(struct wire wire, struct arena *mem, struct tensor *ret, const char **ret_name,
                          struct err_note *note)
{
    struct scan scan = {.name = ""};
    struct wire again = wire;
    struct wire_field field;
    struct tensor tensor;

    while (wire_next(&wire, &field)) {
        enum err err = scan_field(&wire, &field, mem, &scan, note);
        if (err != ERR_NONE) {
            return err;
        }
    }
    if (wire_failed(&wire)) {
        return ERR_SAY(note, ERR_FORMAT, "tensor '%.80s': damaged", scan.name);
    }
    enum err err = check_scan(&scan, &tensor, note);
    if (err != ERR_NONE) {
        return err;
    }
    tensor.data = arena_alloc(mem, tensor_bytes(&tensor), 1);
    if (tensor.data == NULL) {
        return arena_why(mem);
    }
    if (scan.has_raw) {
        take_raw(&scan.raw, &tensor);
    } else if (scan.typed_field != 0) {
        take_typed(&again, scan.typed_field, &tensor);
    }
    if (wire_failed(&again)) {
        return ERR_SAY(note, ERR_FORMAT, "tensor '%.80s': an element does not fit into type %s", scan.name,
                       dtype_name(tensor.type));
    }
    if (tensor.type == DTYPE_BOOL) {
        uint8_t *flags = tensor.data;
        for (size_t i = 0; i < tensor_bytes(&tensor); i++) {
            flags[i] = flags[i] != 0;
        }
    }
    *ret = tensor;
    *ret_name = scan.name;
    return ERR_NONE;
}

enum err onnx_load_tensor(const void *bytes, size_t n_bytes, struct arena *mem, struct tensor *ret,
                          const char **ret_name, struct err_note *note)
{
    return onnx_read_tensor(wire_over(bytes, n_bytes), mem, ret, ret_name, note);
}
