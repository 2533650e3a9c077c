/* codes.c: encoding rows and queries. */
#include "index/codes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/random.h"

enum {
    ROUNDS = 3, /* of sign flips and Hadamard transforms; fewer leave traces of the axes */
    PEAK = 8,   /* dimensions in a code of four bits, of which one is the greatest */
    SIGNS = 4,  /* or of which all tell their signs */
    SHARES = 256,
    MOST_BY_PEAKS = SCAN_BITS_MOST / 2, /* what a weight is at most */
    MOST_BY_SIGNS = SCAN_BITS_MOST / SIGNS
};

/* No vector in an index is longer (index.h: unit length to 1e-3). */
#define LONGEST 1.001F

/* S of most rows, of the most that it can be: the mean of the greatest of eight normal numbers' sizes, over √8, and of all, √(2/π). */
#define USUAL_PEAKS 0.634F
#define USUAL_SIGNS 0.798F

/* How far below a likely row's floor its peaks may lie. */
#define LIKELY_SIGMAS 1.0F

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
        made.peaks = made.padded >= CODES_MIN_PEAKS;
        made.planes = made.padded / (made.peaks ? 2 * PEAK : 2 * SIGNS);
        made.flips = MEM_ARRAY(uint32_t, ROUNDS * made.padded);
        made.lots = MEM_ARRAY(float, made.padded);
        if (made.flips == NULL || made.lots == NULL) {
            codes_release(&made);
            return false;
        }
        draw_lots(made.lots, made.padded);
        random_bytes(made.flips, ROUNDS * made.padded * sizeof *made.flips);
        for (size_t i = 0; i < ROUNDS * made.padded; i++) {
            made.flips[i] &= UINT32_C(1) << 31;
        }
    }
    *codes = made;
    return true;
}

void codes_release(struct codes *codes)
{
    mem_free_wiped(codes->flips);
    mem_free_wiped(codes->lots);
    *codes = (struct codes){0};
}

size_t codes_rotation_bytes(const struct codes *codes)
{
    return ROUNDS * codes->padded / 8;
}

void codes_rotation_pack(const struct codes *codes, uint8_t *ret)
{
    memset(ret, 0, codes_rotation_bytes(codes));
    for (size_t i = 0; i < ROUNDS * codes->padded; i++) {
        ret[i / 8] |= (uint8_t)(codes->flips[i] >> 31 << i % 8);
    }
}

