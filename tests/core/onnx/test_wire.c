/* test_wire.c: records from untrusted bytes: every type of field, packed or not, and every way to be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/onnx/wire.h"
#include "tests/support/onnx_build_support.h"

static void reads_every_type_of_field(void **state)
{
    struct out out = {0};
    struct out inner = {0};

    out_int(&out, 1, -5);
    out_float(&out, 2, 0.5F);
    out_text(&out, 3, "text");
    out_raw(&out, "\x21\1\0\0\0\0\0\0\x80", 9); /* field 4, eight bytes */
    out_int(&inner, 7, 9);
    out_record(&out, 100000, &inner);

    struct wire wire = wire_over(out.bytes, out.len);
    struct wire_field field;
    assert_true(wire_next(&wire, &field));
    assert_int_equal(wire_int(&wire, &field), -5);
    assert_true(wire_next(&wire, &field));
    assert_true(wire_float(&wire, &field) == 0.5F);
    assert_true(wire_next(&wire, &field));
    struct bytes text = wire_bytes(&wire, &field);
    assert_int_equal(text.left, 4);
    assert_memory_equal(text.at, "text", 4);
    assert_true(wire_next(&wire, &field));
    assert_int_equal(field.number, 4);
    assert_true(field.number_value == 0x8000000000000001U);
    assert_true(wire_next(&wire, &field));
    assert_int_equal(field.number, 100000);
    struct wire child = wire_enter(&wire, &field);
    assert_true(wire_next(&child, &field));
    assert_int_equal(wire_int(&child, &field), 9);
    assert_false(wire_next(&child, &field));
    assert_false(wire_failed(&child));
    assert_false(wire_next(&wire, &field));
    assert_false(wire_failed(&wire));
    out_free(&out);
}

static void wrong_bytes_fail_for_good(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } rows[] = {
        {"\x08", 1},                                              /* a varint without its value */
        {"\x08\xff", 2},                                          /* ... that goes on */
        {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12}, /* ... of eleven bytes */
        {"\x09\1\2\3\4\5\6\7", 8},                                /* seven of eight bytes */
        {"\x0d\1\2\3", 4},                                        /* three of four bytes */
        {"\x0a\5text", 6},                                        /* a length beyond the end */
        {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11},     /* ... of 2^64 - 1 */
        {"\x0a", 1},                                              /* no length */
        {"\x0b", 1},                                              /* a group begins */
        {"\x0c", 1},                                              /* a group ends */
        {"\x0e", 1},                                              /* no such types */
        {"\x0f", 1},
        {"\0\0", 2},                         /* field number 0 */
        {"\x80\x80\x80\x80\x80\x80\1\0", 8}, /* a field number beyond 32 bits */
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unsigned char *copy = mem_copy(rows[i].bytes, rows[i].len);
        struct wire wire = wire_over(copy, rows[i].len);
        struct wire_field field;
        if (wire_next(&wire, &field) || !wire_failed(&wire) || wire_next(&wire, &field)) {
            fail_msg("row %zu", i);
        }
        mem_free(copy);
    }
}

static void another_type_fails_the_reader(void **state)
{
    const unsigned char number[] = {0x08, 0x05};
    struct wire_field field;

    for (int row = 0; row < 5; row++) {
        struct wire wire = wire_over(number, sizeof number);
        float f = 7;
        assert_true(wire_next(&wire, &field));
        switch (row) {
        case 0: f = wire_float(&wire, &field); break;
        case 1: f = (float)wire_bytes(&wire, &field).left; break;
        case 2: f = (float)wire_count_floats(&wire, &field); break;
        case 3: f = (float)wire_count_doubles(&wire, &field); break;
        default: {
            struct wire child = wire_enter(&wire, &field);
            assert_true(wire_failed(&child));
            f = 0;
        }
        }
        assert_true(f == 0);
        assert_true(wire_failed(&wire));
    }
}

static void depth_is_limited(void **state)
{
    struct wire wire = wire_over("", 0);
    struct wire_field field = {
        .number = 1, .type = WIRE_BYTES, .content = {.at = (const unsigned char *)"\x0a", .left = 1}};

    for (int depth = 1; depth <= WIRE_MAX_DEPTH; depth++) {
        wire = wire_enter(&wire, &field);
        assert_false(wire_failed(&wire));
    }
    struct wire beyond = wire_enter(&wire, &field);
    assert_true(wire_failed(&beyond));
    assert_true(wire_failed(&wire));
}

static void repeated_numbers_come_packed_or_alone(void **state)
{
    struct out packed = {0};
    struct wire_field field = {.number = 1, .type = WIRE_BYTES};
    struct wire wire = wire_over("", 0);
    int64_t ints[3];
    float floats[2];
    double doubles[1];

    out_varint(&packed, 1);
    out_varint(&packed, 300);
    out_varint(&packed, (uint64_t)-1);
    field.content = bytes_over(packed.bytes, packed.len);
    assert_int_equal(wire_count_ints(&wire, &field), 3);
    assert_int_equal(wire_take_ints(&wire, &field, ints, 3), 3);
    assert_true(ints[0] == 1 && ints[1] == 300 && ints[2] == -1);
    ints[1] = 5;
    assert_int_equal(wire_take_ints(&wire, &field, ints, 1), 1); /* never more than there is room for */
    assert_int_equal(ints[1], 5);
    field.content.left--; /* the last varint goes on beyond the end */
    assert_int_equal(wire_count_ints(&wire, &field), 0);
    assert_true(wire_failed(&wire));

    wire = wire_over("", 0);
    field.content = bytes_over("\0\0\x80\x3f\0\0\0\x40", 8);
    assert_int_equal(wire_take_floats(&wire, &field, floats, 2), 2);
    assert_true(floats[0] == 1 && floats[1] == 2);
    field.content = bytes_over("\0\0\0\0\0\0\xf0\x3f", 8);
    assert_int_equal(wire_take_doubles(&wire, &field, doubles, 1), 1);
    assert_true(doubles[0] == 1);
    field.content.left = 7;
    assert_int_equal(wire_count_doubles(&wire, &field), 0);
    assert_true(wire_failed(&wire));

    wire = wire_over("", 0);
    struct wire_field alone = {.number = 1, .type = WIRE_VARINT, .number_value = 42};
    assert_int_equal(wire_take_ints(&wire, &alone, ints, 3), 1);
    assert_int_equal(ints[0], 42);
    assert_false(wire_failed(&wire));
    out_free(&packed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_type_of_field),
        cmocka_unit_test(wrong_bytes_fail_for_good),
        cmocka_unit_test(another_type_fails_the_reader),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(repeated_numbers_come_packed_or_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
