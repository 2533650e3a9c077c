/* probe_byte.c: the self-tests of the products of bytes and of the loops between them. */
#include <math.h>
#include <string.h>

#include "core/kernel/probe.h"

enum {
    PIXELS = 29, /* twice fourteen and one */
    RUNS = 3,
    QUADS = 5,
    STEP = 9,
    X = STEP * PIXELS + 300,
    N = 77,
    CHANNELS = 29
};

bool byte_product_probe(const struct kernels *candidate, double tolerance)
{
    static const int64_t run_at[RUNS] = {0, 101, 250};
    uint8_t x[X];
    _Alignas(64) int8_t w[RUNS * QUADS * BYTE_LANES * 4];
    int32_t start[BYTE_LANES];
    _Alignas(64) int32_t y[PIXELS * BYTE_LANES];
    _Alignas(64) int32_t expected[PIXELS * BYTE_LANES];

    (void)tolerance;
    probe_bytes(x, X, 60);
    probe_bytes(w, sizeof w, 61);
    probe_bytes(start, sizeof start, 62);
    const struct byte_rows rows = {x, STEP, run_at, RUNS, QUADS, w, start};
    for (int64_t n = 1; n <= PIXELS; n++) {
        candidate->byte_product(&rows, n, y);
        byte_product_ref(&rows, n, expected);
        if (memcmp(y, expected, (size_t)n * BYTE_LANES * sizeof *y) != 0) {
            return false;
        }
    }
    return true;
}

/* Sums that become bytes and floats, some far out of range, some exactly between two bytes. */
static bool ends_work(const struct byte_loops *loops)
{
    _Alignas(64) int32_t sums[3 * BYTE_LANES];
    float scale[BYTE_LANES];
    uint8_t y[3 * STEP * 4] = {0};
    uint8_t expected[3 * STEP * 4] = {0};
    float floats[3 * BYTE_LANES] = {0};
    float expected_floats[3 * BYTE_LANES] = {0};

    for (int i = 0; i < 3 * BYTE_LANES; i++) {
        sums[i] = i == 0 ? INT32_MAX : i == 1 ? INT32_MIN : (i - 48) * 11;
    }
    for (int c = 0; c < BYTE_LANES; c++) {
        scale[c] = c % 2 == 0 ? 0.5F : 0.37F;
    }
    for (int channels = CHANNELS; channels <= BYTE_LANES; channels += BYTE_LANES - CHANNELS) {
        for (int is_signed = 0; is_signed < 2; is_signed++) {
            const struct byte_requant how = {scale, is_signed != 0 ? -3 : 120, is_signed != 0 ? -128 : 0,
                                             is_signed != 0 ? 127 : 255};
            loops->requant(&how, sums, 3, channels, y, STEP * 4);
            byte_loops_ref.requant(&how, sums, 3, channels, expected, STEP * 4);
            if (memcmp(y, expected, sizeof y) != 0) {
                return false;
            }
        }
        loops->to_float(scale, scale, scale, sums, 3, channels, floats, BYTE_LANES);
        byte_loops_ref.to_float(scale, scale, scale, sums, 3, channels, expected_floats, BYTE_LANES);
        if (!probe_close(floats, expected_floats, (int64_t)3 * BYTE_LANES, 0, 1)) {
            return false;
        }
    }
    return true;
}

static bool bytes_work(const struct byte_loops *loops)
{
    uint8_t a[N];
    uint8_t b[N];
    uint8_t y[N];
    uint8_t expected[N];
    uint8_t tables[7 * 256];

    probe_bytes(a, N, 63);
    probe_bytes(b, N, 64);
    probe_bytes(tables, sizeof tables, 65);
    for (int is_signed = 0; is_signed < 2; is_signed++) {
        const struct byte_sum sum = {is_signed != 0, -14.5F, 0.75F, 0.5F};
        const struct byte_times times = {is_signed != 0, 3, 5, 7, 0.125F};
        loops->add(&sum, a, b, N, y);
        byte_loops_ref.add(&sum, a, b, N, expected);
        if (memcmp(y, expected, N) != 0) {
            return false;
        }
        loops->multiply(&times, a, b, N, y);
        byte_loops_ref.multiply(&times, a, b, N, expected);
        if (memcmp(y, expected, N) != 0) {
            return false;
        }
    }
    for (int signs = 0; signs < 4; signs++) {
        float numbers[4][7];
        probe_floats(numbers[0], 28, 67);
        const struct byte_lines lines = {numbers[0], numbers[1], numbers[2],     numbers[3],
                                         30,         11,         signs % 2 != 0, signs / 2 != 0};
        loops->follow(&lines, 7, a, N, y);
        byte_loops_ref.follow(&lines, 7, a, N, expected);
        if (memcmp(y, expected, N) != 0) {
            return false;
        }
    }
    loops->look_up(tables, 7, a, N, y);
    byte_loops_ref.look_up(tables, 7, a, N, expected);
    return memcmp(y, expected, N) == 0;
}

static bool floats_work(const struct byte_loops *loops)
{
    float x[N];
    float low[2];
    float high[2];
    uint8_t y[N];
    uint8_t expected[N];

    probe_floats(x, N, 66);
    x[5] = NAN;
    x[N - 1] = 1e30F;
    loops->range(x, N, &low[0], &high[0]);
    byte_loops_ref.range(x, N, &low[1], &high[1]);
    loops->quantise(x, N, 0.0625F / 8, 9, 0, 255, y);
    byte_loops_ref.quantise(x, N, 0.0625F / 8, 9, 0, 255, expected);
    return low[0] == low[1] && high[0] == high[1] && memcmp(y, expected, N) == 0;
}

bool byte_loops_probe(const struct kernels *candidate, double tolerance)
{
    (void)tolerance;
    return ends_work(candidate->byte_loops) && bytes_work(candidate->byte_loops) && floats_work(candidate->byte_loops);
}
