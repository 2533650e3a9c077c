/* command_health.c: one question to a running daemon, for the container's health check. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "server/command.h"

#define PATIENCE_S 3

/* A daemon that listens on all addresses is asked on the loopback one. */
static const char *host_to_ask(const struct config *config)
{
    if (strcmp(config->listen_host, "0.0.0.0") == 0) {
        return "127.0.0.1";
    }
    return strcmp(config->listen_host, "::") == 0 ? "::1" : config->listen_host;
}

static int open_socket(const struct config *config)
{
    const char *host = host_to_ask(config);
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)config->listen_port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)config->listen_port)};
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    bool is_v4 = inet_pton(AF_INET, host, &v4.sin_addr) == 1;
    const struct sockaddr *address = (const struct sockaddr *)&v4;
    socklen_t bytes = sizeof v4;

    if (!is_v4) {
        if (inet_pton(AF_INET6, host, &v6.sin6_addr) != 1) {
            return -1;
        }
        address = (const struct sockaddr *)&v6;
        bytes = sizeof v6;
    }
    int fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(fd, address, bytes) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static bool is_ready(int fd)
{
    static const char question[] = "GET /readyz HTTP/1.1\r\nHost: arcfaced\r\nConnection: close\r\n\r\n";
    char answer[16] = "";
    size_t got = 0;

    if (send(fd, question, sizeof question - 1, MSG_NOSIGNAL) != (ssize_t)(sizeof question - 1)) {
        return false;
    }
    while (got < sizeof answer - 1) {
        ssize_t n = recv(fd, answer + got, sizeof answer - 1 - got, 0);
        if (n <= 0) {
            break;
        }
        got += (size_t)n;
    }
    return strncmp(answer, "HTTP/1.1 200", 12) == 0;
}

int command_health(int argc, char **argv)
{
    struct config config;
    struct err_note note = {0};

    enum err err = config_parse(argc, argv, &config, &note);
    if (err != ERR_NONE) {
        return command_fail(EXIT_USAGE, err, &note);
    }
    int fd = open_socket(&config);
    bool ready = fd >= 0 && is_ready(fd);
    (void)printf("%s: %s\n", config.listen, fd < 0 ? "nobody listens" : ready ? "ready" : "not ready");
    if (fd >= 0) {
        (void)close(fd);
    }
    config_release(&config);
    return ready ? EXIT_DONE : EXIT_FAILED;
}
