/*
 * onnx_build_support.h: writing small ONNX files, right and wrong ones, field by field.
 */
#ifndef TESTS_SUPPORT_ONNX_BUILD_SUPPORT_H
#define TESTS_SUPPORT_ONNX_BUILD_SUPPORT_H

#include <stddef.h>
#include <stdint.h>

/* A record being written.  {0} is an empty one; freed by out_free. */
struct out {
    unsigned char *bytes;
    size_t len, room;
};

void out_free(struct out *out);
void out_raw(struct out *out, const void *bytes, size_t n_bytes);
void out_varint(struct out *out, uint64_t value);

/* One field each. */
void out_int(struct out *out, unsigned field, int64_t value);
void out_float(struct out *out, unsigned field, float value);
void out_bytes(struct out *out, unsigned field, const void *bytes, size_t n_bytes);
void out_text(struct out *out, unsigned field, const char *text);
/* Takes inner: it is empty afterwards. */
void out_record(struct out *out, unsigned field, struct out *inner);

/* A TensorProto of floats with raw data; dims end with -1. */
struct out out_floats(const char *name, const int64_t *dims, const float *data);

/* A ValueInfoProto of floats; dims end with -1, and 0 is written as free. */
struct out out_value_info(const char *name, const int64_t *dims);

/* A NodeProto; lists end with NULL. */
struct out out_node(const char *op, const char *const *in, const char *const *out);

/* A ModelProto of IR version 8 around a GraphProto, which it takes. */
struct out out_model(struct out *graph, int opset);

#endif
