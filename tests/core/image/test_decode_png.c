/* test_decode_png.c: every colour type and depth of PNG, transparency over black, interlacing, and bombs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <spng.h>

#include "core/base/mem.h"
#include "core/image/decode.h"
#include "tests/core/image/photos.h"

static size_t blocks_before;
static struct arena *arena;

static int open_arena(void **state)
{
    blocks_before = mem_live_blocks();
    arena = arena_new((size_t)64 << 20);
    return arena == NULL;
}

static int close_arena(void **state)
{
    arena_free(arena);
    return mem_live_blocks() == blocks_before ? 0 : -1;
}

static enum err decode(struct photo photo, struct image *ret, struct err_note *note)
{
    struct image_limits limits = image_limits_default();
    return image_decode(photo.bytes, photo.len, &limits, arena, ret, note);
}

#define SIDE 9
#define MOST_PIXEL_BYTES 8

struct row {
    uint8_t type;
    uint8_t depth;
    uint8_t pixel[MOST_PIXEL_BYTES]; /* as stored: 16 bits are big-endian; below 8 bits a whole byte of equal samples */
    int transparent;                 /* whether a tRNS chunk makes this colour (or palette entry) see-through */
    uint8_t rgb[3];
};

static struct photo plain_png(const struct row *row, int interlaced)
{
    static const int channels[] = {1, 0, 3, 1, 2, 0, 4};
    struct spng_ihdr header = {.width = SIDE,
                               .height = SIDE,
                               .bit_depth = row->depth,
                               .color_type = row->type,
                               .interlace_method = (uint8_t)interlaced};
    struct spng_plte palette = {.n_entries = 2, .entries = {{10, 20, 30, 0}, {200, 100, 50, 0}}};
    struct spng_trns trns = {.gray = row->pixel[0], .n_type3_entries = 2, .type3_alpha = {255, 51}};
    int bits = channels[row->type] * row->depth;
    size_t line_bytes = ((size_t)SIDE * (size_t)bits + 7) / 8;
    size_t pixel_bytes = bits < 8 ? 1 : (size_t)bits / 8;
    unsigned char pixels[SIDE * SIDE * MOST_PIXEL_BYTES];
    spng_ctx *png = spng_ctx_new(SPNG_CTX_ENCODER);
    struct photo photo = {0};
    size_t len = 0;
    int code = 0;

    trns.red = row->pixel[0];
    trns.green = row->pixel[1];
    trns.blue = row->pixel[2];
    for (size_t i = 0; i < line_bytes * SIDE; i++) {
        pixels[i] = row->pixel[i % pixel_bytes];
    }
    assert_int_equal(spng_set_option(png, SPNG_ENCODE_TO_BUFFER, 1), 0);
    assert_int_equal(spng_set_ihdr(png, &header), 0);
    if (row->type == SPNG_COLOR_TYPE_INDEXED) {
        assert_int_equal(spng_set_plte(png, &palette), 0);
    }
    if (row->transparent) {
        assert_int_equal(spng_set_trns(png, &trns), 0);
    }
    code = spng_encode_image(png, pixels, line_bytes * SIDE, SPNG_FMT_RAW, SPNG_ENCODE_FINALIZE);
    if (code != 0) {
        fail_msg("the test cannot write its PNG: %s", spng_strerror(code));
    }
    unsigned char *bytes = spng_get_png_buffer(png, &len, &code);
    assert_non_null(bytes);
    photo = photo_insert(photo, 0, bytes, len, arena);
    free(bytes);
    spng_ctx_free(png);
    return photo;
}

