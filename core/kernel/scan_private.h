/*
 * scan_private.h: what the variants of the scans share.
 */
#ifndef CORE_KERNEL_SCAN_PRIVATE_H
#define CORE_KERNEL_SCAN_PRIVATE_H

#include <stddef.h>
#include <stdint.h>

/*
 * A row that has just been removed is overwritten while other rows of its block are being read.  Its bytes count for
 * nothing, so which of them a scan sees does not matter; ThreadSanitizer cannot know this.
 */
#define READS_DEAD_ROWS __attribute__((no_sanitize("thread")))

/*
 * Codes are scanned faster than a processor fetches by itself, which ends with the page: so many bytes before their turn they are
 * asked for, line by line between the computing.  Asked for in a loop of their own, they cost a fifth of the scan, or a third.  Half
 * as far costs a million rows a fifth more, and half as far again gains nothing but drives more out of the first cache.
 */
#define ASK_AHEAD 9216

static inline void ask_ahead(const uint8_t *line)
{
    __builtin_prefetch(line + ASK_AHEAD);
}

/*
 * Additions and subtractions in a fixed order, so that the width of registers shows nowhere: the stages from half on.  Those below a
 * register's width a variant does by itself; the compiler does them number by number.
 */
static inline void hadamard_from(size_t half, float *x, size_t n)
{
    for (; half < n; half *= 2) {
        for (size_t i = 0; i < n; i += 2 * half) {
            float *restrict low = x + i;
            float *restrict high = x + i + half;
            for (size_t j = 0; j < half; j++) {
                float a = low[j];
                float b = high[j];
                low[j] = a + b;
                high[j] = a - b;
            }
        }
    }
}

#endif
