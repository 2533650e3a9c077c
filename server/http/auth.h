/*
 * auth.h: who asks, and whether they may.
 */
#ifndef SERVER_HTTP_AUTH_H
#define SERVER_HTTP_AUTH_H

#include "server/http/reply.h"
#include "server/http/request.h"
#include "server/store/key_rows.h"

/* The one who asks; key.id is empty when nobody is known (--no-auth, ROUTE_OPEN). */
struct caller {
    struct key_row key;
};

/*
 * Finds the key that the request carries (Authorization: Bearer, or x-api-key) and checks it against scope.
 * Owns:   the key's texts are carved from mem.
 * Errors: ERR_DENIED no, unknown, expired, revoked or under-scoped key; and those of the store.  *ret_problem says which.
 */
MUST_CHECK enum err auth_check(struct store *store, const struct request *request, unsigned scope, struct arena *mem,
                               struct caller *ret, const struct problem **ret_problem, struct err_note *note);

/*
 * Sees to it that somebody can be admin: takes the operator's key if given is not empty, else makes one if no admin key is
 * valid.  ret_secret holds the new key, to be shown once and wiped, or is empty.
 * Errors: ERR_MISUSE, ERR_CONFLICT given cannot be used; those of the store.
 */
MUST_CHECK enum err auth_first_key(struct store *store, const char *given, char ret_secret[KEY_SECRET_TEXT],
                                   struct err_note *note);

/* Who stands in the audit log for a caller. */
#define AUTH_NOBODY "nobody"
const char *auth_actor(const struct caller *caller);

#endif
