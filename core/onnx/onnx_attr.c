/* onnx_attr.c: AttributeProto and ValueInfoProto. */
#include <inttypes.h>
#include <string.h>

#include "core/onnx/onnx_private.h"

/* ---- Attributes -------------------------------------------------------------------------------------------------- */

enum attr_field {
    ATTR_NAME = 1,
    ATTR_F = 2,
    ATTR_I = 3,
    ATTR_S = 4,
    ATTR_T = 5,
    ATTR_G = 6,
    ATTR_FLOAT_LIST = 7,
    ATTR_INT_LIST = 8,
    ATTR_STRING_LIST = 9,
    ATTR_TENSOR_LIST = 10,
    ATTR_GRAPH_LIST = 11,
    ATTR_TYPE_PROTO = 14,
    ATTR_TYPE_PROTO_LIST = 15,
    ATTR_TYPE = 20,
    ATTR_REF_NAME = 21,
    ATTR_SPARSE = 22,
    ATTR_SPARSE_LIST = 23
};

/* The standard's enum AttributeType; files of IR version 1 leave it out, then the field that is there decides. */
enum {
    TYPE_UNDEFINED = 0,
    TYPE_FLOAT,
    TYPE_INT,
    TYPE_STRING,
    TYPE_TENSOR,
    TYPE_GRAPH,
    TYPE_FLOATS,
    TYPE_INTS
};

static int64_t type_of_field(uint32_t number)
{
    switch (number) {
    case ATTR_F: return TYPE_FLOAT;
    case ATTR_I: return TYPE_INT;
    case ATTR_S: return TYPE_STRING;
    case ATTR_T: return TYPE_TENSOR;
    case ATTR_G:
    case ATTR_GRAPH_LIST: return TYPE_GRAPH;
    case ATTR_FLOAT_LIST: return TYPE_FLOATS;
    case ATTR_INT_LIST: return TYPE_INTS;
    default: return TYPE_UNDEFINED;
    }
}

/* What a first walk over the record finds. */
struct scan {
    const char *name;
    int64_t type;         /* as declared */
    int64_t implied_type; /* by the field that is there */
    bool graph, reference;
    size_t n_ints, n_floats;
};

static enum err scan_field(struct wire *wire, const struct wire_field *field, struct arena *mem, struct scan *scan,
                           struct err_note *note)
{
    int64_t implied = type_of_field(field->number);

    scan->implied_type = implied != TYPE_UNDEFINED ? implied : scan->implied_type;
    switch (field->number) {
    case ATTR_NAME: return onnx_read_text(wire, field, mem, "an attribute's name", &scan->name, note);
    case ATTR_TYPE: scan->type = wire_int(wire, field); break;
    case ATTR_G:
    case ATTR_GRAPH_LIST: scan->graph = true; break;
    case ATTR_REF_NAME: scan->reference = scan->reference || wire_bytes(wire, field).left > 0; break;
    case ATTR_INT_LIST: scan->n_ints += wire_count_ints(wire, field); break;
    case ATTR_FLOAT_LIST: scan->n_floats += wire_count_floats(wire, field); break;
    default: break;
    }
    return ERR_NONE;
}

/* Sets the kind, and makes room for lists. */
static enum err start_attr(const struct scan *scan, struct arena *mem, struct attr *ret, struct err_note *note)
{
    int64_t type = scan->type == TYPE_UNDEFINED ? scan->implied_type : scan->type;

    if (scan->graph || type == TYPE_GRAPH) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "attribute '%.60s' is a sub-graph, which is not supported", scan->name);
    }
    if (scan->reference) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "attribute '%.60s' refers to a function's, which is not supported",
                       scan->name);
    }
    if (scan->name[0] == '\0') {
        return ERR_SAY(note, ERR_FORMAT, "an attribute has no name");
    }
    *ret = (struct attr){.name = scan->name, .text = ""};
    bool full = false;
    switch (type) {
    case TYPE_FLOAT: ret->kind = ATTR_FLOAT; break;
    case TYPE_INT: ret->kind = ATTR_INT; break;
    case TYPE_STRING: ret->kind = ATTR_TEXT; break;
    case TYPE_TENSOR: ret->kind = ATTR_TENSOR; break;
    case TYPE_INTS:
        ret->kind = ATTR_INTS;
        full = (ret->ints = ARENA_ARRAY(mem, int64_t, scan->n_ints)) == NULL;
        break;
    case TYPE_FLOATS:
        ret->kind = ATTR_FLOATS;
        full = (ret->floats = ARENA_ARRAY(mem, float, scan->n_floats)) == NULL;
        break;
    default: ret->kind = ATTR_OTHER; break;
    }
    return full ? arena_why(mem) : ERR_NONE;
}

/* The second walk: reads the field that the kind names. */
static enum err take_field(struct wire *wire, const struct wire_field *field, const struct scan *scan,
                           struct arena *mem, struct attr *attr, struct err_note *note)
{
    const char *name;

    switch (attr->kind) {
    case ATTR_INT:
        if (field->number == ATTR_I) {
            attr->i = wire_int(wire, field);
        }
        break;
    case ATTR_FLOAT:
        if (field->number == ATTR_F) {
            attr->f = wire_float(wire, field);
        }
        break;
    case ATTR_TEXT:
        if (field->number == ATTR_S) {
            return onnx_read_text(wire, field, mem, "an attribute's text", &attr->text, note);
        }
        break;
    case ATTR_TENSOR:
        if (field->number == ATTR_T) {
            return onnx_read_tensor(wire_enter(wire, field), mem, &attr->tensor, &name, note);
        }
        break;
    case ATTR_INTS:
        if (field->number == ATTR_INT_LIST) {
            int64_t *ints = (int64_t *)attr->ints;
            attr->count += wire_take_ints(wire, field, ints + attr->count, scan->n_ints - attr->count);
        }
        break;
    case ATTR_FLOATS:
        if (field->number == ATTR_FLOAT_LIST) {
            float *floats = (float *)attr->floats;
            attr->count += wire_take_floats(wire, field, floats + attr->count, scan->n_floats - attr->count);
        }
        break;
    case ATTR_OTHER: break;
    }
    return ERR_NONE;
}

