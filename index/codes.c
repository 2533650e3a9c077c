/* codes.c: encoding rows and queries. */
#include "index/codes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/random.h"

enum {
    ROUNDS = 3 /* of sign flips and Hadamard transforms; fewer leave traces of the axes */
};

/* No vector in an index is longer (index.h: unit length to 1e-3). */
#define LONGEST 1.001F

/* Of the bit codes' errors, times √D, whose mean is 0.755. */
#define LEAST_ERROR 0.5F

/* What fp32 arithmetic adds: the score's own rounding (4096 products in 32 sums), that of the bound, and that of two rotations. */
#define ROUNDING 4e-5F

static void draw_lots(float *ret, size_t n)
{
    random_bytes(ret, n * sizeof *ret);
    for (size_t i = 0; i < n; i++) {
        uint32_t drawn;
        memcpy(&drawn, &ret[i], sizeof drawn);
        ret[i] = (float)(drawn >> 8) * 0x1p-24F - 0.5F;
    }
}

bool codes_init(struct codes *codes, size_t dim, const struct scan *scan)
{
    struct codes made = {.scan = scan, .dim = dim, .groups = (dim + SCAN_INT8_GROUP - 1) / SCAN_INT8_GROUP};

    if (dim >= CODES_MIN_BITS_DIM) {
        for (made.padded = CODES_MIN_BITS_DIM; made.padded < dim;) {
            made.padded *= 2;
        }
        made.planes = made.padded / SCAN_BITS_PLANE;
        made.signs = MEM_ARRAY(uint32_t, ROUNDS * made.padded);
        made.lots = MEM_ARRAY(float, made.padded);
        if (made.signs == NULL || made.lots == NULL) {
            codes_release(&made);
            return false;
        }
        draw_lots(made.lots, made.padded);
        random_bytes(made.signs, ROUNDS * made.padded * sizeof *made.signs);
        for (size_t i = 0; i < ROUNDS * made.padded; i++) {
            made.signs[i] &= UINT32_C(1) << 31;
        }
    }
    *codes = made;
    return true;
}

void codes_release(struct codes *codes)
{
    mem_free_wiped(codes->signs);
    mem_free_wiped(codes->lots);
    *codes = (struct codes){0};
}

size_t codes_signs_bytes(const struct codes *codes)
{
    return ROUNDS * codes->padded / 8;
}

void codes_signs_pack(const struct codes *codes, uint8_t *ret)
{
    memset(ret, 0, codes_signs_bytes(codes));
    for (size_t i = 0; i < ROUNDS * codes->padded; i++) {
        ret[i / 8] |= (uint8_t)(codes->signs[i] >> 31 << i % 8);
    }
}

void codes_signs_take(struct codes *codes, const uint8_t *packed)
{
    for (size_t i = 0; i < ROUNDS * codes->padded; i++) {
        codes->signs[i] = (uint32_t)(packed[i / 8] >> i % 8 & 1U) << 31;
    }
}

size_t codes_high_bytes(const struct codes *codes)
{
    return SCAN_HIGH_BLOCK_BYTES(codes->groups);
}

size_t codes_low_bytes(const struct codes *codes)
{
    return SCAN_LOW_BLOCK_BYTES(codes->groups);
}

size_t codes_bits_bytes(const struct codes *codes)
{
    return codes->padded == 0 ? 0 : SCAN_BITS_BLOCK_BYTES(codes->planes);
}

/* Sums are kept in parts: one alone is a chain in which each addition waits for the one before. */
#define SUMS 8

static float total(const float parts[SUMS])
{
    return ((parts[0] + parts[1]) + (parts[2] + parts[3])) + ((parts[4] + parts[5]) + (parts[6] + parts[7]));
}

/* ret [padded] = Rx. */
static void rotate(const struct codes *codes, const float *vector, float *ret)
{
    const float shrink = 1.0F / ((float)codes->padded * sqrtf((float)codes->padded)); /* of all three rounds */

    for (size_t i = 0; i < codes->dim; i++) {
        ret[i] = vector[i] * shrink;
    }
    memset(ret + codes->dim, 0, (codes->padded - codes->dim) * sizeof *ret);
    for (size_t round = 0; round < ROUNDS; round++) {
        const uint32_t *signs = codes->signs + round * codes->padded;
        for (size_t i = 0; i < codes->padded; i += SUMS) { /* so many at once, in registers */
            uint32_t words[SUMS];
            memcpy(words, ret + i, sizeof words);
            for (size_t j = 0; j < SUMS; j++) {
                words[j] ^= signs[i + j];
            }
            memcpy(ret + i, words, sizeof words);
        }
        codes->scan->hadamard(ret, codes->padded);
    }
}

static float greatest(const float *vector, size_t dim)
{
    float parts[SUMS] = {0};
    float most = 0;

    for (size_t i = 0; i < dim; i++) {
        float size = fabsf(vector[i]);
        parts[i % SUMS] = size > parts[i % SUMS] ? size : parts[i % SUMS];
    }
    for (size_t i = 0; i < SUMS; i++) {
        most = parts[i] > most ? parts[i] : most;
    }
    return most;
}

