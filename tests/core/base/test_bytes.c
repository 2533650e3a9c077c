/* test_bytes.c: readers step in order, never past the end, and stay failed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "core/base/bytes.h"

static void reads_little_endian_numbers_in_order(void **state)
{
    const unsigned char data[] = {0xFE, 0x01, 0x80, 0x04, 0x03, 0x02, 0xF1, 1, 2, 3, 4, 5, 6, 7, 0x88, 'x'};
    struct bytes bytes = bytes_over(data, sizeof data);

    assert_int_equal(bytes_u8(&bytes), 0xFE);
    assert_int_equal(bytes_u16le(&bytes), 0x8001);
    assert_int_equal(bytes_u32le(&bytes), 0xF1020304);
    assert_true(bytes_u64le(&bytes) == UINT64_C(0x8807060504030201));
    assert_int_equal(bytes.left, 1);
    assert_memory_equal(bytes_take(&bytes, 1), "x", 1);
    assert_non_null(bytes_take(&bytes, 0));
    assert_false(bytes_failed(&bytes));
}

static void fails_once_and_for_all(void **state)
{
    const unsigned char data[16] = {1, 1, 1};

    for (size_t len = 0; len < 8; len++) {
        struct bytes bytes = bytes_over(data, len);
        assert_true(bytes_u64le(&bytes) == 0 || len >= 4);
        assert_true(bytes_failed(&bytes));
        assert_int_equal(bytes.left, 0);
        assert_int_equal(bytes_u8(&bytes), 0);
        assert_null(bytes_take(&bytes, 0));
    }
    struct bytes bytes = bytes_over(data, 3);
    assert_null(bytes_take(&bytes, SIZE_MAX));
    assert_int_equal(bytes_u16le(&bytes), 0);
    assert_int_equal(bytes_u32le(&bytes), 0);
    assert_true(bytes_varint(&bytes) == 0);
}

static void reads_varints(void **state)
{
    static const struct {
        const char *data;
        size_t len;
        uint64_t value;
        bool failed;
    } rows[] = {
        {"\x00", 1, 0, false},
        {"\x7F", 1, 127, false},
        {"\x80\x01", 2, 128, false},
        {"\xAC\x02", 2, 300, false},
        {"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 10, UINT64_MAX, false},
        {"\x80", 1, 0, true},
        {"\xFF\xFF", 2, 0, true},
        {"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11, 0, true},
        {"", 0, 0, true},
    };

    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        struct bytes bytes = bytes_over(rows[row].data, rows[row].len);
        uint64_t value = bytes_varint(&bytes);
        if (value != rows[row].value || bytes_failed(&bytes) != rows[row].failed) {
            fail_msg("row %zu: %llu", row, (unsigned long long)value);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_little_endian_numbers_in_order),
        cmocka_unit_test(fails_once_and_for_all),
        cmocka_unit_test(reads_varints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
