/*
 * listen.c: libmicrohttpd, and nothing of it outside of this file.
 *
 * Facts of the library (0.9.75 and 1.0) that shape this file:
 * - A suspended connection notices neither that its client left nor its timeout: the watch has the deadlines, the worker
 *   looks at the socket before it begins.
 * - MHD_stop_daemon with a suspended connection aborts the process: everything is answered, so resumed, before.
 * - An answer can be queued before the body or after it, not in between: a refused body is swallowed to its end (bounded),
 *   because a client that still sends when the connection closes loses the answer with it.  A client that asks first
 *   (Expect: 100-continue) is refused at once.
 * - The library's own timeout restarts with every byte, so one byte now and then holds a connection for ever: head, body
 *   and answer have deadlines of ours, after which the socket is shut down; the library then cleans up on its own thread.
 */
#include "server/http/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "server/daemon/log.h"
#include "server/daemon/metrics.h"
#include "server/http/crew.h"
#include "server/http/exchange.h"
#include "server/http/watch.h"

#define CONNECTION_MEMORY_BYTES ((size_t)64 << 10) /* head and send buffer of one connection */
#define CLOSE_STEP_MS 100
#define STREAM_PAUSE_MS 500 /* between two questions to a stream that has nothing yet */

struct listener {
    /* immutable after listener_open */
    struct service *service;
    const struct config *config;
    struct MHD_Daemon *daemon;
    struct watch *watch;
    struct crew *crew;
    struct gallery_worker **workers; /* one for each thread of the crew */
    int n_workers;
    int port;

    /* any thread (atomic) */
    struct body_budget budget;
    atomic_bool closing;

    /* guarded by lock */
    pthread_mutex_t lock;
    pthread_cond_t fewer;
    int n_exchanges; /* between the first line of a request and the last byte of its answer */
};

/*
 * One connection.  Its fields change only while it is not watched, so that late() may read them.
 */
struct link {
    struct watched watched; /* first, so that late() finds the link */
    struct listener *listener;
    int fd;
    struct exchange *suspended;    /* NULL while the library has the connection */
    struct MHD_Connection *paused; /* suspended between two pieces of a stream; NULL otherwise */
    bool idle;                     /* kept alive behind an answer; a second head that drips counts as idle too */
};

static int64_t after_ms(int64_t ms)
{
    return clock_monotonic_ns() + ms * 1000000;
}

static struct link *link_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info == NULL ? NULL : info->socket_context;
}

static void resume(void *connection)
{
    MHD_resume_connection(connection);
}

/* ---- Connections ------------------------------------------------------------------------------------------------- */

/* A deadline has passed; on the watch's thread, which keeps the link alive meanwhile. */
static void late(struct watched *watched)
{
    struct link *link = (struct link *)watched;

    if (link->suspended != NULL) {
        bool closing = atomic_load(&link->listener->closing);
        metrics_count(METRICS_TIMED_OUT, 1);
        exchange_give_up(link->suspended, closing ? &PROBLEM_STOPPING : &PROBLEM_DEADLINE);
        return;
    }
    if (link->paused != NULL) {
        struct MHD_Connection *connection = link->paused;
        link->paused = NULL;
        MHD_resume_connection(connection);
        return;
    }
    if (!link->idle) {
        metrics_count(METRICS_SLOW_CLIENTS, 1);
    }
    (void)shutdown(link->fd, SHUT_RDWR);
}

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode what)
{
    struct listener *listener = context;

    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        struct link *link = MEM_NEW(struct link);
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        *socket_context = link;
        if (link == NULL || info == NULL) {
            return; /* the first request of a connection without a link is refused */
        }
        link->listener = listener;
        link->fd = info->connect_fd;
        metrics_add(METRICS_CONNECTIONS, 1);
        watch_set(listener->watch, &link->watched, after_ms(listener->config->head_ms));
    } else if (*socket_context != NULL) {
        struct link *link = *socket_context;
        watch_remove(listener->watch, &link->watched);
        metrics_add(METRICS_CONNECTIONS, -1);
        mem_free(link);
        *socket_context = NULL;
    }
}