enum err onnx_read_attr(struct wire wire, struct arena *mem, struct attr *ret, struct err_note *note)
{
    struct scan scan = {.name = ""};
    struct wire again = wire;
    struct wire_field field;
    struct attr attr = {0};
    enum err err = ERR_NONE;

    while (err == ERR_NONE && wire_next(&wire, &field)) {
        err = scan_field(&wire, &field, mem, &scan, note);
    }
    if (err == ERR_NONE && wire_failed(&wire)) {
        err = ERR_SAY(note, ERR_FORMAT, "attribute '%.60s' is damaged", scan.name);
    }
    if (err == ERR_NONE) {
        err = start_attr(&scan, mem, &attr, note);
    }
    while (err == ERR_NONE && wire_next(&again, &field)) {
        err = take_field(&again, &field, &scan, mem, &attr, note);
    }
    if (err == ERR_NONE && (wire_failed(&again) || (attr.kind == ATTR_TENSOR && attr.tensor.type == DTYPE_NONE))) {
        err = ERR_SAY(note, ERR_FORMAT, "attribute '%.60s' is damaged", scan.name);
    }
    if (err == ERR_NONE) {
        *ret = attr;
    }
    return err;
}

/* ---- Inputs and outputs ------------------------------------------------------------------------------------------ */

/* A Dimension: its value, or -1 when it is a name, or nothing, or what some exporters write for "free". */
static int64_t read_dim(struct wire wire, struct wire *parent)
{
    struct wire_field field;
    int64_t dim = -1;

    while (wire_next(&wire, &field)) {
        if (field.number == 1) {
            dim = wire_int(&wire, &field);
        }
    }
    if (wire_failed(&wire) || dim < -1) {
        wire_fail(parent);
    }
    return dim;
}

static enum err read_shape(struct wire wire, struct shape *shape, struct err_note *note)
{
    struct wire_field field;

    shape->rank = 0;
    while (wire_next(&wire, &field)) {
        if (field.number != 1) {
            continue;
        }
        if (shape->rank == TENSOR_MAX_RANK) {
            return ERR_SAY(note, ERR_UNSUPPORTED, "it has more than %d dimensions", TENSOR_MAX_RANK);
        }
        shape->dim[shape->rank++] = read_dim(wire_enter(&wire, &field), &wire);
    }
    return wire_failed(&wire) ? ERR_SAY(note, ERR_FORMAT, "its shape is damaged") : ERR_NONE;
}

static enum err read_tensor_type(struct wire wire, enum dtype *type, struct shape *shape, struct err_note *note)
{
    struct wire_field field;
    int64_t data_type = 0;
    enum err err = ERR_NONE;

    while (err == ERR_NONE && wire_next(&wire, &field)) {
        if (field.number == 1) {
            data_type = wire_int(&wire, &field);
        } else if (field.number == 2) {
            err = read_shape(wire_enter(&wire, &field), shape, note);
        }
    }
    if (err == ERR_NONE && wire_failed(&wire)) {
        err = ERR_SAY(note, ERR_FORMAT, "its type is damaged");
    }
    if (err == ERR_NONE && onnx_dtype(data_type) == DTYPE_NONE) {
        err = ERR_SAY(note, ERR_UNSUPPORTED, "type %s (%" PRId64 ") is not supported", onnx_dtype_name(data_type),
                      data_type);
    }
    *type = onnx_dtype(data_type);
    return err;
}

static enum err read_type(struct wire wire, enum dtype *type, struct shape *shape, struct err_note *note)
{
    struct wire_field field;
    enum err err = ERR_NONE;

    while (err == ERR_NONE && wire_next(&wire, &field)) {
        if (field.number == 1) {
            err = read_tensor_type(wire_enter(&wire, &field), type, shape, note);
        } else if (field.type == WIRE_BYTES && field.number != 6) { /* 6 is the denotation, a comment */
            err = ERR_SAY(note, ERR_UNSUPPORTED, "it is no tensor (a sequence, map or optional)");
        }
    }
    return err == ERR_NONE && wire_failed(&wire) ? ERR_SAY(note, ERR_FORMAT, "its type is damaged") : err;
}

enum err onnx_read_value_info(struct wire wire, struct arena *mem, const char **ret_name, enum dtype *ret_type,
                              struct shape *ret_shape, struct err_note *note)
{
    struct wire_field field;
    const char *name = "";
    enum dtype type = DTYPE_NONE;
    struct shape shape = {.rank = -1};
    enum err err = ERR_NONE;

    while (err == ERR_NONE && wire_next(&wire, &field)) {
        if (field.number == 1) {
            err = onnx_read_text(&wire, &field, mem, "a name", &name, note);
        } else if (field.number == 2) {
            err = read_type(wire_enter(&wire, &field), &type, &shape, note);
        }
    }
    if (err == ERR_NONE && wire_failed(&wire)) {
        err = ERR_SAY(note, ERR_FORMAT, "it is damaged");
    }
    if (err != ERR_NONE) {
        err_prefix(note, "'%.80s': ", name);
        return err;
    }
    *ret_name = name;
    *ret_type = type;
    *ret_shape = shape;
    return ERR_NONE;
}
