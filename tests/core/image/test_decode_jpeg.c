/* test_decode_jpeg.c: the kinds of JPEG: channels, inks, scans, and those that are refused in words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <turbojpeg.h>

#include "core/base/mem.h"
#include "core/image/decode.h"
#include "tests/core/image/photos.h"

#define SIDE 24

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

/* A JPEG of one colour, given in the channels of the pixel format. */
static struct photo plain_jpeg(int format, const uint8_t *colour, int sampling, int flags)
{
    unsigned char pixels[4 * SIDE * SIDE];
    unsigned char *jpeg = NULL;
    unsigned long bytes = 0;
    int channels = tjPixelSize[format];
    tjhandle turbo = tjInitCompress();
    struct photo photo = {0};

    for (int i = 0; i < channels * SIDE * SIDE; i++) {
        pixels[i] = colour[i % channels];
    }
    assert_int_equal(tjCompress2(turbo, pixels, SIDE, 0, SIDE, format, &jpeg, &bytes, sampling, 98, flags), 0);
    photo = photo_insert(photo, 0, jpeg, bytes, arena);
    tjFree(jpeg);
    assert_int_equal(tjDestroy(turbo), 0);
    return photo;
}

/* The n-th marker of this code, or NULL. */
static unsigned char *find_marker(struct photo photo, unsigned char code, int n)
{
    for (size_t i = 0; i + 1 < photo.len; i++) {
        if (photo.bytes[i] == 0xFF && photo.bytes[i + 1] == code && n-- == 0) {
            return photo.bytes + i;
        }
    }
    return NULL;
}

static enum err decode(struct photo photo, struct image *ret, struct err_note *note)
{
    struct image_limits limits = image_limits_default();
    return image_decode(photo.bytes, photo.len, &limits, arena, ret, note);
}

static void assert_colour(struct photo photo, int red, int green, int blue, size_t row)
{
    const int wanted[3] = {red, green, blue};
    struct image out;
    struct err_note note = {0};

    if (decode(photo, &out, &note) != ERR_NONE) {
        fail_msg("row %zu: %s", row, note.text);
    }
    assert_int_equal(out.width, SIDE);
    assert_int_equal(out.height, SIDE);
    for (int i = 0; i < 3 * SIDE * SIDE; i++) {
        if (abs(out.rgb[i] - wanted[i % 3]) > 4) {
            fail_msg("row %zu: value %d is %d, not %d", row, i, out.rgb[i], wanted[i % 3]);
        }
    }
}

static void reads_grey_and_colour_in_every_sampling(void **state)
{
    static const uint8_t colour[] = {200, 90, 30};
    static const int samplings[] = {TJSAMP_444, TJSAMP_422, TJSAMP_420, TJSAMP_440, TJSAMP_411};

    for (size_t row = 0; row < 10; row++) {
        int flags = row < 5 ? 0 : TJFLAG_PROGRESSIVE;
        assert_colour(plain_jpeg(TJPF_RGB, colour, samplings[row % 5], flags), 200, 90, 30, row);
    }
    assert_colour(plain_jpeg(TJPF_GRAY, colour, TJSAMP_GRAY, 0), 200, 200, 200, 10);
    assert_colour(plain_jpeg(TJPF_GRAY, colour, TJSAMP_GRAY, TJFLAG_PROGRESSIVE), 200, 200, 200, 11);
}

/* Adobe's inks are inverted: 255 is paper.  The library writes the four channels as they are given, as YCCK. */
static void converts_four_inks(void **state)
{
    static const uint8_t rows[][4] = {
        {255, 255, 255, 255}, {255, 255, 255, 0}, {200, 100, 50, 255}, {200, 100, 50, 128}, {0, 255, 0, 255}};

    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        const uint8_t *ink = rows[row];
        struct photo photo = plain_jpeg(TJPF_CMYK, ink, TJSAMP_444, row % 2 ? TJFLAG_PROGRESSIVE : 0);
        assert_colour(photo, ink[0] * ink[3] / 255, ink[1] * ink[3] / 255, ink[2] * ink[3] / 255, row);
    }
}

/* The same bytes under other markers: luma 55 and colour differences 128, now taken for inks. */
static void tells_cmyk_and_inverted_inks_by_the_adobe_marker(void **state)
{
    static const uint8_t ink[] = {200, 200, 200, 180};
    struct photo photo = plain_jpeg(TJPF_CMYK, ink, TJSAMP_444, 0);
    unsigned char *adobe = find_marker(photo, 0xEE, 0);

    assert_non_null(adobe);
    assert_int_equal(adobe[15], 2); /* YCCK */
    adobe[15] = 0;                  /* CMYK */
    assert_colour(photo, 55 * 180 / 255, 128 * 180 / 255, 128 * 180 / 255, 0);
    adobe[1] = 0xED; /* some other program's segment: inks are not inverted */
    assert_colour(photo, (255 - 55) * (255 - 180) / 255, 127 * (255 - 180) / 255, 127 * (255 - 180) / 255, 1);
}

