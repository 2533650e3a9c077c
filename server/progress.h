/*
 * progress.h: how far a long command has come: a bar with the time left on a terminal, nothing elsewhere.
 * One thread shows; any thread may count.
 */
#ifndef SERVER_PROGRESS_H
#define SERVER_PROGRESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct progress {
    const char *what;
    long total;
    bool shown; /* standard error is a terminal */
    int64_t start_ns, last_ns;
    long from;        /* done before this start (a resumed run) */
    atomic_long done; /* any thread */
};

void progress_start(struct progress *progress, const char *what, long done, long total);

/* Counts one more and returns how many that makes.  Any thread. */
long progress_count(struct progress *progress);

/* Draws the bar with a few words of the caller's ("" is fine), at most ten times a second. */
void progress_show(struct progress *progress, const char *words);

/* Removes the bar. */
void progress_end(struct progress *progress);

#endif
