/* test_utf8.c: what is a character, what is a text, and that mending leaves a text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "core/base/utf8.h"

static void rows_have_their_length(void **state)
{
    static const struct {
        const char *bytes;
        size_t n_bytes, length;
    } rows[] = {
        {"", 0, 0},
        {"\0", 1, 1},
        {"a", 1, 1},
        {"\x7F", 1, 1},
        {"\x80", 1, 0},             /* continuation alone */
        {"\xC1\xBF", 2, 0},         /* overlong */
        {"\xC2\x80", 2, 2},         /* U+0080 */
        {"\xC2", 1, 0},             /* cut */
        {"\xC2\x41", 2, 0},         /* no continuation */
        {"\xDF\xBF", 2, 2},         /* U+07FF */
        {"\xE0\x9F\xBF", 3, 0},     /* overlong */
        {"\xE0\xA0\x80", 3, 3},     /* U+0800 */
        {"\xE2\x82\xAC", 2, 0},     /* cut */
        {"\xED\x9F\xBF", 3, 3},     /* U+D7FF */
        {"\xED\xA0\x80", 3, 0},     /* surrogate */
        {"\xEF\xBF\xBF", 3, 3},     /* U+FFFF */
        {"\xF0\x8F\xBF\xBF", 4, 0}, /* overlong */
        {"\xF0\x90\x80\x80", 4, 4}, /* U+10000 */
        {"\xF4\x8F\xBF\xBF", 4, 4}, /* U+10FFFF */
        {"\xF4\x90\x80\x80", 4, 0}, /* beyond */
        {"\xF5\x80\x80\x80", 4, 0},
        {"\xFF", 1, 0},
    };

    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        size_t length = utf8_character(rows[row].bytes, rows[row].n_bytes);
        if (length != rows[row].length) {
            fail_msg("row %zu: %zu bytes", row, length);
        }
    }
}

static void texts_hold_no_zero(void **state)
{
    assert_true(utf8_is_text("", 0));
    assert_true(utf8_is_text("a\xC3\xA4\xE2\x82\xAC", 6));
    assert_false(utf8_is_text("a\0b", 3));
    assert_false(utf8_is_text("a\xE2\x82", 3));
}

static void mends_byte_by_byte(void **state)
{
    static const struct {
        const char *from, *to;
    } rows[] = {
        {"", ""},
        {"plain \xC3\xA4", "plain \xC3\xA4"},
        {"cut \xE2\x82' on", "cut \?\?' on"},
        {"\xE9t\xE9", "?t?"}, /* Latin-1 */
        {"\xF0\x9F\x98", "\?\?\?"},
        {"\xFF\xC3\xA4", "?\xC3\xA4"},
    };

    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        char text[32];
        (void)strcpy(text, rows[row].from);
        utf8_mend(text);
        if (strcmp(text, rows[row].to) != 0) {
            fail_msg("row %zu: %s", row, text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_have_their_length),
        cmocka_unit_test(texts_hold_no_zero),
        cmocka_unit_test(mends_byte_by_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