/* Puts the deadline off for whoever keeps sending or reading: so much in every body_ms, or it is a slow client. */
#define PROGRESS_BYTES ((int64_t)1 << 20)

static void put_off(struct link *link)
{
    watch_set(link->listener->watch, &link->watched, after_ms(link->listener->config->body_ms));
}

/* ---- Answers ----------------------------------------------------------------------------------------------------- */

static void free_body(void *body)
{
    mem_free_wiped(body);
}

static void add_header(struct MHD_Response *response, const char *name, const char *value)
{
    (void)MHD_add_response_header(response, name, value);
}

/* A stream on its way out. */
struct outflow {
    struct reply_stream stream;
    struct link *link;
    const char *piece;
    size_t left;
    int64_t untold_bytes; /* sent since the deadline was put off */
    struct MHD_Connection *connection;
    bool was_paused;
};

/* Nothing to send yet: the library forgets the connection until the watch wakes it. */
static ssize_t pause_stream(struct outflow *out)
{
    struct link *link = out->link;

    if (atomic_load(&link->listener->closing)) {
        return MHD_CONTENT_READER_END_OF_STREAM;
    }
    watch_remove(link->listener->watch, &link->watched);
    link->paused = out->connection;
    out->was_paused = true;
    MHD_suspend_connection(out->connection);
    watch_set(link->listener->watch, &link->watched, after_ms(STREAM_PAUSE_MS));
    return 0;
}

static ssize_t pull(void *context, uint64_t at, char *ret, size_t room)
{
    struct outflow *out = context;

    (void)at;
    if (out->was_paused) {
        out->was_paused = false;
        put_off(out->link);
    }
    if (out->left == 0) {
        enum err err = out->stream.next(out->stream.context, &out->piece, &out->left);
        if (err == ERR_BUSY) {
            return pause_stream(out);
        }
        if (err != ERR_NONE) {
            return MHD_CONTENT_READER_END_WITH_ERROR;
        }
        if (out->left == 0) {
            return MHD_CONTENT_READER_END_OF_STREAM;
        }
    }
    size_t n = out->left < room ? out->left : room;
    memcpy(ret, out->piece, n);
    out->piece += n;
    out->left -= n;
    out->untold_bytes += (int64_t)n;
    if (out->untold_bytes >= PROGRESS_BYTES) {
        out->untold_bytes = 0;
        put_off(out->link);
    }
    return (ssize_t)n;
}

static void outflow_end(void *context)
{
    struct outflow *out = context;

    out->stream.close(out->stream.context);
    mem_free(out);
}

static struct MHD_Response *stream_response(struct reply *reply, struct MHD_Connection *connection)
{
    struct outflow *out = MEM_NEW(struct outflow);
    if (out == NULL) {
        return NULL;
    }
    *out = (struct outflow){.stream = reply->stream, .link = link_of(connection), .connection = connection};
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, (size_t)64 << 10, pull, out, outflow_end);
    if (response == NULL) {
        mem_free(out);
        return NULL;
    }
    reply->stream = (struct reply_stream){0};
    return response;
}

/* Hands the answer to the library; the body goes with it. */
static enum MHD_Result send_answer(struct MHD_Connection *connection, struct exchange *exchange)
{
    struct reply *reply = &exchange->reply;
    char number[16];
    struct MHD_Response *response =
        reply->stream.next != NULL
            ? stream_response(reply, connection)
            : MHD_create_response_from_buffer_with_free_callback(reply->body_bytes, reply->body, free_body);

