/* op_list.c: the rows of all files of this folder, sorted once by name. */
#include "core/op/op_list.h"

#include <pthread.h>
#include <stddef.h>
#include <string.h>

#include "core/op/op_private.h"

static const struct op_rows *const files[] = {
    &op_rows_batch_norm, &op_rows_binary,  &op_rows_cast,   &op_rows_constant,  &op_rows_conv,    &op_rows_gather,
    &op_rows_gemm,       &op_rows_integer, &op_rows_move,   &op_rows_pad,       &op_rows_pooling, &op_rows_qlinear,
    &op_rows_quantize,   &op_rows_reduce,  &op_rows_resize, &op_rows_same_data, &op_rows_softmax, &op_rows_unary,
};
/* What only passes make is found, but not listed: it is no claim. */
static const struct op_rows *const own[] = {&op_rows_byte, &op_rows_channel_part};

#define N_FILES ((int)(sizeof files / sizeof files[0]))

#define MAX_ROWS 256 /* far above what the files hold; the unit test fails when it is reached */

static const struct op_def *sorted[MAX_ROWS];
static int n_sorted;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static int order(const struct op_def *a, const struct op_def *b)
{
    int by_name = strcmp(a->name, b->name);

    return by_name != 0 ? by_name : a->opset_min - b->opset_min;
}

/* By insertion: some eighty rows, once. */
static void sort(void)
{
    for (int f = 0; f < N_FILES; f++) {
        for (int r = 0; r < files[f]->count && n_sorted < MAX_ROWS; r++) {
            const struct op_def *row = &files[f]->list[r];
            int at = n_sorted++;
            for (; at > 0 && order(sorted[at - 1], row) > 0; at--) {
                sorted[at] = sorted[at - 1];
            }
            sorted[at] = row;
        }
    }
}

int op_count(void)
{
    (void)pthread_once(&once, sort);
    return n_sorted;
}

const struct op_def *op_at(int i)
{
    return i >= 0 && i < op_count() ? sorted[i] : NULL;
}

/* "ai.onnx" is the standard domain's other name. */
static bool same_domain(const char *row, const char *asked)
{
    const char *domain = strcmp(asked, "ai.onnx") == 0 ? "" : asked;

    return strcmp(row, domain) == 0;
}

const struct op_def *op_find(const char *domain, const char *name, int opset)
{
    for (size_t f = 0; f < sizeof own / sizeof own[0]; f++) {
        for (int i = 0; i < own[f]->count; i++) {
            const struct op_def *row = &own[f]->list[i];
            if (strcmp(domain, row->domain) == 0 && strcmp(name, row->name) == 0) {
                return row;
            }
        }
    }
    for (int i = 0; i < op_count(); i++) {
        const struct op_def *row = sorted[i];
        if (strcmp(row->name, name) == 0 && same_domain(row->domain, domain) && opset >= row->opset_min &&
            opset <= row->opset_max) {
            return row;
        }
    }
    return NULL;
}

const struct op_lookup *op_list(void)
{
    static const struct op_lookup lookup = {.find = op_find};

    return &lookup;
}
