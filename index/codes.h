/*
 * codes.h: what stands beside the floats of a row and says where a scan must look.
 *
 * Byte codes.  A row is x = s·c + e with whole numbers c, and the query likewise, q = t·p + f.  Then
 *     ⟨q, x⟩ = t·s·⟨p, c⟩ + ⟨t·p, e⟩ + ⟨f, x⟩ ≤ t·s·⟨p, c⟩ + ‖t·p‖·‖e‖ + ‖f‖·‖x‖,
 * so with s and ‖e‖ stored per row, no row that reaches a floor is ever passed over.  This is a proof, not a likelihood.
 * A code plus 128 is 16·h + l, and the halves stand apart: with 8 for every l, which makes c' of c, the same holds for
 * e' = x - s·c', whose norm is the row's reach: h alone, half of the bytes, rules out most rows, and by proof.  The smaller the
 * greatest of a vector's numbers, the finer all of this is: where the number of dimensions is a power of two, x and q are rotated as
 * for bits, which changes no inner product.  Then the reach is some .12, and ‖e‖ .007, where strangers' cosines spread by .065.
 *
 * Bit codes.  Under a random rotation R, let b be the signs of Rx.  The estimate ⟨b, Rq⟩·‖x‖²/‖Rx‖₁ is right in the mean for
 * any data, and misses by e·√(‖q‖² - ⟨q,x⟩²) in the standard deviation, where e = √(D·‖x‖⁴/‖Rx‖₁² - ‖x‖²)/√(D-1), some
 * 0.75/√D.  A row passes if its estimate comes within CODES_SIGMAS deviations of the floor: a row exactly at the floor is
 * missed with the probability of the normal distribution's tail, 2.9e-7 for five.  That holds for every pair of vectors chosen
 * without knowledge of R; R is drawn anew for every index and told to nobody.
 *
 * The scan knows of Rq whole numbers only, Rq = u·w + f, and so misses ⟨b, f⟩·‖x‖²/‖Rx‖₁ besides.  Each number is rounded up or
 * down by a lot drawn with R, the nearer one more likely, so that f is 0 in the mean whatever Rq is: rounding to the nearest would
 * err in one direction where the numbers of Rq stand on a grid, as those of an axis do.  With V for the sum of its variances, by what
 * e is, both errors together have the variance
 *     e²·(‖q‖² - ⟨q,x⟩²) + V·(e²·(D-1) + ‖x‖²)/D ≤ e²·A² + c²,   A² = ‖q‖² - ⟨q,x⟩² + V,   c² = V·‖x‖²/D,
 * whose root is at most e·A + (√(m²·A² + c²) - m·A) where e ≥ m: the scan adds e·A for each row, and the rest is the query's.
 * Therefore no e is stored that is smaller than m = 0.5/√D; by chance there is none.
 *
 * Immutable after codes_init, and codes_signs_take if there is one: any thread.
 */
#ifndef INDEX_CODES_H
#define INDEX_CODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/kernel/scan.h"

#define CODES_SIGMAS 5.0F
#define CODES_MAX_DIM 4096
#define CODES_MIN_BITS_DIM 64 /* with fewer dimensions the error is no longer like a normal one, nor small */

struct codes {
    const struct scan *scan;
    size_t dim;
    size_t groups;   /* of byte codes; their blocks are SCAN_HIGH_BLOCK_BYTES and SCAN_LOW_BLOCK_BYTES */
    size_t padded;   /* dimensions after the rotation, a power of two; 0: no bit codes */
    size_t planes;   /* of bit codes; their blocks are SCAN_BITS_BLOCK_BYTES */
    uint32_t *signs; /* [3, padded]: the sign bit or nothing; secret */
    float *lots;     /* [padded], -.5 .. .5: added before a query is rounded; secret */
};

/* Shapes: dim 1 .. CODES_MAX_DIM.  False if memory is spent. */
MUST_CHECK bool codes_init(struct codes *codes, size_t dim, const struct scan *scan);
void codes_release(struct codes *codes);

/*
 * The rotation as it stands in files, and taken from there, before anything is encoded: files are searched together only if
 * theirs is the same.  Shapes: packed [codes_signs_bytes], at most CODES_MAX_SIGNS_BYTES.
 */
#define CODES_MAX_SIGNS_BYTES (3 * CODES_MAX_DIM / 8)
size_t codes_signs_bytes(const struct codes *codes);
void codes_signs_pack(const struct codes *codes, uint8_t *ret);
void codes_signs_take(struct codes *codes, const uint8_t *packed);

/* Bytes of the two blocks of SCAN_ROWS rows, and of one of SCAN_BITS_ROWS; 0 bit codes in an index that has none. */
size_t codes_high_bytes(const struct codes *codes);
size_t codes_low_bytes(const struct codes *codes);
size_t codes_bits_bytes(const struct codes *codes);

/*
 * Writes the codes of SCAN_ROWS rows, and in the block of bits nothing else.  A row of zeros gets a scale of 0.
 * Shapes: rows [16, dim]; first, the number of the first of them, is a multiple of 16, and all points to the first codes.
 */
struct codes_at {
    uint8_t *high, *low, *bits;
};
void codes_encode(const struct codes *codes, const float *rows, size_t first, const struct codes_at *all);

/* Overwrites what is said of a row in the three blocks that it lies in. */
void codes_wipe(const struct codes *codes, size_t row, const struct codes_at *blocks);

/* A query in bytes.  Owns: ret->codes is room, [groups · 8], which the caller lends. */
struct codes_int8_query {
    struct scan_int8_query scan;
    float slack; /* ‖f‖·‖x‖, and all rounding */
};
void codes_int8_query(const struct codes *codes, const float *query, int8_t *room, struct codes_int8_query *ret);

/* Passes from now on every row whose inner product is at least floor. */
void codes_int8_floor(struct codes_int8_query *query, float floor);

/* The same in bits.  Owns: room for the table, [SCAN_BITS_TABLE_BYTES], aligned to 64 bytes. */
struct codes_bits_query {
    struct scan_bits_query scan;
    float left;   /* √V */
    float root_d; /* √D */
    float floor;  /* as codes_bits_floor was told last */
};
void codes_bits_query(const struct codes *codes, const float *query, uint8_t *room, struct codes_bits_query *ret);
void codes_bits_floor(struct codes_bits_query *query, float floor);

/* Passes from now on every row whose estimate is at least floor: of those exactly there a half. */
void codes_bits_likely(struct codes_bits_query *query, float floor);

/* The standard deviation of the bit codes' estimate for a row whose cosine is as given. */
float codes_bits_deviation(const struct codes *codes, float cosine);

#endif
