/* test_scan.c: every variant of the scans gives exactly the bits of the definition, and one float for an inner product. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <setjmp.h>

#include <cmocka.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/random.h"
#include "core/kernel/scan.h"

enum {
    MAX_QUERIES = 17,
    MAX_BLOCKS = 9
};

static uint8_t *random_blocks(struct random *random, size_t code_bytes, size_t numbers, size_t n_blocks)
{
    const size_t block_bytes = code_bytes + numbers * sizeof(float);
    uint8_t *blocks = mem_new(n_blocks, block_bytes);
    for (size_t b = 0; b < n_blocks; b++) {
        uint8_t *block = blocks + b * block_bytes;
        float *tail = (float *)(void *)(block + code_bytes);
        for (size_t i = 0; i < code_bytes; i++) {
            block[i] = (uint8_t)random_u64(random);
        }
        for (size_t i = 0; i < numbers; i++) {
            tail[i] = (float)random_uniform(random) + 0.5F;
        }
    }
    return blocks;
}

static void random_live(struct random *random, size_t n_blocks, uint16_t *ret)
{
    for (size_t b = 0; b < n_blocks; b++) {
        uint64_t kind = random_below(random, 4);
        ret[b] = (uint16_t)(kind == 0 ? 0 : kind == 1 ? 0xFFFF : random_u64(random));
    }
}

static size_t bits_set(const uint16_t *masks, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        count += (size_t)__builtin_popcount(masks[i]);
    }
    return count;
}

static void test_int8(void **state)
{
    static const size_t rows[][3] = {{1, 1, 1},  {2, 3, 1},  {64, 9, 1},  {16, 5, 7},  {17, 8, 8},
                                     {63, 9, 9}, {3, 1, 16}, {64, 4, 17}, {512, 3, 8}, {511, 2, 3}};
    size_t passed[2] = {0};
    size_t possible = 0;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct random random = random_seeded(31, i);
        const size_t groups = rows[i][0];
        const size_t n_blocks = rows[i][1];
        const size_t n_queries = rows[i][2];
        const size_t n_dims = groups * SCAN_INT8_GROUP;
        struct scan_int8_query queries[MAX_QUERIES];
        int8_t *codes = mem_new(n_queries, n_dims);
        uint8_t *high = random_blocks(&random, groups * 64, 2 * (size_t)SCAN_ROWS, n_blocks);
        uint8_t *low = random_blocks(&random, groups * 64, SCAN_ROWS, n_blocks);
        uint16_t live[MAX_BLOCKS];
        uint16_t expected[2][MAX_QUERIES * MAX_BLOCKS]; /* by both halves, and by the high one */
        uint16_t got[2][MAX_QUERIES * MAX_BLOCKS + 1];

        random_live(&random, n_blocks, live);
        for (size_t q = 0; q < n_queries; q++) {
            int32_t sum = 0;
            for (size_t j = 0; j < n_dims; j++) {
                /* The first query is all extremes: the sums that saturate where a variant is not exact. */
                codes[q * n_dims + j] = (int8_t)(q == 0 ? 127 : (int)random_below(&random, 255) - 127);
                sum += codes[q * n_dims + j];
            }
            queries[q] = (struct scan_int8_query){.codes = codes + q * n_dims,
                                                  .offset = 128 * sum,
                                                  .scale = 1e-4F,
                                                  .error = 0.25F,
                                                  .floor = (float)random_normal(&random) * 0.1F};
            scan_ref.high(&queries[q], groups, high, n_blocks, live, expected[1] + q * n_blocks);
        }
        scan_ref.int8(queries, n_queries, groups, high, low, n_blocks, live, expected[0]);
        for (size_t q = 0; q < n_queries; q++) {
            passed[0] += bits_set(expected[0] + q * n_blocks, n_blocks);
            passed[1] += bits_set(expected[1] + q * n_blocks, n_blocks);
            possible += bits_set(live, n_blocks);
        }
        for (int v = 0; scan_nth(v) != NULL; v++) {
            memset(got, 0xA5, sizeof got);
            scan_nth(v)->int8(queries, n_queries, groups, high, low, n_blocks, live, got[0]);
            for (size_t q = 0; q < n_queries; q++) {
                scan_nth(v)->high(&queries[q], groups, high, n_blocks, live, got[1] + q * n_blocks);
            }
            for (size_t half = 0; half < 2; half++) {
                if (memcmp(got[half], expected[half], n_queries * n_blocks * sizeof *got[half]) != 0 ||
                    got[half][n_queries * n_blocks] != 0xA5A5) {
                    fail_msg("row %zu, variant %s differs%s", i, scan_nth(v)->name, half == 1 ? " by high halves" : "");
                }
            }
        }
        mem_free(high);
        mem_free(low);
        mem_free(codes);
    }
    for (size_t half = 0; half < 2; half++) { /* the floors told rows apart */
        assert_true(passed[half] > possible / 5 && passed[half] < possible * 4 / 5);
    }
    assert_int_equal(mem_live_blocks(), 0);
}

