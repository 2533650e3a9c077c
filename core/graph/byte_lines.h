/*
 * byte_lines.h: tables of bytes that one or two straight lines give as well: computing them is faster than looking up.
 *
 * A normalisation is a line, an activation two that meet where zero is.
 */
#ifndef CORE_GRAPH_BYTE_LINES_H
#define CORE_GRAPH_BYTE_LINES_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/arena.h"

/* The quantisation before and behind. */
struct byte_ends {
    float scale; /* of the bytes that come out */
    int x_zero, y_zero;
    bool x_signed, y_signed;
};

/*
 * Fits lines [4, channels], as byte_loops.follow takes them, through floats [256, channels], what each byte becomes before it is
 * quantised again.  True only if the loops in use then give wanted [256, channels] for every byte in every channel.
 */
bool byte_lines_fit(const struct byte_ends *ends, int64_t channels, const float *floats, const uint8_t *wanted,
                    struct arena *mem, float *lines);

#endif
