/* test_encode.c: what is written is what it is called, fits the arena, and misuse is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "core/base/mem.h"
#include "core/image/encode.h"
#include "tests/core/image/photos.h"

static const enum image_format formats[] = {IMAGE_JPEG, IMAGE_PNG, IMAGE_WEBP_LOSSLESS};

static void writes_the_format_it_is_asked_for(void **state)
{
    size_t blocks = mem_live_blocks();
    struct arena *arena = arena_new((size_t)8 << 20);
    struct image scene = scene_new(112, 112, arena);
    struct photo best = {0};
    struct photo worst = {0};

    for (size_t row = 0; row < 3; row++) {
        struct photo photo = {0};
        assert_int_equal(image_encode(&scene, formats[row], 90, arena, &photo.bytes, &photo.len), ERR_NONE);
        static const char *const magic[] = {"\xFF\xD8\xFF", "\x89PNG", "RIFF"};
        assert_memory_equal(photo.bytes, magic[row], strlen(magic[row]));
    }
    assert_int_equal(image_encode(&scene, IMAGE_JPEG, 100, arena, &best.bytes, &best.len), ERR_NONE);
    assert_int_equal(image_encode(&scene, IMAGE_JPEG, 1, arena, &worst.bytes, &worst.len), ERR_NONE);
    assert_true(worst.len < best.len);
    assert_string_equal(image_format_mime(IMAGE_JPEG), "image/jpeg");
    assert_string_equal(image_format_mime(IMAGE_PNG), "image/png");
    assert_string_equal(image_format_mime(IMAGE_WEBP_LOSSLESS), "image/webp");
    arena_free(arena);
    assert_int_equal(mem_live_blocks(), blocks);
}

static void refuses_misuse(void **state)
{
    struct arena *arena = arena_new((size_t)1 << 20);
    struct image scene = scene_new(4, 4, arena);
    struct image empty = {0};
    struct photo photo = {0};

    assert_int_equal(image_encode(&scene, IMAGE_JPEG, 0, arena, &photo.bytes, &photo.len), ERR_MISUSE);
    assert_int_equal(image_encode(&scene, IMAGE_JPEG, 101, arena, &photo.bytes, &photo.len), ERR_MISUSE);
    assert_int_equal(image_encode(&empty, IMAGE_PNG, 90, arena, &photo.bytes, &photo.len), ERR_MISUSE);
    assert_int_equal(image_encode(&scene, (enum image_format)9, 90, arena, &photo.bytes, &photo.len), ERR_MISUSE);
    assert_null(photo.bytes);
    arena_free(arena);
}

static void stops_at_the_arenas_cap_and_when_memory_fails(void **state)
{
    size_t blocks = mem_live_blocks();
    struct arena *pixels = arena_new((size_t)1 << 20);
    struct image scene = scene_new(112, 112, pixels);

    for (size_t row = 0; row < 3; row++) {
        struct photo photo = {0};
        struct arena *small = arena_new(64);
        assert_int_equal(image_encode(&scene, formats[row], 90, small, &photo.bytes, &photo.len), ERR_LIMIT);
        arena_free(small);
        enum err err = ERR_NOMEM;
        for (long n = 0; err != ERR_NONE; n++) {
            struct arena *arena = arena_new((size_t)1 << 20);
            assert_null(photo.bytes);
            mem_fail_at(n);
            err = image_encode(&scene, formats[row], 90, arena, &photo.bytes, &photo.len);
            mem_fail_at(-1);
            if (err != ERR_NOMEM && (err != ERR_NONE || n == 0)) {
                fail_msg("row %zu, allocation %ld: %s", row, n, err_word(err));
            }
            arena_free(arena);
        }
    }
    arena_free(pixels);
    assert_int_equal(mem_live_blocks(), blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_the_format_it_is_asked_for),
        cmocka_unit_test(refuses_misuse),
        cmocka_unit_test(stops_at_the_arenas_cap_and_when_memory_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