    if (response == NULL) {
        return MHD_NO;
    }
    reply->body = NULL;
    add_header(response, "X-Request-Id", exchange->request.id);
    add_header(response, "Cache-Control", "no-store");
    add_header(response, "X-Content-Type-Options", "nosniff");
    if (reply->type != NULL) {
        add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, reply->type);
    }
    if (reply->allow[0] != '\0') {
        add_header(response, MHD_HTTP_HEADER_ALLOW, reply->allow);
    }
    if (reply->location[0] != '\0') {
        add_header(response, MHD_HTTP_HEADER_LOCATION, reply->location);
    }
    if (reply->retry_after_s > 0) {
        (void)snprintf(number, sizeof(number), "%d", reply->retry_after_s);
        add_header(response, MHD_HTTP_HEADER_RETRY_AFTER, number);
    }
    if (reply->ask_for_key) {
        add_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer realm=\"arcfaced\"");
    }
    if (reply->replayed) {
        add_header(response, "Idempotent-Replayed", "true");
    }
    if (reply->close) {
        add_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    }
    enum MHD_Result result = MHD_queue_response(connection, (unsigned)reply->status, response);
    MHD_destroy_response(response);
    return result;
}

/* ---- Requests ---------------------------------------------------------------------------------------------------- */

/* The first line has been read: the exchange begins. */
static void *on_first_line(void *context, const char *target, struct MHD_Connection *connection)
{
    struct listener *listener = context;
    struct exchange *exchange = exchange_new(target, &listener->budget);

    if (exchange == NULL) {
        return NULL;
    }
    exchange->connection = connection;
    exchange->resume = resume;
    (void)pthread_mutex_lock(&listener->lock);
    listener->n_exchanges++;
    (void)pthread_mutex_unlock(&listener->lock);
    return exchange;
}

static void on_completed(void *context, struct MHD_Connection *connection, void **request_context,
                         enum MHD_RequestTerminationCode how)
{
    struct listener *listener = context;
    struct exchange *exchange = *request_context;
    struct link *link = link_of(connection);

    if (exchange == NULL) {
        return;
    }
    const struct reply *reply = &exchange->reply;
    const struct route *route = exchange->admission.match.route;
    int64_t ns = clock_monotonic_ns() - exchange->began_ns;
    bool probe = route != NULL && (route->flags & ROUTE_OPEN) != 0;
    metrics_request(route == NULL ? -1 : exchange->admission.match.number, reply->status, ns);
    log_event(probe ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, "request",
              "request_id=%s method=%s route=%s status=%d code=%s key=%s ms=%.3f answered=%s", exchange->request.id,
              method_text(exchange->request.method), route == NULL ? NULL : route->pattern, reply->status, reply->code,
              exchange->admission.caller.key.id[0] == '\0' ? NULL : exchange->admission.caller.key.id, (double)ns / 1e6,
              how == MHD_REQUEST_TERMINATED_COMPLETED_OK ? "yes" : "no");
    exchange_unref(exchange);
    *request_context = NULL;
    if (link != NULL) {
        watch_remove(listener->watch, &link->watched);
        link->suspended = NULL;
        link->idle = true;
        watch_set(listener->watch, &link->watched, after_ms(listener->config->head_ms));
    }
    (void)pthread_mutex_lock(&listener->lock);
    listener->n_exchanges--;
    (void)pthread_cond_signal(&listener->fewer);
    (void)pthread_mutex_unlock(&listener->lock);
}

/* A header's value, copied: it must outlive the connection if the request is given up while a worker has it. */
static const char *header(struct MHD_Connection *connection, const char *name, struct exchange *exchange)
{
    const char *value = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
    return value == NULL ? NULL : arena_copy_text(exchange->mem, value);
}

static void read_head(struct listener *listener, struct MHD_Connection *connection, const char *method,
                      struct exchange *exchange)
{
    struct request *request = &exchange->request;
    struct err_note note = {0};

