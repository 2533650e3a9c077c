/* keys.c: /v1/admin/keys. */
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "server/http/answers.h"
#include "server/http/handlers.h"
#include "server/store/key_rows.h"

static json_t *scopes_json(unsigned scopes)
{
    json_t *words = json_array();

    for (unsigned bit = 1; bit <= SCOPE_ADMIN; bit <<= 1) {
        if ((scopes & bit) != 0 && json_array_append_new(words, json_string(scope_word((enum scope)bit))) != 0) {
            json_decref(words);
            return NULL;
        }
    }
    return words;
}

static json_t *key_json(const struct key_row *row)
{
    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "id", row->id, "name", row->name, "scopes",
                     scopes_json(row->scopes), "created_at", json_time(row->created_ms), "expires_at",
                     json_time(row->expires_ms), "last_used_at", json_time(row->last_used_ms), "revoked_at",
                     json_time(row->revoked_ms));
}

void handle_keys_list(struct call *call)
{
    const struct store_page page = {.limit = call_limit(call), .token = call_text(call, "page_token", NULL)};
    struct key_row *list = NULL;
    const char *next = NULL;
    int count = 0;
    struct gallery_fault fault = {0};

    enum err err = store_key_list(call->store, &page, call->mem, &list, &count, &next, &fault.note);
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    json_t *items = json_array();
    for (int i = 0; i < count; i++) {
        if (json_array_append_new(items, key_json(&list[i])) != 0) {
            json_decref(items);
            items = NULL;
            break;
        }
    }
    call_answer(call, 200, json_page("keys", items, next));
}

void handle_key_add(struct call *call)
{
    const struct param_value *words = call_param(call, "scopes");
    const int64_t expires_s = call_whole(call, "expires_in_s", 0);
    struct key_new what = {.name = call_text(call, "name", NULL)};
    char secret[KEY_SECRET_TEXT];
    struct key_row row;
    struct gallery_fault fault = {0};

    if (what.name == NULL || !words->given) {
        call_problem(call, &PROBLEM_MISSING_PARAMETER, "a key needs \"name\" and \"scopes\"");
        return;
    }
    for (int i = 0; i < words->count; i++) {
        unsigned scope = scope_from_word(words->texts[i]);
        if (scope == 0) {
            call_problem(call, &PROBLEM_BAD_PARAMETER, "scopes are identify, enroll, delete, images, admin");
            return;
        }
        what.scopes |= scope;
    }
    what.expires_ms = expires_s == 0 ? 0 : clock_unix_ms() + expires_s * 1000;
    enum err err = store_key_add(call->store, &what, auth_actor(call->caller), call->mem, &row, secret, &fault.note);
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    call_answer(call, 201, json_join(key_json(&row), json_pack("{s:s}", "secret", secret)));
    mem_wipe(secret, sizeof(secret));
}

void handle_key_revoke(struct call *call)
{
    struct key_row row;
    struct gallery_fault fault = {0};

    enum err err = store_key_revoke(call->store, call->argument, auth_actor(call->caller), &fault.note);
    if (err == ERR_NONE) {
        err = store_key_get(call->store, call->argument, call->mem, &row, &fault.note);
    }
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    call_answer(call, 200, key_json(&row));
}
