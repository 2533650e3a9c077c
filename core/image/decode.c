/* decode.c: which decoder, within which limits, and upright at the end. */
#include "core/image/decode.h"

#include <string.h>

#include "core/base/size.h"
#include "core/image/image_private.h"

struct image_limits image_limits_default(void)
{
    return (struct image_limits){.bytes = (size_t)16 << 20, .pixels = 40000000, .side = 16384};
}

enum err limits_check(const struct image_limits *limits, const char *format, uint32_t width, uint32_t height,
                      struct err_note *note)
{
    if (width == 0 || height == 0) {
        return ERR_SAY(note, ERR_FORMAT, "the %s has no pixels (%u x %u)", format, width, height);
    }
    if (limits->side < 0 || width > (uint32_t)limits->side || height > (uint32_t)limits->side) {
        return ERR_SAY(note, ERR_LIMIT, "the %s has %u x %u pixels, the limit is %d a side", format, width, height,
                       limits->side);
    }
    if ((int64_t)width * (int64_t)height > limits->pixels) {
        return ERR_SAY(note, ERR_LIMIT, "the %s has %u x %u pixels, the limit is %lld in all", format, width, height,
                       (long long)limits->pixels);
    }
    return ERR_NONE;
}

enum err pixels_new(uint32_t width, uint32_t height, int channels, struct arena *mem, struct image *ret,
                    struct err_note *note)
{
    size_t pixels;
    uint8_t *room = NULL;

    if (size_mul(width, height, &pixels)) {
        room = arena_alloc(mem, pixels, (size_t)channels);
    }
    if (room == NULL) {
        return ERR_SAY(note, arena_why(mem), "no memory for a photo of %u x %u pixels", width, height);
    }
    *ret = (struct image){.width = (int)width, .height = (int)height, .rgb = room};
    return ERR_NONE;
}

void pixels_blend_alpha(const struct image *image)
{
    const uint8_t *from = image->rgb;
    uint8_t *to = image->rgb;
    size_t pixels = (size_t)image->width * (size_t)image->height;

    for (size_t i = 0; i < pixels; i++, from += 4, to += 3) {
        unsigned alpha = from[3];
        to[0] = (uint8_t)((from[0] * alpha + 127) / 255);
        to[1] = (uint8_t)((from[1] * alpha + 127) / 255);
        to[2] = (uint8_t)((from[2] * alpha + 127) / 255);
    }
}

typedef enum err decoder(struct bytes photo, const struct image_limits *limits, struct arena *mem,
                         struct raw_image *ret, struct err_note *note);

static decoder *decoder_of(const unsigned char *bytes, size_t n_bytes)
{
    if (n_bytes >= 3 && memcmp(bytes, "\xFF\xD8\xFF", 3) == 0) {
        return jpeg_decode;
    }
    if (n_bytes >= 8 && memcmp(bytes, "\x89PNG\r\n\x1A\n", 8) == 0) {
        return png_decode;
    }
    if (n_bytes >= 12 && memcmp(bytes, "RIFF", 4) == 0 && memcmp(bytes + 8, "WEBP", 4) == 0) {
        return webp_decode;
    }
    return NULL;
}

enum err image_decode(const void *bytes, size_t n_bytes, const struct image_limits *limits, struct arena *mem,
                      struct image *ret, struct err_note *note)
{
    struct raw_image raw = {.orientation = 1};
    struct image upright = {0};

    if (n_bytes > limits->bytes) {
        return ERR_SAY(note, ERR_LIMIT, "the photo has %zu bytes, the limit is %zu", n_bytes, limits->bytes);
    }
    decoder *decode = decoder_of(bytes, n_bytes);
    if (decode == NULL) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "the photo is not a JPEG, PNG or WebP");
    }
    enum err err = decode(bytes_over(bytes, n_bytes), limits, mem, &raw, note);
    if (err != ERR_NONE) {
        return err;
    }
    err = image_turn(&raw.image, raw.orientation, mem, &upright);
    if (err != ERR_NONE) {
        return ERR_SAY(note, err, "no memory to turn a photo of %d x %d pixels upright", raw.image.width,
                       raw.image.height);
    }
    *ret = upright;
    return ERR_NONE;
}
