/*
 * fuzz_image.c: any bytes through image_decode, and what comes out through everything that takes an image.
 *
 * The limits are small, so that a run tries many inputs; the arena's cap is above what they can need.
 */
#include <stdint.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/image/decode.h"
#include "core/image/encode.h"
#include "core/image/resize.h"
#include "core/image/warp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const struct image *image, struct arena *arena)
{
    const struct affine map = {.a = 0.9, .b = -0.4, .c = 1.5, .d = 0.4, .e = 0.9, .f = -2};
    struct image other;
    unsigned char *encoded;
    size_t encoded_bytes;
    unsigned sum = 0;

    for (size_t i = 0; i < (size_t)3 * (size_t)image->width * (size_t)image->height; i++) {
        sum += image->rgb[i]; /* every byte is there */
    }
    if (sum > 0 && image_resize(image, 17, 13, arena, &other) == ERR_NONE) {
        image_warp(image, &map, &other);
        (void)!image_encode(&other, IMAGE_PNG, 90, arena, &encoded, &encoded_bytes);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct image_limits limits = {.bytes = 65536, .pixels = 1 << 16, .side = 1024};
    struct arena *arena = arena_new((size_t)2 << 20);
    struct err_note note = {0};
    struct image image;

    if (arena == NULL) {
        return 0;
    }
    enum err err = image_decode(data, size, &limits, arena, &image, &note);
    if (err == ERR_NONE) {
        if (image.width < 1 || image.height < 1 || image.width > 1024 || image.height > 1024) {
            abort(); /* a finding */
        }
        use(&image, arena);
    } else if (note.text[0] == '\0') {
        abort(); /* a refusal without a sentence */
    }
    arena_free(arena);
    if (mem_live_blocks() != 0) {
        abort(); /* a leak */
    }
    return 0;
}