/* The sums themselves: the greatest floor that a row still reaches is that of the definition, by high halves and by both. */
static void test_int8_sums(void **state)
{
    enum {
        GROUPS = 3,
        N = GROUPS * SCAN_INT8_GROUP
    };
    struct random random = random_seeded(32, 0);
    int codes[SCAN_ROWS][N];
    int8_t weights[N];
    _Alignas(64) uint8_t high[SCAN_HIGH_BLOCK_BYTES(GROUPS)] = {0};
    _Alignas(64) uint8_t low[SCAN_LOW_BLOCK_BYTES(GROUPS)] = {0};
    const uint16_t live = UINT16_MAX;
    int offset = 0;

    for (size_t i = 0; i < N; i++) {
        weights[i] = (int8_t)((int)random_below(&random, 255) - 127);
        offset += 128 * weights[i];
        for (size_t row = 0; row < SCAN_ROWS; row++) {
            codes[row][i] = (int)random_below(&random, 255) - 127;
            const size_t at = i / 8 * 64 + row * 4 + i % 4;
            const unsigned shift = i % 8 < 4 ? 0 : 4;
            high[at] |= (uint8_t)((codes[row][i] + 128) / 16 << shift);
            low[at] |= (uint8_t)((codes[row][i] + 128) % 16 << shift);
        }
    }
    for (size_t row = 0; row < SCAN_ROWS; row++) {
        ((float *)(void *)(high + (size_t)GROUPS * 64))[row] = 1;
        int sum = 0;
        int by_high = 0;
        for (size_t i = 0; i < N; i++) {
            sum += codes[row][i] * weights[i];
            by_high += ((codes[row][i] + 128) / 16 * 16 + 8 - 128) * weights[i];
        }
        for (int v = 0; scan_nth(v) != NULL; v++) {
            for (int more = 0; more < 2; more++) {
                struct scan_int8_query query = {.codes = weights, .offset = offset, .scale = 1};
                uint16_t got[2];
                query.floor = (float)(sum + more);
                scan_nth(v)->int8(&query, 1, GROUPS, high, low, 1, &live, &got[0]);
                query.floor = (float)(by_high + more);
                scan_nth(v)->high(&query, GROUPS, high, 1, &live, &got[1]);
                if ((got[0] >> row & 1) != (more == 0) || (got[1] >> row & 1) != (more == 0)) {
                    fail_msg("row %zu, variant %s: not the sums %d and %d", row, scan_nth(v)->name, sum, by_high);
                }
            }
        }
    }
}

static uint64_t random_rows(struct random *random)
{
    uint64_t kind = random_below(random, 4);
    return kind == 0 ? 0 : kind == 1 ? UINT64_MAX : random_u64(random);
}

static void random_bytes_below(struct random *random, size_t n, unsigned end, uint8_t *ret)
{
    for (size_t i = 0; i < n; i++) {
        ret[i] = (uint8_t)random_below(random, end);
    }
}

