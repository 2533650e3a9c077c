/*
 * resize.c: bilinear scaling in two passes with precomputed weights.
 *
 * For each output row the two source rows are mixed first, a loop that the compiler turns into vectors, and the mixture
 * is interpolated horizontally, which gathers and stays scalar.  The other order gathers once per source row, which is
 * slower where photos are halved for the detector.  Floats rather than fixed point: SSE2, which every x86-64 has,
 * multiplies them four at a time and 32-bit integers not.
 */
#include "core/image/resize.h"

#include <math.h>
#include <stdbool.h>

#include "core/image/image_private.h"

#define BLOCK 16 /* a constant trip count, which the compiler turns into vectors at -O2 */

struct tap {
    int first;
    int second;
    float weight; /* of the second, 0..1 */
};

/* step: pixels of the input from one of the output to the next. */
static void make_taps(int in_size, int out_size, double step, struct tap *taps)
{
    for (int i = 0; i < out_size; i++) {
        double at = fmin((i + 0.5) * step - 0.5, in_size);
        int first = (int)floor(at);
        float weight = (float)(at - first);
        if (first < 0) {
            first = 0;
            weight = 0;
        }
        bool last = first >= in_size - 1;
        taps[i] = (struct tap){last ? in_size - 1 : first, last ? in_size - 1 : first + 1, last ? 0 : weight};
    }
}

static void mix_rows(const uint8_t *restrict first, const uint8_t *restrict second, float weight, size_t count,
                     float *restrict out)
{
    size_t i = 0;

    for (; i + BLOCK <= count; i += BLOCK) {
        for (size_t k = 0; k < BLOCK; k++) {
            out[i + k] = (float)first[i + k] + weight * (float)(second[i + k] - first[i + k]);
        }
    }
    for (; i < count; i++) {
        out[i] = (float)first[i] + weight * (float)(second[i] - first[i]);
    }
}

static void interpolate_row(const float *restrict row, const struct tap *restrict taps, int width,
                            uint8_t *restrict out)
{
    for (int x = 0; x < width; x++, out += IMAGE_CHANNELS) {
        const float *first = row + (size_t)IMAGE_CHANNELS * (size_t)taps[x].first;
        const float *second = row + (size_t)IMAGE_CHANNELS * (size_t)taps[x].second;
        float weight = taps[x].weight;
        out[0] = (uint8_t)(int)(first[0] + weight * (second[0] - first[0]) + 0.5F);
        out[1] = (uint8_t)(int)(first[1] + weight * (second[1] - first[1]) + 0.5F);
        out[2] = (uint8_t)(int)(first[2] + weight * (second[2] - first[2]) + 0.5F);
    }
}

static enum err resample(const struct image *image, double step_x, double step_y, int width, int height,
                         struct arena *mem, struct image *ret)
{
    struct image out;

    enum err err = image_new(width, height, mem, &out);
    if (err != ERR_NONE) {
        return err;
    }
    size_t in_row = (size_t)IMAGE_CHANNELS * (size_t)image->width;
    size_t out_row = (size_t)IMAGE_CHANNELS * (size_t)width;
    struct tap *columns = ARENA_ARRAY(mem, struct tap, width);
    struct tap *rows = columns == NULL ? NULL : ARENA_ARRAY(mem, struct tap, height);
    float *mixed = rows == NULL ? NULL : ARENA_ARRAY(mem, float, in_row);
    if (mixed == NULL) {
        return arena_why(mem);
    }
    make_taps(image->width, width, step_x, columns);
    make_taps(image->height, height, step_y, rows);
    for (int y = 0; y < height; y++) {
        const uint8_t *first = image->rgb + in_row * (size_t)rows[y].first;
        const uint8_t *second = image->rgb + in_row * (size_t)rows[y].second;
        mix_rows(first, second, rows[y].weight, in_row, mixed);
        interpolate_row(mixed, columns, width, out.rgb + out_row * (size_t)y);
    }
    *ret = out;
    return ERR_NONE;
}

enum err image_resize(const struct image *image, int width, int height, struct arena *mem, struct image *ret)
{
    return resample(image, (double)image->width / width, (double)image->height / height, width, height, mem, ret);
}

enum err image_scale(const struct image *image, double factor, int width, int height, struct arena *mem,
                     struct image *ret)
{
    if (!(factor > 0) || !isfinite(1 / factor)) {
        return ERR_MISUSE;
    }
    return resample(image, 1 / factor, 1 / factor, width, height, mem, ret);
}
