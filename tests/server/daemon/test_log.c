/* Log lines are JSON whatever is put into them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "server/daemon/log.h"

static int ends[2];

static int open_sink(void **state)
{
    (void)state;
    assert_int_equal(pipe(ends), 0);
    log_set_file(ends[1]);
    log_set_level("debug");
    return 0;
}

static int close_sink(void **state)
{
    (void)state;
    log_set_file(STDERR_FILENO);
    log_set_level("info");
    (void)close(ends[0]);
    (void)close(ends[1]);
    return 0;
}

static json_t *read_line(void)
{
    char line[8192];
    ssize_t n = read(ends[0], line, sizeof(line) - 1);
    assert_true(n > 0);
    assert_int_equal(line[n - 1], '\n');
    json_t *document = json_loadb(line, (size_t)n, 0, NULL);
    if (document == NULL) {
        line[n] = '\0';
        fail_msg("not JSON: %s", line);
    }
    return document;
}

static void fields_keep_their_types(void **state)
{
    const char *volatile none = NULL; /* so that the compiler does not see it */

    (void)state;
    log_event(LOG_LEVEL_WARN, "test", "text=%s none=%s whole=%d big=%ld size=%zu real=%.3f nan=%f", "a\"\\\n\x01z",
              none, -5, 1L << 40, (size_t)7, 0.5, (double)NAN);
    json_t *line = read_line();
    assert_string_equal(json_string_value(json_object_get(line, "level")), "warn");
    assert_string_equal(json_string_value(json_object_get(line, "event")), "test");
    assert_string_equal(json_string_value(json_object_get(line, "text")), "a\"\\\n\x01z");
    assert_true(json_is_null(json_object_get(line, "none")));
    assert_int_equal(json_integer_value(json_object_get(line, "whole")), -5);
    assert_int_equal(json_integer_value(json_object_get(line, "big")), 1L << 40);
    assert_int_equal(json_integer_value(json_object_get(line, "size")), 7);
    assert_true(json_real_value(json_object_get(line, "real")) == 0.5);
    assert_true(json_is_null(json_object_get(line, "nan")));
    assert_non_null(json_object_get(line, "time"));
    json_decref(line);
}

static void any_bytes_give_a_line_of_json(void **state)
{
    static const char *const rows[] = {"\xff\xfe",           "\xc0\x80",         "\xed\xa0\x80",
                                       "\xf4\x90\x80\x80",   "\xe2\x82",         "\xc3",
                                       "gr\xc3\xbc\xc3\x9f", "\xf0\x9f\x98\x80", "\x7f"};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        log_event(LOG_LEVEL_INFO, "row", "text=%s row=%zu", rows[i], i);
        json_t *line = read_line();
        assert_int_equal(json_integer_value(json_object_get(line, "row")), i);
        json_decref(line);
    }
}

static void a_long_line_loses_fields_not_its_form(void **state)
{
    char text[5000];

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    log_event(LOG_LEVEL_INFO, "long", "first=%d text=%s last=%d", 1, text, 2);
    json_t *line = read_line();
    assert_int_equal(json_integer_value(json_object_get(line, "first")), 1);
    assert_null(json_object_get(line, "text"));
    json_decref(line);
}

static void levels_below_are_dropped(void **state)
{
    (void)state;
    log_set_level("warn");
    log_event(LOG_LEVEL_INFO, "dropped", "n=%d", 1);
    log_event(LOG_LEVEL_ERROR, "kept", "n=%d", 2);
    json_t *line = read_line();
    assert_string_equal(json_string_value(json_object_get(line, "event")), "kept");
    json_decref(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(fields_keep_their_types, open_sink, close_sink),
        cmocka_unit_test_setup_teardown(any_bytes_give_a_line_of_json, open_sink, close_sink),
        cmocka_unit_test_setup_teardown(a_long_line_loses_fields_not_its_form, open_sink, close_sink),
        cmocka_unit_test_setup_teardown(levels_below_are_dropped, open_sink, close_sink),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
