/* test_op_binary.c: broadcasting, old and new, and what unary operators and reductions do at their edges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/core/op/op_rows.h"

#define BIG ((int64_t)1 << 40)

static const struct op_row rows[] = {
    {"Add",
     7,
     {{0}},
     {F32_OF(DIMS(2, 2, 1), 1, 2), F32_OF(DIMS(2, 1, 3), 10, 20, 30)},
     0,
     {F32_OF(DIMS(2, 2, 3), 11, 21, 31, 12, 22, 32)}},
    {"Sub", 14, {{0}}, {SCALAR(DTYPE_F32, 1), FLOATS(2, 1, 2)}, 0, {FLOATS(2, 0, -1)}},
    {"Mul",
     13,
     {{0}},
     {F32_OF(DIMS(4, 1, 2, 1, 2), 1, 2, 3, 4), F32_OF(DIMS(3, 2, 1, 1), 2, 3)},
     0,
     {F32_OF(DIMS(4, 1, 2, 1, 2), 2, 4, 9, 12)}},
    {"Mul",
     13,
     {{0}},
     {F32_OF(DIMS(3, 1, 2, 2), 1, 2, 3, 4), F32_OF(DIMS(3, 2, 1, 1), 2, 3)},
     0,
     {F32_OF(DIMS(3, 2, 2, 2), 2, 4, 6, 8, 3, 6, 9, 12)}},
    {"Add", 13, {{0}}, {F32_OF(DIMS(2, 0, 3), 0), FLOATS(3, 1, 2, 3)}, 0, {F32_OF(DIMS(2, 0, 3), 0)}},
    {"Add", 13, {{0}}, {FLOATS(2, 1, 2), FLOATS(3, 1, 2, 3)}, ERR_FORMAT, {{0}}},
    {"Add", 13, {{0}}, {FLOATS(1, 1), INTS(1, 1)}, ERR_UNSUPPORTED, {{0}}},
    {"Add", 13, {{0}}, {UNKNOWN(DTYPE_F32, 2, BIG, 1), UNKNOWN(DTYPE_F32, 2, 1, BIG)}, ERR_LIMIT, {{0}}},
    {"Add",
     6,
     {A_INT("broadcast", 1), A_INT("axis", 1)},
     {F32_OF(DIMS(3, 1, 2, 2), 1, 2, 3, 4), FLOATS(2, 10, 20)},
     0,
     {F32_OF(DIMS(3, 1, 2, 2), 11, 12, 23, 24)}},
    {"Add",
     6,
     {A_INT("broadcast", 1)},
     {F32_OF(DIMS(2, 2, 2), 1, 2, 3, 4), FLOATS(2, 10, 20)},
     0,
     {F32_OF(DIMS(2, 2, 2), 11, 22, 13, 24)}},
    {"Add", 6, {{0}}, {F32_OF(DIMS(2, 2, 2), 1, 2, 3, 4), FLOATS(2, 10, 20)}, ERR_FORMAT, {{0}}},
    {"Add", 6, {A_INT("broadcast", 1)}, {FLOATS(1, 1), FLOATS(2, 10, 20)}, ERR_FORMAT, {{0}}},
    {"Add",
     6,
     {A_INT("broadcast", 1), A_INT("axis", 2)},
     {F32_OF(DIMS(2, 2, 2), 1, 2, 3, 4), FLOATS(2, 10, 20)},
     ERR_FORMAT,
     {{0}}},
    {"Div", 13, {{0}}, {INTS(3, 7, -7, 6), INTS(3, 2, 2, -1)}, 0, {INTS(3, 3, -3, -6)}},
    {"Div", 13, {{0}}, {INTS(1, (double)INT64_MIN), INTS(1, -1)}, 0, {INTS(1, (double)INT64_MIN)}},
    {"Div", 13, {{0}}, {INTS(2, 7, 7), INTS(2, 2, 0)}, ERR_FORMAT, {{0}}},
    {"Div", 13, {{0}}, {FLOATS(2, 1, -1), FLOATS(1, 0)}, 0, {FLOATS(2, INFINITY, -INFINITY)}},
    {"Pow", 13, {{0}}, {FLOATS(2, 2, 9), FLOATS(2, 3, 0.5)}, 0, {FLOATS(2, 8, 3)}},
    {"Equal", 11, {{0}}, {INTS(2, 1, 2), SCALAR(DTYPE_I64, 2)}, 0, {VECTOR(DTYPE_BOOL, 2, 0, 1)}},
    {"Less", 9, {{0}}, {FLOATS(3, 1, 2, NAN), SCALAR(DTYPE_F32, 2)}, 0, {VECTOR(DTYPE_BOOL, 3, 1, 0, 0)}},
    {"Greater", 9, {{0}}, {FLOATS(2, 1, 3), SCALAR(DTYPE_F32, 2)}, 0, {VECTOR(DTYPE_BOOL, 2, 0, 1)}},
    {"PRelu",
     9,
     {{0}},
     {F32_OF(DIMS(3, 1, 2, 2), -1, 2, -3, 4), F32_OF(DIMS(2, 2, 1), 0.5, 0.25)},
     0,
     {F32_OF(DIMS(3, 1, 2, 2), -0.5, 2, -0.75, 4)}},
    {"PRelu",
     6,
     {{0}},
     {F32_OF(DIMS(3, 1, 2, 2), -1, 2, -3, 4), FLOATS(2, 0.5, 0.25)},
     0,
     {F32_OF(DIMS(3, 1, 2, 2), -0.5, 2, -0.75, 4)}},
    {"PRelu", 9, {{0}}, {FLOATS(1, -1), FLOATS(2, 1, 2)}, ERR_FORMAT, {{0}}},
    {"Min", 13, {{0}}, {FLOATS(2, 1, 5), FLOATS(1, 3), FLOATS(2, 2, 2)}, 0, {FLOATS(2, 1, 2)}},
    {"Max", 13, {{0}}, {FLOATS(1, 3), FLOATS(2, 1, 5)}, 0, {FLOATS(2, 3, 5)}},
    {"Max", 7, {{0}}, {FLOATS(1, 3), FLOATS(2, 1, 5)}, ERR_FORMAT, {{0}}},
    {"Mean", 13, {{0}}, {FLOATS(2, 1, 5), FLOATS(2, 3, 4)}, 0, {FLOATS(2, 2, 4.5)}},
    {"Sum", 13, {{0}}, {FLOATS(2, 1, 5), F32_OF(DIMS(2, 2, 1), 3, 4)}, 0, {F32_OF(DIMS(2, 2, 2), 4, 8, 5, 9)}},
    /* Unary */
    {"Relu", 6, {{0}}, {FLOATS(3, -1, 2, NAN)}, 0, {FLOATS(3, 0, 2, NAN)}},
    {"Relu", 14, {{0}}, {INTS(1, -1)}, ERR_UNSUPPORTED, {{0}}},
    {"LeakyRelu", 6, {{0}}, {FLOATS(2, -1, 2)}, 0, {FLOATS(2, -0.01, 2)}},
    {"Clip", 6, {A_FLOAT("max", 6)}, {FLOATS(3, -7, 2, 8)}, 0, {FLOATS(3, -7, 2, 6)}},
    {"Clip", 11, {{0}}, {FLOATS(3, -7, 2, 8), ABSENT, SCALAR(DTYPE_F32, 6)}, 0, {FLOATS(3, -7, 2, 6)}},
    {"Clip", 13, {{0}}, {FLOATS(3, -7, 2, 8), SCALAR(DTYPE_F32, 0)}, 0, {FLOATS(3, 0, 2, 8)}},
    {"Clip", 13, {{0}}, {FLOATS(1, 1), FLOATS(2, 0, 1)}, ERR_FORMAT, {{0}}},
    {"Sigmoid", 13, {{0}}, {FLOATS(3, -1000, 0, 1000)}, 0, {FLOATS(3, 0, 0.5, 1)}},
    {"Floor", 13, {{0}}, {FLOATS(2, -1.5, 1.5)}, 0, {FLOATS(2, -2, 1)}},
    {"Softmax",
     11,
     {A_INT("axis", 1)},
     {F32_OF(DIMS(3, 1, 2, 2), 0, 0, 0, 0)},
     0,
     {F32_OF(DIMS(3, 1, 2, 2), 0.25, 0.25, 0.25, 0.25)}},
    {"Softmax",
     13,
     {A_INT("axis", 1)},
     {F32_OF(DIMS(3, 1, 2, 2), 0, 0, 0, 1000)},
     0,
     {F32_OF(DIMS(3, 1, 2, 2), 0.5, 0, 0.5, 1)}},
    {"Softmax", 13, {A_INT("axis", 1)}, {FLOATS(1, 0)}, ERR_FORMAT, {{0}}},
    /* Reductions */
    {"ReduceMean",
     11,
     {A_INTS("axes", 2, 0, -1)},
     {F32_OF(DIMS(3, 2, 2, 2), 1, 2, 3, 4, 5, 6, 7, 8)},
     0,
     {F32_OF(DIMS(3, 1, 2, 1), 3.5, 5.5)}},
    {"ReduceMean", 18, {A_INT("keepdims", 0)}, {F32_OF(DIMS(2, 2, 2), 1, 2, 3, 4), INTS(1, 0)}, 0, {FLOATS(2, 2, 3)}},
    {"ReduceMean", 11, {A_INT("keepdims", 0)}, {F32_OF(DIMS(2, 2, 2), 1, 2, 3, 4)}, 0, {SCALAR(DTYPE_F32, 2.5)}},
    {"ReduceMean", 11, {{0}}, {F32_OF(DIMS(2, 0, 2), 0)}, ERR_UNSUPPORTED, {{0}}},
    {"ReduceSum", 13, {A_INT("noop_with_empty_axes", 1)}, {FLOATS(2, 1, 2)}, 0, {FLOATS(2, 1, 2)}},
    {"ReduceSum", 13, {{0}}, {F32_OF(DIMS(2, 0, 2), 0), INTS(1, 0)}, 0, {F32_OF(DIMS(2, 1, 2), 0, 0)}},
    {"ReduceSum", 13, {{0}}, {FLOATS(2, 1, 2), INTS(1, 1)}, ERR_FORMAT, {{0}}},
    {"ReduceSum", 13, {{0}}, {FLOATS(2, 1, 2), UNKNOWN(DTYPE_I64, 1, 1)}, ERR_UNSUPPORTED, {{0}}},
    {"ReduceL2", 11, {{0}}, {FLOATS(2, 3, 4)}, 0, {FLOATS(1, 5)}},
};

static void combines_numbers(void **state)
{
    run_rows(rows, sizeof rows / sizeof rows[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(combines_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
