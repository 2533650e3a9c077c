/* test_clock.c: clocks go forward, and times are written as RFC 3339. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "core/base/clock.h"

static void never_goes_back(void **state)
{
    int64_t last = clock_monotonic_ns();
    int64_t last_cpu = clock_thread_cpu_ns();

    for (int i = 0; i < 1000; i++) {
        int64_t now = clock_monotonic_ns();
        int64_t now_cpu = clock_thread_cpu_ns();
        assert_true(now >= last && now_cpu >= last_cpu);
        last = now;
        last_cpu = now_cpu;
    }
    assert_true(clock_unix_ms() > INT64_C(1600000000000));
}

static void writes_times(void **state)
{
    static const struct {
        int64_t unix_ms;
        const char *text;
    } rows[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {1, "1970-01-01T00:00:00.001Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {-1000, "1969-12-31T23:59:59.000Z"},
        {INT64_C(1769862896789), "2026-01-31T12:34:56.789Z"},
        {INT64_C(951782399999), "2000-02-28T23:59:59.999Z"},
        {INT64_C(951782400000), "2000-02-29T00:00:00.000Z"},
    };

    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        char text[CLOCK_TEXT_BYTES];
        clock_text(rows[row].unix_ms, text);
        if (strcmp(text, rows[row].text) != 0) {
            fail_msg("row %zu: %s", row, text);
        }
    }
    char text[CLOCK_TEXT_BYTES];
    clock_text(INT64_MAX, text); /* beyond any calendar; it only must stay inside its buffer */
    clock_text(INT64_MIN + 1000, text);
    assert_true(strlen(text) < sizeof text);
}

static void reads_times(void **state)
{
    static const struct {
        const char *text;
        int64_t unix_ms; /* -1: refused */
    } rows[] = {
        {"1970-01-01T00:00:00.000Z", 0},
        {"2026-01-31T12:34:56.789Z", INT64_C(1769862896789)},
        {"2026-01-31t12:34:56.789z", INT64_C(1769862896789)},
        {"2026-01-31 12:34:56Z", INT64_C(1769862896000)},
        {"2026-01-31T12:34:56", INT64_C(1769862896000)},
        {"2026-01-31T12:34:56.5Z", INT64_C(1769862896500)},
        {"2026-01-31T12:34:56.789123+00:00", INT64_C(1769862896789)}, /* Python's isoformat */
        {"2026-01-31T12:34:56.78912345678901234567890Z", INT64_C(1769862896789)},
        {"2026-01-31T14:34:56+02:00", INT64_C(1769862896000)},
        {"2026-01-31T07:04:56-05:30", INT64_C(1769862896000)},
        {"2000-02-29T00:00:00Z", INT64_C(951782400000)},
        {"9999-12-31T23:59:59Z", INT64_C(253402300799000)},
        {"2016-12-31T23:59:60Z", INT64_C(1483228800000)}, /* a leap second is the next one */
        {"", -1},
        {"yesterday", -1},
        {"2026-01-31", -1},
        {"2026-01-31T12:34", -1},
        {"2026-1-31T12:34:56Z", -1},
        {"2026-02-30T00:00:00Z", -1},
        {"1900-02-29T00:00:00Z", -1},
        {"2026-13-01T00:00:00Z", -1},
        {"2026-01-31T24:00:00Z", -1},
        {"2026-01-31T12:60:00Z", -1},
        {"2026-01-31T12:34:61Z", -1},
        {"2026-01-31T12:34:56.Z", -1},
        {"2026-01-31T12:34:56+2", -1},
        {"2026-01-31T12:34:56+24:00", -1},
        {"2026-01-31T12:34:56Zulu", -1},
        {"1969-12-31T23:59:59Z", -1},
        {"+026-01-31T12:34:56Z", -1},
    };

    (void)state;
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        int64_t ms = -1;
        bool read = clock_read(rows[row].text, &ms);
        if (read != (rows[row].unix_ms >= 0) || ms != rows[row].unix_ms) {
            fail_msg("row %zu: %s, %lld", row, rows[row].text, (long long)ms);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(never_goes_back),
        cmocka_unit_test(writes_times),
        cmocka_unit_test(reads_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
