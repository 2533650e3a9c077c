/*
 * clock.h: the two clocks.  Deadlines use the monotonic one; what people read uses the wall.
 * Any thread.
 */
#ifndef CORE_BASE_CLOCK_H
#define CORE_BASE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Nanoseconds since some start; never goes back. */
int64_t clock_monotonic_ns(void);

/* CPU time that this thread has used, in nanoseconds, for benches and per-stage metrics. */
int64_t clock_thread_cpu_ns(void);

/* Milliseconds since 1970-01-01 UTC. */
int64_t clock_unix_ms(void);

/* Writes RFC 3339 in UTC with milliseconds, "2026-01-31T12:34:56.789Z"; text holds at least CLOCK_TEXT_BYTES. */
#define CLOCK_TEXT_BYTES 32
void clock_text(int64_t unix_ms, char *text);

/*
 * Reads RFC 3339: any number of decimals, of which three count, and any offset; without one it is UTC.
 * False, and *ret_ms as it was: it is none, no such day, or before 1970.
 */
bool clock_read(const char *text, int64_t *ret_ms);

#endif
