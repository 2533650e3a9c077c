/* test_op_list.c: the claims are consistent: sorted, complete rows, ranges that do not overlap, and found by version. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "core/op/op_list.h"

static void rows_are_complete(void **state)
{
    assert_in_range(op_count(), 80, 255);
    for (int i = 0; i < op_count(); i++) {
        const struct op_def *op = op_at(i);
        bool sane = op->domain != NULL && op->shape != NULL && op->forward != NULL && op->opset_min >= 1 &&
                    op->opset_min <= op->opset_max && op->min_in <= op->max_in && op->max_in <= OP_MAX_INPUTS &&
                    op->min_out >= 1 && op->min_out <= op->max_out && op->max_out <= OP_MAX_OUTPUTS && op->types != 0 &&
                    op->min_rank <= op->max_rank && op->max_rank <= TENSOR_MAX_RANK;
        if (!sane) {
            fail_msg("row %d, %s: incomplete", i, op->name);
        }
        if (i > 0 && strcmp(op_at(i - 1)->name, op->name) == 0 && op_at(i - 1)->opset_max >= op->opset_min) {
            fail_msg("row %d, %s: ranges overlap", i, op->name);
        }
        if (i > 0 && strcmp(op_at(i - 1)->name, op->name) > 0) {
            fail_msg("row %d, %s: not sorted", i, op->name);
        }
    }
    assert_null(op_at(-1));
    assert_null(op_at(op_count()));
}

static void finds_by_version(void **state)
{
    static const struct {
        const char *domain, *name;
        int opset;
        int min; /* of the row found; 0: none */
    } rows[] = {{"", "Conv", 11, 1},    {"ai.onnx", "Conv", 11, 1}, {"", "Add", 6, 1},        {"", "Add", 7, 7},
                {"", "Clip", 10, 1},    {"", "Clip", 18, 11},       {"", "Conv", 99, 0},      {"", "Conv", 0, 0},
                {"", "Resize", 9, 0},   {"", "Resize", 19, 0},      {"com.x", "Conv", 11, 0}, {"", "conv", 11, 0},
                {"", "Upsample", 10, 0}};

    for (int i = 0; i < (int)(sizeof rows / sizeof rows[0]); i++) {
        const struct op_def *op = op_list()->find(rows[i].domain, rows[i].name, rows[i].opset);
        if ((op != NULL ? op->opset_min : 0) != rows[i].min) {
            fail_msg("row %d, %s %d", i, rows[i].name, rows[i].opset);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_complete),
        cmocka_unit_test(finds_by_version),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
