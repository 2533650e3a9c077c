/* warp.c: affine maps and the bilinear pieces they cut out. */
#include "core/image/warp.h"

#include <math.h>
#include <stdbool.h>

#include "core/image/image_private.h"

static bool is_finite(const struct affine *map)
{
    return isfinite(map->a) && isfinite(map->b) && isfinite(map->c) && isfinite(map->d) && isfinite(map->e) &&
           isfinite(map->f);
}

enum err affine_invert(const struct affine *map, struct affine *ret)
{
    double det = map->a * map->e - map->b * map->d;

    if (!is_finite(map) || det == 0) {
        return ERR_MISUSE;
    }
    struct affine inverse = {.a = map->e / det, .b = -map->b / det, .d = -map->d / det, .e = map->a / det};
    inverse.c = -(inverse.a * map->c + inverse.b * map->f);
    inverse.f = -(inverse.d * map->c + inverse.e * map->f);
    if (!is_finite(&inverse)) {
        return ERR_MISUSE;
    }
    *ret = inverse;
    return ERR_NONE;
}

/* The pixel's bytes, or black outside. */
static const uint8_t *pixel_at(const struct image *image, int x, int y)
{
    static const uint8_t black[IMAGE_CHANNELS];

    if (x < 0 || y < 0 || x >= image->width || y >= image->height) {
        return black;
    }
    return image->rgb + (size_t)IMAGE_CHANNELS * ((size_t)y * (size_t)image->width + (size_t)x);
}

static void interpolate(const struct image *image, double x, double y, uint8_t *out)
{
    int left = (int)floor(x);
    int top = (int)floor(y);
    float right_part = (float)(x - left);
    float lower_part = (float)(y - top);
    const uint8_t *p00 = pixel_at(image, left, top);
    const uint8_t *p01 = pixel_at(image, left + 1, top);
    const uint8_t *p10 = pixel_at(image, left, top + 1);
    const uint8_t *p11 = pixel_at(image, left + 1, top + 1);

    for (int c = 0; c < IMAGE_CHANNELS; c++) {
        float upper = (float)p00[c] + right_part * (float)(p01[c] - p00[c]);
        float lower = (float)p10[c] + right_part * (float)(p11[c] - p10[c]);
        out[c] = (uint8_t)(upper + lower_part * (lower - upper) + 0.5F);
    }
}

void image_warp(const struct image *image, const struct affine *out_to_in, struct image *out)
{
    uint8_t *target = out->rgb;

    for (int y = 0; y < out->height; y++) {
        for (int x = 0; x < out->width; x++, target += IMAGE_CHANNELS) {
            double in_x = out_to_in->a * x + out_to_in->b * y + out_to_in->c;
            double in_y = out_to_in->d * x + out_to_in->e * y + out_to_in->f;
            /* Written so that NaN and infinity count as outside. */
            if (in_x > -1 && in_y > -1 && in_x < image->width && in_y < image->height) {
                interpolate(image, in_x, in_y, target);
            } else {
                target[0] = target[1] = target[2] = 0;
            }
        }
    }
}
