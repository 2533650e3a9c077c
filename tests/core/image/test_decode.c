/* test_decode.c: the three formats, upright, within limits, and nothing from damaged bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/image/decode.h"
#include "core/image/encode.h"
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
    arena = NULL;
    return mem_live_blocks() == blocks_before ? 0 : -1;
}

static enum err decode(struct photo photo, struct image *ret, struct err_note *note)
{
    struct image_limits limits = image_limits_default();
    return image_decode(photo.bytes, photo.len, &limits, arena, ret, note);
}

static struct photo encode(struct image image, enum image_format format)
{
    struct photo photo = {0};
    assert_int_equal(image_encode(&image, format, 95, arena, &photo.bytes, &photo.len), ERR_NONE);
    return photo;
}

static struct photo with_exif(struct image image, enum image_format format, int orientation, int big)
{
    struct photo photo = encode(image, format);

    switch (format) {
    case IMAGE_JPEG: return jpeg_with_exif(photo, orientation, big, arena);
    case IMAGE_PNG: return png_with_exif(photo, orientation, big, arena);
    case IMAGE_WEBP_LOSSLESS: return webp_with_exif(photo, image.width, image.height, orientation, big, arena);
    }
    return photo;
}

/* Where the stored pixel (x, y) of a w × h image is seen, in EXIF's own words: what row 0 and column 0 are. */
static void seen_at(int orientation, int w, int h, int x, int y, int *ret_x, int *ret_y)
{
    const int table[8][2] = {{x, y}, {w - 1 - x, y}, {w - 1 - x, h - 1 - y}, {x, h - 1 - y},
                             {y, x}, {h - 1 - y, x}, {h - 1 - y, w - 1 - x}, {y, w - 1 - x}};
    *ret_x = table[orientation - 1][0];
    *ret_y = table[orientation - 1][1];
}

static void turns_all_orientations_upright(void **state)
{
    static const int sizes[][2] = {{48, 32}, {37, 70}, {1, 5}, {64, 33}};
    static const enum image_format formats[] = {IMAGE_JPEG, IMAGE_PNG, IMAGE_WEBP_LOSSLESS};

    for (int row = 0; row < 4 * 3 * 8 * 2; row++) {
        arena_reset(arena);
        int w = sizes[row % 4][0];
        int h = sizes[row % 4][1];
        enum image_format format = formats[row / 4 % 3];
        int orientation = 1 + row / 12 % 8;
        struct image stored = scene_new(w, h, arena);
        struct image plain;
        struct image upright;
        assert_int_equal(decode(encode(stored, format), &plain, NULL), ERR_NONE);
        if (decode(with_exif(stored, format, orientation, row / 96), &upright, NULL) != ERR_NONE) {
            fail_msg("row %d: refused", row);
        }
        assert_int_equal(upright.width, orientation < 5 ? w : h);
        assert_int_equal(upright.height, orientation < 5 ? h : w);
        for (int i = 0; i < w * h; i++) {
            int x;
            int y;
            seen_at(orientation, w, h, i % w, i / w, &x, &y);
            if (memcmp(plain.rgb + 3 * i, upright.rgb + 3 * (y * upright.width + x), 3) != 0) {
                fail_msg("row %d: orientation %d: pixel %d is elsewhere", row, orientation, i);
            }
        }
    }
}

static void ignores_nonsense_orientations(void **state)
{
    static const int values[] = {0, 9, 255, 65535};

    for (size_t row = 0; row < sizeof values / sizeof *values; row++) {
        struct image stored = scene_new(6, 4, arena);
        struct image out;
        assert_int_equal(decode(with_exif(stored, IMAGE_PNG, values[row], 1), &out, NULL), ERR_NONE);
        assert_memory_equal(out.rgb, stored.rgb, 3 * 6 * 4);
    }
}

static void keeps_lossless_pixels_and_nearly_jpegs(void **state)
{
    struct image scene = scene_new(123, 77, arena);
    struct image out;

    assert_int_equal(decode(encode(scene, IMAGE_PNG), &out, NULL), ERR_NONE);
    assert_memory_equal(out.rgb, scene.rgb, 3 * 123 * 77);
    assert_int_equal(decode(encode(scene, IMAGE_WEBP_LOSSLESS), &out, NULL), ERR_NONE);
    assert_memory_equal(out.rgb, scene.rgb, 3 * 123 * 77);
    assert_int_equal(decode(encode(scene, IMAGE_JPEG), &out, NULL), ERR_NONE);
    for (int i = 0; i < 3 * 123 * 77; i++) {
        assert_in_range(out.rgb[i] + 10 - scene.rgb[i], 0, 20);
    }
}