static void reads_every_type_and_depth(void **state)
{
    static const struct row rows[] = {
        {0, 1, {0xFF}, 0, {255, 255, 255}},
        {0, 1, {0}, 0, {0, 0, 0}},
        {0, 2, {0x55}, 0, {85, 85, 85}},
        {0, 4, {0x33}, 0, {51, 51, 51}},
        {0, 8, {77}, 0, {77, 77, 77}},
        {0, 16, {77, 200}, 0, {77, 77, 77}},
        {0, 8, {77}, 1, {0, 0, 0}},
        {2, 8, {1, 100, 200}, 0, {1, 100, 200}},
        {2, 8, {1, 100, 200}, 1, {0, 0, 0}},
        {2, 16, {1, 9, 100, 9, 200, 9}, 0, {1, 100, 200}},
        {3, 1, {0xFF}, 0, {200, 100, 50}},
        {3, 2, {0x55}, 0, {200, 100, 50}},
        {3, 4, {0x11}, 0, {200, 100, 50}},
        {3, 8, {1}, 0, {200, 100, 50}},
        {3, 8, {1}, 1, {40, 20, 10}},
        {3, 8, {0}, 1, {10, 20, 30}},
        {3, 1, {0xFF}, 1, {40, 20, 10}},
        {4, 8, {100, 255}, 0, {100, 100, 100}},
        {4, 8, {100, 51}, 0, {20, 20, 20}},
        {4, 16, {100, 0, 51, 51}, 0, {20, 20, 20}},
        {6, 8, {200, 100, 50, 255}, 0, {200, 100, 50}},
        {6, 8, {200, 100, 50, 51}, 0, {40, 20, 10}},
        {6, 8, {200, 100, 50, 0}, 0, {0, 0, 0}},
        {6, 16, {200, 0, 100, 0, 50, 0, 51, 51}, 0, {40, 20, 10}},
    };

    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        for (int interlaced = 0; interlaced <= 1; interlaced++) {
            struct image out = {0};
            struct err_note note = {0};
            if (decode(plain_png(&rows[row], interlaced), &out, &note) != ERR_NONE) {
                fail_msg("row %zu: %s", row, note.text);
            }
            assert_int_equal(out.width, SIDE);
            for (int i = 0; i < 3 * SIDE * SIDE; i++) {
                if (out.rgb[i] != rows[row].rgb[i % 3]) {
                    fail_msg("row %zu, interlaced %d: value %d is %d", row, interlaced, i, out.rgb[i]);
                }
            }
        }
    }
}

static void refuses_a_wrong_checksum(void **state)
{
    static const struct row grey = {0, 8, {77}, 0, {0}};
    struct photo photo = plain_png(&grey, 0);
    struct image out;
    struct err_note note = {0};

    photo.bytes[30] ^= 1; /* of the header */
    assert_int_equal(decode(photo, &out, &note), ERR_FORMAT);
    assert_non_null(strstr(note.text, "checksum"));
}

static void refuses_too_many_chunks(void **state)
{
    static const struct row grey = {0, 8, {77}, 0, {0}};
    struct photo photo = plain_png(&grey, 0);
    static unsigned char texts[1100 * 14];
    struct image out;

    for (size_t i = 0; i < 1100; i++) {
        unsigned char *chunk = texts + 14 * i;
        memcpy(chunk, "\0\0\0\2tEXta\0", 10);
        put_u32(chunk + 10, png_crc(chunk + 4, 6), 1);
    }
    photo = photo_insert(photo, PNG_HEAD_BYTES, texts, sizeof texts, arena);
    assert_int_equal(decode(photo, &out, NULL), ERR_LIMIT);
}

/* One IDAT chunk of many megabytes is how some programs write. */
static void reads_a_chunk_of_megabytes(void **state)
{
    const uint32_t side = 1200;
    size_t bytes = (size_t)side * side * 3;
    uint8_t *pixels = mem_new(bytes, 1);
    struct spng_ihdr header = {.width = side, .height = side, .bit_depth = 8, .color_type = 2};
    uint32_t noise = 1;
    size_t len = 0;
    int code = 0;
    struct image out = {0};

    for (size_t i = 0; i < bytes; i++) {
        noise = noise * 1664525 + 1013904223;
        pixels[i] = (uint8_t)(noise >> 24);
    }
    spng_ctx *png = spng_ctx_new(SPNG_CTX_ENCODER);
    assert_int_equal(spng_set_option(png, SPNG_ENCODE_TO_BUFFER, 1), 0);
    assert_int_equal(spng_set_option(png, SPNG_IMG_COMPRESSION_LEVEL, 0), 0);
    assert_int_equal(spng_set_ihdr(png, &header), 0);
    assert_int_equal(spng_encode_image(png, pixels, bytes, SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE), 0);
    unsigned char *encoded = spng_get_png_buffer(png, &len, &code);
    assert_non_null(encoded);
    assert_int_equal(decode((struct photo){encoded, len}, &out, NULL), ERR_NONE);
    assert_memory_equal(out.rgb, pixels, bytes);
    free(encoded);
    spng_ctx_free(png);
    mem_free(pixels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_every_type_and_depth, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(refuses_a_wrong_checksum, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(refuses_too_many_chunks, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(reads_a_chunk_of_megabytes, open_arena, close_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
