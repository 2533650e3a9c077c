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
 * Bit codes.  R is a random rotation, and o a vector of zeros, ones and minus ones that is made of Rx and points about there.  Let S be
 * ⟨o, Rx⟩/‖x‖.  What o has beside Rx lies in any direction, so with c = ⟨q, x⟩/‖x‖ the product ⟨o, Rq⟩ is c·S in the mean, for any data, and its
 * standard deviation is √((‖o‖² - S²)·(‖q‖² - c²)/(D - 1)).  A row passes if its product comes within CODES_SIGMAS deviations of what a row at
 * the floor has in the mean: such a row is missed with the probability of the normal distribution's tail, 2.9e-7 for five.  That holds for every
 * pair of vectors chosen without knowledge of R; R is drawn anew for every index and told to nobody.
 * There are two such vectors:
 *   - peaks: of every eight numbers of Rx the greatest in size, and its sign.  That is half a bit a dimension, ‖o‖² is D/8, and a score's error
 *     some 1.22/√D.  All rows are scanned by these, in blocks.
 *   - signs, of all numbers: a bit a dimension, ‖o‖² is D, and the error .75/√D.  They stand row by row, for those that passed, and each
 *     costs as much as ten that are scanned.  The first eight make room for S: a row is one line of the cache.
 * With fewer than CODES_MIN_PEAKS dimensions peaks would rule out too few; then all rows are scanned by their signs, and nothing follows.
 *
 * A scan knows of Rq whole numbers only, Rq = u·w + f, and so misses ⟨o, f⟩ besides.  Each number is rounded up or down by a lot drawn
 * with R, the nearer one more likely, so that f is 0 in the mean whatever Rq is: rounding to the nearest would err in one direction where the
 * numbers of Rq stand on a grid, as those of an axis do.  V is the greatest variance that ⟨o, f⟩ can have, whichever peaks o names.  So what a
 * row at the floor F must reach is
 *     g(S) = F·S - CODES_SIGMAS·√((N - S²)·A²/(D - 1) + V),   N = ‖o‖², A² = ‖q‖² - F²,
 * and this is convex in S: a tangent lies nowhere above it.  The scan takes the tangent where most rows are, in whole numbers, for a share of S
 * that is rounded down.
 *
 * Immutable after codes_init, and codes_rotation_take if there is one: any thread.
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
#define CODES_MIN_PEAKS 512

struct codes {
    const struct scan *scan;
    size_t dim;
    size_t groups;   /* of byte codes; their blocks are SCAN_HIGH_BLOCK_BYTES and SCAN_LOW_BLOCK_BYTES */
    size_t padded;   /* dimensions after the rotation, a power of two; 0: no bit codes */
    size_t planes;   /* of bit codes; their blocks are SCAN_BITS_BLOCK_BYTES */
    bool peaks;      /* they are peaks, and signs follow */
    uint32_t *flips; /* [3, padded]: the rotation's sign bits or nothing; secret */
    float *lots;     /* [padded], -.5 .. .5: added before a query is rounded; secret */
};

/* Shapes: dim 1 .. CODES_MAX_DIM.  False if memory is spent. */
MUST_CHECK bool codes_init(struct codes *codes, size_t dim, const struct scan *scan);
void codes_release(struct codes *codes);

/*
 * The rotation as it stands in files, and taken from there, before anything is encoded: files are searched together only if
 * theirs is the same.  Shapes: packed [codes_rotation_bytes], at most CODES_MAX_ROTATION_BYTES.
 */
#define CODES_MAX_ROTATION_BYTES (3 * CODES_MAX_DIM / 8)
size_t codes_rotation_bytes(const struct codes *codes);
void codes_rotation_pack(const struct codes *codes, uint8_t *ret);
void codes_rotation_take(struct codes *codes, const uint8_t *packed);

/* Bytes of the two blocks of SCAN_ROWS rows, of one of SCAN_BITS_ROWS, and of a row's signs; 0: an index has none. */
size_t codes_high_bytes(const struct codes *codes);
size_t codes_low_bytes(const struct codes *codes);
size_t codes_bits_bytes(const struct codes *codes);
size_t codes_sign_bytes(const struct codes *codes);

/*
 * Writes the codes of SCAN_ROWS rows, and in the block of bits nothing else.  A row of zeros gets a scale and a share of 0.
 * Shapes: rows [16, dim]; first, the number of the first of them, is a multiple of 16, and all points to the first codes.
 */
struct codes_at {
    uint8_t *high, *low, *bits, *signs;
};
void codes_encode(const struct codes *codes, const float *rows, size_t first, const struct codes_at *all);

/* Overwrites what is said of a row in the three blocks that it lies in, and its signs. */
void codes_wipe(const struct codes *codes, size_t row, const struct codes_at *blocks);

/* A query in bytes.  Owns: ret->codes is room, [groups · 8], which the caller lends. */
struct codes_int8_query {
    struct scan_int8_query scan;
    float slack; /* ‖f‖·‖x‖, and all rounding */
};
void codes_int8_query(const struct codes *codes, const float *query, int8_t *room, struct codes_int8_query *ret);

/* Passes from now on every row whose inner product is at least floor. */
void codes_int8_floor(struct codes_int8_query *query, float floor);

/* The same in bits.  Owns: room for table and weights, [CODES_BITS_ROOM_BYTES], aligned to 64 bytes. */
struct codes_bits_product {
    float norm;   /* ‖o‖ */
    float usual;  /* S of most rows */
    float unit;   /* ⟨o, Rq⟩ is this times the scan's sum, and the offset */
    float offset; /* in sums: what stands for 0 */
    float left;   /* V */
};
struct codes_bits_query {
    struct scan_bits_query scan;
    struct scan_signs_query signs;
    struct codes_bits_product by_bits, by_signs;
    float rest;  /* √(D - 1) */
    float floor; /* as codes_bits_floor was told last */
    bool peaks;
};
#define CODES_BITS_ROOM_BYTES(padded) ((padded)*5)
void codes_bits_query(const struct codes *codes, const float *query, uint8_t *room, struct codes_bits_query *ret);
void codes_bits_floor(struct codes_bits_query *query, float floor);

/* Passes from now on most rows whose estimate is at least floor, and few others. */
void codes_bits_likely(struct codes_bits_query *query, float floor);

/* The standard deviations of what is scanned, and of signs, for a row whose cosine is as given. */
float codes_bits_deviation(const struct codes *codes, float cosine);
float codes_signs_deviation(const struct codes *codes, float cosine);

#endif
