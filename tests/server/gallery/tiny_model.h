/*
 * tiny_model.h: ONNX files of a few nodes, written byte by byte, so that a gallery can be tested without real networks.
 *
 * The recogniser averages a 112 × 112 crop over squares: (112 / square)² · 3 numbers.  The detector takes 64 × 64 pixels and
 * always sees the same faces, whatever the photo shows.
 */
#ifndef TESTS_SERVER_GALLERY_TINY_MODEL_H
#define TESTS_SERVER_GALLERY_TINY_MODEL_H

#include <stdint.h>
#include <string.h>

#include "core/base/file.h"

struct proto {
    unsigned char bytes[1 << 16];
    size_t n;
};

static inline void proto_varint(struct proto *to, uint64_t value)
{
    for (; value > 0x7F; value >>= 7) {
        to->bytes[to->n++] = (unsigned char)(value | 0x80);
    }
    to->bytes[to->n++] = (unsigned char)value;
}

static inline void proto_int(struct proto *to, unsigned field, uint64_t value)
{
    proto_varint(to, field << 3);
    proto_varint(to, value);
}

static inline void proto_bytes(struct proto *to, unsigned field, const void *bytes, size_t n)
{
    proto_varint(to, field << 3 | 2);
    proto_varint(to, n);
    assert_true(to->n + n <= sizeof to->bytes);
    memcpy(to->bytes + to->n, bytes, n);
    to->n += n;
}

static inline void proto_text(struct proto *to, unsigned field, const char *text)
{
    proto_bytes(to, field, text, strlen(text));
}

static inline void proto_message(struct proto *to, unsigned field, const struct proto *message)
{
    proto_bytes(to, field, message->bytes, message->n);
}

static struct proto tiny_graph; /* the graph that is being written; one test program, one thread */

static inline void tiny_value(unsigned field, const char *name, const int64_t *dims, int rank)
{
    static struct proto shape, type, tensor, info;

    shape.n = type.n = tensor.n = info.n = 0;
    for (int i = 0; i < rank; i++) {
        struct proto *dim = &info; /* scratch */
        dim->n = 0;
        proto_int(dim, 1, (uint64_t)dims[i]);
        proto_message(&shape, 1, dim);
    }
    proto_int(&tensor, 1, 1); /* float */
    proto_message(&tensor, 2, &shape);
    proto_message(&type, 1, &tensor);
    info.n = 0;
    proto_text(&info, 1, name);
    proto_message(&info, 2, &type);
    proto_message(&tiny_graph, field, &info);
}

static inline void tiny_floats(const char *name, const int64_t *dims, int rank, const float *values, size_t n)
{
    static struct proto tensor;

    tensor.n = 0;
    for (int i = 0; i < rank; i++) {
        proto_int(&tensor, 1, (uint64_t)dims[i]);
    }
    proto_int(&tensor, 2, 1);
    proto_text(&tensor, 8, name);
    proto_bytes(&tensor, 9, values, n * sizeof *values);
    proto_message(&tiny_graph, 5, &tensor);
}

/* Up to two lists of whole numbers as attributes. */
static inline void tiny_node(const char *op, const char *in, const char *in2, const char *out, const char *list,
                             const int64_t *values, int n_values, const char *number, int64_t value)
{
    static struct proto node, attr;

    node.n = 0;
    proto_text(&node, 1, in);
    if (in2 != NULL) {
        proto_text(&node, 1, in2);
    }
    proto_text(&node, 2, out);
    proto_text(&node, 4, op);
    if (list != NULL) {
        attr.n = 0;
        proto_text(&attr, 1, list);
        for (int i = 0; i < n_values; i++) {
            proto_int(&attr, 8, (uint64_t)values[i]);
        }
        proto_int(&attr, 20, 7);
        proto_message(&node, 5, &attr);
    }
    if (number != NULL) {
        attr.n = 0;
        proto_text(&attr, 1, number);
        proto_int(&attr, 3, (uint64_t)value);
        proto_int(&attr, 20, 2);
        proto_message(&node, 5, &attr);
    }
    proto_message(&tiny_graph, 1, &node);
}

