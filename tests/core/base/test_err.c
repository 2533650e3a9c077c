/* test_err.c: notes are written once, cut between characters, prefixed, and every code has its own word. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "core/base/err.h"

static void writes_once_and_returns_the_code(void **state)
{
    struct err_note note = {0};

    assert_int_equal(ERR_SAY(&note, ERR_FORMAT, "node %d '%s'", 42, "Conv"), ERR_FORMAT);
    assert_string_equal(note.text, "node 42 'Conv'");
    assert_non_null(strstr(note.file, "test_err.c"));
    assert_true(note.line > 0);
    assert_int_equal(ERR_SAY(&note, ERR_IO, "later"), ERR_IO);
    assert_string_equal(note.text, "node 42 'Conv'");
    assert_int_equal(ERR_SAY(NULL, ERR_LIMIT, "nobody listens"), ERR_LIMIT);
}

static void cuts_between_characters(void **state)
{
    static const char *characters[] = {"\xC3\xA4", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};

    for (size_t row = 0; row < sizeof characters / sizeof *characters; row++) {
        size_t bytes = strlen(characters[row]);
        for (size_t front = 255 - 2 * bytes; front <= 255; front++) {
            struct err_note note = {0};
            char filler[256] = {0};
            memset(filler, 'x', front);
            (void)ERR_SAY(&note, ERR_IO, "%s%s%s", filler, characters[row], characters[row]);
            size_t whole = (255 - front) / bytes > 2 ? 2 : (255 - front) / bytes;
            if (strlen(note.text) != front + whole * bytes) {
                fail_msg("row %zu, front %zu: %zu bytes are left", row, front, strlen(note.text));
            }
        }
    }
}

static void is_utf8_whatever_the_names_are(void **state)
{
    static const struct {
        const char *name, *text;
    } rows[] = {
        {"ab\xC3\xA4", "no node 'ab?'"}, /* cut by the precision */
        {"\xE9t\xE9", "no node '?t?'"},  /* Latin-1 */
        {"\xC3\xA4x", "no node '\xC3\xA4x'"},
    };

    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        struct err_note note = {0};
        (void)ERR_SAY(&note, ERR_FORMAT, "no node '%.3s'", rows[row].name);
        if (strcmp(note.text, rows[row].text) != 0) {
            fail_msg("row %zu: %s", row, note.text);
        }
        err_prefix(&note, "%.1s: ", "\xC3\xA4");
        assert_int_equal(note.text[0], '?');
    }
}

static void prefixes_what_is_written(void **state)
{
    struct err_note note = {0};
    char filler[300];

    err_prefix(&note, "file %d: ", 7);
    assert_string_equal(note.text, "");
    err_prefix(NULL, "nothing");
    (void)ERR_SAY(&note, ERR_IO, "broken");
    err_prefix(&note, "file %d: ", 7);
    assert_string_equal(note.text, "file 7: broken");
    memset(filler, 'y', sizeof filler - 1);
    filler[sizeof filler - 1] = '\0';
    err_prefix(&note, "%s", filler);
    assert_int_equal(strlen(note.text), 255);
}

static void names_every_code(void **state)
{
    for (int a = ERR_NONE; a <= ERR_FOREIGN; a++) {
        assert_string_not_equal(err_word((enum err)a), "unknown");
        for (int b = ERR_NONE; b < a; b++) {
            assert_string_not_equal(err_word((enum err)a), err_word((enum err)b));
        }
    }
    assert_string_equal(err_word(ERR_NOT_FOUND), "not_found");
    assert_string_equal(err_word((enum err)999), "unknown");
}

static void maps_the_systems_numbers(void **state)
{
    static const struct {
        int number;
        enum err code;
    } rows[] = {{ENOENT, ERR_NOT_FOUND}, {ENOTDIR, ERR_NOT_FOUND}, {EEXIST, ERR_EXISTS}, {ENOSPC, ERR_NO_SPACE},
                {EDQUOT, ERR_NO_SPACE},  {ENOMEM, ERR_NOMEM},      {EACCES, ERR_DENIED}, {EROFS, ERR_DENIED},
                {EIO, ERR_IO},           {EISDIR, ERR_IO}};

    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        if (err_from_errno(rows[row].number) != rows[row].code) {
            fail_msg("row %zu: %s", row, err_word(err_from_errno(rows[row].number)));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_once_and_returns_the_code), cmocka_unit_test(cuts_between_characters),
        cmocka_unit_test(prefixes_what_is_written),         cmocka_unit_test(names_every_code),
        cmocka_unit_test(maps_the_systems_numbers),         cmocka_unit_test(is_utf8_whatever_the_names_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
