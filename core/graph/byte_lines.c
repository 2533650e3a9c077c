/* byte_lines.c: fitting lines to tables, and proving them on all 256 bytes. */
#include "core/graph/byte_lines.h"

#include <string.h>

#include "core/kernel/kernels.h"

#define VALUES 256
#define ATTEMPTS \
    7 /* a line that misses a byte passes between two of them there: it is moved a little, to either side */

/* The line through the values of the bytes from and to (as numbers) of channel c. */
static void through(const struct byte_ends *ends, int64_t channels, const float *floats, int64_t c, int from, int to,
                    double nudge, float *ret_a, float *ret_b)
{
    double y0 = (double)floats[(from & 255) * channels + c] / (double)ends->scale;
    double y1 = (double)floats[(to & 255) * channels + c] / (double)ends->scale;
    double a = from == to ? 0 : (y1 - y0) / (to - from);

    *ret_a = (float)a;
    *ret_b = (float)(y0 - a * from + nudge);
}

bool byte_lines_fit(const struct byte_ends *ends, int64_t channels, const float *floats, const uint8_t *wanted,
                    struct arena *mem, float *lines)
{
    const int lowest = ends->x_signed ? -128 : 0;
    const struct byte_lines by = {.a0 = lines,
                                  .b0 = lines + channels,
                                  .a1 = lines + 2 * channels,
                                  .b1 = lines + 3 * channels,
                                  .split = ends->x_zero,
                                  .zero = ends->y_zero,
                                  .x_signed = ends->x_signed,
                                  .y_signed = ends->y_signed};
    uint8_t *bytes = ARENA_ARRAY(mem, uint8_t, VALUES * channels);
    uint8_t *got = ARENA_ARRAY(mem, uint8_t, VALUES * channels);
    bool *missed = ARENA_ARRAY(mem, bool, channels);

    if (bytes == NULL || got == NULL || missed == NULL) {
        return false;
    }
    for (int64_t i = 0; i < VALUES * channels; i++) {
        bytes[i] = (uint8_t)(i / channels);
    }
    memset(missed, true, (size_t)channels);
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        const int steps = (attempt + 1) / 2;
        const double nudge = (attempt % 2 == 0 ? 2e-5 : -2e-5) * steps;
        for (int64_t c = 0; c < channels; c++) {
            if (missed[c]) {
                through(ends, channels, floats, c, lowest, ends->x_zero, nudge, &lines[c], &lines[channels + c]);
                through(ends, channels, floats, c, ends->x_zero, lowest + 255, nudge, &lines[2 * channels + c],
                        &lines[3 * channels + c]);
            }
        }
        kernels()->byte_loops->follow(&by, channels, bytes, VALUES * channels, got);
        if (memcmp(got, wanted, (size_t)(VALUES * channels)) == 0) {
            return true;
        }
        memset(missed, false, (size_t)channels);
        for (int64_t i = 0; i < VALUES * channels; i++) {
            missed[i % channels] = missed[i % channels] || got[i] != wanted[i];
        }
    }
    return false;
}