static void test_bits(void **state)
{
    static const size_t rows[][2] = {{1, 1}, {2, 9}, {3, 4}, {8, 8}, {33, 5}, {SCAN_BITS_MAX_PLANES, 3}};
    enum {
        N_ROWS = sizeof rows / sizeof *rows
    };
    size_t passed = 0;
    size_t possible = 0;

    (void)state;
    for (size_t i = 0; i < 10 * (size_t)N_ROWS; i++) {
        struct random random = random_seeded(37, i);
        const size_t planes = rows[i % N_ROWS][0];
        const size_t n_blocks = rows[i % N_ROWS][1];
        const bool extreme = i < N_ROWS; /* the sums that do not fit where a variant adds too much in bytes or words */
        const size_t block_bytes = SCAN_BITS_BLOCK_BYTES(planes);
        uint8_t *blocks = mem_new(n_blocks, block_bytes);
        uint8_t *table = mem_new(1, SCAN_BITS_TABLE_BYTES(planes));
        uint64_t live[MAX_BLOCKS];
        uint64_t expected[MAX_BLOCKS];
        uint64_t got[MAX_BLOCKS + 1];

        random_bytes_below(&random, n_blocks * block_bytes, 256, blocks);
        random_bytes_below(&random, SCAN_BITS_TABLE_BYTES(planes), SCAN_BITS_MOST + 1, table);
        if (extreme) { /* half of the first block's rows find the most everywhere */
            for (size_t j = 0; j < SCAN_BITS_TABLE_BYTES(planes); j += 16) {
                table[j + 5] = SCAN_BITS_MOST;
            }
            for (size_t j = 0; j < planes; j++) {
                memset(blocks + j * SCAN_BITS_ROWS, 0x55, SCAN_BITS_ROWS / 2);
            }
        }
        for (size_t b = 0; b < n_blocks; b++) {
            live[b] = random_rows(&random);
        }
        const struct scan_bits_query query = {
            .table = table, .base = (int16_t)(planes * SCAN_BITS_MOST - 100), .slope = 200};
        scan_ref.bits(&query, planes, blocks, n_blocks, live, expected);
        for (size_t b = 0; b < n_blocks; b++) {
            passed += (size_t)__builtin_popcountll(expected[b]);
            possible += (size_t)__builtin_popcountll(live[b]);
        }
        for (int v = 0; scan_nth(v) != NULL; v++) {
            memset(got, 0xA5, sizeof got);
            scan_nth(v)->bits(&query, planes, blocks, n_blocks, live, got);
            if (memcmp(got, expected, n_blocks * sizeof *got) != 0 || got[n_blocks] != UINT64_C(0xA5A5A5A5A5A5A5A5)) {
                fail_msg("row %zu, variant %s differs", i, scan_nth(v)->name);
            }
        }
        mem_free(blocks);
        mem_free(table);
    }
    assert_true(passed > possible / 5 && passed < possible * 4 / 5);
    assert_int_equal(mem_live_blocks(), 0);
}

/* Whether a variant lets each of a block's rows pass where its sum, by the bound that scan.h says, may. */
static void check_bounds(const uint8_t *block, size_t planes, const uint8_t *table, int base, int slope)
{
    const uint64_t live = UINT64_MAX;
    const struct scan_bits_query query = {.table = table, .base = (int16_t)base, .slope = (int16_t)slope};

    for (size_t row = 0; row < SCAN_BITS_ROWS; row++) {
        int sum = 0;
        for (size_t plane = 0; plane < planes; plane++) {
            const unsigned codes = block[plane * SCAN_BITS_ROWS + row];
            sum += table[plane * 32 + codes % 16] + table[plane * 32 + 16 + codes / 16];
        }
        int bound = base + block[planes * SCAN_BITS_ROWS + row] * slope / 256;
        bound = bound > 32767 ? 32767 : bound;
        for (int v = 0; scan_nth(v) != NULL; v++) {
            uint64_t got = 0;
            scan_nth(v)->bits(&query, planes, block, 1, &live, &got);
            if ((got >> row & 1) != (uint64_t)(sum >= bound)) {
                fail_msg("row %zu, variant %s, base %d, slope %d: the sum %d and the bound %d", row, scan_nth(v)->name,
                         base, slope, sum, bound);
            }
        }
    }
}

/* The sum itself, at every bound that it just reaches and just does not; and bounds at the ends of what they can be. */
static void test_bits_bounds(void **state)
{
    enum {
        PLANES = 7
    };
    struct random random = random_seeded(38, 0);
    _Alignas(64) uint8_t block[SCAN_BITS_BLOCK_BYTES(PLANES)];
    _Alignas(64) uint8_t table[SCAN_BITS_TABLE_BYTES(PLANES)];

    (void)state;
    random_bytes_below(&random, sizeof block, 256, block);
    random_bytes_below(&random, sizeof table, SCAN_BITS_MOST + 1, table);
    block[PLANES * SCAN_BITS_ROWS] = 0;
    block[PLANES * SCAN_BITS_ROWS + 1] = 255;
    for (int base = 250; base < 600; base++) {
        check_bounds(block, PLANES, table, base, 0);
        check_bounds(block, PLANES, table, base - 200, 511);
    }
    static const int ends[][2] = {{-32768, 0}, {-32768, 32767}, {32767, 0},      {32767, 32767},  {0, 32767},
                                  {-1, 1},     {0, 0},          {-32768, 32766}, {-32000, 32767}, {500, 1}};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        check_bounds(block, PLANES, table, ends[i][0], ends[i][1]);
    }
}