static inline void tiny_write(const char *path)
{
    static struct proto model, opset;

    model.n = opset.n = 0;
    proto_int(&opset, 2, 12);
    proto_int(&model, 1, 7);
    proto_message(&model, 7, &tiny_graph);
    proto_message(&model, 8, &opset);
    assert_int_equal(file_write(path, model.bytes, model.n, NULL), ERR_NONE);
}

/* Numbers of an embedding: 3 · (side / square)². */
static inline void tiny_recognizer_of(const char *path, int64_t side, int64_t square)
{
    const int64_t in[] = {1, 3, side, side};
    const int64_t out[] = {1, 3 * (side / square) * (side / square)};
    const int64_t sides[] = {square, square};
    static struct proto pooled, attr;

    tiny_graph.n = 0;
    proto_text(&tiny_graph, 2, "tiny");
    pooled.n = 0; /* AveragePool has two lists */
    proto_text(&pooled, 1, "x");
    proto_text(&pooled, 2, "pooled");
    proto_text(&pooled, 4, "AveragePool");
    for (int i = 0; i < 2; i++) {
        attr.n = 0;
        proto_text(&attr, 1, i == 0 ? "kernel_shape" : "strides");
        proto_int(&attr, 8, (uint64_t)sides[0]);
        proto_int(&attr, 8, (uint64_t)sides[1]);
        proto_int(&attr, 20, 7);
        proto_message(&pooled, 5, &attr);
    }
    proto_message(&tiny_graph, 1, &pooled);
    tiny_node("Flatten", "pooled", NULL, "y", NULL, NULL, 0, "axis", 1);
    tiny_value(11, "x", in, 4);
    tiny_value(12, "y", out, 2);
    tiny_write(path);
}

static inline void tiny_recognizer(const char *path, int64_t square)
{
    tiny_recognizer_of(path, 112, square);
}

/* A detector that sees n_faces (0, 1 or 2): one of 48 pixels in the middle, one of 16 in a corner, of 64 × 64. */
static inline void tiny_detector(const char *path, int n_faces)
{
    static const int64_t strides[] = {8, 16, 32};
    static const int64_t widths[] = {1, 4, 10};
    static const char *const kinds[] = {"score", "box", "point"};
    static const float face[10] = {-.6F, -.4F, .6F, -.4F, 0, .1F, -.5F, .6F, .5F, .6F};
    static float values[128 * 10];
    const int64_t in[] = {1, 3, 64, 64};
    const int64_t axes[] = {0, 1, 2, 3};
    const float zero = 0;

    tiny_graph.n = 0;
    proto_text(&tiny_graph, 2, "tiny");
    tiny_node("ReduceMean", "x", NULL, "mean", "axes", axes, 4, "keepdims", 0);
    tiny_floats("zero", NULL, 0, &zero, 1);
    tiny_node("Mul", "mean", "zero", "nothing", NULL, NULL, 0, NULL, 0);
    tiny_value(11, "x", in, 4);
    for (int kind = 0; kind < 3; kind++) {
        for (int s = 0; s < 3; s++) {
            int64_t cells = 64 / strides[s];
            const int64_t dims[] = {2 * cells * cells, widths[kind]};
            size_t count = (size_t)(dims[0] * dims[1]);
            char name[32], out[32];
            memset(values, 0, sizeof values);
            /* stride 16, cell (2, 2): the large one; stride 8, cell (1, 1): the small one */
            int64_t cell = s == 1 && n_faces > 0 ? 2 * cells + 2 : s == 0 && n_faces > 1 ? 1 * cells + 1 : -1;
            if (cell >= 0) {
                float *at = values + 2 * cell * dims[1];
                for (int64_t i = 0; i < dims[1]; i++) {
                    at[i] = kind == 0 ? .9F : kind == 1 ? (s == 1 ? 1.5F : 1) : face[i];
                }
            }
            (void)snprintf(name, sizeof name, "%s%d_", kinds[kind], s);
            (void)snprintf(out, sizeof out, "%s%d", kinds[kind], s);
            tiny_floats(name, dims, 2, values, count);
            tiny_node("Add", name, "nothing", out, NULL, NULL, 0, NULL, 0);
            tiny_value(12, out, dims, 2);
        }
    }
    tiny_write(path);
}

#endif
