/* The table of settings: precedence, bounds, refusals in words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "server/daemon/config.h"

#define MAX_ARGUMENTS 8

static int clear_environment(void **state)
{
    static const char *const names[] = {"ARCFACED_DATA",          "ARCFACED_LISTEN", "ARCFACED_QUEUE_LENGTH",
                                        "ARCFACED_BOOTSTRAP_KEY", "ARCFACED_CONFIG", "ARCFACED_NO_AUTH"};
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        (void)unsetenv(names[i]);
    }
    return 0;
}

/* argv is written to by the parser, so literals go through a copy of the pointers. */
static enum err parse(const char *const *arguments, struct config *ret, struct err_note *note)
{
    static char *argv[MAX_ARGUMENTS];
    int argc = 0;

    while (arguments[argc] != NULL) {
        argv[argc] = (char *)(uintptr_t)arguments[argc];
        argc++;
    }
    return config_parse(argc, argv, ret, note);
}

static void defaults_are_within_their_bounds(void **state)
{
    struct config config;
    struct err_note note = {0};
    const char *none[] = {NULL};
    size_t blocks = mem_live_blocks();

    (void)state;
    assert_int_equal(parse(none, &config, &note), ERR_NONE);
    assert_string_equal(config.data, "data");
    assert_string_equal(config.listen_host, "127.0.0.1");
    assert_int_equal(config.listen_port, 8080);
    assert_int_equal(config.body_bytes, 16 << 20);
    assert_true(config.threshold == 0.40);
    assert_int_equal(config.origin[0], CONFIG_DEFAULT);
    config_release(&config);
    assert_int_equal(mem_live_blocks(), blocks);
}

static char *file_of(const char *content)
{
    static char path[64];
    (void)snprintf(path, sizeof(path), "/tmp/test_config_%d.conf", (int)getpid());
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(content, file) >= 0);
    assert_int_equal(fclose(file), 0);
    return path;
}

static void flag_over_environment_over_file(void **state)
{
    struct config config;
    struct err_note note = {0};
    char *path = file_of("# limits\nqueue_length = 7\n  data=/from/file  \nbootstrap_key = 0123456789abcdef\n");
    const char *arguments[] = {"--config", path, "--data=/from/flag", "photo.jpg", NULL};
    size_t blocks = mem_live_blocks();

    (void)state;
    assert_int_equal(setenv("ARCFACED_QUEUE_LENGTH", "9", 1), 0);
    assert_int_equal(setenv("ARCFACED_DATA", "/from/environment", 1), 0);
    assert_int_equal(parse(arguments, &config, &note), ERR_NONE);
    assert_string_equal(config.data, "/from/flag");
    assert_int_equal(config.queue_length, 9);
    assert_string_equal(config.bootstrap_key, "0123456789abcdef");
    assert_int_equal(config.n_words, 1);
    assert_string_equal(config.words[0], "photo.jpg");

    char text[16384] = "";
    FILE *out = fmemopen(text, sizeof(text), "w");
    assert_non_null(out);
    config_print(&config, out);
    assert_int_equal(fclose(out), 0);
    assert_non_null(strstr(text, "environment"));
    assert_non_null(strstr(text, "/from/flag"));
    assert_non_null(strstr(text, "(set)"));
    assert_non_null(strstr(text, "queue_length     9                environment  64               1 .. 65535"));
    assert_null(strstr(text, "0123456789abcdef"));
    config_release(&config);
    assert_int_equal(mem_live_blocks(), blocks);
    (void)unlink(path);
}