/* Rounds to the nearest whole number, |x| < 2^22, by pushing the fraction out of the float: lrintf is a call. */
static int nearest(float x)
{
    const float push = 12582912.0F; /* 1.5 · 2^23 */
    float pushed = x + push;
    int32_t bits;

    memcpy(&bits, &pushed, sizeof bits);
    return bits - 0x4B400000;
}

static void encode_int8(const struct codes *codes, const float *vector, size_t row, uint8_t *high_block,
                        uint8_t *low_block)
{
    float *tail = (float *)(void *)(high_block + codes->groups * 64);
    const float scale = greatest(vector, codes->dim) / 127.0F;
    const float inverse = scale > 0 ? 1.0F / scale : 0;
    float errors[SUMS] = {0};
    float reaches[SUMS] = {0};

    for (size_t group = 0; group < codes->groups; group++) {
        uint8_t *high = high_block + group * 64 + row * 4;
        uint8_t *low = low_block + group * 64 + row * 4;
        unsigned bytes[SCAN_INT8_GROUP];
        for (size_t i = 0; i < SCAN_INT8_GROUP; i++) {
            const size_t at = group * SCAN_INT8_GROUP + i;
            const float value = at < codes->dim ? vector[at] : 0;
            const int code = nearest(value * inverse);
            bytes[i] = (unsigned)(code + 128);
            const float left = value - scale * (float)code;
            const float by_high = at < codes->dim ? value - scale * (float)((int)(bytes[i] & 0xF0) + 8 - 128) : 0;
            errors[i % SUMS] += left * left;
            reaches[i % SUMS] += by_high * by_high;
        }
        for (size_t i = 0; i < 4; i++) {
            high[i] = (uint8_t)(bytes[i] >> 4 | (bytes[4 + i] & 0xF0));
            low[i] = (uint8_t)((bytes[i] & 15) | (bytes[4 + i] & 15) << 4);
        }
    }
    tail[row] = scale;
    tail[SCAN_ROWS + row] = sqrtf(total(reaches)) * 1.0001F; /* its own rounding */
    ((float *)(void *)(low_block + codes->groups * 64))[row] = sqrtf(total(errors)) * 1.0001F;
}

static void encode_bits(const struct codes *codes, const float *rotated, size_t row, uint8_t *block)
{
    float *tail = (float *)(void *)(block + codes->planes * SCAN_BITS_ROWS);
    float sums[SUMS] = {0};
    float all_squares[SUMS] = {0};

    for (size_t i = 0; i < codes->padded; i += SUMS) {
        for (size_t j = 0; j < SUMS; j++) {
            sums[j] += fabsf(rotated[i + j]);
            all_squares[j] += rotated[i + j] * rotated[i + j];
        }
    }
    const float sum = total(sums);
    const float squares = total(all_squares);
    for (size_t plane = 0; plane < codes->planes; plane++) {
        const float *values = rotated + plane * SCAN_BITS_PLANE;
        unsigned byte = 0;
        for (size_t i = 0; i < SCAN_BITS_PLANE; i++) {
            byte |= (unsigned)(values[i] > 0) << i;
        }
        block[plane * SCAN_BITS_ROWS + row] = (uint8_t)byte;
    }
    const float scale = sum > 0 ? squares / sum : 0;
    const float variance = (float)codes->padded * scale * scale - squares;
    const float least = LEAST_ERROR * LEAST_ERROR / (float)codes->padded;
    tail[row] = scale;
    tail[SCAN_BITS_ROWS + row] = sqrtf(fmaxf(variance / (float)(codes->padded - 1), least));
}

/* Bytes are those of the rotated vector if it has no more dimensions. */
static bool rotates_bytes(const struct codes *codes)
{
    return codes->padded == codes->dim;
}

void codes_encode(const struct codes *codes, const float *rows, size_t first, const struct codes_at *all)
{
    uint8_t *high_block = all->high + first / SCAN_ROWS * codes_high_bytes(codes);
    uint8_t *low_block = all->low + first / SCAN_ROWS * codes_low_bytes(codes);

    float rotated[CODES_MAX_DIM];

    for (size_t row = 0; row < SCAN_ROWS; row++) {
        const float *vector = rows + row * codes->dim;
        if (codes->padded > 0) {
            rotate(codes, vector, rotated);
            encode_bits(codes, rotated, first % SCAN_BITS_ROWS + row,
                        all->bits + first / SCAN_BITS_ROWS * codes_bits_bytes(codes));
        }
        encode_int8(codes, rotates_bytes(codes) ? rotated : vector, row, high_block, low_block);
    }
    mem_wipe(rotated, codes->padded * sizeof *rotated);
}

/* Zeros in every line that belongs to the row. */
static void wipe(uint8_t *lines, size_t n_lines, size_t rows, size_t row, size_t row_bytes)
{
    for (size_t line = 0; line < n_lines; line++) {
        mem_wipe(lines + (line * rows + row) * row_bytes, row_bytes);
    }
}

