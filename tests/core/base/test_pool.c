/* test_pool.c: every task runs exactly once, in every round, on any number of threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

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

/* ---- Guests --------------------------------------------------------------------------------------------------------- */

struct meeting {
    pthread_barrier_t *barrier;
    pthread_t thread[2]; /* who ran task 0, task 1 */
};

/* Two tasks that wait for each other: they end only if two threads run them. */
static void meet(void *context, int i)
{
    struct meeting *meeting = context;

    meeting->thread[i] = pthread_self();
    (void)pthread_barrier_wait(meeting->barrier);
}

static void note_thread(void *context, int i)
{
    struct meeting *meeting = context;

    meeting->thread[i] = pthread_self();
}

static void lone_guest_is_spread(void **state)
{
    pthread_barrier_t barrier;
    struct meeting meeting = {.barrier = &barrier};
    struct pool *pool = NULL;

    assert_int_equal(pthread_barrier_init(&barrier, NULL, 2), 0);
    assert_int_equal(pool_new(2, &pool), ERR_NONE);
    pool_enter(pool);
    for (int i = 0; i < 100; i++) {
        pool_run(pool, 2, meet, &meeting);
        assert_false(pthread_equal(meeting.thread[0], meeting.thread[1]));
    }
    pool_leave(pool);
    assert_int_equal(pool_guests(pool), 0);
    pool_enter(NULL);
    assert_int_equal(pool_guests(NULL), 0);
    pool_leave(NULL);
    pool_free(pool);
    (void)pthread_barrier_destroy(&barrier);
}

static void of_two_guests_each_runs_alone(void **state)
{
    struct meeting meeting = {0};
    struct pool *pool = NULL;

    assert_int_equal(pool_new(2, &pool), ERR_NONE);
    pool_enter(pool);
    pool_enter(pool); /* another one, which has no loop in hand */
    assert_int_equal(pool_guests(pool), 2);
    for (int i = 0; i < 1000; i++) {
        pool_run(pool, 2, note_thread, &meeting);
        assert_true(pthread_equal(meeting.thread[0], pthread_self()));
        assert_true(pthread_equal(meeting.thread[1], pthread_self()));
    }
    pool_leave(pool);
    pool_leave(pool);
    pool_free(pool);
}

struct guest {
    struct pool *pool;
    long cells[16];
};

static void *come_and_go(void *context)
{
    struct guest *guest = context;

    for (int i = 0; i < 2000; i++) {
        pool_enter(guest->pool);
        pool_run(guest->pool, 16, sum_task, guest->cells);
        pool_run(guest->pool, 16, sum_task, guest->cells);
        pool_leave(guest->pool);
    }
    return NULL;
}

/* Guests that come and go at any moment: each has its own sums, whoever computed them. */
static void guests_do_not_mix(void **state)
{
    struct guest guests[4] = {{0}};
    pthread_t threads[4];
    struct pool *pool = NULL;

    assert_int_equal(pool_new(3, &pool), ERR_NONE);
    for (int i = 0; i < 4; i++) {
        guests[i].pool = pool;
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &guests[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        for (int k = 0; k < 16; k++) {
            assert_int_equal(guests[i].cells[k], 4000L * k);
        }
    }
    pool_free(pool);
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
        cmocka_unit_test(runs_every_task_once), cmocka_unit_test(orders_tasks_before_its_return),
        cmocka_unit_test(lone_guest_is_spread), cmocka_unit_test(of_two_guests_each_runs_alone),
        cmocka_unit_test(guests_do_not_mix),    cmocka_unit_test(refuses_and_cleans_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
