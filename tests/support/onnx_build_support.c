/* onnx_build_support.c: a protocol-buffer writer for tests. */
#include "tests/support/onnx_build_support.h"

#include <assert.h>
#include <string.h>

#include "core/base/mem.h"

void out_free(struct out *out)
{
    mem_free(out->bytes);
    *out = (struct out){0};
}

void out_raw(struct out *out, const void *bytes, size_t n_bytes)
{
    if (out->len + n_bytes > out->room) {
        out->room = 2 * (out->len + n_bytes);
        out->bytes = mem_resize(out->bytes, out->room, 1);
        assert(out->bytes != NULL);
    }
    if (n_bytes > 0) {
        memcpy(out->bytes + out->len, bytes, n_bytes);
    }
    out->len += n_bytes;
}

void out_varint(struct out *out, uint64_t value)
{
    unsigned char bytes[10];
    size_t len = 0;

    while (value >= 0x80U) {
        bytes[len++] = (unsigned char)(value | 0x80U);
        value >>= 7;
    }
    bytes[len++] = (unsigned char)value;
    out_raw(out, bytes, len);
}

void out_int(struct out *out, unsigned field, int64_t value)
{
    out_varint(out, field << 3);
    out_varint(out, (uint64_t)value);
}

void out_float(struct out *out, unsigned field, float value)
{
    uint32_t bits;
    unsigned char bytes[4];

    memcpy(&bits, &value, sizeof bits);
    for (unsigned i = 0; i < 4; i++) {
        bytes[i] = (unsigned char)(bits >> 8 * i);
    }
    out_varint(out, field << 3 | 5U);
    out_raw(out, bytes, sizeof bytes);
}

void out_bytes(struct out *out, unsigned field, const void *bytes, size_t n_bytes)
{
    out_varint(out, field << 3 | 2U);
    out_varint(out, n_bytes);
    out_raw(out, bytes, n_bytes);
}

void out_text(struct out *out, unsigned field, const char *text)
{
    out_bytes(out, field, text, strlen(text));
}

void out_record(struct out *out, unsigned field, struct out *inner)
{
    out_bytes(out, field, inner->bytes, inner->len);
    out_free(inner);
}

struct out out_floats(const char *name, const int64_t *dims, const float *data)
{
    struct out tensor = {0};
    struct out raw = {0};
    size_t count = 1;

    for (; *dims >= 0; dims++) {
        out_int(&tensor, 1, *dims);
        count *= (size_t)*dims;
    }
    out_int(&tensor, 2, 1);
    out_text(&tensor, 8, name);
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        unsigned char bytes[4];
        memcpy(&bits, &data[i], sizeof bits);
        for (unsigned k = 0; k < 4; k++) {
            bytes[k] = (unsigned char)(bits >> 8 * k);
        }
        out_raw(&raw, bytes, sizeof bytes);
    }
    out_record(&tensor, 9, &raw);
    return tensor;
}

struct out out_value_info(const char *name, const int64_t *dims)
{
    struct out info = {0};
    struct out shape = {0};
    struct out tensor = {0};
    struct out type = {0};

    for (; *dims >= 0; dims++) {
        struct out dim = {0};
        if (*dims == 0) {
            out_text(&dim, 2, "free");
        } else {
            out_int(&dim, 1, *dims);
        }
        out_record(&shape, 1, &dim);
    }
    out_int(&tensor, 1, 1);
    out_record(&tensor, 2, &shape);
    out_record(&type, 1, &tensor);
    out_text(&info, 1, name);
    out_record(&info, 2, &type);
    return info;
}

struct out out_node(const char *op, const char *const *in, const char *const *out)
{
    struct out node = {0};

    for (; *in != NULL; in++) {
        out_text(&node, 1, *in);
    }
    for (; *out != NULL; out++) {
        out_text(&node, 2, *out);
    }
    out_text(&node, 4, op);
    return node;
}

struct out out_model(struct out *graph, int opset)
{
    struct out model = {0};
    struct out import = {0};

    out_int(&model, 1, 8);
    out_text(&model, 2, "test");
    out_record(&model, 7, graph);
    out_int(&import, 2, opset);
    out_record(&model, 8, &import);
    return model;
}
