/* auth.c: keys in headers. */
#include "server/http/auth.h"

#include <string.h>
#include <strings.h>

#include "core/base/clock.h"
#include "server/store/audit_rows.h"

#define SECRET_MAX_BYTES 255
#define FIRST_KEY_ARENA_BYTES ((size_t)1 << 20)

/* The key's text within the request; NULL if there is none. */
static const char *sent_secret(const struct request *request)
{
    static const char bearer[] = "Bearer ";

    if (request->authorization != NULL && strncasecmp(request->authorization, bearer, sizeof(bearer) - 1) == 0) {
        const char *secret = request->authorization + sizeof(bearer) - 1;
        return secret + strspn(secret, " ");
    }
    return request->api_key;
}

enum err auth_check(struct store *store, const struct request *request, unsigned scope, struct arena *mem,
                    struct caller *ret, const struct problem **ret_problem, struct err_note *note)
{
    const char *secret = sent_secret(request);
    struct key_row key;

    if (secret == NULL || *secret == '\0') {
        *ret_problem = &PROBLEM_NO_KEY;
        return ERR_DENIED;
    }
    if (strnlen(secret, SECRET_MAX_BYTES + 1) > SECRET_MAX_BYTES) {
        *ret_problem = &PROBLEM_BAD_KEY;
        return ERR_DENIED;
    }
    enum err err = store_key_check(store, secret, clock_unix_ms(), mem, &key, note);
    if (err == ERR_NOT_FOUND) {
        *ret_problem = &PROBLEM_BAD_KEY;
        return ERR_DENIED;
    }
    if (err == ERR_DENIED || err == ERR_CONFLICT) {
        *ret_problem = err == ERR_DENIED ? &PROBLEM_EXPIRED_KEY : &PROBLEM_REVOKED_KEY;
        return ERR_DENIED;
    }
    if (err != ERR_NONE) {
        *ret_problem = problem_of(err);
        return err;
    }
    if ((key.scopes & scope) != scope) {
        for (unsigned bit = 1; bit <= SCOPE_ADMIN; bit <<= 1) {
            if ((scope & ~key.scopes & bit) != 0) {
                (void)ERR_SAY(note, ERR_DENIED, "this call needs the scope \"%s\"", scope_word((enum scope)bit));
            }
        }
        *ret_problem = &PROBLEM_SCOPE;
        return ERR_DENIED;
    }
    /* LATER: when keys for one collection can be made (the rows have room for them), compare it with what the call touches.
     * Such a row opens nothing until then. */
    if (key.collection_id != 0) {
        *ret_problem = &PROBLEM_SCOPE;
        return ERR_SAY(note, ERR_DENIED, "this key belongs to one collection");
    }
    ret->key = key;
    return ERR_NONE;
}

enum err auth_first_key(struct store *store, const char *given, char ret_secret[KEY_SECRET_TEXT], struct err_note *note)
{
    const struct key_new what = {.name = "first admin key", .scopes = SCOPE_ALL};
    struct key_row row;
    int64_t admins = 0;
    struct arena *mem = arena_new(FIRST_KEY_ARENA_BYTES);

    if (mem == NULL) {
        return ERR_NOMEM;
    }
    ret_secret[0] = '\0';
    enum err err = ERR_NONE;
    if (*given != '\0') {
        err = store_key_give(store, &what, given, AUDIT_DAEMON, mem, &row, note);
    } else {
        err = store_key_count(store, SCOPE_ADMIN, clock_unix_ms(), &admins, note);
        if (err == ERR_NONE && admins == 0) {
            err = store_key_add(store, &what, AUDIT_DAEMON, mem, &row, ret_secret, note);
        }
    }
    arena_free(mem);
    return err;
}

const char *auth_actor(const struct caller *caller)
{
    return caller->key.id[0] == '\0' ? AUTH_NOBODY : caller->key.id;
}
