/* scan_ref.c: the scans as scan.h defines them. */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/kernel/scan.h"
#include "core/kernel/scan_private.h"

/* The half byte of a dimension. */
READS_DEAD_ROWS static int half_of(const uint8_t *block, size_t row, size_t dimension)
{
    const size_t in_group = dimension % SCAN_INT8_GROUP;
    const uint8_t byte = block[dimension / SCAN_INT8_GROUP * 64 + row * 4 + in_group % 4];

    return in_group < 4 ? byte & 15 : byte >> 4;
}

/* low: NULL if it is not to be looked at. */
READS_DEAD_ROWS static uint16_t int8_block(const struct scan_int8_query *query, size_t groups, const uint8_t *high,
                                           const uint8_t *low)
{
    const float *scale = (const float *)(const void *)(high + groups * 64);
    const float *error = low == NULL ? scale + SCAN_ROWS : (const float *)(const void *)(low + groups * 64);
    uint16_t passed = 0;

    for (size_t row = 0; row < SCAN_ROWS; row++) {
        int32_t sum = 0;
        for (size_t i = 0; i < groups * SCAN_INT8_GROUP; i++) {
            int code = 16 * half_of(high, row, i) + (low == NULL ? 8 : half_of(low, row, i)) - 128;
            sum += code * query->codes[i];
        }
        float score = fmaf(error[row], query->error, scale[row] * (query->scale * (float)sum));
        passed |= (uint16_t)((score >= query->floor) << row);
    }
    return passed;
}

READS_DEAD_ROWS static void high_ref(const struct scan_int8_query *query, size_t groups, const uint8_t *high,
                                     size_t n_blocks, const uint16_t *live, uint16_t *ret)
{
    for (size_t b = 0; b < n_blocks; b++, high += SCAN_HIGH_BLOCK_BYTES(groups)) {
        ret[b] = live[b] == 0 ? 0 : live[b] & int8_block(query, groups, high, NULL);
    }
}

READS_DEAD_ROWS static void int8_ref(const struct scan_int8_query *queries, size_t n_queries, size_t groups,
                                     const uint8_t *high, const uint8_t *low, size_t n_blocks, const uint16_t *live,
                                     uint16_t *ret)
{
    for (size_t q = 0; q < n_queries; q++) {
        for (size_t b = 0; b < n_blocks; b++) {
            ret[q * n_blocks + b] =
                live[b] == 0 ? 0
                             : live[b] & int8_block(&queries[q], groups, high + b * SCAN_HIGH_BLOCK_BYTES(groups),
                                                    low + b * SCAN_LOW_BLOCK_BYTES(groups));
        }
    }
}

READS_DEAD_ROWS static uint64_t bits_block(const struct scan_bits_query *query, size_t planes, const uint8_t *block)
{
    const uint8_t *shares = block + planes * SCAN_BITS_ROWS;
    int sums[SCAN_BITS_ROWS] = {0};
    uint64_t passed = 0;

    for (size_t plane = 0; plane < planes; plane++) {
        const uint8_t *tables = query->table + plane * 32;
        for (size_t row = 0; row < SCAN_BITS_ROWS; row++) {
            const uint8_t codes = block[plane * SCAN_BITS_ROWS + row];
            sums[row] += tables[codes & 15] + tables[16 + (codes >> 4)];
        }
    }
    for (size_t row = 0; row < SCAN_BITS_ROWS; row++) {
        const int bound = query->base + (shares[row] * query->slope >> 8);
        passed |= (uint64_t)(sums[row] >= (bound < INT16_MAX ? bound : INT16_MAX)) << row;
    }
    return passed;
}

READS_DEAD_ROWS static void bits_ref(const struct scan_bits_query *query, size_t planes, const uint8_t *blocks,
                                     size_t n_blocks, const uint64_t *live, uint64_t *ret)
{
    for (size_t b = 0; b < n_blocks; b++) {
        ret[b] = live[b] == 0 ? 0 : live[b] & bits_block(query, planes, blocks + b * SCAN_BITS_BLOCK_BYTES(planes));
    }
}

READS_DEAD_ROWS static size_t signs_ref(const struct scan_signs_query *query, size_t bytes, const uint8_t *rows,
                                        const uint16_t *which, size_t n, uint16_t *ret)
{
    size_t passed = 0;

    for (size_t r = 0; r < n; r++) {
        const uint8_t *row = rows + which[r] * bytes;
        int32_t sum = 0;
        for (size_t i = 0; i < bytes * 8; i++) {
            sum += query->weights[i] * (row[i / 8] >> i % 8 & 1);
        }
        ret[passed] = which[r];
        passed += sum >= query->base + (row[0] * query->slope >> 8);
    }
    return passed;
}

static float dot_ref(const float *a, const float *b, size_t n)
{
    float sum[32] = {0};

    for (size_t i = 0; i < n; i++) {
        sum[i % 32] = fmaf(a[i], b[i], sum[i % 32]);
    }
    for (size_t half = 16; half > 0; half /= 2) {
        for (size_t i = 0; i < half; i++) {
            sum[i] += sum[i + half];
        }
    }
    return sum[0];
}

static void hadamard_ref(float *x, size_t n)
{
    hadamard_from(1, x, n);
}

const struct scan scan_ref = {.name = "ref",
                              .high = high_ref,
                              .int8 = int8_ref,
                              .bits = bits_ref,
                              .signs = signs_ref,
                              .dot = dot_ref,
                              .hadamard = hadamard_ref};