void codes_rotation_take(struct codes *codes, const uint8_t *packed)
{
    for (size_t i = 0; i < ROUNDS * codes->padded; i++) {
        codes->flips[i] = (uint32_t)(packed[i / 8] >> i % 8 & 1U) << 31;
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

size_t codes_sign_bytes(const struct codes *codes)
{
    return codes->peaks ? codes->padded / 8 : 0;
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
        const uint32_t *flips = codes->flips + round * codes->padded;
        for (size_t i = 0; i < codes->padded; i += SUMS) { /* so many at once, in registers */
            uint32_t words[SUMS];
            memcpy(words, ret + i, sizeof words);
            for (size_t j = 0; j < SUMS; j++) {
                words[j] ^= flips[i + j];
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

/*
 * Which of eight numbers is the greatest in size, and 8 if it is not positive.  A float's size grows with its bits, the last four of which
 * make room for that: so the greatest of eight whole numbers is the answer.  It takes a fourth of the time that comparing floats does.
 */
static unsigned peak_of(const float values[PEAK], float *add_sum)
{
    uint32_t most = 0;

    for (uint32_t i = 0; i < PEAK; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        const uint32_t key = (bits & 0x7FFFFFF0) | i | (bits >> 31) << 3;
        most = key > most ? key : most;
    }
    *add_sum += fabsf(values[most % PEAK]);
    return most & 15;
}

/* A bit for each number that is positive. */
static unsigned signs_of(const float *values, size_t n)
{
    unsigned signs = 0;

    for (size_t i = n; i-- > 0;) {
        signs = signs << 1 | (unsigned)(values[i] > 0);
    }
    return signs;
}

/* S as a share of the most that it can be, rounded down. */
static uint8_t share_of(float sum, float length, float norm)
{
    const float share = length > 0 ? sum / length * (SHARES * (1 - 1e-6F) / norm) : 0;

    return (uint8_t)(share < SHARES - 1 ? share : SHARES - 1);
}

static float sum_of_sizes(const float *values, size_t n)
{
    float sums[SUMS] = {0};

    for (size_t i = 0; i < n; i += SUMS) {
        for (size_t j = 0; j < SUMS; j++) {
            sums[j] += fabsf(values[i + j]);
        }
    }
    return total(sums);
}

static float length_of(const float *values, size_t n)
{
    float squares[SUMS] = {0};

    for (size_t i = 0; i < n; i += SUMS) {
        for (size_t j = 0; j < SUMS; j++) {
            squares[j] += values[i + j] * values[i + j];
        }
    }
    return sqrtf(total(squares));
}

/* ‖o‖² by peaks, or by signs. */
static float ones_of_peaks(const struct codes *codes)
{
    const size_t peaks = codes->padded / PEAK;

    return (float)peaks;
}

static float ones_of_signs(const struct codes *codes)
{
    return (float)(codes->padded - (codes->peaks ? 8 : 0));
}

static void encode_bits(const struct codes *codes, const float *rotated, float length, size_t row, uint8_t *block)
{
    float sum = 0;

    for (size_t plane = 0; plane < codes->planes; plane++) {
        unsigned byte;
        if (codes->peaks) {
            byte = peak_of(rotated + plane * 2 * PEAK, &sum); /* one after the other: both add to the sum */
            byte |= peak_of(rotated + plane * 2 * PEAK + PEAK, &sum) << 4;
        } else {
            byte = signs_of(rotated + plane * 2 * SIGNS, 2 * SIGNS);
        }
        block[plane * SCAN_BITS_ROWS + row] = (uint8_t)byte;
    }
    const float ones = codes->peaks ? ones_of_peaks(codes) : ones_of_signs(codes);
    sum = codes->peaks ? sum : sum_of_sizes(rotated, codes->padded);
    block[codes->planes * SCAN_BITS_ROWS + row] = share_of(sum, length, sqrtf(ones));
}

static void encode_signs(const struct codes *codes, const float *rotated, float length, uint8_t *row)
{
    row[0] = share_of(sum_of_sizes(rotated + 8, codes->padded - 8), length, sqrtf(ones_of_signs(codes)));
    for (size_t i = 8; i < codes->padded; i += 8) {
        row[i / 8] = (uint8_t)signs_of(rotated + i, 8);
    }
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
            const float length = length_of(rotated, codes->padded);
            encode_bits(codes, rotated, length, first % SCAN_BITS_ROWS + row,
                        all->bits + first / SCAN_BITS_ROWS * codes_bits_bytes(codes));
            if (codes->peaks) {
                encode_signs(codes, rotated, length, all->signs + (first + row) * codes_sign_bytes(codes));
            }
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
        wipe(blocks->bits, codes->planes + 1, SCAN_BITS_ROWS, row % SCAN_BITS_ROWS, 1);
        mem_wipe(blocks->signs, codes_sign_bytes(codes));
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

static float greater(float a, float b)
{
    return a > b ? a : b;
}

/* Rounds by lot.  What that changes has a variance: gives its sum, or if one of every eight numbers counts, the most that can be. */
static float round_by_lot(const struct codes *codes, const float *rotated, float step, bool of_eight, int8_t *ret)
{
    const float inverse = step > 0 ? 1 / step : 0;
    float sums[SUMS] = {0};
    float most = 0;

    for (size_t i = 0; i < codes->padded; i += SUMS) {
        float variances[SUMS];
        for (size_t j = 0; j < SUMS; j++) {
            const float value = rotated[i + j] * inverse;
            const float off = fabsf(value - (float)nearest(value));
            variances[j] = off - off * off;
            sums[j] += variances[j];
            ret[i + j] = (int8_t)nearest(value + codes->lots[i + j]);
        }
        most += greater(greater(greater(variances[0], variances[1]), greater(variances[2], variances[3])),
                        greater(greater(variances[4], variances[5]), greater(variances[6], variances[7])));
    }
    return step * step * 1.0001F * (of_eight ? most : total(sums));
}

/* Of a peak, its weight with its sign: a code's number is never negative. */
static void peaks_table(const int8_t *weights, size_t padded, uint8_t *ret)
{
    for (size_t i = 0; i < padded; i += PEAK, ret += 16) {
        uint8_t both[2][PEAK];
        for (size_t j = 0; j < PEAK; j++) {
            both[0][j] = (uint8_t)(MOST_BY_PEAKS + weights[i + j]);
            both[1][j] = (uint8_t)(MOST_BY_PEAKS - weights[i + j]);
        }
        memcpy(ret, both, sizeof both);
    }
}

/* The sizes of the weights whose signs are those of the code's bits. */
static void signs_table(const int8_t *weights, size_t padded, uint8_t *ret)
{
    for (size_t first = 0; first < padded; first += SIGNS, weights += SIGNS, ret += 16) {
        int none = 0; /* what the negative ones give where no bit is set */
        for (size_t i = 0; i < SIGNS; i++) {
            none -= weights[i] < 0 ? weights[i] : 0;
        }
        ret[0] = (uint8_t)none;
        for (size_t i = 0; i < SIGNS; i++) {
            for (size_t j = 0; j < (size_t)1 << i; j++) {
                ret[((size_t)1 << i) + j] = (uint8_t)(ret[j] + weights[i]);
            }
        }
    }
}

/* Whole numbers for Rq, behind the table; and what they say of its product with o, but for the offset. */
static int8_t *weigh(const struct codes *codes, const float *rotated, float most_weight, bool by_peaks, uint8_t *room,
                     struct codes_bits_product *ret)
{
    int8_t *weights = (int8_t *)room + SCAN_BITS_TABLE_BYTES(codes->planes);
    const float norm = sqrtf(by_peaks ? ones_of_peaks(codes) : ones_of_signs(codes));
    const float step = greatest(rotated, codes->padded) / (most_weight - 0.5F);

    *ret = (struct codes_bits_product){.norm = norm,
                                       .usual = (by_peaks ? USUAL_PEAKS : USUAL_SIGNS) * norm,
                                       .unit = by_peaks ? step : 2 * step, /* a sign that is not told counts twice */
                                       .left = round_by_lot(codes, rotated, step, by_peaks, weights)};
    return weights;
}

static void query_peaks(const struct codes *codes, const float *rotated, uint8_t *room, struct codes_bits_query *ret)
{
    const int8_t *weights = weigh(codes, rotated, MOST_BY_PEAKS, true, room, &ret->by_bits);

    ret->by_bits.offset = MOST_BY_PEAKS * ones_of_peaks(codes);
    peaks_table(weights, codes->padded, room);
}

/* ⟨o, w⟩ is the sizes whose sign a bit tells, less the others. */
static void query_signs_scanned(const struct codes *codes, const float *rotated, uint8_t *room,
                                struct codes_bits_query *ret)
{
    const int8_t *weights = weigh(codes, rotated, MOST_BY_SIGNS, false, room, &ret->by_bits);
    int sizes = 0;

    for (size_t i = 0; i < codes->padded; i++) {
        sizes += abs(weights[i]);
    }
    ret->by_bits.offset = (float)sizes / 2;
    signs_table(weights, codes->padded, room);
}

static void query_signs(const struct codes *codes, const float *rotated, uint8_t *room, struct codes_bits_query *ret)
{
    int8_t *weights = weigh(codes, rotated, INT8_MAX, false, room, &ret->by_signs);
    int sum = 0;

    memset(weights, 0, 8);
    for (size_t i = 0; i < codes->padded; i++) {
        sum += weights[i];
    }
    ret->by_signs.offset = (float)sum / 2;
    ret->signs.weights = weights;
}

void codes_bits_query(const struct codes *codes, const float *query, uint8_t *room, struct codes_bits_query *ret)
{
    float rotated[CODES_MAX_DIM];

    rotate(codes, query, rotated);
    *ret = (struct codes_bits_query){
        .scan.table = room, .rest = sqrtf((float)codes->padded - 1), .floor = NAN, .peaks = codes->peaks};
    if (codes->peaks) {
        query_peaks(codes, rotated, room, ret);
        query_signs(codes, rotated, room, ret);
    } else {
        query_signs_scanned(codes, rotated, room, ret);
    }
    mem_wipe(rotated, codes->padded * sizeof *rotated);
}

/* A row at the floor or above it, which is whom no scan may miss, has at most this much that is not the query's. */
static float beside(float floor)
{
    float squares = LONGEST * LONGEST * LONGEST * LONGEST - (floor > 0 ? floor * floor : 0);
    return squares > 0 ? sqrtf(squares) : 0;
}

/* A line: what the sum must reach for a share of 0, and how much more for each further one. */
struct bound {
    float base, slope;
};

static struct bound bound_of(const struct codes_bits_product *by, float rest, float floor, float sigmas)
{
    const float least = floor > 0 ? floor / LONGEST : floor * LONGEST; /* c, of a row whose length is not quite 1 */
    const float allowed = sigmas * beside(least) / rest;
    const float squares = by->norm * by->norm;
    const float left = sigmas * sigmas * by->left;
    const float deviation = sqrtf(allowed * allowed * (squares - by->usual * by->usual) + left);
    const float slope = least + (deviation > 0 ? allowed * allowed * by->usual / deviation : 0);
    const float unit = by->unit > 0 ? by->unit : 1;
    float base = least * by->usual - deviation - slope * by->usual - ROUNDING * by->norm;

    if (slope < 0) { /* the least that g is anywhere, by Cauchy's inequality */
        base =
            -sqrtf((least * least + allowed * allowed) * (squares + (allowed > 0 ? left / (allowed * allowed) : 0))) -
            ROUNDING * by->norm;
    }
    return (struct bound){.base = base / unit + by->offset,
                          .slope = fmaxf(slope, 0) * by->norm / unit}; /* and of a share's 256th, 256 of which are 1 */
}

/* What does not fit is nowhere above the line. */
static void set_bits(struct scan_bits_query *scan, struct bound bound)
{
    scan->base = (int16_t)floorf(fminf(fmaxf(bound.base, INT16_MIN), INT16_MAX));
    scan->slope = bound.base < INT16_MIN ? 0 : (int16_t)fminf(bound.slope, INT16_MAX);
}

static void set_signs(struct scan_signs_query *signs, struct bound bound)
{
    const float most = 1 << 22; /* more than any sum; times a share it still fits */

    signs->base = (int32_t)floorf(fminf(fmaxf(bound.base, -most), most));
    signs->slope = bound.base < -most ? 0 : (int32_t)fminf(bound.slope, most);
}

void codes_bits_floor(struct codes_bits_query *query, float floor)
{
    if (floor == query->floor) { /* mostly */
        return;
    }
    query->floor = floor;
    set_bits(&query->scan, bound_of(&query->by_bits, query->rest, floor, CODES_SIGMAS));
    if (query->peaks) {
        set_signs(&query->signs, bound_of(&query->by_signs, query->rest, floor, CODES_SIGMAS));
    }
}

void codes_bits_likely(struct codes_bits_query *query, float floor)
{
    query->floor = NAN; /* not what codes_bits_floor has made */
    set_bits(&query->scan, bound_of(&query->by_bits, query->rest, floor, query->peaks ? LIKELY_SIGMAS : 0));
    if (query->peaks) {
        set_signs(&query->signs, bound_of(&query->by_signs, query->rest, floor, 0));
    }
}

/* √((N/S² - 1)/(D - 1)) is the deviation of ⟨o, Rq⟩/S, for vectors of length 1 that are at right angles. */
static float deviation_of(const struct codes *codes, float usual, float cosine)
{
    return sqrtf((1 / (usual * usual) - 1) / (float)(codes->padded - 1)) * beside(cosine);
}

float codes_bits_deviation(const struct codes *codes, float cosine)
{
    return deviation_of(codes, codes->peaks ? USUAL_PEAKS : USUAL_SIGNS, cosine);
}

float codes_signs_deviation(const struct codes *codes, float cosine)
{
    return deviation_of(codes, USUAL_SIGNS, cosine);
}
