/*
 * listen.h: the sockets: connections become requests, replies become bytes.
 *
 * The only place that knows the HTTP library.  Its network threads parse, admit, and suspend a connection while a worker
 * computes; a watch keeps the deadlines that a suspended connection does not have.
 *
 * A request passes through: head complete (admit or refuse) → body complete (queue or answer) → worker → answer.
 * Body bytes are counted while they arrive: a body over the limit is thrown away as it comes and answered with 413; one that
 * goes on for as much again is cut off.
 */
#ifndef SERVER_HTTP_LISTEN_H
#define SERVER_HTTP_LISTEN_H

#include "server/http/service.h"

struct listener;

/*
 * Starts workers and network threads on config's address.  The service and its parts must outlive the listener.
 * Errors: ERR_IO the address cannot be listened on; ERR_NOMEM; ERR_LIMIT a thread cannot be started; as gallery_worker_new.
 */
MUST_CHECK enum err listener_open(struct service *service, const struct service_parts *parts, struct listener **ret,
                                  struct err_note *note);

/* The port that was taken, for port 0. */
int listener_port(const struct listener *listener);

/*
 * Stops: accepts nothing new, lets what runs finish within drain_ms, answers the rest with 503, then closes.  NULL does
 * nothing.
 */
void listener_close(struct listener *listener);

#endif
