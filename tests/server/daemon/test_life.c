/* The first signal asks, the second ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <semaphore.h>
#include <signal.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "server/daemon/life.h"

static sem_t ended;

static void at_once(int signal_number)
{
    assert_int_equal(signal_number, SIGINT);
    (void)sem_post(&ended);
}

static void first_asks_second_ends(void **state)
{
    struct life *life = NULL;
    size_t blocks = mem_live_blocks();

    (void)state;
    assert_int_equal(sem_init(&ended, 0, 0), 0);
    assert_int_equal(life_begin(at_once, &life), ERR_NONE);
    assert_int_equal(kill(getpid(), SIGTERM), 0);
    assert_int_equal(life_wait(life), SIGTERM);
    assert_int_equal(kill(getpid(), SIGINT), 0);
    assert_int_equal(sem_wait(&ended), 0);
    life_end(life);
    life_end(NULL);
    assert_int_equal(mem_live_blocks(), blocks);
}

static void asking_from_within(void **state)
{
    struct life *life = NULL;

    (void)state;
    assert_int_equal(life_begin(at_once, &life), ERR_NONE);
    life_ask(life);
    assert_int_equal(life_wait(life), 0);
    life_end(life);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_asks_second_ends),
        cmocka_unit_test(asking_from_within),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