    request_set_id(request, MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "X-Request-Id"));
    request->method = method_parse(method);
    request->content_type = header(connection, MHD_HTTP_HEADER_CONTENT_TYPE, exchange);
    request->authorization = header(connection, MHD_HTTP_HEADER_AUTHORIZATION, exchange);
    request->api_key = header(connection, "x-api-key", exchange);
    request->idempotency_key = header(connection, "Idempotency-Key", exchange);
    const char *expect = header(connection, MHD_HTTP_HEADER_EXPECT, exchange);
    request->expects_continue = expect != NULL && strcasecmp(expect, "100-continue") == 0;
    request->chunked = header(connection, MHD_HTTP_HEADER_TRANSFER_ENCODING, exchange) != NULL;
    const char *length = header(connection, MHD_HTTP_HEADER_CONTENT_LENGTH, exchange);
    request->content_length = length == NULL ? -1 : strtoll(length, NULL, 10); /* the library has checked it */
    if (request_parse_target(exchange->target, exchange->mem, request, &note) != ERR_NONE) {
        exchange_refuse(exchange, &PROBLEM_BAD_TARGET, note.text);
    } else if (!service_admit(listener->service, request, exchange->mem, &exchange->admission, &exchange->reply)) {
        exchange->state = EXCHANGE_REFUSED;
    }
}

/* The head is complete.  Says yes to the body, or answers before it. */
static enum MHD_Result on_head(struct listener *listener, struct MHD_Connection *connection, const char *method,
                               struct exchange *exchange)
{
    struct link *link = link_of(connection);

    exchange->head_seen = true;
    if (link == NULL) {
        return MHD_NO;
    }
    watch_remove(listener->watch, &link->watched);
    link->idle = false;
    exchange->fd = link->fd;
    read_head(listener, connection, method, exchange);
    watch_set(listener->watch, &link->watched, after_ms(listener->config->body_ms));
    if (exchange->state == EXCHANGE_RECEIVING && (exchange->admission.match.route->flags & ROUTE_UPLOAD) != 0) {
        exchange_spool(exchange, listener->config->data);
    }
    if (exchange->state == EXCHANGE_REFUSED &&
        (exchange->request.expects_continue || exchange->request.content_length > 2 * listener->config->body_bytes)) {
        return send_answer(connection, exchange);
    }
    return MHD_YES;
}

/* The request is complete: answer here, or suspend and queue. */
static enum MHD_Result on_body_end(struct listener *listener, struct MHD_Connection *connection,
                                   struct exchange *exchange)
{
    struct link *link = link_of(connection);
    int64_t deadline_ns = after_ms(listener->config->deadline_ms);

    if (exchange->upload.begun && spool_close(&exchange->upload) != ERR_NONE) {
        exchange_refuse(exchange, problem_of(ERR_IO), NULL);
        return send_answer(connection, exchange);
    }
    exchange_complete(exchange, deadline_ns);
    if ((exchange->admission.match.route->flags & ROUTE_INLINE) != 0) {
        service_run(listener->service, NULL, exchange->mem, &exchange->request, &exchange->admission, &exchange->reply);
        exchange->state = EXCHANGE_ANSWERED;
        return send_answer(connection, exchange);
    }
    if (atomic_load(&listener->closing)) {
        exchange_refuse(exchange, &PROBLEM_STOPPING, NULL);
        return send_answer(connection, exchange);
    }
    watch_remove(listener->watch, &link->watched);
    link->suspended = exchange;
    MHD_suspend_connection(connection);
    exchange_wait(exchange);
    if (crew_push(listener->crew, exchange) != ERR_NONE) {
        metrics_count(METRICS_REFUSED_BUSY, 1);
        exchange_give_up(exchange, &PROBLEM_QUEUE_FULL);
        exchange_unref(exchange);
        return MHD_YES;
    }
    /* The answer may be there already: then the library's thread, which is this one, takes the deadline away again when it
     * comes back for the connection. */
    watch_set(listener->watch, &link->watched, deadline_ns);
    return MHD_YES;
}

