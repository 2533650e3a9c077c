/* probe_scan.c: the self-test of the scans. */
#include <string.h>

#include "core/kernel/probe.h"

enum {
    QUERIES = 9, /* one more than a variant takes at once */
    BLOCKS = 5,
    GROUPS = 17,
    PLANES = 11, /* one that is left of pairs, and pairs */
    SIGNS_BYTES = 24,
    SIGNS_ROWS = 21, /* one that is left of fours, and fours */
    BITS_BLOCKS = 3,
    LENGTH = 77,
    ORDER = 64
};

/* Codes, and n floats behind them. */
static void fill_block(uint8_t *block, size_t code_bytes, size_t n, uint32_t seed)
{
    float *tail = (float *)(void *)(block + code_bytes);

    probe_bytes(block, (int64_t)code_bytes, seed);
    probe_floats(tail, (int64_t)n, seed);
    for (size_t i = 0; i < n; i++) {
        tail[i] += 1.5F;
    }
}

static bool int8_works(const struct scan *scan)
{
    static const uint16_t live[BLOCKS] = {0xFFFF, 0, 0x8001, 0x5555, 0xFFFF};
    _Alignas(64) uint8_t high[BLOCKS * SCAN_HIGH_BLOCK_BYTES(GROUPS)];
    _Alignas(64) uint8_t low[BLOCKS * SCAN_LOW_BLOCK_BYTES(GROUPS)];
    int8_t codes[QUERIES][GROUPS * SCAN_INT8_GROUP];
    struct scan_int8_query queries[QUERIES];
    uint16_t got[2][QUERIES * BLOCKS];
    uint16_t expected[2][QUERIES * BLOCKS];

    for (uint32_t b = 0; b < BLOCKS; b++) {
        fill_block(high + b * SCAN_HIGH_BLOCK_BYTES(GROUPS), GROUPS * 64, 2 * (size_t)SCAN_ROWS, 20 + b);
        fill_block(low + b * SCAN_LOW_BLOCK_BYTES(GROUPS), GROUPS * 64, SCAN_ROWS, 60 + b);
    }
    for (size_t q = 0; q < QUERIES; q++) {
        int32_t sum = 0;
        probe_bytes(codes[q], sizeof codes[q], 30 + (uint32_t)q);
        for (size_t i = 0; i < sizeof codes[q]; i++) {
            codes[q][i] = q == 0 ? 127 : codes[q][i] == -128 ? (int8_t)-127 : codes[q][i];
            sum += codes[q][i];
        }
        queries[q] = (struct scan_int8_query){codes[q], 128 * sum, 1e-4F, 0.5F, 0.5F};
        scan->high(&queries[q], GROUPS, high, BLOCKS, live, got[1] + q * BLOCKS);
        scan_ref.high(&queries[q], GROUPS, high, BLOCKS, live, expected[1] + q * BLOCKS);
    }
    scan->int8(queries, QUERIES, GROUPS, high, low, BLOCKS, live, got[0]);
    scan_ref.int8(queries, QUERIES, GROUPS, high, low, BLOCKS, live, expected[0]);
    return memcmp(got, expected, sizeof got) == 0;
}

static bool bits_work(const struct scan *scan)
{
    static const uint64_t live[BITS_BLOCKS] = {UINT64_MAX, 0, UINT64_C(0x8000FFFF55550001)};
    _Alignas(64) uint8_t blocks[BITS_BLOCKS * SCAN_BITS_BLOCK_BYTES(PLANES)];
    _Alignas(64) uint8_t table[SCAN_BITS_TABLE_BYTES(PLANES)];
    uint64_t got[BITS_BLOCKS];
    uint64_t expected[BITS_BLOCKS];

    probe_bytes(blocks, sizeof blocks, 40);
    probe_bytes(table, sizeof table, 41);
    for (size_t i = 0; i < sizeof table; i++) {
        table[i] %= SCAN_BITS_MOST + 1;
    }
    const struct scan_bits_query query = {table, PLANES * SCAN_BITS_MOST - 60, 120};
    scan->bits(&query, PLANES, blocks, BITS_BLOCKS, live, got);
    scan_ref.bits(&query, PLANES, blocks, BITS_BLOCKS, live, expected);
    return memcmp(got, expected, sizeof got) == 0;
}

static bool signs_work(const struct scan *scan)
{
    _Alignas(64) uint8_t rows[64 * SIGNS_BYTES];
    _Alignas(64) int8_t weights[SIGNS_BYTES * 8];

    probe_bytes(rows, sizeof rows, 42);
    probe_bytes(weights, sizeof weights, 43);
    memset(weights, 0, 8);
    const struct scan_signs_query query = {weights, -300, 500};
    uint16_t which[SIGNS_ROWS];
    uint16_t got[SIGNS_ROWS];
    uint16_t expected[SIGNS_ROWS];
    for (size_t i = 0; i < SIGNS_ROWS; i++) {
        which[i] = (uint16_t)(i * 3);
    }
    const size_t passed = scan->signs(&query, SIGNS_BYTES, rows, which, SIGNS_ROWS, got);
    return passed == scan_ref.signs(&query, SIGNS_BYTES, rows, which, SIGNS_ROWS, expected) &&
           memcmp(got, expected, passed * sizeof *got) == 0;
}

static bool floats_work(const struct scan *scan)
{
    float a[LENGTH];
    float b[LENGTH];

    probe_floats(a, LENGTH, 50);
    probe_floats(b, LENGTH, 51);
    float dot = scan->dot(a, b, LENGTH);
    float expected = scan_ref.dot(a, b, LENGTH);
    memcpy(b, a, sizeof b);
    scan->hadamard(a, ORDER);
    scan_ref.hadamard(b, ORDER);
    return dot == expected && probe_close(a, b, LENGTH, 0, 1);
}

bool scan_probe(const struct kernels *candidate, double tolerance)
{
    (void)tolerance;
    return int8_works(candidate->scan) && bits_work(candidate->scan) && signs_work(candidate->scan) &&
           floats_work(candidate->scan);
}
