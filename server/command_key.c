/* command_key.c: API keys, for operators who are locked out or set a machine up. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/point.h"
#include "server/command.h"
#include "server/data_folder.h"
#include "server/store/audit_rows.h"
#include "server/store/key_rows.h"

#define ARENA_BYTES ((size_t)16 << 20)
#define DAY_MS 86400000LL
#define DAYS_LIMIT 36500

const char command_key_usage[] = "usage: arcfaced key create --name NAME --scopes SCOPE,... [--days N] [--data DIR]\n"
                                 "       arcfaced key list [--data DIR]\n"
                                 "       arcfaced key revoke ID [--data DIR]\n"
                                 "scopes: identify, enroll, delete, images, admin\n"
                                 "The daemon must be stopped; while it runs, use /v1/admin/keys.\n";

/* The open data folder that a key command works on. */
struct keys {
    struct store *store;
    struct arena *mem;
    struct err_note *note;
};

static void scope_words(unsigned scopes, char *ret, size_t room)
{
    ret[0] = '\0';
    for (unsigned bit = 1; bit <= SCOPE_ALL; bit <<= 1) {
        if ((scopes & bit) != 0) {
            size_t used = strlen(ret);
            (void)snprintf(ret + used, room - used, "%s%s", used == 0 ? "" : ",", scope_word((enum scope)bit));
        }
    }
}

static enum err parse_scopes(const char *text, unsigned *ret, struct err_note *note)
{
    unsigned scopes = 0;

    while (*text != '\0') {
        char word[32];
        size_t len = strcspn(text, ",");
        (void)snprintf(word, sizeof word, "%.*s", (int)len, text);
        unsigned scope = scope_from_word(word);
        if (scope == 0) {
            return ERR_SAY(note, ERR_MISUSE, "\"%s\" is not a scope: identify, enroll, delete, images, admin", word);
        }
        scopes |= scope;
        text += len + (text[len] == ',');
    }
    *ret = scopes;
    return ERR_NONE;
}

static enum err create(const struct keys *keys, const struct key_new *what)
{
    struct key_row row;
    char secret[KEY_SECRET_TEXT];

    enum err err = store_key_add(keys->store, what, AUDIT_DAEMON, keys->mem, &row, secret, keys->note);
    if (err == ERR_NONE) {
        (void)fprintf(stderr, "key %s, shown this once:\n", row.id);
        (void)printf("%s\n", secret);
        mem_wipe(secret, sizeof secret);
    }
    return err;
}

static enum err print_all(const struct keys *keys)
{
    struct store_page page = {.limit = STORE_PAGE_LIMIT};
    enum err err = ERR_NONE;

    (void)printf("%-12s  %-9s  %-36s  %-24s  %s\n", "id", "state", "scopes", "created", "name");
    do {
        struct key_row *rows = NULL;
        int n = 0;
        err = store_key_list(keys->store, &page, keys->mem, &rows, &n, &page.token, keys->note);
        for (int i = 0; i < n && err == ERR_NONE; i++) {
            char scopes[64];
            char created[CLOCK_TEXT_BYTES];
            bool expired = rows[i].expires_ms != 0 && rows[i].expires_ms <= clock_unix_ms();
            scope_words(rows[i].scopes, scopes, sizeof scopes);
            clock_text(rows[i].created_ms, created);
            (void)printf("%-12s  %-9s  %-36s  %-24s  %s\n", rows[i].id,
                         rows[i].revoked_ms != 0 ? "revoked"
                         : expired               ? "expired"
                                                 : "valid",
                         scopes, created, rows[i].name);
        }
    } while (err == ERR_NONE && page.token != NULL);
    return err;
}

/* What was asked for on the command line. */
struct asked {
    const char *name;
    const char *scopes;
    const char *days;
};

static enum err read_asked(const struct keys *keys, const struct asked *asked, struct key_new *ret)
{
    char *end = NULL;

    ret->name = asked->name;
    enum err err = parse_scopes(asked->scopes, &ret->scopes, keys->note);
    if (err == ERR_NONE && asked->days != NULL) {
        long days = strtol(asked->days, &end, 10);
        if (end == asked->days || *end != '\0' || days < 1 || days > DAYS_LIMIT) {
            return ERR_SAY(keys->note, ERR_MISUSE, "--days must be from 1 to %d", DAYS_LIMIT);
        }
        ret->expires_ms = clock_unix_ms() + days * DAY_MS;
    }
    return err;
}

static enum err run(const struct keys *keys, const struct config *config, const struct asked *asked, bool *ret_usage)
{
    const char *verb = config->n_words > 0 ? config->words[0] : "";
    struct key_new what = {0};

    if (strcmp(verb, "create") == 0 && config->n_words == 1 && asked->name != NULL && asked->scopes != NULL) {
        enum err err = read_asked(keys, asked, &what);
        return err == ERR_NONE ? create(keys, &what) : err;
    }
    if (strcmp(verb, "list") == 0 && config->n_words == 1) {
        return print_all(keys);
    }
    if (strcmp(verb, "revoke") == 0 && config->n_words == 2) {
        return store_key_revoke(keys->store, config->words[1], AUDIT_DAEMON, keys->note);
    }
    *ret_usage = true;
    return ERR_NONE;
}

/* Opens folder and rows, runs, closes. */
static enum err run_on_folder(const struct config *config, const struct asked *asked, bool *ret_usage,
                              struct err_note *note)
{
    char path[PATH_MAX];
    struct data_folder folder;
    struct keys keys = {.note = note, .mem = arena_new(ARENA_BYTES)};

    if (keys.mem == NULL) {
        return ERR_NOMEM;
    }
    enum err err = data_folder_take(config->data, &folder, note);
    if (err == ERR_NONE) {
        (void)snprintf(path, sizeof path, "%s/arcfaced.db", config->data);
        err = store_open(path, NULL, &keys.store, note);
        if (err == ERR_NONE) {
            err = run(&keys, config, asked, ret_usage);
            enum err closed = store_close(keys.store, note);
            err = err == ERR_NONE ? closed : err;
        }
        data_folder_give_back(&folder);
    }
    arena_free(keys.mem);
    return err;
}

int command_key(int argc, char **argv)
{
    struct asked asked = {0};
    struct config config;
    struct err_note note = {0};
    bool wrong = false;

    (void)command_option(&argc, argv, "--name", &asked.name);
    (void)command_option(&argc, argv, "--scopes", &asked.scopes);
    (void)command_option(&argc, argv, "--days", &asked.days);
    enum err err = config_parse(argc, argv, &config, &note);
    if (err != ERR_NONE) {
        return command_fail(EXIT_USAGE, err, &note);
    }
    point_arm(config.kill_at);
    err = run_on_folder(&config, &asked, &wrong, &note);
    config_release(&config);
    if (wrong) {
        (void)fprintf(stderr, "%s", command_key_usage);
        return EXIT_USAGE;
    }
    return err == ERR_NONE ? EXIT_DONE : command_fail(EXIT_FAILED, err, &note);
}
