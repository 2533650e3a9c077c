/* wire_out.c: protocol-buffer records, counted and then written. */
#include "core/onnx/wire_out.h"

#include <assert.h>
#include <string.h>

#include "core/onnx/wire.h"

static void put(struct wire_out *out, const void *bytes, size_t n_bytes)
{
    if (out->at != NULL && n_bytes > 0) {
        assert(n_bytes <= out->room - out->len);
        memcpy(out->at + out->len, bytes, n_bytes);
    }
    out->len += n_bytes;
}

static void put_varint(struct wire_out *out, uint64_t value)
{
    unsigned char bytes[10];
    size_t len = 0;

    while (value >= 0x80U) {
        bytes[len++] = (unsigned char)(value | 0x80U);
        value >>= 7;
    }
    bytes[len++] = (unsigned char)value;
    put(out, bytes, len);
}

static void put_tag(struct wire_out *out, uint32_t number, enum wire_type type)
{
    put_varint(out, (uint64_t)number << 3 | (uint64_t)type);
}

void wire_out_int(struct wire_out *out, uint32_t number, int64_t value)
{
    put_tag(out, number, WIRE_VARINT);
    put_varint(out, (uint64_t)value);
}

void wire_out_float(struct wire_out *out, uint32_t number, float value)
{
    uint32_t bits;
    unsigned char bytes[4];

    memcpy(&bits, &value, sizeof bits);
    for (unsigned i = 0; i < sizeof bytes; i++) {
        bytes[i] = (unsigned char)(bits >> (8 * i));
    }
    put_tag(out, number, WIRE_FIXED32);
    put(out, bytes, sizeof bytes);
}

void wire_out_bytes(struct wire_out *out, uint32_t number, const void *bytes, size_t n_bytes)
{
    put_tag(out, number, WIRE_BYTES);
    put_varint(out, n_bytes);
    put(out, bytes, n_bytes);
}

void wire_out_text(struct wire_out *out, uint32_t number, const char *text)
{
    wire_out_bytes(out, number, text, strlen(text));
}

void wire_out_numbers(struct wire_out *out, uint32_t number, const void *numbers, size_t count, size_t size)
{
    wire_out_bytes(out, number, numbers, count * size);
    if (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ && out->at != NULL) {
        unsigned char *at = out->at + (out->len - count * size);
        for (size_t i = 0; i < count * size; i += size) {
            for (size_t k = 0; k < size / 2; k++) {
                unsigned char low = at[i + k];
                at[i + k] = at[i + size - 1 - k];
                at[i + size - 1 - k] = low;
            }
        }
    }
}

void wire_out_record(struct wire_out *out, uint32_t number, wire_out_fields write, const void *content)
{
    struct wire_out counting = {0};

    write(&counting, content);
    put_tag(out, number, WIRE_BYTES);
    put_varint(out, counting.len);
    if (out->at == NULL) {
        out->len += counting.len;
    } else {
        write(out, content);
    }
}