/* The next piece of the body; false: the connection is cut. */
static bool receive(struct listener *listener, struct MHD_Connection *connection, struct exchange *exchange,
                    const char *bytes, size_t n_bytes)
{
    const struct config *config = listener->config;
    int64_t limit_bytes = exchange->upload.begun ? config->upload_bytes : config->body_bytes;

    if (!exchange_receive(exchange, bytes, n_bytes, (size_t)limit_bytes)) {
        return false;
    }
    if (exchange->upload.bytes - exchange->upload_told >= PROGRESS_BYTES) {
        exchange->upload_told = exchange->upload.bytes;
        put_off(link_of(connection));
    }
    return true;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *upload, size_t *upload_bytes, void **request_context)
{
    struct listener *listener = context;
    struct exchange *exchange = *request_context;

    (void)url;
    (void)version;
    if (exchange == NULL) {
        return MHD_NO;
    }
    if (!exchange->head_seen) {
        return on_head(listener, connection, method, exchange);
    }
    if (*upload_bytes > 0) {
        size_t n_bytes = *upload_bytes;
        *upload_bytes = 0;
        return receive(listener, connection, exchange, upload, n_bytes) ? MHD_YES : MHD_NO;
    }
    if (exchange->state == EXCHANGE_RECEIVING) {
        return on_body_end(listener, connection, exchange);
    }
    struct link *link = link_of(connection);
    watch_remove(listener->watch, &link->watched);
    link->suspended = NULL;
    watch_set(listener->watch, &link->watched, after_ms(listener->config->body_ms));
    /* The worker's writes are seen through the lock. */
    (void)pthread_mutex_lock(&exchange->lock);
    enum MHD_Result result = send_answer(connection, exchange);
    (void)pthread_mutex_unlock(&exchange->lock);
    return result;
}

/* ---- Workers ----------------------------------------------------------------------------------------------------- */

static void work(void *context, int thread, void *item)
{
    struct listener *listener = context;
    struct exchange *exchange = item;
    struct reply reply = {0};

    if (exchange_begin(exchange)) {
        service_run(listener->service, listener->workers[thread], NULL, &exchange->request, &exchange->admission,
                    &reply);
        exchange_answer(exchange, &reply);
    }
    exchange_unref(exchange);
}

/* ---- Life cycle -------------------------------------------------------------------------------------------------- */

static void library_says(void *context, const char *format, va_list values)
{
    char text[256];

    (void)context;
    (void)vsnprintf(text, sizeof(text), format, values); // NOLINT(clang-analyzer-valist.Uninitialized): the caller's
    text[strcspn(text, "\n")] = '\0';
    log_event(LOG_LEVEL_DEBUG, "microhttpd", "sentence=%s", text);
}

static enum err start_daemon(struct listener *listener, struct err_note *note)
{
    const struct config *config = listener->config;
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address = {0};
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;

    if (inet_pton(AF_INET, config->listen_host, &address.v4.sin_addr) == 1) {
        address.v4.sin_family = AF_INET;
        address.v4.sin_port = htons((uint16_t)config->listen_port);
    } else if (inet_pton(AF_INET6, config->listen_host, &address.v6.sin6_addr) == 1) {
        address.v6.sin6_family = AF_INET6;
        address.v6.sin6_port = htons((uint16_t)config->listen_port);
        flags |= MHD_USE_IPv6;
    } else {
        return ERR_SAY(note, ERR_MISUSE, "%s is not an address", config->listen_host);
    }
    unsigned threads = (unsigned)config->network_threads;
    unsigned connections = (unsigned)config->connections;
    listener->daemon = MHD_start_daemon(
        flags, (uint16_t)config->listen_port, NULL, NULL, on_request, listener,                                    //
        MHD_OPTION_EXTERNAL_LOGGER, library_says, NULL, MHD_OPTION_SOCK_ADDR, &address.any,                        //
        MHD_OPTION_URI_LOG_CALLBACK, on_first_line, listener, MHD_OPTION_NOTIFY_COMPLETED, on_completed, listener, //
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, listener, MHD_OPTION_THREAD_POOL_SIZE,                        //
        threads > 1 && threads <= connections ? threads : 0, MHD_OPTION_CONNECTION_LIMIT, connections,             //
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY_BYTES, MHD_OPTION_END);
    if (listener->daemon == NULL) {
        return ERR_SAY(note, ERR_IO, "cannot listen on %s port %d: %s", config->listen_host, config->listen_port,
                       strerror(errno));
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(listener->daemon, MHD_DAEMON_INFO_BIND_PORT);
    listener->port = info == NULL ? config->listen_port : info->port;
    return ERR_NONE;
}

static enum err start_workers(struct listener *listener, struct gallery *gallery)
{
    const struct config *config = listener->config;
    int n_workers = config_workers(config);
    const struct crew_plan plan = {
        .n_threads = n_workers, .queue_length = (int)config->queue_length, .work = work, .context = listener};

