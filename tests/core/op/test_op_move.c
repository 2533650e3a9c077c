/* test_op_move.c: operators that move elements or change shapes: edges, empty tensors, shapes that are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/core/op/op_rows.h"

#define BIG ((int64_t)1 << 40)

static const struct op_row rows[] = {
    /* Reshape */
    {"Reshape", 13, {{0}}, {FLOATS(6, 1, 2, 3, 4, 5, 6), INTS(2, 2, -1)}, 0, {F32_OF(DIMS(2, 2, 3), 1, 2, 3, 4, 5, 6)}},
    {"Reshape", 13, {{0}}, {F32_OF(DIMS(2, 1, 2), 1, 2), INTS(2, 0, 2)}, 0, {F32_OF(DIMS(2, 1, 2), 1, 2)}},
    {"Reshape", 14, {A_INT("allowzero", 1)}, {F32_OF(DIMS(2, 0, 3), 0), INTS(2, 3, 0)}, 0, {F32_OF(DIMS(2, 3, 0), 0)}},
    {"Reshape",
     4,
     {A_INTS("shape", 2, 3, 2)},
     {FLOATS(6, 1, 2, 3, 4, 5, 6)},
     0,
     {F32_OF(DIMS(2, 3, 2), 1, 2, 3, 4, 5, 6)}},
    {"Reshape", 13, {{0}}, {FLOATS(6, 1, 2, 3, 4, 5, 6), INTS(2, -1, -1)}, ERR_FORMAT, {{0}}},
    {"Reshape", 13, {{0}}, {FLOATS(6, 1, 2, 3, 4, 5, 6), INTS(2, 4, -1)}, ERR_FORMAT, {{0}}},
    {"Reshape", 13, {{0}}, {FLOATS(1, 1), INTS(2, -2, 1)}, ERR_FORMAT, {{0}}},
    {"Reshape", 13, {{0}}, {FLOATS(1, 1), INTS(2, 1, 0)}, ERR_FORMAT, {{0}}},
    {"Reshape", 13, {{0}}, {F32_OF(DIMS(2, 0, 3), 0), INTS(2, -1, 0)}, 0, {F32_OF(DIMS(2, 0, 3), 0)}},
    {"Reshape", 13, {{0}}, {F32_OF(DIMS(2, 3, 0), 0), INTS(2, -1, 0)}, ERR_FORMAT, {{0}}},
    {"Reshape", 13, {{0}}, {FLOATS(1, 1), INTS(2, BIG, BIG)}, ERR_LIMIT, {{0}}},
    {"Reshape", 13, {{0}}, {FLOATS(1, 1), INTS(9, 1, 1, 1, 1, 1, 1, 1, 1, 1)}, ERR_UNSUPPORTED, {{0}}},
    {"Reshape", 13, {{0}}, {FLOATS(6, 1, 2, 3, 4, 5, 6), UNKNOWN(DTYPE_I64, 1, 2)}, ERR_UNSUPPORTED, {{0}}},
    {"Reshape", 13, {{0}}, {FLOATS(1, 1), FLOATS(1, 1)}, ERR_UNSUPPORTED, {{0}}},
    /* Flatten */
    {"Flatten",
     13,
     {A_INT("axis", -1)},
     {F32_OF(DIMS(3, 1, 2, 2), 1, 2, 3, 4)},
     0,
     {F32_OF(DIMS(2, 2, 2), 1, 2, 3, 4)}},
    {"Flatten", 13, {A_INT("axis", 0)}, {SCALAR(DTYPE_F32, 3)}, 0, {F32_OF(DIMS(2, 1, 1), 3)}},
    {"Flatten", 13, {A_INT("axis", 2)}, {FLOATS(1, 1)}, ERR_FORMAT, {{0}}},
    /* Squeeze, Unsqueeze */
    {"Squeeze", 11, {A_INTS("axes", 1, -3)}, {F32_OF(DIMS(3, 1, 2, 1), 1, 2)}, 0, {F32_OF(DIMS(2, 2, 1), 1, 2)}},
    {"Squeeze", 13, {{0}}, {F32_OF(DIMS(3, 1, 2, 1), 1, 2)}, 0, {FLOATS(2, 1, 2)}},
    {"Squeeze", 13, {{0}}, {F32_OF(DIMS(3, 1, 2, 1), 1, 2), INTS(1, 1)}, ERR_FORMAT, {{0}}},
    {"Squeeze", 13, {{0}}, {F32_OF(DIMS(3, 1, 2, 1), 1, 2), INTS(2, 0, -3)}, ERR_FORMAT, {{0}}},
    {"Unsqueeze", 13, {{0}}, {FLOATS(2, 1, 2), INTS(2, 0, -1)}, 0, {F32_OF(DIMS(3, 1, 2, 1), 1, 2)}},
    {"Unsqueeze", 11, {A_INTS("axes", 2, 1, 1)}, {FLOATS(1, 1)}, ERR_FORMAT, {{0}}},
    {"Unsqueeze", 11, {A_INTS("axes", 1, 2)}, {FLOATS(1, 1)}, ERR_FORMAT, {{0}}},
    {"Unsqueeze", 11, {{0}}, {FLOATS(1, 1)}, ERR_FORMAT, {{0}}},
    /* Transpose */
    {"Transpose", 13, {{0}}, {F32_OF(DIMS(2, 2, 3), 1, 2, 3, 4, 5, 6)}, 0, {F32_OF(DIMS(2, 3, 2), 1, 4, 2, 5, 3, 6)}},
    {"Transpose",
     13,
     {A_INTS("perm", 3, 1, 2, 0)},
     {{DTYPE_U8, DIMS(3, 2, 1, 3), NUMBERS(1, 2, 3, 4, 5, 6)}},
     0,
     {{DTYPE_U8, DIMS(3, 1, 3, 2), NUMBERS(1, 4, 2, 5, 3, 6)}}},
    {"Transpose", 13, {A_INTS("perm", 2, 0, 0)}, {F32_OF(DIMS(2, 1, 1), 1)}, ERR_FORMAT, {{0}}},
    {"Transpose", 13, {A_INTS("perm", 3, 0, 1, 2)}, {F32_OF(DIMS(2, 1, 1), 1)}, ERR_FORMAT, {{0}}},
    {"Transpose", 13, {{0}}, {F32_OF(DIMS(2, 0, 3), 0)}, 0, {F32_OF(DIMS(2, 3, 0), 0)}},
    /* Expand */
    {"Expand",
     13,
     {{0}},
     {F32_OF(DIMS(2, 2, 1), 1, 2), INTS(3, 2, 1, 2)},
     0,
     {F32_OF(DIMS(3, 2, 2, 2), 1, 1, 2, 2, 1, 1, 2, 2)}},
    {"Expand", 13, {{0}}, {FLOATS(2, 1, 2), INTS(1, 3)}, ERR_FORMAT, {{0}}},
    {"Expand", 13, {{0}}, {FLOATS(1, 1), INTS(1, -1)}, ERR_FORMAT, {{0}}},
    {"Expand", 13, {{0}}, {FLOATS(1, 1), INTS(2, BIG, BIG)}, ERR_LIMIT, {{0}}},
    {"Expand", 13, {{0}}, {FLOATS(1, 1), INTS(2, BIG, (int64_t)1 << 22)}, ERR_LIMIT, {{0}}},
    /* Slice */
    {"Slice", 9, {A_INTS("starts", 1, 1), A_INTS("ends", 1, 1000)}, {FLOATS(3, 1, 2, 3)}, 0, {FLOATS(2, 2, 3)}},
    {"Slice",
     13,
     {{0}},
     {FLOATS(4, 1, 2, 3, 4), INTS(1, -1), INTS(1, -1000), INTS(1, 0), INTS(1, -1)},
     0,
     {FLOATS(4, 4, 3, 2, 1)}},
    {"Slice",
     13,
     {{0}},
     {FLOATS(5, 1, 2, 3, 4, 5), INTS(1, 3), INTS(1, 0), INTS(1, -1), INTS(1, -2)},
     0,
     {FLOATS(2, 4, 2)}},
    {"Slice",
     13,
     {{0}},
     {FLOATS(5, 1, 2, 3, 4, 5), INTS(1, 0), INTS(1, INT64_MAX), ABSENT, INTS(1, 3)},
     0,
     {FLOATS(2, 1, 4)}},
    {"Slice", 13, {{0}}, {FLOATS(3, 1, 2, 3), INTS(1, 2), INTS(1, 1)}, 0, {FLOATS(0, 0)}},
    {"Slice",
     13,
     {{0}},
     {FLOATS(3, 1, 2, 3), INTS(1, INT64_MAX), INTS(1, INT64_MIN), INTS(1, 0), INTS(1, -BIG)},
     0,
     {FLOATS(1, 3)}},
    {"Slice", 13, {{0}}, {FLOATS(0, 0), INTS(1, -1), INTS(1, -9), INTS(1, 0), INTS(1, -1)}, 0, {FLOATS(0, 0)}},
    {"Slice", 13, {{0}}, {FLOATS(3, 1, 2, 3), INTS(1, 0), INTS(1, 2), INTS(1, 0), INTS(1, 0)}, ERR_FORMAT, {{0}}},
    {"Slice", 13, {{0}}, {FLOATS(3, 1, 2, 3), INTS(1, 0), INTS(2, 2, 2)}, ERR_FORMAT, {{0}}},
    {"Slice", 13, {{0}}, {FLOATS(3, 1, 2, 3), INTS(2, 0, 0), INTS(2, 2, 2)}, ERR_FORMAT, {{0}}},
    {"Slice", 13, {{0}}, {FLOATS(3, 1, 2, 3), INTS(1, 0), INTS(1, 2), INTS(1, 1)}, ERR_FORMAT, {{0}}},
    {"Slice", 13, {{0}}, {FLOATS(3, 1, 2, 3), UNKNOWN(DTYPE_I64, 1, 1), INTS(1, 2)}, ERR_UNSUPPORTED, {{0}}},
    /* Concat, Split */
    {"Concat",
     13,
     {A_INT("axis", -1)},
     {F32_OF(DIMS(2, 2, 1), 1, 2), F32_OF(DIMS(2, 2, 2), 3, 4, 5, 6)},
     0,
     {F32_OF(DIMS(2, 2, 3), 1, 3, 4, 2, 5, 6)}},
    {"Concat", 13, {A_INT("axis", 0)}, {INTS(0, 0), INTS(2, 3, 4)}, 0, {INTS(2, 3, 4)}},
    {"Concat", 13, {{0}}, {INTS(1, 1), INTS(1, 1)}, ERR_FORMAT, {{0}}},
    {"Concat", 13, {A_INT("axis", 1)}, {INTS(1, 1), INTS(1, 1)}, ERR_FORMAT, {{0}}},
    {"Concat", 13, {A_INT("axis", 0)}, {INTS(1, 1), FLOATS(1, 1)}, ERR_UNSUPPORTED, {{0}}},
    {"Concat", 13, {A_INT("axis", 0)}, {F32_OF(DIMS(2, 1, 1), 1), F32_OF(DIMS(2, 1, 2), 1, 2)}, ERR_FORMAT, {{0}}},
    {"Split",
     13,
     {A_INT("axis", 1)},
     {F32_OF(DIMS(2, 2, 2), 1, 2, 3, 4)},
     0,
     {F32_OF(DIMS(2, 2, 1), 1, 3), F32_OF(DIMS(2, 2, 1), 2, 4)}},
    {"Split", 13, {{0}}, {FLOATS(3, 1, 2, 3), INTS(2, 1, 2)}, 0, {FLOATS(1, 1), FLOATS(2, 2, 3)}},
    {"Split", 18, {A_INT("num_outputs", 2)}, {FLOATS(3, 1, 2, 3)}, 0, {FLOATS(2, 1, 2), FLOATS(1, 3)}},
    {"Split", 13, {{0}}, {FLOATS(3, 1, 2, 3)}, ERR_FORMAT, {FLOATS(1, 1), FLOATS(1, 1)}},
    {"Split", 13, {{0}}, {FLOATS(3, 1, 2, 3), INTS(2, 1, 3)}, ERR_FORMAT, {FLOATS(1, 1), FLOATS(1, 1)}},
    {"Split", 13, {{0}}, {FLOATS(3, 1, 2, 3), INTS(2, 4, -1)}, ERR_FORMAT, {FLOATS(1, 1), FLOATS(1, 1)}},
    {"Split", 11, {A_INTS("split", 1, 3)}, {FLOATS(3, 1, 2, 3)}, ERR_FORMAT, {FLOATS(1, 1), FLOATS(1, 1)}},
    /* Gather, Where */
    {"Gather",
     13,
     {A_INT("axis", 1)},
     {F32_OF(DIMS(2, 2, 3), 1, 2, 3, 4, 5, 6), INTS(2, -1, 0)},
     0,
     {F32_OF(DIMS(2, 2, 2), 3, 1, 6, 4)}},
    {"Gather", 11, {{0}}, {INTS(4, 1, 3, 8, 9), SCALAR(DTYPE_I64, 2)}, 0, {SCALAR(DTYPE_I64, 8)}},
    {"Gather", 13, {{0}}, {FLOATS(3, 1, 2, 3), INTS(1, 3)}, ERR_FORMAT, {{0}}},
    {"Gather", 13, {{0}}, {FLOATS(3, 1, 2, 3), INTS(1, -4)}, ERR_FORMAT, {{0}}},
    {"Gather", 13, {{0}}, {FLOATS(0, 0), INTS(1, 0)}, ERR_FORMAT, {{0}}},
    {"Gather", 13, {{0}}, {FLOATS(3, 1, 2, 3), FLOATS(1, 0)}, ERR_UNSUPPORTED, {{0}}},
    {"Where", 9, {{0}}, {VECTOR(DTYPE_BOOL, 2, 1, 0), FLOATS(2, 1, 2), SCALAR(DTYPE_F32, 9)}, 0, {FLOATS(2, 1, 9)}},
    {"Where", 9, {{0}}, {VECTOR(DTYPE_BOOL, 2, 1, 0), FLOATS(2, 1, 2), INTS(1, 9)}, ERR_UNSUPPORTED, {{0}}},
    /* Shape, ConstantOfShape, Cast */
    {"Shape", 13, {{0}}, {F32_OF(DIMS(3, 2, 0, 3), 0)}, 0, {INTS(3, 2, 0, 3)}},
    {"Shape", 15, {A_INT("start", -2), A_INT("end", -1)}, {F32_OF(DIMS(3, 2, 0, 3), 0)}, 0, {INTS(1, 0)}},
    {"Shape", 15, {A_INT("start", 2), A_INT("end", 1)}, {F32_OF(DIMS(3, 2, 0, 3), 0)}, 0, {INTS(0, 0)}},
    {"ConstantOfShape", 9, {{0}}, {INTS(2, 1, 2)}, 0, {F32_OF(DIMS(2, 1, 2), 0, 0)}},
    {"ConstantOfShape", 9, {{0}}, {INTS(1, -1)}, ERR_FORMAT, {{0}}},
    {"ConstantOfShape", 9, {{0}}, {INTS(2, BIG, BIG)}, ERR_LIMIT, {{0}}},
    {"Cast", 13, {A_INT("to", 7)}, {FLOATS(4, -1.9, 1.9, 1e30, NAN)}, 0, {INTS(4, -1, 1, (double)INT64_MAX, 0)}},
    {"Cast", 13, {A_INT("to", 9)}, {FLOATS(3, 0, 0.25, -0.0)}, 0, {VECTOR(DTYPE_BOOL, 3, 0, 1, 0)}},
    {"Cast", 13, {A_INT("to", 1)}, {VECTOR(DTYPE_I32, 2, -7, 8)}, 0, {FLOATS(2, -7, 8)}},
    {"Cast", 13, {A_INT("to", 8)}, {FLOATS(1, 0)}, ERR_UNSUPPORTED, {{0}}},
    /* Dropout, Identity */
    {"Dropout", 7, {A_FLOAT("ratio", 0.4F)}, {FLOATS(2, 1, 2)}, 0, {FLOATS(2, 1, 2)}},
    {"Dropout", 12, {{0}}, {FLOATS(2, 1, 2), SCALAR(DTYPE_F32, 0.5), SCALAR(DTYPE_BOOL, 0)}, 0, {FLOATS(2, 1, 2)}},
    {"Dropout", 12, {{0}}, {FLOATS(2, 1, 2), SCALAR(DTYPE_F32, 0.5), SCALAR(DTYPE_BOOL, 1)}, ERR_UNSUPPORTED, {{0}}},
    {"Dropout", 12, {{0}}, {FLOATS(2, 1, 2)}, ERR_UNSUPPORTED, {FLOATS(2, 1, 2), VECTOR(DTYPE_BOOL, 2, 1, 1)}},
    /* Pad */
    {"Pad", 2, {A_INTS("pads", 2, 1, 2), A_FLOAT("value", 7)}, {FLOATS(2, 1, 2)}, 0, {FLOATS(5, 7, 1, 2, 7, 7)}},
    {"Pad", 13, {A_TEXT("mode", "reflect")}, {FLOATS(3, 1, 2, 3), INTS(2, 2, 1)}, 0, {FLOATS(6, 3, 2, 1, 2, 3, 2)}},
    {"Pad",
     13,
     {A_TEXT("mode", "edge")},
     {F32_OF(DIMS(2, 2, 2), 1, 2, 3, 4), INTS(4, 1, 0, 0, 1)},
     0,
     {F32_OF(DIMS(2, 3, 3), 1, 2, 2, 1, 2, 2, 3, 4, 4)}},
    {"Pad", 13, {{0}}, {FLOATS(0, 0), INTS(2, 1, 1), SCALAR(DTYPE_F32, 3)}, 0, {FLOATS(2, 3, 3)}},
    {"Pad", 13, {A_TEXT("mode", "reflect")}, {FLOATS(2, 1, 2), INTS(2, 2, 0)}, ERR_FORMAT, {{0}}},
    {"Pad", 13, {A_TEXT("mode", "wrap")}, {FLOATS(2, 1, 2), INTS(2, 1, 0)}, ERR_UNSUPPORTED, {{0}}},
    {"Pad", 13, {{0}}, {FLOATS(2, 1, 2), INTS(2, -1, 0)}, ERR_UNSUPPORTED, {{0}}},
    {"Pad", 13, {{0}}, {FLOATS(2, 1, 2), INTS(1, 1)}, ERR_FORMAT, {{0}}},
};

static void moves_elements(void **state)
{
    run_rows(rows, sizeof rows / sizeof rows[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moves_elements),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
