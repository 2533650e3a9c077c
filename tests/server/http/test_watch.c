/* Deadlines pass once, in time, and never after they were taken away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "server/http/watch.h"

struct alarm {
    struct watched watched; /* first */
    atomic_int rung;
    sem_t bell;
};

static void late(struct watched *watched)
{
    struct alarm *alarm = (struct alarm *)watched;
    (void)atomic_fetch_add(&alarm->rung, 1);
    (void)sem_post(&alarm->bell);
}

static int64_t in_ms(int64_t ms)
{
    return clock_monotonic_ns() + ms * 1000000;
}

static void deadlines_pass_once(void **state)
{
    static struct alarm soon, later, moved, removed;
    struct watch *watch = NULL;
    size_t blocks = mem_live_blocks();

    (void)state;
    struct alarm *all[] = {&soon, &later, &moved, &removed};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(sem_init(&all[i]->bell, 0, 0), 0);
    }
    assert_int_equal(watch_new(late, &watch), ERR_NONE);
    watch_set(watch, &later.watched, in_ms(3600000));
    watch_set(watch, &moved.watched, in_ms(3600000));
    watch_set(watch, &removed.watched, in_ms(3600000));
    int64_t begun = clock_monotonic_ns();
    watch_set(watch, &soon.watched, in_ms(20)); /* sooner than what the thread sleeps for */
    assert_int_equal(sem_wait(&soon.bell), 0);
    assert_true(clock_monotonic_ns() - begun >= 20 * 1000000);
    watch_set(watch, &moved.watched, in_ms(1));
    assert_int_equal(sem_wait(&moved.bell), 0);
    watch_remove(watch, &removed.watched);
    watch_remove(watch, &removed.watched);
    watch_expire_all(watch);
    assert_int_equal(atomic_load(&later.rung), 1);
    watch_expire_all(watch);
    watch_set(watch, &soon.watched, in_ms(-1)); /* again, after it has passed */
    assert_int_equal(sem_wait(&soon.bell), 0);
    watch_free(watch);
    watch_free(NULL);
    assert_int_equal(atomic_load(&soon.rung), 2);
    assert_int_equal(atomic_load(&later.rung), 1);
    assert_int_equal(atomic_load(&moved.rung), 1);
    assert_int_equal(atomic_load(&removed.rung), 0);
    assert_int_equal(mem_live_blocks(), blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deadlines_pass_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