static void refuses_kinds_in_words(void **state)
{
    static const uint8_t grey[] = {90, 90, 90};
    static const struct {
        int offset; /* from the frame header's marker */
        unsigned char value;
        enum err err;
        const char *words;
    } rows[] = {
        {1, 0xC9, ERR_UNSUPPORTED, "arithmetic"}, {1, 0xCA, ERR_UNSUPPORTED, "arithmetic"},
        {1, 0xC3, ERR_UNSUPPORTED, "lossless"},   {1, 0xC5, ERR_UNSUPPORTED, "hierarchical"},
        {4, 12, ERR_UNSUPPORTED, "12 bits"},      {9, 2, ERR_UNSUPPORTED, "2 colour components"},
        {9, 0, ERR_UNSUPPORTED, "0 colour"},      {5, 0xFF, ERR_LIMIT, "a side"},
        {1, 0xE5, ERR_FORMAT, "no picture"},      {3, 4, ERR_FORMAT, ""},
    };

    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        struct photo photo = plain_jpeg(TJPF_RGB, grey, TJSAMP_444, 0);
        unsigned char *frame = find_marker(photo, 0xC0, 0);
        struct err_note note = {0};
        struct image out;
        assert_non_null(frame);
        frame[rows[row].offset] = rows[row].value;
        enum err err = decode(photo, &out, &note);
        if (err != rows[row].err || strstr(note.text, rows[row].words) == NULL) {
            fail_msg("row %zu: %s '%s'", row, err_word(err), note.text);
        }
    }
}

/* A scan of few bytes costs a pass over the whole picture. */
static void limits_the_scans(void **state)
{
    static const uint8_t colour[] = {200, 90, 30};
    struct photo photo = plain_jpeg(TJPF_RGB, colour, TJSAMP_444, TJFLAG_PROGRESSIVE);
    struct err_note note = {0};
    struct image out;

    unsigned char *end = photo.bytes + photo.len - 2;
    unsigned char *last = NULL;
    for (int n = 0; find_marker(photo, 0xDA, n) != NULL; n++) {
        last = find_marker(photo, 0xDA, n);
    }
    assert_non_null(last);
    size_t scan_bytes = (size_t)(end - last);
    unsigned char *scan = mem_copy(last, scan_bytes);
    for (int i = 0; i < 40; i++) {
        photo = photo_insert(photo, photo.len - 2, scan, scan_bytes, arena);
    }
    mem_free(scan);
    assert_int_equal(decode(photo, &out, &note), ERR_LIMIT);
    assert_non_null(strstr(note.text, "scans"));
}

/* Behind the end other programs store further pictures and films; in front of it nothing may be missing. */
static void ignores_what_follows_the_end(void **state)
{
    static const uint8_t colour[] = {200, 90, 30};
    struct photo photo = plain_jpeg(TJPF_RGB, colour, TJSAMP_420, 0);

    assert_colour(photo_insert(photo, photo.len, "a film", 6, arena), 200, 90, 30, 0);
}

/* With the end mark moved forward only the decoder itself can notice.  Not so for progressive ones: scans are optional. */
static void refuses_a_missing_middle(void **state)
{
    static const uint8_t colour[] = {200, 90, 30};
    struct photo photo = plain_jpeg(TJPF_RGB, colour, TJSAMP_444, 0);
    unsigned char *scan = find_marker(photo, 0xDA, 0);
    size_t first = (size_t)(scan - photo.bytes) + 2 + scan[3]; /* behind the scan's header */

    for (size_t place = first; place + 2 < photo.len; place++) {
        struct photo shorter = photo_insert(photo, 0, "", 0, arena);
        struct image out;
        memcpy(shorter.bytes + place, shorter.bytes + shorter.len - 2, 2);
        shorter.len = place + 2;
        if (decode(shorter, &out, NULL) != ERR_FORMAT) {
            fail_msg("cut at %zu of %zu: decoded", place, photo.len);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_grey_and_colour_in_every_sampling, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(converts_four_inks, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(tells_cmyk_and_inverted_inks_by_the_adobe_marker, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(refuses_kinds_in_words, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(limits_the_scans, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(ignores_what_follows_the_end, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(refuses_a_missing_middle, open_arena, close_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
