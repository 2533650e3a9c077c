/*
 * life.h: how the daemon is asked to stop.
 *
 * SIGTERM and SIGINT are blocked in every thread and received by one that waits for them: the first asks to drain, the
 * second ends at once.  SIGPIPE is ignored: a client that leaves is no reason to die.
 */
#ifndef SERVER_DAEMON_LIFE_H
#define SERVER_DAEMON_LIFE_H

#include "core/base/err.h"

struct life;

/*
 * Blocks the signals and starts the thread that waits for them.  Must be called before any other thread is started, since
 * they inherit what is blocked.  at_once is called on the second signal, on that thread; it should end the process.
 * Errors: ERR_NOMEM; ERR_LIMIT no thread can be started.
 */
MUST_CHECK enum err life_begin(void (*at_once)(int signal_number), struct life **ret);

/* Waits until the first signal, or life_ask, and returns the signal's number (0 for life_ask). */
int life_wait(struct life *life);

/* Asks to stop from within.  Any thread. */
void life_ask(struct life *life);

/* Ends the waiting thread and frees; NULL does nothing.  The signals stay blocked. */
void life_end(struct life *life);

#endif
