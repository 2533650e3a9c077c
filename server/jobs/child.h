/*
 * child.h: this program again, as a process of its own, for work that must not be able to hurt the daemon.
 *
 * The child gets no standard input, no environment, no open files of the daemon's but standard error, and speaks in lines on
 * its standard output.
 */
#ifndef SERVER_JOBS_CHILD_H
#define SERVER_JOBS_CHILD_H

#include <stdbool.h>

#include "core/base/cancel.h"
#include "core/base/err.h"

/* A line without its end; valid during the call.  Longer ones than 64 KiB are cut. */
typedef void child_line(void *context, const char *line);

struct child_end {
    bool killed; /* by a signal */
    int number;  /* of the signal, or the exit status */
};

/*
 * Runs /proc/self/exe with these arguments (NULL behind the last) to its end.  When cancel is asked the child gets SIGTERM, and SIGKILL
 * if it is still there half a minute later; how it ended says the rest.
 * Errors: ERR_IO, ERR_NOMEM it cannot be started.
 */
MUST_CHECK enum err child_run(const char *const *arguments, struct cancel *cancel, child_line *line, void *context,
                              struct child_end *ret, struct err_note *note);

#endif
