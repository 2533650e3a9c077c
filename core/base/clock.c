/* clock.c: monotonic, CPU and wall time. */
#include "core/base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t read_ns(clockid_t which)
{
    struct timespec now;

    (void)clock_gettime(which, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t clock_monotonic_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

int64_t clock_thread_cpu_ns(void)
{
    return read_ns(CLOCK_THREAD_CPUTIME_ID);
}

int64_t clock_unix_ms(void)
{
    return read_ns(CLOCK_REALTIME) / 1000000;
}

void clock_text(int64_t unix_ms, char *text)
{
    int64_t ms = ((unix_ms % 1000) + 1000) % 1000;
    time_t seconds = (time_t)((unix_ms - ms) / 1000);
    struct tm utc;
    size_t len = 0;

    if (gmtime_r(&seconds, &utc) != NULL) {
        len = strftime(text, CLOCK_TEXT_BYTES - 5, "%Y-%m-%dT%H:%M:%S", &utc);
    }
    (void)snprintf(text + len, CLOCK_TEXT_BYTES - len, ".%03dZ", (int)ms);
}
