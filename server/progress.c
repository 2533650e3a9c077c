/* progress.c: the bar, on standard error. */
#include "server/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "core/base/clock.h"

#define BAR_CELLS 30
#define EVERY_NS 100000000LL

void progress_start(struct progress *progress, const char *what, long done, long total)
{
    progress->what = what;
    progress->total = total;
    progress->shown = isatty(STDERR_FILENO) == 1;
    progress->start_ns = clock_monotonic_ns();
    progress->last_ns = 0;
    progress->from = done;
    atomic_store(&progress->done, done);
}

long progress_count(struct progress *progress)
{
    return atomic_fetch_add(&progress->done, 1) + 1;
}

static void write_time(double seconds, char *ret, size_t room)
{
    long s = (long)(seconds + .5);

    if (s >= 3600) {
        (void)snprintf(ret, room, "%ld h %02ld min", s / 3600, s / 60 % 60);
    } else if (s >= 60) {
        (void)snprintf(ret, room, "%ld min %02ld s", s / 60, s % 60);
    } else {
        (void)snprintf(ret, room, "%ld s", s);
    }
}

void progress_show(struct progress *progress, const char *words)
{
    int64_t now = clock_monotonic_ns();
    long done = atomic_load(&progress->done);
    char bar[BAR_CELLS + 1];
    char left[32] = "";

    if (!progress->shown || progress->total < 1 || (now - progress->last_ns < EVERY_NS && done < progress->total)) {
        return;
    }
    progress->last_ns = now;
    long cells = done * BAR_CELLS / progress->total;
    for (long i = 0; i < BAR_CELLS; i++) {
        bar[i] = i < cells ? '#' : '.';
    }
    bar[BAR_CELLS] = '\0';
    if (done > progress->from) {
        double each = (double)(now - progress->start_ns) / 1e9 / (double)(done - progress->from);
        write_time(each * (double)(progress->total - done), left, sizeof left);
    }
    (void)fprintf(stderr, "\r%s [%s] %ld/%ld%s%s%s%s\033[K", progress->what, bar, done, progress->total,
                  left[0] != '\0' ? ", left: " : "", left, words[0] != '\0' ? ", " : "", words);
    (void)fflush(stderr);
}

void progress_end(struct progress *progress)
{
    if (progress->shown) {
        (void)fprintf(stderr, "\r\033[K");
        (void)fflush(stderr);
    }
}
