/*
 * decode_webp.c: WebP through libwebp.
 *
 * The container is walked here: libwebp decodes from whatever it is given and would let a file pass that lost its end,
 * and its EXIF reader is another library for the sake of one chunk.
 */
#include <string.h>

#include <webp/decode.h>

#include "core/image/image_private.h"

#define RIFF_HEAD 8 /* "RIFF" and the length of the rest */

/* Checks that every chunk the container claims is there; cuts the photo to what it claims and finds the EXIF chunk. */
static enum err read_chunks(struct bytes *photo, struct bytes *exif, struct err_note *note)
{
    struct bytes at = *photo;

    (void)bytes_take(&at, 4);
    size_t claimed = bytes_u32le(&at);
    if (claimed < 4 || claimed > at.left) {
        return ERR_SAY(note, ERR_FORMAT, "the WebP claims %zu bytes and has %zu", claimed, at.left);
    }
    at.left = claimed;
    photo->left = RIFF_HEAD + claimed;
    (void)bytes_take(&at, 4); /* "WEBP" */
    while (at.left > 0) {
        const unsigned char *name = bytes_take(&at, 4);
        size_t bytes = bytes_u32le(&at);
        const unsigned char *content = bytes_take(&at, bytes);
        if (at.left > 0) {
            (void)bytes_take(&at, bytes % 2); /* chunks begin at even places */
        }
        if (bytes_failed(&at)) {
            return ERR_SAY(note, ERR_FORMAT, "the WebP is truncated");
        }
        if (memcmp(name, "EXIF", 4) == 0 && exif->left == 0) {
            *exif = bytes_over(content, bytes);
        }
    }
    return ERR_NONE;
}

static enum err say_webp(struct err_note *note, VP8StatusCode code)
{
    switch (code) {
    case VP8_STATUS_OUT_OF_MEMORY: return ERR_SAY(note, ERR_NOMEM, "no memory to decode a WebP");
    case VP8_STATUS_NOT_ENOUGH_DATA: return ERR_SAY(note, ERR_FORMAT, "the WebP is truncated");
    case VP8_STATUS_UNSUPPORTED_FEATURE: return ERR_SAY(note, ERR_UNSUPPORTED, "the WebP is of an unsupported kind");
    case VP8_STATUS_OK:
    case VP8_STATUS_INVALID_PARAM:
    case VP8_STATUS_BITSTREAM_ERROR:
    case VP8_STATUS_SUSPENDED:
    case VP8_STATUS_USER_ABORT: break;
    }
    return ERR_SAY(note, ERR_FORMAT, "the WebP is damaged (libwebp's status %d)", (int)code);
}

static VP8StatusCode read_pixels(struct bytes photo, const struct image *room, int channels)
{
    WebPDecoderConfig config;

    if (!WebPInitDecoderConfig(&config)) {
        return VP8_STATUS_INVALID_PARAM; /* the library has another ABI than its header */
    }
    config.output.colorspace = channels == 4 ? MODE_RGBA : MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = room->rgb;
    config.output.u.RGBA.stride = channels * room->width;
    config.output.u.RGBA.size = (size_t)channels * (size_t)room->width * (size_t)room->height;
    VP8StatusCode code = WebPDecode(photo.at, photo.left, &config);
    WebPFreeDecBuffer(&config.output);
    return code;
}

enum err webp_decode(struct bytes photo, const struct image_limits *limits, struct arena *mem, struct raw_image *ret,
                     struct err_note *note)
{
    struct bytes exif = {0};
    struct raw_image raw = {.orientation = 1};
    WebPBitstreamFeatures about;

    enum err err = read_chunks(&photo, &exif, note);
    if (err != ERR_NONE) {
        return err;
    }
    VP8StatusCode code = WebPGetFeatures(photo.at, photo.left, &about);
    if (code != VP8_STATUS_OK) {
        return say_webp(note, code);
    }
    if (about.has_animation) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "the WebP is animated; send one picture");
    }
    err = limits_check(limits, "WebP", (uint32_t)about.width, (uint32_t)about.height, note);
    if (err != ERR_NONE) {
        return err;
    }
    int channels = about.has_alpha ? 4 : IMAGE_CHANNELS;
    err = pixels_new((uint32_t)about.width, (uint32_t)about.height, channels, mem, &raw.image, note);
    if (err != ERR_NONE) {
        return err;
    }
    code = read_pixels(photo, &raw.image, channels);
    if (code != VP8_STATUS_OK) {
        return say_webp(note, code);
    }
    if (about.has_alpha) {
        pixels_blend_alpha(&raw.image);
    }
    if (exif.left > 0) {
        err = exif_orientation(exif.at, exif.left, mem, &raw.orientation);
        if (err != ERR_NONE) {
            return ERR_SAY(note, err, "no memory to read the WebP's EXIF data");
        }
    }
    *ret = raw;
    return ERR_NONE;
}