static void keeps_to_the_limits_at_their_edges(void **state)
{
    static const enum image_format formats[] = {IMAGE_JPEG, IMAGE_PNG, IMAGE_WEBP_LOSSLESS};

    for (size_t row = 0; row < sizeof formats / sizeof *formats; row++) {
        struct photo photo = encode(scene_new(40, 30, arena), formats[row]);
        const struct {
            struct image_limits limits;
            enum err err;
            const char *words;
        } cases[] = {
            {{photo.len, 1200, 40}, ERR_NONE, ""},
            {{photo.len - 1, 1200, 40}, ERR_LIMIT, "bytes, the limit is"},
            {{photo.len, 1199, 40}, ERR_LIMIT, "40 x 30 pixels, the limit is 1199 in all"},
            {{photo.len, 1200, 39}, ERR_LIMIT, "40 x 30 pixels, the limit is 39 a side"},
            {{photo.len, 1200, -1}, ERR_LIMIT, "a side"},
        };
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            struct err_note note = {0};
            struct image out = {.width = -7};
            size_t used = arena_used_bytes(arena);
            enum err err = image_decode(photo.bytes, photo.len, &cases[i].limits, arena, &out, &note);
            if (err != cases[i].err || strstr(note.text, cases[i].words) == NULL) {
                fail_msg("row %zu, case %zu: %s '%s'", row, i, err_word(err), note.text);
            }
            if (err != ERR_NONE) {
                assert_int_equal(out.width, -7);
                assert_int_equal(arena_used_bytes(arena), used);
            }
        }
    }
}

static void refuses_a_huge_claim_without_memory(void **state)
{
    unsigned char png[PNG_HEAD_BYTES];
    struct err_note note = {0};
    struct image out;

    put_png_head(png, 60000, 60000);
    assert_int_equal(decode((struct photo){png, sizeof png}, &out, &note), ERR_LIMIT);
    assert_non_null(strstr(note.text, "60000 x 60000"));
    assert_int_equal(arena_used_bytes(arena), 0);
    put_png_head(png, 0, 10);
    assert_int_equal(decode((struct photo){png, sizeof png}, &out, NULL), ERR_FORMAT);
}

static void refuses_other_things(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } rows[] = {
        {"", 0}, {"x", 1}, {"GIF89a", 6}, {"hello, I am a JPEG", 18}, {"\xFF\xD8", 2}, {"RIFF\4\0\0\0WAVE", 12}};

    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        struct err_note note = {0};
        struct image out;
        struct image_limits limits = image_limits_default();
        if (image_decode(rows[row].bytes, rows[row].len, &limits, arena, &out, &note) != ERR_UNSUPPORTED) {
            fail_msg("row %zu: %s", row, note.text);
        }
    }
}

/* In a block of exactly this length, so that AddressSanitizer sees a byte read behind it. */
static enum err decode_exact(const unsigned char *bytes, size_t len, struct image *ret)
{
    struct image_limits limits = {.bytes = 100000, .pixels = 10000, .side = 200};
    unsigned char *copy = mem_copy(bytes, len);
    enum err err = image_decode(copy, len, &limits, arena, ret, NULL);

    mem_free(copy);
    return err;
}

static void refuses_every_truncation(void **state)
{
    static const enum image_format formats[] = {IMAGE_JPEG, IMAGE_PNG, IMAGE_WEBP_LOSSLESS};

    for (size_t row = 0; row < 6; row++) {
        struct image out;
        arena_reset(arena);
        struct image scene = scene_new(21, 13, arena);
        struct photo photo = row < 3 ? encode(scene, formats[row]) : with_exif(scene, formats[row - 3], 6, 0);
        unsigned char *bytes = mem_copy(photo.bytes, photo.len);
        assert_int_equal(decode_exact(bytes, photo.len, &out), ERR_NONE);
        for (size_t len = 0; len < photo.len; len++) {
            arena_reset(arena);
            enum err err = decode_exact(bytes, len, &out);
            if (err != ERR_FORMAT && !(len < 12 && err == ERR_UNSUPPORTED)) {
                fail_msg("row %zu: %zu of %zu bytes: %s", row, len, photo.len, err_word(err));
            }
        }
        mem_free(bytes);
    }
}

static void survives_every_flipped_bit(void **state)
{
    static const enum image_format formats[] = {IMAGE_JPEG, IMAGE_PNG, IMAGE_WEBP_LOSSLESS};

    for (size_t row = 0; row < 3; row++) {
        arena_reset(arena);
        struct photo photo = with_exif(scene_new(21, 13, arena), formats[row], 6, 1);
        unsigned char *bytes = mem_copy(photo.bytes, photo.len);
        size_t refused = 0;
        for (size_t bit = 0; bit < 8 * photo.len; bit++) {
            struct image out = {0};
            arena_reset(arena);
            bytes[bit / 8] ^= (unsigned char)(1U << bit % 8);
            enum err err = decode_exact(bytes, photo.len, &out);
            bytes[bit / 8] ^= (unsigned char)(1U << bit % 8);
            refused += err != ERR_NONE;
            if (err == ERR_NONE && (out.width < 1 || out.width > 200 || out.height < 1 || out.height > 200)) {
                fail_msg("row %zu, bit %zu: %d x %d pixels", row, bit, out.width, out.height);
            }
            if (err != ERR_NONE && err != ERR_FORMAT && err != ERR_UNSUPPORTED && err != ERR_LIMIT) {
                fail_msg("row %zu, bit %zu: %s", row, bit, err_word(err));
            }
        }
        assert_true(refused > photo.len);
        mem_free(bytes);
    }
}

