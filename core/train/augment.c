/* augment.c: changes to crops, drawn repeatably. */
#include "core/train/augment.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "core/base/random.h"
#include "core/image/decode.h"
#include "core/image/encode.h"
#include "core/image/warp.h"

/* The Gaussian is cut at this many deviations. */
#define BLUR_REACH 3
#define BLUR_MOST_TAPS 31

struct augment augment_default(void)
{
    return (struct augment){
        .flip = .5F,
        .move = .5F,
        .move_degrees = 5,
        .move_scale = .05F,
        .move_pixels = 2,
        .light = .5F,
        .light_strength = .25F,
        .grey = .05F,
        .blur = .1F,
        .blur_pixels = 1.2F,
        .jpeg = .15F,
        .jpeg_quality = 40,
        .erase = .1F,
        .erase_share = .3F,
    };
}

static bool happens(struct random *random, float probability)
{
    return random_uniform(random) <
           (double)probability; /* always drawn, so that one option does not shift the others */
}

/* Uniform in −most .. most. */
static double swing(struct random *random, float most)
{
    return (2 * random_uniform(random) - 1) * (double)most;
}

static size_t pixel_bytes(const struct image *image)
{
    return (size_t)image->width * (size_t)image->height * 3;
}

/* Flip and small similarity are one warp, so that the crop is interpolated once. */
static bool draw_map(const struct augment *how, struct random *random, const struct image *crop, struct affine *ret)
{
    bool flip = happens(random, how->flip);
    bool move = happens(random, how->move);
    double angle = swing(random, how->move_degrees) * 3.14159265358979323846 / 180;
    double scale = 1 + swing(random, how->move_scale);
    double shift_x = swing(random, how->move_pixels);
    double shift_y = swing(random, how->move_pixels);
    double middle_x = .5 * (crop->width - 1);
    double middle_y = .5 * (crop->height - 1);
    double cosine = move ? cos(angle) / scale : 1;
    double sine = move ? sin(angle) / scale : 0;
    double sign = flip ? -1 : 1;

    /* out (x, y) → in: mirrored about the middle, then turned and scaled about it, then shifted */
    *ret = (struct affine){.a = cosine * sign, .b = -sine, .d = sine * sign, .e = cosine};
    ret->c = middle_x - ret->a * middle_x - ret->b * middle_y + (move ? shift_x : 0);
    ret->f = middle_y - ret->d * middle_x - ret->e * middle_y + (move ? shift_y : 0);
    return flip || move;
}

static uint8_t to_byte(double value)
{
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value + .5);
}

static void change_light(const struct augment *how, struct random *random, struct image *out)
{
    bool light = happens(random, how->light);
    bool grey = happens(random, how->grey);
    double bright = 1 + swing(random, how->light_strength);
    double contrast = 1 + swing(random, how->light_strength);
    double saturation = grey ? 0 : 1 + swing(random, how->light_strength);
    double mean = 0;

    if (!light && !grey) {
        return;
    }
    if (!light) {
        bright = 1;
        contrast = 1;
    }
    size_t bytes = pixel_bytes(out);
    for (size_t i = 0; i < bytes; i++) {
        mean += out->rgb[i];
    }
    mean /= (double)bytes;
    for (size_t i = 0; i < bytes; i += 3) {
        double luma = .299 * out->rgb[i] + .587 * out->rgb[i + 1] + .114 * out->rgb[i + 2];
        for (size_t c = 0; c < 3; c++) {
            double colour = luma + saturation * (out->rgb[i + c] - luma);
            out->rgb[i + c] = to_byte(bright * (mean + contrast * (colour - mean)));
        }
    }
}

