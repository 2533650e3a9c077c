/*
 * scan.h: which rows of a gallery may score high enough, read from codes of one byte or one bit a dimension.
 *
 * Rows come in blocks of 16, or of 64 in bits, whose codes are interleaved, so that one vector register holds the same
 * dimensions of all rows and no sum runs across a register.  A scan gives one bit a row: set if the row's score, as far as its code can tell, may
 * reach the query's floor.  What the bits mean for the true score, the caller puts into the row's and the query's numbers.
 * All variants give the same bits, and scan_dot the same float.
 *
 * What lies some KB behind the blocks is asked from memory, and need not be there.
 * Bytes of rows that are not live are read and count for nothing: another thread may overwrite them meanwhile.
 */
#ifndef CORE_KERNEL_SCAN_H
#define CORE_KERNEL_SCAN_H

#include <stddef.h>
#include <stdint.h>

#define SCAN_ROWS 16

/*
 * One byte a dimension, in two halves that stand apart, because most rows are ruled out by the high ones alone.  The code c,
 * -127 .. 127, plus 128 is 16·high + low.  A block of high halves is [groups][16 rows][4] u8: of group g the byte i holds that of
 * dimension 8g + i and, in its upper four bits, that of 8g + 4 + i; then as floats the 16 scales and the 16 reaches.  A block of
 * low halves is the same with them; then the 16 errors.  By its high halves a row passes if
 *     row.scale · (scale · Σ (16·high + 8 - 128) · code) + row.reach · error ≥ floor,
 * and by both if
 *     row.scale · (scale · Σ c · code) + row.error · error ≥ floor.
 * Reads: whole blocks, each aligned to 64 bytes.
 */
struct scan_int8_query {
    const int8_t *codes; /* [groups · 8], -127 .. 127 */
    int32_t offset;      /* 128 · Σ codes */
    float scale, error, floor;
};
#define SCAN_INT8_GROUP 8 /* dimensions */
#define SCAN_HIGH_BLOCK_BYTES(groups) ((groups)*64 + 2 * SCAN_ROWS * sizeof(float))
#define SCAN_LOW_BLOCK_BYTES(groups) ((groups)*64 + SCAN_ROWS * sizeof(float))

/* Shapes: high [n_blocks]; live, ret [n_blocks], a bit for each row. */
typedef void scan_high_fn(const struct scan_int8_query *query, size_t groups, const uint8_t *high, size_t n_blocks,
                          const uint16_t *live, uint16_t *ret);

/* Shapes: queries [n_queries]; high, low [n_blocks]; live [n_blocks]; ret [n_queries, n_blocks]. */
typedef void scan_int8_fn(const struct scan_int8_query *queries, size_t n_queries, size_t groups, const uint8_t *high,
                          const uint8_t *low, size_t n_blocks, const uint16_t *live, uint16_t *ret);

/*
 * One bit a dimension.  A block is 64 rows, [planes][64 rows] u8: byte [p][r] holds of row r the dimensions 8p .. 8p + 7, the
 * first in its lowest bit; then as floats the 64 scales and the 64 errors.  The query has a weight a dimension, and a row's sum
 * is that of the weights' sizes over all dimensions whose bit tells the weight's sign, 1 for positive.  A row passes if
 *     row.scale · (step · sum + base) + row.error · error ≥ floor.
 * Weights are small, so that many of them can be looked up at once and what is found be added in bytes: 24 make at most 240.
 * Which, is each variant's own affair: it makes its table of the weights, once for a query.
 * Reads: whole blocks and the table, each aligned to 64 bytes.
 */
#define SCAN_BITS_ROWS 64
#define SCAN_BITS_PLANE 8 /* dimensions */
#define SCAN_BITS_MOST_WEIGHT 10
#define SCAN_BITS_MAX_PLANES 512 /* the sums are kept in 16 bits */
#define SCAN_BITS_BLOCK_BYTES(planes) ((planes)*SCAN_BITS_ROWS + 2 * SCAN_BITS_ROWS * sizeof(float))
#define SCAN_BITS_TABLE_BYTES(planes) ((planes) / 3 * 256 + (planes) % 3 * 128) /* of the largest */

/* Shapes: weights [planes · 8], -10 .. 10; ret [SCAN_BITS_TABLE_BYTES], aligned to 64 bytes. */
typedef void scan_bits_table_fn(const int8_t *weights, size_t planes, uint8_t *ret);

struct scan_bits_query {
    const uint8_t *table; /* of the same variant */
    float step, base, error, floor;
};

/* Shapes: blocks [n_blocks]; live, ret [n_blocks], a bit for each row. */
typedef void scan_bits_fn(const struct scan_bits_query *query, size_t planes, const uint8_t *blocks, size_t n_blocks,
                          const uint64_t *live, uint64_t *ret);

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
    scan_high_fn *high;
    scan_int8_fn *int8;
    scan_bits_table_fn *bits_table;
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
extern const struct scan scan_vbmi;

#endif