/* Rows among others, whose bytes beside them are not looked at: a sum just reaches a bound, or just does not. */
static void test_signs(void **state)
{
    static const size_t sizes[] = {8, 16, 24, 64, 128, SCAN_SIGNS_MAX_BYTES};

    (void)state;
    for (size_t i = 0; i < 10 * sizeof sizes / sizeof *sizes; i++) {
        struct random random = random_seeded(39, i);
        const size_t bytes = sizes[i % (sizeof sizes / sizeof *sizes)];
        const bool extreme = i < sizeof sizes / sizeof *sizes;
        uint8_t *rows = mem_new(64, bytes);
        int8_t *weights = mem_new(bytes, 8);
        size_t either[2] = {0};

        random_bytes_below(&random, 64 * bytes, 256, rows);
        for (size_t j = 8; j < bytes * 8; j++) {
            weights[j] = (int8_t)(extreme ? 127 : (int)random_below(&random, 255) - 127);
        }
        if (extreme) {
            memset(rows + 3 * bytes, 0xFF, bytes);
        }
        for (uint16_t row = 0; row < 64; row++) {
            uint16_t which[64];
            size_t n = 0;
            for (uint16_t other = 0; other < 64; other++) {
                if (other == row || random_below(&random, 1 + row % 4) == 0) {
                    which[n++] = other;
                }
            }
            int sum = 0;
            for (size_t j = 8; j < bytes * 8; j++) {
                sum += (rows[row * bytes + j / 8] >> j % 8 & 1) != 0 ? weights[j] : 0;
            }
            for (int more = 0; more < 2; more++) {
                const int slope = (int)random_below(&random, 2000);
                const struct scan_signs_query query = {
                    .weights = weights, .base = sum + more - rows[row * bytes] * slope / 256, .slope = slope};
                uint16_t expected[65];
                const size_t n_expected = scan_ref.signs(&query, bytes, rows, which, n, expected);
                size_t there = 0;
                for (size_t j = 0; j < n_expected; j++) {
                    there += expected[j] == row;
                }
                assert_int_equal(there, more == 0);
                either[more] += n_expected;
                for (int v = 0; scan_nth(v) != NULL; v++) {
                    uint16_t got[65] = {0};
                    got[n] = 0xA5A5;
                    if (scan_nth(v)->signs(&query, bytes, rows, which, n, got) != n_expected ||
                        memcmp(got, expected, n_expected * sizeof *got) != 0 || got[n] != 0xA5A5) {
                        fail_msg("row %d of %zu bytes, variant %s differs", row, bytes, scan_nth(v)->name);
                    }
                }
            }
        }
        assert_true(either[0] > 10 && either[1] > 10);
        mem_free(rows);
        mem_free(weights);
    }
    assert_int_equal(mem_live_blocks(), 0);
}

static void test_dot(void **state)
{
    struct random random = random_seeded(41, 0);
    float a[700];
    float b[700];

    for (size_t n = 0; n < 600; n++) {
        const size_t shift = n % 13; /* rows of odd dimensions lie anywhere */
        double exact = 0;
        double absolute = 0;
        for (size_t i = 0; i < 700; i++) {
            a[i] = (float)random_normal(&random);
            b[i] = (float)random_normal(&random);
        }
        for (size_t i = 0; i < n; i++) {
            double product = (double)a[i + shift] * (double)b[i];
            exact += product;
            absolute += fabs(product);
        }
        float expected = scan_ref.dot(a + shift, b, n);
        if (fabs((double)expected - exact) > 2e-6 * absolute) {
            fail_msg("n %zu: %.9g, not %.9g", n, (double)expected, exact);
        }
        for (int v = 0; scan_nth(v) != NULL; v++) {
            float got = scan_nth(v)->dot(a + shift, b, n);
            if (memcmp(&got, &expected, sizeof got) != 0) {
                fail_msg("n %zu, variant %s: %.9g, not %.9g", n, scan_nth(v)->name, (double)got, (double)expected);
            }
        }
    }
}

static void test_hadamard(void **state)
{
    struct random random = random_seeded(43, 0);
    static float x[4096];
    static float y[4096];

    for (size_t n = 1; n <= 4096; n *= 2) {
        for (size_t i = 0; i < n; i++) {
            x[i] = (float)random_normal(&random);
        }
        for (int v = 0; scan_nth(v) != NULL; v++) {
            memcpy(y, x, sizeof y);
            scan_nth(v)->hadamard(y, n);
            for (size_t i = 0; i < n; i += 1 + n / 50) {
                double exact = 0;
                for (size_t j = 0; j < n; j++) {
                    exact += __builtin_parityll(i & j) ? -(double)x[j] : (double)x[j];
                }
                if (fabs((double)y[i] - exact) > 1e-5 * sqrt((double)n)) {
                    fail_msg("n %zu, variant %s, element %zu: %g, not %g", n, scan_nth(v)->name, i, (double)y[i],
                             exact);
                }
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_int8),        cmocka_unit_test(test_int8_sums), cmocka_unit_test(test_bits),
        cmocka_unit_test(test_bits_bounds), cmocka_unit_test(test_signs),     cmocka_unit_test(test_dot),
        cmocka_unit_test(test_hadamard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
