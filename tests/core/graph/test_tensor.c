/* test_tensor.c: counts that overflow, texts, equality. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/graph/tensor.h"

static void counts_elements_or_says_that_they_do_not_fit(void **state)
{
    static const struct {
        struct shape shape;
        bool fits;
        int64_t count;
    } rows[] = {
        {{.rank = 0}, true, 1},
        {{.rank = 1, .dim = {7}}, true, 7},
        {{.rank = 4, .dim = {2, 3, 5, 7}}, true, 210},
        {{.rank = 3, .dim = {2, 0, 5}}, true, 0},
        {{.rank = 1, .dim = {-1}}, false, 0},
        {{.rank = 2, .dim = {0, -3}}, false, 0},
        {{.rank = 2, .dim = {INT64_MAX, 1}}, true, INT64_MAX},
        {{.rank = 2, .dim = {INT64_MAX, 2}}, false, 0},
        {{.rank = 3, .dim = {INT64_MAX, 2, 0}}, false, 0},
        {{.rank = 8, .dim = {256, 256, 256, 256, 256, 256, 256, 127}}, true, (int64_t)127 << 56},
        {{.rank = 8, .dim = {256, 256, 256, 256, 256, 256, 256, 128}}, false, 0},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t count = -5;
        bool fits = shape_count(&rows[i].shape, &count);
        if (fits != rows[i].fits || count != (fits ? rows[i].count : -5)) {
            fail_msg("row %zu: fits %d, count %lld", i, fits, (long long)count);
        }
        if (fits) {
            assert_int_equal(shape_elements(&rows[i].shape), count);
        }
    }
}

static void writes_shapes(void **state)
{
    char text[SHAPE_TEXT_BYTES];

    assert_string_equal(shape_text(&(struct shape){.rank = 0}, text), "[]");
    assert_string_equal(shape_text(&(struct shape){.rank = 2, .dim = {1, -1}}, text), "[1, -1]");
    struct shape longest = {.rank = 8};
    for (int i = 0; i < 8; i++) {
        longest.dim[i] = INT64_MIN;
    }
    assert_int_equal(__builtin_strlen(shape_text(&longest, text)), 2 + 8 * 20 + 7 * 2);
}

static void compares_shapes(void **state)
{
    struct shape a = {.rank = 2, .dim = {1, 2, 9}};
    struct shape b = {.rank = 2, .dim = {1, 2, 8}};

    assert_true(shape_equal(&a, &b));
    b.rank = 3;
    assert_false(shape_equal(&a, &b));
    a.rank = 3;
    assert_false(shape_equal(&a, &b));
}

static void knows_the_bytes_of_each_type(void **state)
{
    static const struct {
        enum dtype type;
        size_t bytes;
        const char *name;
    } rows[] = {{DTYPE_NONE, 0, "none"}, {DTYPE_F32, 4, "float"}, {DTYPE_F64, 8, "double"}, {DTYPE_I64, 8, "int64"},
                {DTYPE_I32, 4, "int32"}, {DTYPE_U8, 1, "uint8"},  {DTYPE_I8, 1, "int8"},    {DTYPE_BOOL, 1, "bool"}};

    assert_int_equal(sizeof rows / sizeof *rows, DTYPE_COUNT);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tensor tensor = {.type = rows[i].type, .shape = {.rank = 1, .dim = {3}}};
        assert_int_equal(dtype_bytes(rows[i].type), rows[i].bytes);
        assert_string_equal(dtype_name(rows[i].type), rows[i].name);
        assert_int_equal(tensor_bytes(&tensor), 3 * rows[i].bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_elements_or_says_that_they_do_not_fit),
        cmocka_unit_test(writes_shapes),
        cmocka_unit_test(compares_shapes),
        cmocka_unit_test(knows_the_bytes_of_each_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
