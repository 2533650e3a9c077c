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

static void test_bits(void **state)
{
    static const size_t rows[][2] = {{1, 1}, {2, 9}, {3, 4}, {8, 8}, {64, 5}, {512, 3}};
    enum {
        N_ROWS = sizeof rows / sizeof *rows
    };
    size_t passed = 0;
    size_t possible = 0;

    for (size_t i = 0; i < 10 * (size_t)N_ROWS; i++) {
        struct random random = random_seeded(37, i);
        const size_t planes = rows[i % N_ROWS][0];
        const size_t n_blocks = rows[i % N_ROWS][1];
        const bool extreme = i < N_ROWS; /* the sums that do not fit where a variant adds too much in bytes or words */
        uint8_t *blocks = random_blocks(&random, planes * SCAN_BITS_ROWS, 2 * (size_t)SCAN_BITS_ROWS, n_blocks);
        int8_t *weights = mem_new(planes, SCAN_BITS_PLANE);
        const size_t table_bytes = SCAN_BITS_TABLE_BYTES(planes);
        uint8_t *table = mem_new(table_bytes + 1, 1);
        uint64_t live[MAX_BLOCKS];
        uint64_t expected[MAX_BLOCKS];
        uint64_t got[MAX_BLOCKS + 1];
        int sizes = 0;

        for (size_t j = 0; j < planes * SCAN_BITS_PLANE; j++) {
            int weight = extreme ? SCAN_BITS_MOST_WEIGHT
                                 : (int)random_below(&random, 2 * SCAN_BITS_MOST_WEIGHT + 1) - SCAN_BITS_MOST_WEIGHT;
            weights[j] = (int8_t)(random_below(&random, 2) == 0 ? -weight : weight);
            sizes += abs(weight);
        }
        for (size_t b = 0; b < n_blocks; b++) {
            live[b] = random_rows(&random);
        }
        for (size_t j = 0; j < planes && extreme; j++) { /* half of the first block's rows agree with every weight */
            unsigned all = 0;
            for (size_t k = 0; k < SCAN_BITS_PLANE; k++) {
                all |= (unsigned)(weights[j * SCAN_BITS_PLANE + k] > 0) << k;
            }
            memset(blocks + j * SCAN_BITS_ROWS, (int)all, SCAN_BITS_ROWS / 2);
        }
        struct scan_bits_query query = {
            .table = table, .step = 0.02F, .base = -0.01F * (float)sizes, .error = -0.1F, .floor = -0.1F};
        scan_ref.bits_table(weights, planes, table);
        scan_ref.bits(&query, planes, blocks, n_blocks, live, expected);
        for (size_t b = 0; b < n_blocks; b++) {
            passed += (size_t)__builtin_popcountll(expected[b]);
            possible += (size_t)__builtin_popcountll(live[b]);
        }
        for (int v = 0; scan_nth(v) != NULL; v++) {
            memset(got, 0xA5, sizeof got);
            memset(table, 0xA5, table_bytes + 1);
            scan_nth(v)->bits_table(weights, planes, table);
            scan_nth(v)->bits(&query, planes, blocks, n_blocks, live, got);
            if (memcmp(got, expected, n_blocks * sizeof *got) != 0 || got[n_blocks] != UINT64_C(0xA5A5A5A5A5A5A5A5) ||
                table[table_bytes] != 0xA5) {
                fail_msg("row %zu, variant %s differs", i, scan_nth(v)->name);
            }
        }
        mem_free(blocks);
        mem_free(weights);
        mem_free(table);
    }
    assert_true(passed > possible / 5 && passed < possible * 4 / 5);
    assert_int_equal(mem_live_blocks(), 0);
}

/* The sum itself: the greatest floor that a row still reaches, for every variant, is that of the definition. */
static void test_bits_sums(void **state)
{
    enum {
        PLANES = 7,
        N = PLANES * SCAN_BITS_PLANE
    };
    struct random random = random_seeded(38, 0);
    _Alignas(64) uint8_t block[SCAN_BITS_BLOCK_BYTES(PLANES)];
    _Alignas(64) uint8_t table[SCAN_BITS_TABLE_BYTES(PLANES)];
    int8_t weights[N];
    float *tail = (float *)(void *)(block + PLANES * SCAN_BITS_ROWS);
    const uint64_t live = UINT64_MAX;

    for (size_t i = 0; i < PLANES * (size_t)SCAN_BITS_ROWS; i++) {
        block[i] = (uint8_t)random_u64(&random);
    }
    for (size_t i = 0; i < N; i++) {
        weights[i] = (int8_t)((int)random_below(&random, 2 * SCAN_BITS_MOST_WEIGHT + 1) - SCAN_BITS_MOST_WEIGHT);
    }
    for (size_t row = 0; row < SCAN_BITS_ROWS; row++) {
        tail[row] = 1;
        tail[SCAN_BITS_ROWS + row] = 0;
    }
    for (size_t row = 0; row < SCAN_BITS_ROWS; row++) {
        int sum = 0;
        for (size_t i = 0; i < N; i++) {
            bool bit = block[i / SCAN_BITS_PLANE * SCAN_BITS_ROWS + row] >> i % SCAN_BITS_PLANE & 1;
            sum += bit == (weights[i] > 0) ? abs(weights[i]) : 0;
        }
        for (int v = 0; scan_nth(v) != NULL; v++) {
            scan_nth(v)->bits_table(weights, PLANES, table);
            for (int more = 0; more < 2; more++) {
                const struct scan_bits_query query = {.table = table, .step = 1, .floor = (float)(sum + more)};
                uint64_t got = 0;
                scan_nth(v)->bits(&query, PLANES, block, 1, &live, &got);
                if ((got >> row & 1) != (uint64_t)(more == 0)) {
                    fail_msg("row %zu, variant %s: not the sum %d", row, scan_nth(v)->name, sum);
                }
            }
        }
    }
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
        cmocka_unit_test(test_int8),      cmocka_unit_test(test_int8_sums), cmocka_unit_test(test_bits),
        cmocka_unit_test(test_bits_sums), cmocka_unit_test(test_dot),       cmocka_unit_test(test_hadamard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
