/*
 * resize.c: bilinear scaling in two passes with precomputed weights in 1/2048.
 *
 * Each source row that is needed is interpolated horizontally once, into integers; a pair of such rows gives an output
 * row.  255 · 2048 · 2048 fits 31 bits, so nothing is rounded before the end.
 */
#include "core/image/resize.h"

#include <math.h>
#include <stdbool.h>

#include "core/image/image_private.h"

#define WEIGHT_BITS 11
#define ONE (1 << WEIGHT_BITS)
#define BLOCK 16 /* a constant trip count, which the compiler turns into vectors at -O2 */

struct tap {
    int first;
    int second;
    int32_t weight; /* of the second, 0..ONE */
};

static void make_taps(int in_size, int out_size, struct tap *taps)
{
    double scale = (double)in_size / out_size;

    for (int i = 0; i < out_size; i++) {
        double at = (i + 0.5) * scale - 0.5;
        int first = (int)floor(at);
        int32_t weight = (int32_t)lrint((at - first) * ONE);
        if (first < 0) {
            first = 0;
            weight = 0;
        }
        bool last = first >= in_size - 1;
        taps[i] = (struct tap){last ? in_size - 1 : first, last ? in_size - 1 : first + 1, last ? 0 : weight};
    }
}

static void interpolate_row(const uint8_t *row, const struct tap *taps, int width, int32_t *out)
{
    for (int x = 0; x < width; x++, out += IMAGE_CHANNELS) {
        const uint8_t *first = row + (size_t)IMAGE_CHANNELS * (size_t)taps[x].first;
        const uint8_t *second = row + (size_t)IMAGE_CHANNELS * (size_t)taps[x].second;
        int32_t weight = taps[x].weight;
        out[0] = first[0] * (ONE - weight) + second[0] * weight;
        out[1] = first[1] * (ONE - weight) + second[1] * weight;
        out[2] = first[2] * (ONE - weight) + second[2] * weight;
    }
}

static uint8_t mix(int32_t first, int32_t second, int32_t weight)
{
    return (uint8_t)((first * (ONE - weight) + second * weight + (1 << (2 * WEIGHT_BITS - 1))) >> (2 * WEIGHT_BITS));
}

static void mix_rows(const int32_t *restrict first, const int32_t *restrict second, int32_t weight, size_t count,
                     uint8_t *restrict out)
{
    size_t i = 0;

    for (; i + BLOCK <= count; i += BLOCK) {
        for (size_t k = 0; k < BLOCK; k++) {
            out[i + k] = mix(first[i + k], second[i + k], weight);
        }
    }
    for (; i < count; i++) {
        out[i] = mix(first[i], second[i], weight);
    }
}

/* Two interpolated rows and which source rows they are (-1: none yet). */
struct window {
    int32_t *row[2];
    int index[2];
};

static void move_window(struct window *window, const struct image *image, const struct tap *columns, int width,
                        const struct tap *wanted)
{
    if (window->index[0] != wanted->first && window->index[1] == wanted->first) {
        int32_t *row = window->row[0];
        window->row[0] = window->row[1];
        window->row[1] = row;
        window->index[1] = window->index[0];
        window->index[0] = wanted->first;
    }
    const int needed[2] = {wanted->first, wanted->second};
    for (int i = 0; i < 2; i++) {
        if (window->index[i] != needed[i]) {
            const uint8_t *row = image->rgb + (size_t)IMAGE_CHANNELS * (size_t)image->width * (size_t)needed[i];
            interpolate_row(row, columns, width, window->row[i]);
            window->index[i] = needed[i];
        }
    }
}

enum err image_resize(const struct image *image, int width, int height, struct arena *mem, struct image *ret)
{
    struct image out;

    enum err err = image_new(width, height, mem, &out);
    if (err != ERR_NONE) {
        return err;
    }
    size_t count = (size_t)IMAGE_CHANNELS * (size_t)width;
    struct tap *columns = ARENA_ARRAY(mem, struct tap, width);
    struct tap *rows = columns == NULL ? NULL : ARENA_ARRAY(mem, struct tap, height);
    int32_t *first = rows == NULL ? NULL : ARENA_ARRAY(mem, int32_t, count);
    int32_t *second = first == NULL ? NULL : ARENA_ARRAY(mem, int32_t, count);
    if (second == NULL) {
        return arena_why(mem);
    }
    make_taps(image->width, width, columns);
    make_taps(image->height, height, rows);
    struct window window = {{first, second}, {-1, -1}};
    for (int y = 0; y < height; y++) {
        move_window(&window, image, columns, width, &rows[y]);
        mix_rows(window.row[0], window.row[1], rows[y].weight, count, out.rgb + count * (size_t)y);
    }
    *ret = out;
    return ERR_NONE;
}
