/* probe_scan.c: the self-test of the scans. */
#include <string.h>

#include "core/kernel/probe.h"

enum {
    QUERIES = 9, /* one more than a variant takes at once */
    BLOCKS = 5,
    GROUPS = 33,
    CHUNKS = 3,
    LENGTH = 77,
    ORDER = 64
};

/* Codes of 1 .. 255 with scales and errors behind them. */
static void fill_blocks(uint8_t *blocks, size_t code_bytes, uint32_t seed)
{
    for (size_t b = 0; b < BLOCKS; b++) {
        uint8_t *block = blocks + b * (code_bytes + SCAN_TAIL_BYTES);
        float tail[2 * SCAN_ROWS];
        probe_bytes(block, (int64_t)code_bytes, seed + (uint32_t)b);
        for (size_t i = 0; i < code_bytes; i++) {
            block[i] = block[i] == 0 ? 1 : block[i];
        }
        probe_floats(tail, (int64_t)(2 * SCAN_ROWS), seed + (uint32_t)b);
        for (size_t i = 0; i < 2 * (size_t)SCAN_ROWS; i++) {
            tail[i] += 1.5F;
        }
        memcpy(block + code_bytes, tail, sizeof tail);
    }
}

static const uint16_t live[BLOCKS] = {0xFFFF, 0, 0x8001, 0x5555, 0xFFFF};

static bool int8_works(const struct scan *scan)
{
    _Alignas(64) uint8_t blocks[BLOCKS * SCAN_INT8_BLOCK_BYTES(GROUPS)];
    int8_t codes[QUERIES][GROUPS * 4];
    struct scan_int8_query queries[QUERIES];
    uint16_t got[QUERIES * BLOCKS];
    uint16_t expected[QUERIES * BLOCKS];

    fill_blocks(blocks, GROUPS * 64, 20);
    for (size_t q = 0; q < QUERIES; q++) {
        int32_t sum = 0;
        probe_bytes(codes[q], GROUPS * 4, 30 + (uint32_t)q);
        for (size_t i = 0; i < GROUPS * 4; i++) {
            codes[q][i] = q == 0 ? 127 : codes[q][i] == -128 ? (int8_t)-127 : codes[q][i];
            sum += codes[q][i];
        }
        queries[q] = (struct scan_int8_query){codes[q], 128 * sum, 1e-4F, 0.5F, 0.5F};
    }
    scan->int8(queries, QUERIES, GROUPS, blocks, BLOCKS, live, got);
    scan_ref.int8(queries, QUERIES, GROUPS, blocks, BLOCKS, live, expected);
    return memcmp(got, expected, sizeof got) == 0;
}

static bool bits_work(const struct scan *scan)
{
    _Alignas(64) uint8_t blocks[BLOCKS * SCAN_BITS_BLOCK_BYTES(CHUNKS)];
    _Alignas(64) uint8_t table[CHUNKS * 8 * 16];
    uint16_t got[BLOCKS];
    uint16_t expected[BLOCKS];

    fill_blocks(blocks, CHUNKS * 64, 40);
    probe_bytes(table, sizeof table, 41);
    for (size_t i = 0; i < sizeof table; i++) {
        table[i] &= 127;
    }
    const struct scan_bits_query query = {table, 1e-3F, -1.5F, 0.5F, 0.5F};
    scan->bits(&query, CHUNKS, blocks, BLOCKS, live, got);
    scan_ref.bits(&query, CHUNKS, blocks, BLOCKS, live, expected);
    return memcmp(got, expected, sizeof got) == 0;
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
    return int8_works(candidate->scan) && bits_work(candidate->scan) && floats_work(candidate->scan);
}
