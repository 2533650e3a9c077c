/* test_decode_webp.c: lossy, lossless and transparent WebP; animated and cut ones are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <webp/encode.h>

#include "core/base/mem.h"
#include "core/image/decode.h"
#include "tests/core/image/photos.h"

#define W 20
#define H 14

static size_t blocks_before;
static struct arena *arena;

static int open_arena(void **state)
{
    blocks_before = mem_live_blocks();
    arena = arena_new((size_t)16 << 20);
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
    unsigned char *exact = mem_copy(photo.bytes, photo.len); /* AddressSanitizer sees a byte read behind it */
    enum err err = image_decode(exact, photo.len, &limits, arena, ret, note);
    mem_free(exact);
    return err;
}

/* A scene with one alpha value everywhere. */
static struct photo scene_webp(int alpha, int lossless)
{
    struct image scene = scene_new(W, H, arena);
    uint8_t rgba[4 * W * H];
    uint8_t *bytes = NULL;
    struct photo photo = {0};

    for (int i = 0; i < W * H; i++) {
        memcpy(rgba + 4 * i, scene.rgb + 3 * i, 3);
        rgba[4 * i + 3] = (uint8_t)alpha;
    }
    size_t len =
        lossless ? WebPEncodeLosslessRGBA(rgba, W, H, 4 * W, &bytes) : WebPEncodeRGBA(rgba, W, H, 4 * W, 95, &bytes);
    assert_true(len > 0);
    photo = photo_insert(photo, 0, bytes, len, arena);
    WebPFree(bytes);
    return photo;
}

static void blends_alpha_over_black(void **state)
{
    static const struct {
        int alpha;
        int lossless;
        int tolerance;
    } rows[] = {{255, 1, 0}, {255, 0, 24}, {51, 1, 1}, {51, 0, 6}, {0, 1, 0}, {0, 0, 0}};

    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        struct image scene = scene_new(W, H, arena);
        struct image out = {0};
        struct err_note note = {0};
        if (decode(scene_webp(rows[row].alpha, rows[row].lossless), &out, &note) != ERR_NONE) {
            fail_msg("row %zu: %s", row, note.text);
        }
        assert_int_equal(out.width, W);
        assert_int_equal(out.height, H);
        for (int i = 0; i < 3 * W * H; i++) {
            int wanted = scene.rgb[i] * rows[row].alpha / 255;
            if (abs(out.rgb[i] - wanted) > rows[row].tolerance) {
                fail_msg("row %zu: value %d is %d, not %d", row, i, out.rgb[i], wanted);
            }
        }
    }
}

static void refuses_animations_in_words(void **state)
{
    struct photo photo = webp_extended(scene_webp(255, 1), W, H, 0x02, "", 0, arena);
    struct image out;
    struct err_note note = {0};

    assert_int_equal(decode(photo, &out, &note), ERR_UNSUPPORTED);
    assert_non_null(strstr(note.text, "animated"));
}

static void refuses_every_truncation_of_lossy_ones(void **state)
{
    for (int alpha = 51; alpha <= 255; alpha += 204) {
        struct photo whole = scene_webp(alpha, 0);
        for (size_t len = 12; len < whole.len; len++) {
            struct image out;
            struct photo cut = {whole.bytes, len};
            if (decode(cut, &out, NULL) != ERR_FORMAT) {
                fail_msg("alpha %d: %zu of %zu bytes decoded", alpha, len, whole.len);
            }
        }
    }
}

static void ignores_what_follows_the_container(void **state)
{
    struct photo photo = scene_webp(255, 1);
    struct image out = {0};

    assert_int_equal(decode(photo_insert(photo, photo.len, "tail", 4, arena), &out, NULL), ERR_NONE);
    assert_int_equal(out.width, W);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(blends_alpha_over_black, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(refuses_animations_in_words, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(refuses_every_truncation_of_lossy_ones, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(ignores_what_follows_the_container, open_arena, close_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
