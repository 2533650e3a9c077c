/*
 * strided.h: walks and copies over views with any distances between neighbours: transposed, reversed, repeated.
 */
#ifndef CORE_KERNEL_STRIDED_H
#define CORE_KERNEL_STRIDED_H

#include <stddef.h>
#include <stdint.h>

#define STRIDED_MAX_RANK 8
#define STRIDED_MAX_INPUTS 3

/*
 * One dense output and up to three inputs seen through strides (in elements; 0 repeats, negative reverses).
 * The last dimension is the innermost.
 */
struct strided {
    int rank;
    int64_t dim[STRIDED_MAX_RANK];
    int64_t step[STRIDED_MAX_INPUTS][STRIDED_MAX_RANK];
};

/* Leaves out dimensions of 1 and joins those that are walked as one; rank is at least 1 afterwards. */
void strided_simplify(struct strided *s, int n_inputs);

/* Elements of the innermost dimension, and how many such rows there are. */
int64_t strided_row(const struct strided *s);
int64_t strided_rows(const struct strided *s);

/* Where row i begins in input k, in elements. */
int64_t strided_start(const struct strided *s, int k, int64_t row);

/*
 * Copies input 0 to the dense output.
 * Shapes: in points at the element of index 0, ...; elem_bytes 1, 2, 4 or 8.
 */
void strided_copy(const struct strided *s, const void *in, void *out, size_t elem_bytes);

#endif
