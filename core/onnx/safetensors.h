/*
 * safetensors.h: reading the files in which PyTorch users pass on weights: a list of named tensors, no graph.
 *
 * A file is the length of a header, the header (JSON of one limited form) and the numbers.  The file is untrusted; the reader
 * borrows its bytes, allocates the list of names only, and checks every length against what is there.  Names are printable
 * ASCII, which all frameworks write.
 */
#ifndef CORE_ONNX_SAFETENSORS_H
#define CORE_ONNX_SAFETENSORS_H

#include "core/base/arena.h"
#include "core/base/err.h"
#include "core/graph/tensor.h"

#define SAFETENSORS_HEADER_BYTES ((size_t)16 << 20)
#define SAFETENSORS_MOST 65536

struct safetensors_entry {
    const char *name;
    char type[8]; /* as the file names it: "F32", "BF16", "I64" ... */
    struct shape shape;
    const unsigned char *data; /* in the file's bytes, not aligned */
    size_t n_bytes;
};

struct safetensors {
    const struct safetensors_entry *list; /* by name */
    int count;
};

/*
 * Reads the list.
 * Owns:   *ret is carved from mem; the data stays in bytes.
 * Errors: ERR_FORMAT truncated, damaged, or contradicting itself; ERR_UNSUPPORTED a name or rank outside the claims;
 *         ERR_LIMIT the header's length, the number of tensors, or mem is spent; ERR_NOMEM.
 */
MUST_CHECK enum err safetensors_read(const void *bytes, size_t n_bytes, struct arena *mem, struct safetensors *ret,
                                     struct err_note *note);

/* Finds by name; NULL if there is none. */
const struct safetensors_entry *safetensors_find(const struct safetensors *file, const char *name);

/*
 * Writes a tensor's numbers as floats, in their order; ret has room for all of them.
 * Errors: ERR_UNSUPPORTED a type other than F32, F16 and BF16.
 */
MUST_CHECK enum err safetensors_floats(const struct safetensors_entry *entry, float *ret, struct err_note *note);

#endif
