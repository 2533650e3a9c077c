/*
 * test_listen_threads.c: real sockets, several clients at once: each enrolls, finds, deletes and finds no more, while others
 * vanish in the middle; then the listener closes under load.  Runs under ThreadSanitizer as well.
 */
#include "tests/server/http/service_fixture.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "server/daemon/metrics.h"
#include "server/http/listen.h"

#define CLIENTS 4
#define ROUNDS 12

struct client {
    int port;
    int axis;
    atomic_bool *stop;
    const char *wrong;
    int answered; /* calls that had an answer */
};

static int connect_to(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

/* One call on a connection of its own; returns the status, 0 without an answer.  text gets the whole answer. */
static int exchange(const struct client *client, const char *head, const char *body, char *text, size_t room)
{
    char request[1024];
    size_t used = 0;
    int status = 0;
    int fd = connect_to(client->port);

    if (fd < 0) {
        return 0;
    }
    int length = snprintf(request, sizeof request,
                          "%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
                          "Content-Length: %zu\r\n\r\n%s",
                          head, strlen(body), body);
    if (send(fd, request, (size_t)length, MSG_NOSIGNAL) == length) {
        for (ssize_t n; used + 1 < room && (n = recv(fd, text + used, room - 1 - used, 0)) > 0;) {
            used += (size_t)n;
        }
        text[used] = '\0';
        if (sscanf(text, "HTTP/1.1 %d", &status) != 1) {
            status = 0;
        }
    }
    (void)close(fd);
    return status;
}

static void vector_text(int axis, char *ret, size_t room, const char *more)
{
    size_t used = (size_t)snprintf(ret, room, "{%s\"embedding\":[", more);
    for (int i = 0; i < DIM; i++) {
        used += (size_t)snprintf(ret + used, room - used, "%s%d", i == 0 ? "" : ",", i == axis ? 1 : 0);
    }
    (void)snprintf(ret + used, room - used, "]}");
}

/* NULL when all is as it should be; "" when the daemon no longer answers. */
static const char *one_round(struct client *client)
{
    char text[8192], body[256], more[64], head[128], id[40];

    (void)snprintf(more, sizeof more, "\"subject\":\"axis %d\",", client->axis);
    vector_text(client->axis, body, sizeof body, more);
    int status = exchange(client, "POST /v1/enroll", body, text, sizeof text);
    if (status != 201) {
        return status == 0 || status == 503 ? "" : "an enroll failed";
    }
    const char *subject = strstr(text, "\"id\":\"");
    if (subject == NULL || sscanf(subject, "\"id\":\"%36[0-9a-f-]", id) != 1) {
        return "no id";
    }
    vector_text(client->axis, body, sizeof body, "");
    status = exchange(client, "POST /v1/identify", body, text, sizeof text);
    if (status != 200 || strstr(text, id) == NULL) {
        return status == 0 || status == 503 ? "" : "an enrolled face was not found by the next request";
    }
    (void)snprintf(head, sizeof head, "DELETE /v1/subjects/%s", id);
    status = exchange(client, head, "", text, sizeof text);
    if (status != 200) {
        return status == 0 || status == 503 ? "" : "a delete failed";
    }
    status = exchange(client, "POST /v1/identify", body, text, sizeof text);
    if (status != 200 || strstr(text, id) != NULL) {
        return status == 0 || status == 503 ? "" : "a deleted face was found";
    }
    client->answered += 4;
    return NULL;
}

static void *be_client(void *context)
{
    struct client *client = context;

    for (int i = 0; i < ROUNDS || (client->stop != NULL && !atomic_load(client->stop)); i++) {
        const char *wrong = one_round(client);
        if (wrong != NULL) {
            client->wrong = wrong[0] == '\0' && client->stop != NULL ? NULL : wrong;
            break;
        }
    }
    return NULL;
}

/* Sends a request and leaves at once, or in the middle of its body. */
static void *vanish(void *context)
{
    const struct client *client = context;
    static const char *const requests[] = {
        "POST /v1/identify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{\"emb",
        "GET /v1/subjects HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /v1/su",
    };
    for (int i = 0; i < 3 * ROUNDS; i++) {
        int fd = connect_to(client->port);
        const char *request = requests[i % 3];
        if (fd >= 0) {
            (void)send(fd, request, strlen(request), MSG_NOSIGNAL);
            (void)close(fd);
        }
    }
    return NULL;
}

static void run_clients(bool close_under_load)
{
    struct service_fixture s;
    struct listener *listener = NULL;
    struct err_note note = {0};
    pthread_t threads[CLIENTS + 1];
    struct client clients[CLIENTS + 1];
    atomic_bool stop = false;

    service_fixture_open(&s, "--no-auth", "30000");
    if (listener_open(s.service, &s.parts, &listener, &note) != ERR_NONE) {
        fail_msg("%s", note.text);
    }
    for (int i = 0; i <= CLIENTS; i++) {
        clients[i] =
            (struct client){.port = listener_port(listener), .axis = i, .stop = close_under_load ? &stop : NULL};
        assert_int_equal(pthread_create(&threads[i], NULL, i == CLIENTS ? vanish : be_client, &clients[i]), 0);
    }
    if (close_under_load) {
        assert_int_equal(pthread_join(threads[CLIENTS], NULL), 0);
        listener_close(listener);
        atomic_store(&stop, true);
    } else {
        assert_int_equal(pthread_join(threads[CLIENTS], NULL), 0);
    }
    for (int i = 0; i < CLIENTS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        if (clients[i].wrong != NULL) {
            fail_msg("client %d: %s", i, clients[i].wrong);
        }
        if (!close_under_load) {
            assert_int_equal(clients[i].answered, 4 * ROUNDS);
        }
    }
    if (!close_under_load) {
        listener_close(listener);
    }
    assert_int_equal(metrics_gauge_value(METRICS_CONNECTIONS), 0);
    assert_int_equal(metrics_gauge_value(METRICS_BODY_BYTES), 0);
    assert_int_equal(metrics_gauge_value(METRICS_QUEUED), 0);
    service_fixture_close(&s);
}

static void clients_at_once(void **state)
{
    (void)state;
    run_clients(false);
}

static void closing_under_load(void **state)
{
    (void)state;
    run_clients(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clients_at_once),
        cmocka_unit_test(closing_under_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