static void fails_cleanly_at_every_allocation(void **state)
{
    static const enum image_format formats[] = {IMAGE_JPEG, IMAGE_PNG, IMAGE_WEBP_LOSSLESS};

    for (size_t row = 0; row < 3; row++) {
        struct photo photo = with_exif(scene_new(21, 13, arena), formats[row], 8, 0);
        struct image_limits limits = image_limits_default();
        enum err err = ERR_NOMEM;
        for (long n = 0; err != ERR_NONE; n++) {
            size_t blocks = mem_live_blocks();
            struct arena *fresh = arena_new(1 << 20);
            struct image out = {.width = -7};
            struct err_note note = {0};
            mem_fail_at(n);
            err = image_decode(photo.bytes, photo.len, &limits, fresh, &out, &note);
            mem_fail_at(-1);
            if (err != ERR_NONE && (err != ERR_NOMEM || out.width != -7 || note.text[0] == '\0')) {
                fail_msg("row %zu, allocation %ld: %s '%s'", row, n, err_word(err), note.text);
            }
            if (err == ERR_NONE) {
                assert_int_equal(out.width, 13);
                assert_true(n > 3);
            }
            arena_free(fresh);
            assert_int_equal(mem_live_blocks(), blocks);
        }
    }
}

static void stops_at_the_arenas_cap(void **state)
{
    static const enum image_format formats[] = {IMAGE_JPEG, IMAGE_PNG, IMAGE_WEBP_LOSSLESS};

    for (size_t row = 0; row < 3; row++) {
        struct photo photo = with_exif(scene_new(100, 60, arena), formats[row], 5, 0);
        struct image_limits limits = image_limits_default();
        enum err err = ERR_LIMIT;
        size_t cap = 0;
        for (; err != ERR_NONE; cap += 1000) {
            size_t blocks = mem_live_blocks();
            struct arena *small = arena_new(cap);
            struct err_note note = {0};
            struct image out = {.width = -7};
            err = image_decode(photo.bytes, photo.len, &limits, small, &out, &note);
            if (err != ERR_NONE && (err != ERR_LIMIT || out.width != -7 || note.text[0] == '\0')) {
                fail_msg("row %zu, cap %zu: %s '%s'", row, cap, err_word(err), note.text);
            }
            arena_free(small);
            assert_int_equal(mem_live_blocks(), blocks);
        }
        assert_in_range(cap, 2 * 18000, 2 * 18000 + 8000);
    }
}

/* Decodes every file of a folder; returns how many there were, and how many of them were accepted. */
static int decode_folder(const char *folder, int *ret_accepted)
{
    DIR *listing = opendir(folder);
    struct dirent *entry = NULL;
    int count = 0;

    if (listing == NULL) {
        fail_msg("no folder %s: the tests run from the repository's root", folder);
    }
    while ((entry = readdir(listing)) != NULL) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        char path[512];
        unsigned char *bytes = NULL;
        size_t len = 0;
        struct image out;
        struct err_note note = {0};
        (void)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        assert_int_equal(file_read(path, 1 << 20, &bytes, &len, NULL), ERR_NONE);
        enum err err = decode((struct photo){bytes, len}, &out, &note);
        assert_true(err == ERR_NONE || note.text[0] != '\0');
        *ret_accepted += err == ERR_NONE;
        mem_free(bytes);
        count++;
    }
    (void)closedir(listing);
    return count;
}

static void survives_the_crashers_and_reads_the_seeds(void **state)
{
    int accepted = 0;

    assert_true(decode_folder("tests/crashers/image", &accepted) > 0);
    accepted = 0;
    int seeds = decode_folder("tests/fuzz/corpus/image", &accepted);
    assert_true(seeds >= 8);
    assert_int_equal(accepted, seeds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(turns_all_orientations_upright, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(ignores_nonsense_orientations, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(keeps_lossless_pixels_and_nearly_jpegs, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(keeps_to_the_limits_at_their_edges, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(refuses_a_huge_claim_without_memory, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(refuses_other_things, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(refuses_every_truncation, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(survives_every_flipped_bit, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(fails_cleanly_at_every_allocation, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(stops_at_the_arenas_cap, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(survives_the_crashers_and_reads_the_seeds, open_arena, close_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
