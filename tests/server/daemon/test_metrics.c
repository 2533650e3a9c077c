/* Counters and the text that Prometheus reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "core/base/mem.h"
#include "server/daemon/metrics.h"

static void *count_a_lot(void *context)
{
    for (int i = 0; i < 10000; i++) {
        metrics_request(3, 200, 1000);
        metrics_add(METRICS_QUEUED, 1);
        metrics_add(METRICS_QUEUED, -1);
        metrics_time(METRICS_SEARCH, 300000);
    }
    return context;
}

static void counts_from_all_threads_reach_the_text(void **state)
{
    pthread_t threads[4];
    size_t blocks = mem_live_blocks();

    (void)state;
    metrics_name_route(3, "GET /three");
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count_a_lot, NULL), 0);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    metrics_request(-1, 404, 1);
    metrics_request(3, 299, 1); /* a status that nobody foresaw is not lost */
    metrics_set(METRICS_FACES, 42);
    metrics_name_job("purify");
    metrics_name_job("evaluate");
    metrics_job_begins("purify");
    metrics_job_ends("purify", METRICS_JOB_FAILED);
    metrics_job_begins("evaluate");
    metrics_job_progress(1, 4);
    metrics_job_begins("nameless"); /* counted nowhere, and harmless */
    metrics_job_progress(1, 4);
    struct arena *mem = arena_new((size_t)1 << 20);
    const char *text = NULL;
    size_t n_bytes = 0;
    assert_int_equal(metrics_text(mem, &text, &n_bytes), ERR_NONE);
    assert_int_equal(strlen(text), n_bytes);
    static const char *const lines[] = {
        "arcfaced_requests_total{route=\"GET /three\",status=\"200\"} 40000\n",
        "arcfaced_requests_total{route=\"GET /three\",status=\"other\"} 1\n",
        "arcfaced_requests_total{route=\"none\",status=\"404\"} 1\n",
        "arcfaced_queue_length 0\n",
        "arcfaced_faces 42\n",
        "arcfaced_jobs_total{kind=\"purify\",state=\"failed\"} 1\n",
        "arcfaced_jobs_total{kind=\"purify\",state=\"succeeded\"} 0\n",
        "arcfaced_jobs_total{kind=\"evaluate\",state=\"put_back\"} 0\n",
        "arcfaced_jobs_running{kind=\"purify\"} 0\n",
        "arcfaced_jobs_running{kind=\"evaluate\"} 1\n",
        "arcfaced_job_progress_ratio 0.25\n",
        "arcfaced_stage_seconds_bucket{stage=\"search\",le=\"0.00025\"} 0\n",
        "arcfaced_stage_seconds_bucket{stage=\"search\",le=\"0.0005\"} 40000\n",
        "arcfaced_stage_seconds_count{stage=\"search\"} 40000\n",
        "arcfaced_stage_seconds_sum{stage=\"search\"} 12.000000000\n",
        "arcfaced_memory_live_bytes ",
        "process_resident_memory_bytes ",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        if (strstr(text, lines[i]) == NULL) {
            fail_msg("row %zu: %s is missing", i, lines[i]);
        }
    }
    arena_free(mem);
    metrics_name_route(3, NULL);
    assert_int_equal(mem_live_blocks(), blocks);
}

static void a_small_arena_is_an_error(void **state)
{
    struct arena *mem = arena_new((size_t)16 << 10);
    const char *text = NULL;
    size_t n_bytes = 0;

    (void)state;
    assert_int_equal(metrics_text(mem, &text, &n_bytes), ERR_LIMIT);
    assert_null(text);
    arena_free(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_from_all_threads_reach_the_text),
        cmocka_unit_test(a_small_arena_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
