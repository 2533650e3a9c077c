/*
 * log.h: what happened, one JSON object a line on standard error.
 *
 * Never in it: photos, vectors, keys, names of people.  Only server/http, server/jobs and server/main.c log; everybody else
 * returns an error, which is logged once, by them, with the id of the request or job.
 * Any thread; a line is written by one system call, so lines never mix.
 */
#ifndef SERVER_DAEMON_LOG_H
#define SERVER_DAEMON_LOG_H

#include "core/base/attr.h"

enum log_level {
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_INFO,
    LOG_LEVEL_WARN,
    LOG_LEVEL_ERROR
};

/* Lines below the level are dropped; "debug", "info", "warn" or "error", anything else is info.  Set before threads start. */
void log_set_level(const char *word);

/* Where lines go; standard error until set.  For tests. */
void log_set_file(int fd);

/*
 * Writes one line: {"time":..., "level":..., "event":event, fields}.
 *
 * fields are words "key=%conversion" separated by one space, checked by the compiler as printf's are:
 * log_event(LOG_LEVEL_INFO, "listening", "host=%s port=%d", host, port).  A %s becomes a JSON text (NULL: null), everything
 * else a JSON number; a number that is not finite becomes null.  Conversions: %s %d %u %ld %lu %zu %g %.Nf.
 * A line longer than 4 KiB loses fields from its end.
 */
void log_event(enum log_level level, const char *event, const char *fields, ...) PRINTF_LIKE(3, 4);

#endif
