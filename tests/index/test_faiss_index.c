/* test_faiss_index.c: what index.c relies on FAISS for. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <setjmp.h>

#include <cmocka.h>
#include <string.h>

#include "core/base/mem.h"
#include "index/faiss_index.h"

static const float corners[4][3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}, {0.6F, 0.8F, 0}};

static struct faiss_index *with_corners(void)
{
    struct faiss_index *faiss = NULL;

    assert_int_equal(faiss_index_new(3, &faiss, NULL), ERR_NONE);
    assert_int_equal(faiss_index_rows(faiss), 0);
    assert_int_equal(faiss_index_append(faiss, corners[0], 1, NULL), ERR_NONE);
    assert_int_equal(faiss_index_append(faiss, corners[1], 3, NULL), ERR_NONE);
    assert_int_equal(faiss_index_rows(faiss), 4);
    return faiss;
}

static void test_rows_are_kept_and_scored(void **state)
{
    struct faiss_index *faiss = with_corners();
    float scores[4];
    int64_t rows[4];

    for (size_t i = 0; i < 4; i++) {
        assert_memory_equal(faiss_index_row(faiss, i), corners[i], sizeof corners[i]);
    }
    assert_int_equal(faiss_index_search(faiss, corners[3], 4, scores, rows, NULL), ERR_NONE);
    assert_int_equal(rows[0], 3);
    assert_int_equal(rows[1], 1);
    assert_int_equal(rows[2], 0);
    assert_int_equal(rows[3], 2);
    assert_true(scores[1] == 0.8F && scores[2] == 0.6F && scores[3] == 0.0F);
    faiss_index_free(faiss);
    assert_int_equal(mem_live_blocks(), 0);
}

static void test_reserved_rows_stay_in_place(void **state)
{
    struct faiss_index *faiss = NULL;
    float scores[2];
    int64_t rows[2];

    assert_int_equal(faiss_index_new(3, &faiss, NULL), ERR_NONE);
    assert_int_equal(faiss_index_reserve(faiss, 5000, NULL), ERR_NONE);
    assert_int_equal(faiss_index_rows(faiss), 5000);
    float *floats = faiss_index_row(faiss, 0);
    for (size_t i = 0; i < 5000L * 3; i++) {
        assert_true(floats[i] == 0.0F);
    }
    memcpy(faiss_index_row(faiss, 4999), corners[3], sizeof corners[3]);
    assert_ptr_equal(faiss_index_row(faiss, 0), floats);
    assert_int_equal(faiss_index_search(faiss, corners[1], 2, scores, rows, NULL), ERR_NONE);
    assert_int_equal(rows[0], 4999);
    assert_true(scores[0] == 0.8F && scores[1] == 0.0F);
    faiss_index_free(faiss);
    faiss_index_free(NULL);
    assert_int_equal(mem_live_blocks(), 0);
}

static void test_refusals_carry_the_words(void **state)
{
    struct faiss_index *faiss = with_corners();
    struct err_note note = {0};
    float score;
    int64_t row;

    /* FAISS refuses a search for nothing; the sentence is its own. */
    assert_int_equal(faiss_index_search(faiss, corners[0], 0, &score, &row, &note), ERR_FOREIGN);
    assert_non_null(strstr(note.text, "k > 0"));
    mem_fail_at(0);
    struct faiss_index *none = NULL;
    assert_int_equal(faiss_index_new(3, &none, NULL), ERR_NOMEM);
    mem_fail_at(-1);
    assert_null(none);
    faiss_index_free(faiss);
    assert_int_equal(mem_live_blocks(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_are_kept_and_scored),
        cmocka_unit_test(test_reserved_rows_stay_in_place),
        cmocka_unit_test(test_refusals_carry_the_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
