/* test_arena.c: zeroed, aligned, capped, gone after a reset, and guarded under AddressSanitizer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/arena.h"
#include "core/base/mem.h"

static void gives_zeroed_aligned_pieces_that_stay(void **state)
{
    size_t before = mem_live_blocks();
    struct arena *arena = arena_new((size_t)64 << 20);
    unsigned char *pieces[200];

    assert_non_null(arena);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 200; i++) {
            size_t bytes = i * i * 7 % 9001;
            pieces[i] = arena_alloc(arena, bytes, 1);
            assert_non_null(pieces[i]);
            if ((uintptr_t)pieces[i] % MEM_ALIGN != 0) {
                fail_msg("round %d, piece %zu: not aligned", round, i);
            }
            for (size_t k = 0; k < bytes; k++) {
                if (pieces[i][k] != 0) {
                    fail_msg("round %d, piece %zu: byte %zu is not zero", round, i, k);
                }
            }
            memset(pieces[i], (int)(i + 1), bytes);
        }
        for (size_t i = 0; i < 200; i++) {
            size_t bytes = i * i * 7 % 9001;
            for (size_t k = 0; k < bytes; k++) {
                if (pieces[i][k] != (unsigned char)(i + 1)) {
                    fail_msg("round %d, piece %zu: overwritten", round, i);
                }
            }
        }
        if (round == 1) {
            arena_reset_wiped(arena);
        } else {
            arena_reset(arena);
        }
        assert_int_equal(arena_used_bytes(arena), 0);
    }
    assert_true(arena_peak_bytes(arena) > 0);
    arena_free(arena);
    arena_free(NULL);
    assert_int_equal(mem_live_blocks(), before);
}

static void stops_at_the_cap(void **state)
{
    size_t before = mem_live_blocks();
    size_t bytes_before = mem_live_bytes();
    struct arena *arena = arena_new(1 << 20);
    size_t count = 0;

    while (arena_alloc(arena, 1000, 1) != NULL) {
        count++;
    }
    assert_int_equal(arena_why(arena), ERR_LIMIT);
    assert_true(count > 500);
    assert_true(count <= (1 << 20) / 1000);
    assert_true(arena_used_bytes(arena) <= 1 << 20);
    assert_true(mem_live_bytes() - bytes_before < (1 << 20) + 4096);
    arena_reset(arena);
    assert_non_null(arena_alloc(arena, 1000, 1));
    assert_int_equal(arena_why(arena), ERR_NONE);
    assert_null(arena_alloc(arena, SIZE_MAX, 2));
    assert_non_null(arena_alloc(arena, 1, 1)); /* a piece that fits does not hide the one that did not */
    assert_int_equal(arena_why(arena), ERR_LIMIT);
    assert_null(arena_alloc(arena, SIZE_MAX - 3, 1));
    assert_int_equal(arena_why(arena), ERR_LIMIT);
    arena_free(arena);

    arena = arena_new(0);
    assert_null(arena_alloc(arena, 1, 1));
    assert_int_equal(arena_why(arena), ERR_LIMIT);
    arena_free(arena);
    assert_int_equal(mem_live_blocks(), before);
}

/* What fits into a fresh arena fits after a reset too: the chunk that is kept for speed must not count against it. */
static void has_its_whole_cap_after_a_reset(void **state)
{
    size_t before = mem_live_blocks();
    struct arena *arena = arena_new(1 << 20);
    size_t nearly_all = (1 << 20) - 4096;

    assert_non_null(arena_alloc(arena, nearly_all, 1));
    arena_reset(arena);
    assert_non_null(arena_alloc(arena, 10, 1));
    arena_reset(arena);
    arena_free(arena);

    arena = arena_new(1 << 20);
    assert_non_null(arena_alloc(arena, 10, 1));
    arena_reset(arena);
    assert_non_null(arena_alloc(arena, nearly_all, 1));
    assert_null(arena_alloc(arena, 8192, 1));
    arena_free(arena);
    assert_int_equal(mem_live_blocks(), before);
}

static void keeps_little_after_a_reset(void **state)
{
    size_t bytes = mem_live_bytes();
    struct arena *arena = arena_new((size_t)64 << 20);

    assert_non_null(arena_alloc(arena, (size_t)20 << 20, 1));
    assert_non_null(arena_alloc(arena, 1000, 1));
    arena_reset(arena);
    assert_true(mem_live_bytes() - bytes < ((size_t)1 << 20) + 4096);
    arena_free(arena);
    assert_int_equal(mem_live_bytes(), bytes);
}

static void says_when_the_heap_is_empty(void **state)
{
    size_t before = mem_live_blocks();

    mem_fail_at(0);
    assert_null(arena_new(1000));
    mem_fail_at(-1);
    struct arena *arena = arena_new(1 << 20);
    mem_fail_at(0);
    assert_null(arena_alloc(arena, 1, 1));
    assert_int_equal(arena_why(arena), ERR_NOMEM);
    mem_fail_at(-1);
    assert_non_null(arena_alloc(arena, 1, 1));
    arena_free(arena);
    assert_int_equal(mem_live_blocks(), before);
}

static void copies_and_formats_text(void **state)
{
    struct arena *arena = arena_new(1 << 20);

    assert_string_equal(arena_copy_text(arena, "anna"), "anna");
    assert_string_equal(arena_format(arena, "%s has %d faces", "anna", 3), "anna has 3 faces");
    assert_null(arena_format(arena, "%*d", 2 << 20, 1));
    assert_int_equal(arena_why(arena), ERR_LIMIT);
    arena_free(arena);
}

#ifdef __SANITIZE_ADDRESS__
static void touch_after_reset(struct arena *arena)
{
    volatile char *piece = arena_alloc(arena, 100, 1);
    arena_reset(arena);
    piece[5] = 1;
}

static void overrun_by_two(struct arena *arena)
{
    volatile char *piece = arena_alloc(arena, 100, 1);
    (void)arena_alloc(arena, 100, 1);
    piece[101] = 1;
}

/* Whether the sanitizer ends a child that does this. */
static int dies(void (*act)(struct arena *arena))
{
    int status = 0;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        int null = open("/dev/null", O_WRONLY);
        (void)dup2(null, STDERR_FILENO);
        act(arena_new(1 << 20));
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void is_guarded(void **state)
{
    assert_true(dies(touch_after_reset));
    assert_true(dies(overrun_by_two));
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_zeroed_aligned_pieces_that_stay),
        cmocka_unit_test(stops_at_the_cap),
        cmocka_unit_test(has_its_whole_cap_after_a_reset),
        cmocka_unit_test(keeps_little_after_a_reset),
        cmocka_unit_test(says_when_the_heap_is_empty),
        cmocka_unit_test(copies_and_formats_text),
#ifdef __SANITIZE_ADDRESS__
        cmocka_unit_test(is_guarded),
#endif

    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
