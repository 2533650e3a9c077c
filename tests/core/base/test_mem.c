/* test_mem.c: the heap zeroes, aligns, counts, multiplies with a check and fails when told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "core/base/mem.h"

static void gives_zeroed_aligned_blocks(void **state)
{
    static const size_t sizes[] = {0, 1, 7, 63, 64, 65, 4096, 1000003};
    size_t before = mem_live_blocks();

    for (size_t row = 0; row < sizeof sizes / sizeof *sizes; row++) {
        unsigned char *block = mem_new(sizes[row], 1);
        assert_non_null(block);
        if ((uintptr_t)block % MEM_ALIGN != 0) {
            fail_msg("row %zu: not aligned", row);
        }
        for (size_t i = 0; i < sizes[row]; i++) {
            if (block[i] != 0) {
                fail_msg("row %zu: byte %zu is not zero", row, i);
            }
        }
        memset(block, 0xAA, sizes[row]);
        mem_free(block);
    }
    assert_int_equal(mem_live_blocks(), before);
}

static void gives_huge_blocks_like_others(void **state)
{
    static const size_t sizes[] = {0, 1, 4096, (2U << 20) - 65, (2U << 20) - 64, 2U << 20, (9U << 20) + 12345};
    size_t before = mem_live_blocks();

    for (size_t row = 0; row < sizeof sizes / sizeof *sizes; row++) {
        unsigned char *block = mem_new_huge(sizes[row], 1);
        assert_non_null(block);
        if ((uintptr_t)block % MEM_ALIGN != 0) {
            fail_msg("row %zu: not aligned", row);
        }
        for (size_t i = 0; i < sizes[row]; i++) {
            if (block[i] != 0) {
                fail_msg("row %zu: byte %zu is not zero", row, i);
            }
        }
        memset(block, 0xAA, sizes[row]);
        mem_free_wiped(block);
    }
    assert_int_equal(mem_live_blocks(), before);
}

static void counts_blocks_and_bytes(void **state)
{
    size_t blocks = mem_live_blocks();
    size_t bytes = mem_live_bytes();
    void *a = mem_new(3, 5);
    void *b = mem_new(0, 9);

    assert_non_null(a);
    assert_non_null(b);
    assert_ptr_not_equal(a, b);
    assert_int_equal(mem_live_blocks(), blocks + 2);
    assert_int_equal(mem_live_bytes(), bytes + 15);
    mem_free(a);
    mem_free_wiped(b);
    mem_free(NULL);
    mem_free_wiped(NULL);
    assert_int_equal(mem_live_blocks(), blocks);
    assert_int_equal(mem_live_bytes(), bytes);
}

static void refuses_products_that_overflow(void **state)
{
    static const struct {
        size_t count;
        size_t size;
    } rows[] = {
        {SIZE_MAX, 2}, {SIZE_MAX / 2 + 1, 2}, {SIZE_MAX, 1}, {SIZE_MAX - 64, 1}, {(size_t)1 << 33, (size_t)1 << 33}};
    size_t before = mem_live_blocks();

    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        if (mem_new(rows[row].count, rows[row].size) != NULL || mem_new_huge(rows[row].count, rows[row].size) != NULL) {
            fail_msg("row %zu: an impossible block", row);
        }
    }
    assert_int_equal(mem_live_blocks(), before);
}

static void resizes_with_zeros_behind(void **state)
{
    size_t before = mem_live_blocks();
    unsigned char *block = mem_resize(NULL, 4, 1);

    assert_non_null(block);
    memcpy(block, "abcd", 4);
    block = mem_resize(block, 100, 1);
    assert_non_null(block);
    assert_memory_equal(block, "abcd\0\0", 6);
    assert_int_equal(block[99], 0);
    block = mem_resize(block, 2, 1);
    assert_non_null(block);
    assert_memory_equal(block, "ab", 2);
    assert_null(mem_resize(block, SIZE_MAX, 2));
    assert_memory_equal(block, "ab", 2);
    mem_free(block);
    assert_int_equal(mem_live_blocks(), before);
}

static void copies(void **state)
{
    size_t before = mem_live_blocks();
    char *text = mem_copy_text("face");
    void *none = mem_copy(NULL, 0);

    assert_string_equal(text, "face");
    assert_non_null(none);
    mem_free(text);
    mem_free(none);
    assert_int_equal(mem_live_blocks(), before);
}

static void wipes(void **state)
{
    unsigned char secret[33];

    memset(secret, 0x5A, sizeof secret);
    mem_wipe(secret, 32);
    for (size_t i = 0; i < 32; i++) {
        assert_int_equal(secret[i], 0);
    }
    assert_int_equal(secret[32], 0x5A);
    mem_wipe(NULL, 0);
}

static void fails_at_the_nth_and_after(void **state)
{
    size_t before = mem_live_blocks();

    for (long n = 0; n < 4; n++) {
        void *blocks[6];
        mem_fail_at(n);
        for (long i = 0; i < 6; i++) {
            blocks[i] = i % 2 == 0 ? mem_new(1, 8) : mem_resize(NULL, 1, 8);
            if ((blocks[i] != NULL) != (i < n)) {
                mem_fail_at(-1);
                fail_msg("n %ld: allocation %ld", n, i);
            }
        }
        mem_fail_at(-1);
        for (long i = 0; i < 6; i++) {
            mem_free(blocks[i]);
        }
    }
    void *block = mem_new(1, 1);
    assert_non_null(block);
    mem_fail_at(0);
    assert_null(mem_resize(block, 9, 1));
    mem_fail_at(-1);
    mem_free(block);
    assert_int_equal(mem_live_blocks(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_zeroed_aligned_blocks),
        cmocka_unit_test(gives_huge_blocks_like_others),
        cmocka_unit_test(counts_blocks_and_bytes),
        cmocka_unit_test(refuses_products_that_overflow),
        cmocka_unit_test(resizes_with_zeros_behind),
        cmocka_unit_test(copies),
        cmocka_unit_test(wipes),
        cmocka_unit_test(fails_at_the_nth_and_after),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
