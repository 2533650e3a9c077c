/* test_pool.c: every task runs exactly once, in every round, on any number of threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdatomic.h>

#include "core/base/mem.h"
#include "core/base/pool.h"

#define MOST 300

static void count_task(void *context, int i)
{
    atomic_int *counts = context;
    atomic_fetch_add(&counts[i], 1);
}

static void runs_every_task_once(void **state)
{
    size_t before = mem_live_blocks();
    static atomic_int counts[MOST + 1];
    static const int sizes[] = {0, 1, 2, 3, 7, 64, MOST};

    for (int threads = 0; threads <= 5; threads++) {
        struct pool *pool = NULL;
        if (threads > 0) {
            assert_int_equal(pool_new(threads, &pool), ERR_NONE);
        }
        assert_int_equal(pool_threads(pool), threads == 0 ? 1 : threads);
        for (int round = 0; round < 300; round++) {
            int size = sizes[round % (int)(sizeof sizes / sizeof *sizes)];
            for (int i = 0; i <= MOST; i++) {
                atomic_store(&counts[i], 0);
            }
            pool_run(pool, size, count_task, counts);
            for (int i = 0; i <= MOST; i++) {
                if (atomic_load(&counts[i]) != (i < size)) {
                    fail_msg("%d threads, round %d: task %d ran %d times", threads, round, i, atomic_load(&counts[i]));
                }
            }
        }
        pool_free(pool);
    }
    assert_int_equal(mem_live_blocks(), before);
}

static void sum_task(void *context, int i)
{
    long *cells = context; /* no atomics: the pool itself orders tasks before the return of pool_run */
    cells[i] += i;
}

static void orders_tasks_before_its_return(void **state)
{
    long cells[16] = {0};
    struct pool *pool = NULL;

    assert_int_equal(pool_new(3, &pool), ERR_NONE);
    for (int round = 0; round < 2000; round++) {
        pool_run(pool, 16, sum_task, cells);
    }
    for (int i = 0; i < 16; i++) {
        assert_int_equal(cells[i], 2000L * i);
    }
    pool_free(pool);
    pool_free(NULL);
}

static void refuses_and_cleans_up(void **state)
{
    size_t before = mem_live_blocks();
    struct pool *pool = NULL;

    assert_int_equal(pool_new(0, &pool), ERR_MISUSE);
    for (long n = 0; n < 2; n++) {
        mem_fail_at(n);
        assert_int_equal(pool_new(3, &pool), ERR_NOMEM);
        mem_fail_at(-1);
    }
    assert_null(pool);
    assert_int_equal(mem_live_blocks(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_every_task_once),
        cmocka_unit_test(orders_tasks_before_its_return),
        cmocka_unit_test(refuses_and_cleans_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
