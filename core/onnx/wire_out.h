/*
 * wire_out.h: writing protocol-buffer records.
 *
 * A record stands behind its own length, so everything is written twice: once by a writer without memory, which only counts,
 * and once for good into a block of exactly that size.  A function that writes a record is therefore called more than once
 * with the same content and must do the same each time.
 *
 *     struct wire_out counting = {0};
 *     write_model(&counting, model);
 *     struct wire_out out = {.at = mem_new(counting.len, 1), .room = counting.len};
 *     write_model(&out, model);
 */
#ifndef CORE_ONNX_WIRE_OUT_H
#define CORE_ONNX_WIRE_OUT_H

#include <stddef.h>
#include <stdint.h>

struct wire_out {
    unsigned char *at; /* NULL: only len is kept */
    size_t room;
    size_t len;
};

/* One field each. */
void wire_out_int(struct wire_out *out, uint32_t number, int64_t value);
void wire_out_float(struct wire_out *out, uint32_t number, float value);
void wire_out_bytes(struct wire_out *out, uint32_t number, const void *bytes, size_t n_bytes);
void wire_out_text(struct wire_out *out, uint32_t number, const char *text);

/* Numbers of size bytes each, as the machine has them, in the standard's order (least significant byte first). */
void wire_out_numbers(struct wire_out *out, uint32_t number, const void *numbers, size_t count, size_t size);

/* A record whose fields are written by write(out, content). */
typedef void (*wire_out_fields)(struct wire_out *out, const void *content);
void wire_out_record(struct wire_out *out, uint32_t number, wire_out_fields write, const void *content);

#endif
