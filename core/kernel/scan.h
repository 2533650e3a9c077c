/*
 * scan.h: which rows of a gallery may score high enough, read from codes of a byte, a bit or less a dimension.
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
 * Four bits a group of dimensions.  A block is 64 rows, [planes][64 rows] u8: byte [p][r] holds of row r the code of group 2p in its
 * lower half and that of group 2p + 1 in the upper one; then the 64 rows' shares, u8.  The query has a table of 16 numbers a group, and
 * a row's sum is that of what its codes find there.  A row passes if
 *     sum ≥ base + ⌊share · slope / 256⌋, or INT16_MAX if that is more.
 * The numbers are small, so that what is looked up can be added in bytes: four make at most 240.
 * Reads: whole blocks and the table, each aligned to 64 bytes.
 */
#define SCAN_BITS_ROWS 64
#define SCAN_BITS_MOST 60        /* in a table */
#define SCAN_BITS_MAX_PLANES 256 /* the sums are kept in 15 bits */
#define SCAN_BITS_BLOCK_BYTES(planes) ((planes)*SCAN_BITS_ROWS + SCAN_BITS_ROWS)
#define SCAN_BITS_TABLE_BYTES(planes) ((planes)*32)

struct scan_bits_query {
    const uint8_t *table; /* [planes · 2, 16] */
    int16_t base;
    int16_t slope; /* not negative */
};

/* Shapes: blocks [n_blocks]; live, ret [n_blocks], a bit for each row. */
typedef void scan_bits_fn(const struct scan_bits_query *query, size_t planes, const uint8_t *blocks, size_t n_blocks,
                          const uint64_t *live, uint64_t *ret);

/*
 * One bit a dimension, for some rows among many: a row is [bytes] u8, of which the first is its share and bit i of byte b tells
 * the sign of dimension 8b + i.  A row's sum is that of the weights whose bits are set; those of the share weigh nothing.  It passes if
 *     sum ≥ base + ⌊share · slope / 256⌋.
 * Reads: the rows that are asked for, and the weights, each aligned to 8 bytes.
 */
struct scan_signs_query {
    const int8_t *weights; /* [bytes · 8], the first eight 0 */
    int32_t base, slope;   /* |share · slope| < 2^31 */
};
#define SCAN_SIGNS_MAX_BYTES 512 /* a multiple of 8 */

/* Shapes: rows [.., bytes]; which [n], their numbers; ret: room for n, gets those that pass, and the call gives how many. */
typedef size_t scan_signs_fn(const struct scan_signs_query *query, size_t bytes, const uint8_t *rows,
                             const uint16_t *which, size_t n, uint16_t *ret);

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
    scan_bits_fn *bits;
    scan_signs_fn *signs;
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
