/* test_attr.c: attributes by name: present, absent, of the wrong kind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/graph/op.h"

static const int64_t some_ints[] = {3, 4};
static const float some_floats[] = {0.5F};
static const struct attr list[] = {
    {.name = "axis", .kind = ATTR_INT, .i = -2},
    {.name = "alpha", .kind = ATTR_FLOAT, .f = 0.25F},
    {.name = "mode", .kind = ATTR_TEXT, .text = "linear"},
    {.name = "pads", .kind = ATTR_INTS, .ints = some_ints, .count = 2},
    {.name = "scales", .kind = ATTR_FLOATS, .floats = some_floats, .count = 1},
    {.name = "body", .kind = ATTR_OTHER},
};
static const struct attrs attrs = {list, sizeof list / sizeof *list};

static void finds_what_is_there(void **state)
{
    int64_t i;
    float f;
    const char *text;
    const int64_t *ints;
    const float *floats;
    size_t count;

    assert_int_equal(attr_int(&attrs, "axis", 7, &i, NULL), ERR_NONE);
    assert_int_equal(i, -2);
    assert_int_equal(attr_float(&attrs, "alpha", 7, &f, NULL), ERR_NONE);
    assert_true(f == 0.25F);
    assert_int_equal(attr_text(&attrs, "mode", "x", &text, NULL), ERR_NONE);
    assert_string_equal(text, "linear");
    assert_int_equal(attr_ints(&attrs, "pads", &ints, &count, NULL), ERR_NONE);
    assert_int_equal(count, 2);
    assert_ptr_equal(ints, some_ints);
    assert_int_equal(attr_floats(&attrs, "scales", &floats, &count, NULL), ERR_NONE);
    assert_int_equal(count, 1);
    assert_ptr_equal(floats, some_floats);
}

static void gives_the_default_for_what_is_absent(void **state)
{
    int64_t i;
    float f;
    const char *text;
    const int64_t *ints = some_ints;
    const float *floats = some_floats;
    size_t count = 9;

    assert_null(attr_find(&attrs, "Axis"));
    assert_int_equal(attr_int(&attrs, "no", 7, &i, NULL), ERR_NONE);
    assert_int_equal(i, 7);
    assert_int_equal(attr_float(&attrs, "no", 1.5F, &f, NULL), ERR_NONE);
    assert_true(f == 1.5F);
    assert_int_equal(attr_text(&attrs, "no", "x", &text, NULL), ERR_NONE);
    assert_string_equal(text, "x");
    assert_int_equal(attr_ints(&attrs, "no", &ints, &count, NULL), ERR_NONE);
    assert_null(ints);
    assert_int_equal(count, 0);
    count = 9;
    assert_int_equal(attr_floats(&attrs, "no", &floats, &count, NULL), ERR_NONE);
    assert_null(floats);
    assert_int_equal(count, 0);
}

static void refuses_another_kind_and_leaves_the_output_alone(void **state)
{
    struct err_note note = {0};
    int64_t i = 11;
    float f = 11;
    const char *text = "eleven";
    const int64_t *ints = some_ints;
    const float *floats = some_floats;
    size_t count = 11;

    assert_int_equal(attr_int(&attrs, "alpha", 7, &i, &note), ERR_FORMAT);
    assert_string_equal(note.text, "attribute 'alpha' is a float, where an integer is expected");
    assert_int_equal(attr_float(&attrs, "axis", 7, &f, NULL), ERR_FORMAT);
    assert_int_equal(attr_text(&attrs, "axis", "x", &text, NULL), ERR_FORMAT);
    assert_int_equal(attr_ints(&attrs, "axis", &ints, &count, NULL), ERR_FORMAT);
    assert_int_equal(attr_floats(&attrs, "body", &floats, &count, NULL), ERR_FORMAT);
    assert_int_equal(i, 11);
    assert_true(f == 11);
    assert_string_equal(text, "eleven");
    assert_ptr_equal(ints, some_ints);
    assert_ptr_equal(floats, some_floats);
    assert_int_equal(count, 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_is_there),
        cmocka_unit_test(gives_the_default_for_what_is_absent),
        cmocka_unit_test(refuses_another_kind_and_leaves_the_output_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