/* A Gaussian, first along rows into scratch, then along columns back. */
static void blur(struct image *out, double deviation, uint8_t *scratch)
{
    double tap[BLUR_MOST_TAPS] = {0};
    int reach = (int)ceil(BLUR_REACH * deviation);
    double sum = 0;

    reach = reach > BLUR_MOST_TAPS / 2 ? BLUR_MOST_TAPS / 2 : reach;
    for (int k = -reach; k <= reach; k++) {
        tap[k + reach] = exp(-.5 * k * k / (deviation * deviation));
        sum += tap[k + reach];
    }
    for (int pass = 0; pass < 2; pass++) {
        const uint8_t *from = pass == 0 ? out->rgb : scratch;
        uint8_t *to = pass == 0 ? scratch : out->rgb;
        for (int y = 0; y < out->height; y++) {
            for (int x = 0; x < 3 * out->width; x++) {
                double value = 0;
                for (int k = -reach; k <= reach; k++) {
                    int at = pass == 0 ? x / 3 + k : y + k;
                    int limit = pass == 0 ? out->width : out->height;
                    at = at < 0 ? 0 : at >= limit ? limit - 1 : at;
                    int row = pass == 0 ? y : at;
                    int column = pass == 0 ? 3 * at + x % 3 : x;
                    value += tap[k + reach] * from[(size_t)row * 3 * (size_t)out->width + (size_t)column];
                }
                to[(size_t)y * 3 * (size_t)out->width + (size_t)x] = to_byte(value / sum);
            }
        }
    }
}

static enum err through_jpeg(struct image *out, int quality, struct arena *mem)
{
    struct image_limits limits = image_limits_default();
    struct image decoded;
    unsigned char *bytes;
    size_t n_bytes;
    enum err err = image_encode(out, IMAGE_JPEG, quality, mem, &bytes, &n_bytes);

    if (err == ERR_NONE) {
        err = image_decode(bytes, n_bytes, &limits, mem, &decoded, NULL);
    }
    if (err == ERR_NONE) {
        memcpy(out->rgb, decoded.rgb, pixel_bytes(out));
    }
    return err;
}

static void erase(const struct augment *how, struct random *random, struct image *out)
{
    int width = 1 + (int)(random_uniform(random) * (double)how->erase_share * (out->width - 1));
    int height = 1 + (int)(random_uniform(random) * (double)how->erase_share * (out->height - 1));
    int left = (int)random_below(random, (uint64_t)out->width - (uint64_t)width + 1);
    int top = (int)random_below(random, (uint64_t)out->height - (uint64_t)height + 1);

    for (int y = top; y < top + height; y++) {
        memset(out->rgb + 3 * ((size_t)y * (size_t)out->width + (size_t)left), 127, 3 * (size_t)width);
    }
}

enum err augment_crop(const struct augment *how, unsigned long long seed, long epoch, long index,
                      const struct image *crop, struct arena *mem, struct image *out)
{
    struct random random = random_seeded(seed ^ (unsigned long long)epoch * 0x9E3779B97F4A7C15ULL, (uint64_t)index);
    struct affine map;
    enum err err = ERR_NONE;

    if (draw_map(how, &random, crop, &map)) {
        image_warp(crop, &map, out);
    } else {
        memcpy(out->rgb, crop->rgb, pixel_bytes(crop));
    }
    change_light(how, &random, out);

    bool soft = happens(&random, how->blur);
    double deviation = random_uniform(&random) * (double)how->blur_pixels;
    if (soft && deviation > .2) { /* below that a Gaussian is a single tap */
        uint8_t *scratch = ARENA_ARRAY(mem, uint8_t, pixel_bytes(out));
        if (scratch == NULL) {
            return arena_why(mem);
        }
        blur(out, deviation, scratch);
    }
    bool coded = happens(&random, how->jpeg);
    double level = random_uniform(&random);
    if (coded) {
        err = through_jpeg(out, how->jpeg_quality + (int)(level * (95 - how->jpeg_quality)), mem);
    }
    if (err == ERR_NONE && happens(&random, how->erase)) {
        erase(how, &random, out);
    }
    return err;
}