/* What stands behind the codes is wiped as more lines of four bytes.  A scale of 0 says that the codes mean nothing. */
void codes_wipe(const struct codes *codes, size_t row, const struct codes_at *blocks)
{
    wipe(blocks->high, codes->groups + 2, SCAN_ROWS, row % SCAN_ROWS, 4);
    wipe(blocks->low, codes->groups + 1, SCAN_ROWS, row % SCAN_ROWS, 4);
    if (codes->padded > 0) {
        wipe(blocks->bits, codes->planes, SCAN_BITS_ROWS, row % SCAN_BITS_ROWS, 1);
        wipe(blocks->bits + codes->planes * SCAN_BITS_ROWS, 2, SCAN_BITS_ROWS, row % SCAN_BITS_ROWS, 4);
    }
}

void codes_int8_query(const struct codes *codes, const float *query, int8_t *room, struct codes_int8_query *ret)
{
    float rotated[CODES_MAX_DIM];
    if (rotates_bytes(codes)) {
        rotate(codes, query, rotated);
        query = rotated;
    }
    const float scale = greatest(query, codes->dim) / 127.0F;
    const float inverse = scale > 0 ? 1.0F / scale : 0;
    float left_over = 0;
    float kept = 0;
    int32_t sum = 0;

    for (size_t i = 0; i < codes->groups * SCAN_INT8_GROUP; i++) {
        float value = i < codes->dim ? query[i] : 0;
        int code = nearest(value * inverse);
        float back = scale * (float)code;
        left_over += (value - back) * (value - back);
        kept += back * back;
        sum += code;
        room[i] = (int8_t)code;
    }
    *ret = (struct codes_int8_query){
        .scan = {.codes = room, .offset = 128 * sum, .scale = scale, .error = sqrtf(kept) * 1.0001F},
        .slack = sqrtf(left_over) * 1.0001F * LONGEST + ROUNDING};
    mem_wipe(rotated, query == rotated ? codes->dim * sizeof *rotated : 0);
}

void codes_int8_floor(struct codes_int8_query *query, float floor)
{
    query->scan.floor = floor - query->slack;
}

void codes_bits_query(const struct codes *codes, const float *query, uint8_t *room, struct codes_bits_query *ret)
{
    float rotated[CODES_MAX_DIM];
    int8_t weights[CODES_MAX_DIM];
    float variances[SUMS] = {0};
    int sizes = 0;

    rotate(codes, query, rotated);
    const float step = greatest(rotated, codes->padded) / (SCAN_BITS_MOST_WEIGHT - 0.5F);
    const float inverse = step > 0 ? 1 / step : 0;
    for (size_t i = 0; i < codes->padded; i++) {
        const float value = rotated[i] * inverse;
        const float off = fabsf(value - (float)nearest(value));
        const int weight = nearest(value + codes->lots[i]);
        variances[i % SUMS] += off - off * off;
        sizes += abs(weight);
        weights[i] = (int8_t)weight;
    }
    codes->scan->bits_table(weights, codes->planes, room);
    /* ⟨b, w⟩ is the sizes whose sign b tells, less the others. */
    *ret = (struct codes_bits_query){.scan = {.table = room, .step = 2 * step, .base = -step * (float)sizes},
                                     .left = step * sqrtf(total(variances)) * 1.0001F,
                                     .root_d = sqrtf((float)codes->padded),
                                     .floor = NAN};
    mem_wipe(rotated, codes->padded * sizeof *rotated);
    mem_wipe(weights, codes->padded);
}

/* A row at the floor or above it, which is whom no scan may miss, has at most this much that is not the query's. */
static float beside(float floor)
{
    float squares = LONGEST * LONGEST * LONGEST * LONGEST - (floor > 0 ? floor * floor : 0);
    return squares > 0 ? sqrtf(squares) : 0;
}

void codes_bits_floor(struct codes_bits_query *query, float floor)
{
    if (floor == query->floor) { /* mostly */
        return;
    }
    const float besides = beside(floor);
    const float each = sqrtf(besides * besides + query->left * query->left);
    const float least = LEAST_ERROR / query->root_d * each;
    const float left = query->left * LONGEST / query->root_d;

    query->floor = floor;
    query->scan.error = CODES_SIGMAS * each;
    query->scan.floor = floor - ROUNDING - CODES_SIGMAS * (sqrtf(least * least + left * left) - least);
}

void codes_bits_likely(struct codes_bits_query *query, float floor)
{
    query->floor = NAN; /* not what codes_bits_floor has made */
    query->scan.error = 0;
    query->scan.floor = floor;
}

float codes_bits_deviation(const struct codes *codes, float cosine)
{
    /* E‖Rx‖₁ = √(2D/π), so e = √((π/2 - 1)/(D - 1)). */
    return sqrtf(0.570796F / (float)(codes->padded - 1)) * beside(cosine);
}