    listener->workers = MEM_ARRAY(struct gallery_worker *, (size_t)n_workers);
    if (listener->workers == NULL) {
        return ERR_NOMEM;
    }
    for (int i = 0; i < n_workers; i++) {
        enum err err = gallery_worker_new(gallery, (size_t)config->arena_bytes, &listener->workers[i]);
        if (err != ERR_NONE) {
            return err;
        }
        listener->n_workers++;
    }
    return crew_new(&plan, &listener->crew);
}

static void free_parts(struct listener *listener)
{
    crew_free(listener->crew);
    watch_free(listener->watch);
    for (int i = 0; i < listener->n_workers; i++) {
        gallery_worker_free(listener->workers[i]);
    }
    mem_free(listener->workers);
    (void)pthread_cond_destroy(&listener->fewer);
    (void)pthread_mutex_destroy(&listener->lock);
    mem_free(listener);
}

enum err listener_open(struct service *service, const struct service_parts *parts, struct listener **ret,
                       struct err_note *note)
{
    struct listener *listener = MEM_NEW(struct listener);
    pthread_condattr_t attributes;

    if (listener == NULL) {
        return ERR_NOMEM;
    }
    listener->service = service;
    listener->config = parts->config;
    listener->budget.limit_bytes = (size_t)parts->config->bodies_bytes;
    (void)pthread_mutex_init(&listener->lock, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&listener->fewer, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    spool_tidy(parts->config->data);
    enum err err = watch_new(late, &listener->watch);
    if (err == ERR_NONE) {
        err = start_workers(listener, parts->gallery);
    }
    if (err == ERR_NONE) {
        err = start_daemon(listener, note);
    }
    if (err != ERR_NONE) {
        free_parts(listener);
        return err;
    }
    *ret = listener;
    return ERR_NONE;
}

int listener_port(const struct listener *listener)
{
    return listener->port;
}

/* Waits until no request is under way, or the time has come; says which. */
static bool wait_until_idle(struct listener *listener, int64_t until_ns)
{
    struct timespec until = {.tv_sec = (time_t)(until_ns / 1000000000), .tv_nsec = (long)(until_ns % 1000000000)};

    (void)pthread_mutex_lock(&listener->lock);
    int result = 0;
    while (listener->n_exchanges > 0 && result == 0) {
        result = pthread_cond_timedwait(&listener->fewer, &listener->lock, &until);
    }
    bool idle = listener->n_exchanges == 0;
    (void)pthread_mutex_unlock(&listener->lock);
    return idle;
}

void listener_close(struct listener *listener)
{
    if (listener == NULL) {
        return;
    }
    service_stop_admitting(listener->service);
    MHD_socket fd = MHD_quiesce_daemon(listener->daemon);
    bool idle = wait_until_idle(listener, after_ms(listener->config->drain_ms));
    /* One may be between two deadlines just when all of them are made to pass: so again, until none is left. */
    atomic_store(&listener->closing, true);
    while (!idle) {
        watch_expire_all(listener->watch);
        idle = wait_until_idle(listener, after_ms(CLOSE_STEP_MS));
    }
    MHD_stop_daemon(listener->daemon);
    if (fd != MHD_INVALID_SOCKET) {
        (void)close(fd);
    }
    free_parts(listener);
}