static void wrong_settings_are_refused_in_words(void **state)
{
    static const struct {
        const char *arguments[5];
        const char *file; /* content; NULL: none */
        enum err err;
        const char *says;
    } rows[] = {
        {{"--nonsense", "1"}, NULL, ERR_MISUSE, "--nonsense is not a flag"},
        {{"--queue-length"}, NULL, ERR_MISUSE, "needs a value"},
        {{"--queue-length", "0"}, NULL, ERR_MISUSE, "outside of 1"},
        {{"--queue-length", "65536"}, NULL, ERR_MISUSE, "outside of 1"},
        {{"--queue-length", "1.5"}, NULL, ERR_MISUSE, "not a whole number"},
        {{"--queue-length", ""}, NULL, ERR_MISUSE, "not a whole number"},
        {{"--body-bytes", "99999999999999999999"}, NULL, ERR_MISUSE, "not a whole number"},
        {{"--threshold", "nan"}, NULL, ERR_MISUSE, "not a number"},
        {{"--threshold", "1.01"}, NULL, ERR_MISUSE, "outside of -1"},
        {{"--no-auth=perhaps"}, NULL, ERR_MISUSE, "neither true nor false"},
        {{"--bootstrap-key", "0123456789abcdef"}, NULL, ERR_MISUSE, "ARCFACED_BOOTSTRAP_KEY"},
        {{"--listen", "8080"}, NULL, ERR_MISUSE, "not HOST:PORT"},
        {{"--listen", "example.org:80"}, NULL, ERR_MISUSE, "not a numeric address"},
        {{"--listen", "127.0.0.1:65536"}, NULL, ERR_MISUSE, "not HOST:PORT"},
        {{"--no-auth", "--listen", "0.0.0.0:8080"}, NULL, ERR_MISUSE, "loopback"},
        {{"--no-auth", "--listen", "[::]:8080"}, NULL, ERR_MISUSE, "loopback"},
        {{"--log-level", "loud"}, NULL, ERR_MISUSE, "none of debug"},
        {{"--data="}, NULL, ERR_MISUSE, "empty"},
        {{"--bodies-bytes", "1M"}, NULL, ERR_MISUSE, "less than body_bytes"},
        {{"--config", "/nowhere/at/all"}, NULL, ERR_NOT_FOUND, "/nowhere/at/all"},
        {{NULL}, "queue_length 7\n", ERR_MISUSE, ":1: a line is"},
        {{NULL}, "\nqueue_lenght = 7\n", ERR_MISUSE, ":2: \"queue_lenght\" is not a setting"},
        {{NULL}, "workers = 1\nworkers = 2\n", ERR_MISUSE, "set twice"},
        {{NULL}, "config = other\n", ERR_MISUSE, "not a setting"},
        {{NULL}, "bootstrap_key = short\n", ERR_MISUSE, "at least 16"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct config config;
        struct err_note note = {0};
        size_t blocks = mem_live_blocks();
        const char *arguments[MAX_ARGUMENTS] = {NULL};
        int n = 0;
        for (; n < 5 && rows[i].arguments[n] != NULL; n++) {
            arguments[n] = rows[i].arguments[n];
        }
        if (rows[i].file != NULL) {
            arguments[n++] = "--config";
            arguments[n++] = file_of(rows[i].file);
        }
        enum err err = parse(arguments, &config, &note);
        if (err != rows[i].err || strstr(note.text, rows[i].says) == NULL) {
            fail_msg("row %zu: %s, \"%s\"", i, err_word(err), note.text);
        }
        assert_int_equal(mem_live_blocks(), blocks);
        if (rows[i].file != NULL) {
            (void)unlink(arguments[n - 1]);
        }
    }
}

static void loopback_is_known_by_its_address(void **state)
{
    static const struct {
        const char *listen;
        bool loopback;
        int port;
    } rows[] = {{"127.0.0.1:0", true, 0},     {"127.9.9.9:1", true, 1},  {"localhost:80", true, 80},
                {"[::1]:65535", true, 65535}, {"0.0.0.0:80", false, 80}, {"[::]:80", false, 80}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct config config;
        const char *arguments[] = {"--listen", rows[i].listen, NULL};
        if (parse(arguments, &config, NULL) != ERR_NONE || config_is_loopback(&config) != rows[i].loopback ||
            config.listen_port != rows[i].port) {
            fail_msg("row %zu", i);
        }
        config_release(&config);
    }
}

static void no_memory_is_an_error_and_leaks_nothing(void **state)
{
    const char *arguments[] = {"--data", "x", NULL};
    enum err err = ERR_NOMEM;

    (void)state;
    for (long n = 0; err != ERR_NONE; n++) {
        struct config config;
        size_t blocks = mem_live_blocks();
        mem_fail_at(n);
        err = parse(arguments, &config, NULL);
        mem_fail_at(-1);
        if (err == ERR_NONE) {
            config_release(&config);
            assert_true(n > 0);
        }
        assert_int_equal(mem_live_blocks(), blocks);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(defaults_are_within_their_bounds, clear_environment),
        cmocka_unit_test_setup(flag_over_environment_over_file, clear_environment),
        cmocka_unit_test_setup(wrong_settings_are_refused_in_words, clear_environment),
        cmocka_unit_test_setup(loopback_is_known_by_its_address, clear_environment),
        cmocka_unit_test_setup(no_memory_is_an_error_and_leaks_nothing, clear_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
