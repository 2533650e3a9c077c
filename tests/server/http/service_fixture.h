/*
 * service_fixture.h: a service over the gallery's fixture: real rows, real indexes, tiny networks, no socket.
 */
#ifndef TESTS_SERVER_HTTP_SERVICE_FIXTURE_H
#define TESTS_SERVER_HTTP_SERVICE_FIXTURE_H

#include "tests/server/gallery/fixture.h"

#include <jansson.h>

#include "server/daemon/config.h"
#include "server/daemon/log.h"
#include "server/http/service.h"

#define FIXTURE_KEY "0123456789abcdef-fixture"

struct service_fixture {
    struct fixture gallery;
    size_t blocks_before;
    struct config config;
    struct service_parts parts;
    struct service *service;
};

/* no_auth: "--no-auth", or "--no-auth=false". */
static inline void service_fixture_open(struct service_fixture *s, const char *no_auth, const char *deadline_ms)
{
    static char *argv[16];
    const char *flags[] = {"--listen",      "127.0.0.1:0", "--workers",   "2",     "--arena-bytes", "16M",
                           "--deadline-ms", deadline_ms,   "--log-level", "error", no_auth};
    int argc = (int)(sizeof(flags) / sizeof(flags[0]));
    struct err_note note = {0};
    char secret[KEY_SECRET_TEXT];

    s->blocks_before = mem_live_blocks();
    for (int i = 0; i < argc; i++) {
        argv[i] = (char *)(uintptr_t)flags[i];
    }
    fixture_open(&s->gallery, -1);
    if (config_parse(argc, argv, &s->config, &note) != ERR_NONE) {
        fail_msg("%s", note.text);
    }
    log_set_level(s->config.log_level);
    assert_int_equal(auth_first_key(s->gallery.store, FIXTURE_KEY, secret, NULL), ERR_NONE);
    s->parts = (struct service_parts){
        .config = &s->config, .gallery = s->gallery.gallery, .store = s->gallery.store, .facts = {.version = "1.2.3"}};
    assert_int_equal(service_new(&s->parts, &s->service), ERR_NONE);
}

static inline void service_fixture_close(struct service_fixture *s)
{
    service_free(s->service);
    config_release(&s->config);
    fixture_close(&s->gallery);
    log_set_level("info");
    assert_int_equal(mem_live_blocks(), s->blocks_before);
}

#endif
