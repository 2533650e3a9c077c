/* decode_png.c: PNG through libspng, with its own limits set and its memory taken from our heap. */
#include <stdbool.h>
#include <string.h>

#include <spng.h>

#include "core/image/image_private.h"

static void *heap_new(size_t bytes)
{
    return foreign_heap_new(bytes, 1);
}

static enum err say_spng(struct err_note *note, int code)
{
    if (foreign_heap_starved()) {
        return ERR_SAY(note, ERR_NOMEM, "no memory to decode a PNG");
    }
    if (code == SPNG_ECHUNK_LIMITS) {
        return ERR_SAY(note, ERR_LIMIT, "the PNG's data beside its pixels is over the limits");
    }
    if (code == SPNG_IO_EOF) {
        return ERR_SAY(note, ERR_FORMAT, "the PNG is truncated");
    }
    return ERR_SAY(note, ERR_FORMAT, "the PNG is damaged: %s", spng_strerror(code));
}

/*
 * No chunk can be longer than the photo; what is unpacked from one may not be either.  The number of chunks is limited
 * by the library itself, to 1000; libspng 0.7.3 refuses every attempt to set another number.
 */
static int set_limits(spng_ctx *png, const struct image_limits *limits)
{
    const size_t largest = 0x7FFFFFFF; /* the format's own */
    size_t bytes = limits->bytes < largest ? limits->bytes : largest;

    return spng_set_chunk_limits(png, bytes, bytes);
}

/* Checks that every chunk up to the end chunk is there; libspng lets a file pass that lost its last four bytes. */
static enum err check_chunks(struct bytes photo, struct err_note *note)
{
    static const unsigned char end[] = {'I', 'E', 'N', 'D'};
    const unsigned char *name = NULL;

    (void)bytes_take(&photo, 8); /* the signature */
    do {
        const unsigned char *head = bytes_take(&photo, 8);
        if (head == NULL) {
            break;
        }
        name = head + 4;
        size_t len = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
        (void)bytes_take(&photo, len + 4); /* the content and its checksum */
    } while (memcmp(name, end, sizeof end) != 0);
    return bytes_failed(&photo) ? ERR_SAY(note, ERR_FORMAT, "the PNG is truncated") : ERR_NONE;
}

/* Says whether any pixel can be transparent. */
static int find_alpha(spng_ctx *png, const struct spng_ihdr *header, bool *ret)
{
    struct spng_trns transparent;
    int code = spng_get_trns(png, &transparent);

    *ret = code == SPNG_OK || header->color_type == SPNG_COLOR_TYPE_GRAYSCALE_ALPHA ||
           header->color_type == SPNG_COLOR_TYPE_TRUECOLOR_ALPHA;
    return code == SPNG_ECHUNKAVAIL ? SPNG_OK : code;
}

static enum err read_png(spng_ctx *png, struct bytes photo, const struct image_limits *limits, struct arena *mem,
                         struct raw_image *ret, struct err_note *note)
{
    struct spng_ihdr header;
    struct spng_exif exif;
    struct image image;
    size_t bytes = 0;

    int code = set_limits(png, limits);
    if (code == SPNG_OK) {
        code = spng_set_png_buffer(png, photo.at, photo.left);
    }
    if (code == SPNG_OK) {
        code = spng_get_ihdr(png, &header);
    }
    if (code != SPNG_OK) {
        return say_spng(note, code);
    }
    enum err err = limits_check(limits, "PNG", header.width, header.height, note);
    if (err != ERR_NONE) {
        return err;
    }
    err = check_chunks(photo, note);
    if (err != ERR_NONE) {
        return err;
    }
    bool alpha = false;
    code = find_alpha(png, &header, &alpha);
    int format = alpha ? SPNG_FMT_RGBA8 : SPNG_FMT_RGB8;
    if (code == SPNG_OK) {
        code = spng_decoded_image_size(png, format, &bytes);
    }
    if (code != SPNG_OK) {
        return say_spng(note, code);
    }
    err = pixels_new(header.width, header.height, alpha ? 4 : IMAGE_CHANNELS, mem, &image, note);
    if (err != ERR_NONE) {
        return err;
    }
    code = spng_decode_image(png, image.rgb, bytes, format, alpha ? SPNG_DECODE_TRNS : 0);
    if (code == SPNG_OK) {
        code = spng_decode_chunks(png); /* those behind the pixels: EXIF may stand there */
    }
    if (code != SPNG_OK || foreign_heap_starved()) {
        return say_spng(note, code);
    }
    if (alpha) {
        pixels_blend_alpha(&image);
    }
    ret->image = image;
    ret->orientation = 1;
    code = spng_get_exif(png, &exif);
    if (code != SPNG_OK && code != SPNG_ECHUNKAVAIL) {
        return say_spng(note, code);
    }
    if (code == SPNG_OK) {
        err = exif_orientation((const unsigned char *)exif.data, exif.length, mem, &ret->orientation);
        if (err != ERR_NONE) {
            return ERR_SAY(note, err, "no memory to read the PNG's EXIF data");
        }
    }
    return ERR_NONE;
}

enum err png_decode(struct bytes photo, const struct image_limits *limits, struct arena *mem, struct raw_image *ret,
                    struct err_note *note)
{
    struct spng_alloc heap = {heap_new, foreign_heap_resize, foreign_heap_new, foreign_heap_free};
    struct raw_image raw = {.orientation = 1};
    foreign_heap_begin();
    spng_ctx *png = spng_ctx_new2(&heap, 0);

    if (png == NULL) {
        return ERR_SAY(note, ERR_NOMEM, "no memory to decode a PNG");
    }
    enum err err = read_png(png, photo, limits, mem, &raw, note);
    spng_ctx_free(png);
    if (err == ERR_NONE) {
        *ret = raw;
    }
    return err;
}
