/* tensor.c: sizes, names and comparison of shapes. */
#include "core/graph/tensor.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/base/size.h"
#include "core/kernel/block.h"

size_t dtype_bytes(enum dtype type)
{
    switch (type) {
    case DTYPE_F32:
    case DTYPE_I32: return 4;
    case DTYPE_F64:
    case DTYPE_I64: return 8;
    case DTYPE_U8:
    case DTYPE_I8:
    case DTYPE_BOOL: return 1;
    case DTYPE_NONE:
    case DTYPE_COUNT: break;
    }
    return 0;
}

const char *dtype_name(enum dtype type)
{
    switch (type) {
    case DTYPE_F32: return "float";
    case DTYPE_F64: return "double";
    case DTYPE_I64: return "int64";
    case DTYPE_I32: return "int32";
    case DTYPE_U8: return "uint8";
    case DTYPE_I8: return "int8";
    case DTYPE_BOOL: return "bool";
    case DTYPE_NONE:
    case DTYPE_COUNT: break;
    }
    return "none";
}

bool shape_count(const struct shape *shape, int64_t *ret)
{
    int64_t count = 1;
    bool empty = false;

    /* A zero anywhere makes the count zero, but the other dimensions must still be sane: they are multiplied elsewhere. */
    for (int i = 0; i < shape->rank; i++) {
        if (shape->dim[i] < 0) {
            return false;
        }
        if (shape->dim[i] == 0) {
            empty = true;
        } else if (!dim_mul(count, shape->dim[i], &count)) {
            return false;
        }
    }
    *ret = empty ? 0 : count;
    return true;
}

int64_t shape_elements(const struct shape *shape)
{
    int64_t count = 1;

    for (int i = 0; i < shape->rank; i++) {
        count *= shape->dim[i];
    }
    return count;
}

bool shape_equal(const struct shape *a, const struct shape *b)
{
    if (a->rank != b->rank) {
        return false;
    }
    for (int i = 0; i < a->rank; i++) {
        if (a->dim[i] != b->dim[i]) {
            return false;
        }
    }
    return true;
}

const char *shape_text(const struct shape *shape, char text[SHAPE_TEXT_BYTES])
{
    size_t used = 1;

    text[0] = '[';
    /* Eight dimensions of at most twenty characters and their separators fit. */
    for (int i = 0; i < shape->rank && i < TENSOR_MAX_RANK; i++) {
        int wrote = snprintf(text + used, SHAPE_TEXT_BYTES - used, "%s%" PRId64, i == 0 ? "" : ", ", shape->dim[i]);
        used += (size_t)wrote;
    }
    text[used] = ']';
    text[used + 1] = '\0';
    return text;
}

size_t tensor_bytes(const struct tensor *tensor)
{
    return (size_t)shape_elements(&tensor->shape) * dtype_bytes(tensor->type);
}

size_t tensor_blocked_bytes(const struct tensor *tensor)
{
    const int64_t *dim = tensor->shape.dim;

    return (size_t)(dim[0] * block_count(dim[1]) * BLOCK * dim[2] * dim[3]) * dtype_bytes(tensor->type);
}
