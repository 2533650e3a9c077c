/* child.c: posix_spawn, a pipe, and patience. */
#include "server/jobs/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/mem.h"

#define LINE_BYTES 65536
#define POLL_MS 100
#define PATIENCE_NS 30000000000

/* The daemon's threads have every signal blocked, which a child would inherit. */
static int set_signals(posix_spawnattr_t *attributes)
{
    sigset_t none;
    sigset_t all;

    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    int failed = posix_spawnattr_setsigmask(attributes, &none);
    if (failed == 0) {
        failed = posix_spawnattr_setsigdefault(attributes, &all);
    }
    return failed != 0 ? failed : posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

static int set_files(posix_spawn_file_actions_t *actions, int out)
{
    int failed = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);

    if (failed == 0) {
        failed = posix_spawn_file_actions_adddup2(actions, out, STDOUT_FILENO);
    }
    return failed != 0 ? failed : posix_spawn_file_actions_addclosefrom_np(actions, STDERR_FILENO + 1);
}

static int spawn(const char *const *arguments, int out, pid_t *ret)
{
    char *environment[] = {NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;

    int failed = posix_spawn_file_actions_init(&actions);
    if (failed != 0) {
        return failed;
    }
    failed = posix_spawnattr_init(&attributes);
    if (failed == 0) {
        failed = set_files(&actions, out);
        if (failed == 0) {
            failed = set_signals(&attributes);
        }
        if (failed == 0) {
            /* POSIX declares the texts as not const and promises not to write them. */
            union {
                const char *const *given;
                char *const *wanted;
            } texts = {.given = arguments};
            failed = posix_spawn(ret, "/proc/self/exe", &actions, &attributes, texts.wanted, environment);
        }
        (void)posix_spawnattr_destroy(&attributes);
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    return failed;
}

struct reading {
    char text[LINE_BYTES];
    size_t used;
    child_line *line;
    void *context;
};

static void take_bytes(struct reading *reading, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] == '\n') {
            reading->text[reading->used] = '\0';
            reading->line(reading->context, reading->text);
            reading->used = 0;
        } else if (reading->used < LINE_BYTES - 1) {
            reading->text[reading->used++] = bytes[i];
        }
    }
}

/* Until the child has closed its end. */
static void listen_to(pid_t pid, int in, struct cancel *cancel, struct reading *reading)
{
    struct pollfd wait = {.fd = in, .events = POLLIN};
    int64_t asked_ns = 0;
    bool killed = false;
    char bytes[4096];

    for (;;) {
        if (cancel_asked(cancel) && asked_ns == 0) {
            asked_ns = clock_monotonic_ns();
            (void)kill(pid, SIGTERM);
        }
        if (asked_ns != 0 && !killed && clock_monotonic_ns() - asked_ns > PATIENCE_NS) {
            killed = kill(pid, SIGKILL) == 0;
        }
        if (poll(&wait, 1, POLL_MS) <= 0) {
            continue;
        }
        ssize_t n = read(in, bytes, sizeof bytes);
        if (n == 0 || (n < 0 && errno != EINTR)) {
            return;
        }
        take_bytes(reading, bytes, n > 0 ? (size_t)n : 0);
    }
}

enum err child_run(const char *const *arguments, struct cancel *cancel, child_line *line, void *context,
                   struct child_end *ret, struct err_note *note)
{
    struct reading *reading = MEM_NEW(struct reading);
    int ends[2];
    pid_t pid = 0;
    int status = 0;

    if (reading == NULL) {
        return ERR_NOMEM;
    }
    if (pipe2(ends, O_CLOEXEC) != 0) {
        mem_free(reading);
        return ERR_SAY(note, ERR_IO, "no pipe for a child: %s", strerror(errno));
    }
    reading->line = line;
    reading->context = context;
    int failed = spawn(arguments, ends[1], &pid);
    (void)close(ends[1]);
    if (failed == 0) {
        listen_to(pid, ends[0], cancel, reading);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
        }
    }
    (void)close(ends[0]);
    mem_free(reading);
    if (failed != 0) {
        return ERR_SAY(note, err_from_errno(failed), "a child cannot be started: %s", strerror(failed));
    }
    *ret = WIFSIGNALED(status) ? (struct child_end){.killed = true, .number = WTERMSIG(status)}
                               : (struct child_end){.number = WEXITSTATUS(status)};
    return ERR_NONE;
}
