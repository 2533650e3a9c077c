/*
 * scan.h: which rows of a gallery may score high enough, read from codes of one byte or one bit a dimension.
 *
 * Rows come in blocks of 16 whose codes are interleaved, so that one vector register holds the same dimensions of all rows
 * and no sum runs across a register.  A scan gives one bit a row: set if the row's score, as far as its code can tell, may
 * reach the query's floor.  What the bits mean for the true score, the caller puts into the row's and the query's numbers.
 * All variants give the same bits, and scan_dot the same float.
 *
 * Bytes of rows that are not live are read and count for nothing: another thread may overwrite them meanwhile.
 */
#ifndef CORE_KERNEL_SCAN_H
#define CORE_KERNEL_SCAN_H

#include <stddef.h>
#include <stdint.h>

#define SCAN_ROWS 16

/*
 * Behind the codes of a block stand two floats a row: first the 16 scales, then the 16 errors.
 */
#define SCAN_TAIL_BYTES (2 * SCAN_ROWS * sizeof(float))

/*
 * One byte a dimension.  A block is [groups][16 rows][4 dimensions] u8, each byte the code c, -127 .. 127, plus 128; then
 * the tail.  A row passes if
 *     row.scale · (scale · Σ c · code) + row.error · error ≥ floor.
 * Reads: whole blocks, each aligned to 64 bytes.
 */
struct scan_int8_query {
    const int8_t *codes; /* [groups · 4], -127 .. 127 */
    int32_t offset;      /* 128 · Σ codes */
    float scale, error, floor;
};
#define SCAN_INT8_BLOCK_BYTES(groups) ((groups)*64 + SCAN_TAIL_BYTES)

/*
 * Shapes: queries [n_queries]; blocks [n_blocks]; live [n_blocks], a bit for each row; ret [n_queries, n_blocks].
 */
typedef void scan_int8_fn(const struct scan_int8_query *queries, size_t n_queries, size_t groups, const uint8_t *blocks,
                          size_t n_blocks, const uint16_t *live, uint16_t *ret);

/*
 * One bit a dimension, four of them looked up at once.  A block is [chunks][4][16 rows] u8: byte [c][j][r] holds of row r
 * the nibble of group 8c + j in its low half and that of group 8c + 4 + j in its high half, a group being four dimensions;
 * then the tail.  A row passes if
 *     row.scale · (step · Σ table[g][nibble] + base) + row.error · error ≥ floor.
 * Reads: whole blocks and the table, each aligned to 64 bytes.
 */
struct scan_bits_query {
    const uint8_t *table; /* [chunks · 8][16], each 0 .. 127 */
    float step, base, error, floor;
};
#define SCAN_BITS_CHUNK 32       /* dimensions of a chunk */
#define SCAN_BITS_MAX_CHUNKS 128 /* the sums are kept in 16 bits */
#define SCAN_BITS_BLOCK_BYTES(chunks) ((chunks)*64 + SCAN_TAIL_BYTES)

typedef void scan_bits_fn(const struct scan_bits_query *query, size_t chunks, const uint8_t *blocks, size_t n_blocks,
                          const uint16_t *live, uint16_t *ret);

/*
 * The inner product in 32 partial sums, element i going into sum i mod 32 by a fused multiply-add, which are then added in
 * halves: a score depends on the two vectors alone, not on the processor nor on what else is asked.
 * Reads: n floats each, any alignment.
 */
typedef float scan_dot_fn(const float *a, const float *b, size_t n);

/* Multiplies n floats in place by the Hadamard matrix of order n, unscaled; n is a power of two. */
typedef void scan_hadamard_fn(float *x, size_t n);

struct scan {
    const char *name;
    scan_int8_fn *int8;
    scan_bits_fn *bits;
    scan_dot_fn *dot;
    scan_hadamard_fn *hadamard;
};

/* The set in use (kernels.h); the n-th that this processor can run, best first, NULL past the last. */
const struct scan *scan_best(void);
const struct scan *scan_nth(int n);

extern const struct scan scan_ref;
extern const struct scan scan_avx2;
extern const struct scan scan_vnni;

#endif
