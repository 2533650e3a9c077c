/* A bounded queue and its threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "core/base/mem.h"
#include "server/http/crew.h"

struct bench {
    sem_t begun, go_on;
    atomic_int done;
    atomic_int by_thread[4];
};

static void work(void *context, int thread, void *item)
{
    struct bench *bench = context;

    (void)sem_post(&bench->begun);
    while (sem_wait(&bench->go_on) != 0) {
    }
    (void)atomic_fetch_add(&bench->by_thread[thread], 1);
    (void)atomic_fetch_add(&bench->done, *(int *)item);
}

static void full_means_busy_at_once(void **state)
{
    static struct bench bench;
    const struct crew_plan plan = {.n_threads = 2, .queue_length = 3, .work = work, .context = &bench};
    struct crew *crew = NULL;
    int one = 1;
    size_t blocks = mem_live_blocks();

    (void)state;
    assert_int_equal(sem_init(&bench.begun, 0, 0), 0);
    assert_int_equal(sem_init(&bench.go_on, 0, 0), 0);
    assert_int_equal(crew_new(&plan, &crew), ERR_NONE);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(crew_push(crew, &one), ERR_NONE);
        assert_int_equal(sem_wait(&bench.begun), 0);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(crew_push(crew, &one), ERR_NONE);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(crew_push(crew, &one), ERR_BUSY);
    }
    for (int i = 0; i < 5; i++) {
        assert_int_equal(sem_post(&bench.go_on), 0);
    }
    crew_free(crew); /* works off what is queued */
    assert_int_equal(atomic_load(&bench.done), 5);
    crew_free(NULL);
    assert_int_equal(mem_live_blocks(), blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_means_busy_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
