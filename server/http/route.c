/* route.c: dispatch over the table. */
#include "server/http/route.h"

#include <stdio.h>
#include <string.h>

/* Compares one pattern with the segments of a request; {x} takes any segment. */
static bool pattern_matches(const char *pattern, const struct request *request, const char **arguments)
{
    int n_arguments = 0;
    int segment = 0;

    while (*pattern == '/') {
        const char *word = pattern + 1;
        size_t length = strcspn(word, "/");
        if (segment == request->n_segments) {
            return false;
        }
        const char *sent = request->segments[segment++];
        if (*word == '{') {
            if (*sent == '\0') {
                return false;
            }
            if (n_arguments < ROUTE_MAX_ARGUMENTS) {
                arguments[n_arguments++] = sent;
            }
        } else if (strlen(sent) != length || memcmp(sent, word, length) != 0) {
            return false;
        }
        pattern = word + length;
    }
    return segment == request->n_segments;
}

bool route_keeps(const struct route *route)
{
    return route->method == METHOD_POST && (route->flags & (ROUTE_LOOKS | ROUTE_SECRET)) == 0;
}

enum err route_find(const struct request *request, struct route_match *ret, char *ret_allow, size_t allow_bytes)
{
    unsigned methods = 0;
    int count = 0;
    const struct route *routes = route_list(&count);

    for (int i = 0; i < count; i++) {
        struct route_match match = {.route = &routes[i], .number = i};
        if (!pattern_matches(routes[i].pattern, request, match.argument)) {
            continue;
        }
        if (routes[i].method == request->method) {
            *ret = match;
            return ERR_NONE;
        }
        methods |= 1U << (unsigned)routes[i].method;
    }
    if (methods == 0) {
        return ERR_NOT_FOUND;
    }
    size_t used = 0;
    for (unsigned method = METHOD_GET; method < METHOD_COUNT; method++) {
        if ((methods & 1U << method) != 0 && used < allow_bytes) {
            int length = snprintf(ret_allow + used, allow_bytes - used, "%s%s%s", used == 0 ? "" : ", ",
                                  method_text((enum method)method), method == METHOD_GET ? ", HEAD" : "");
            used += length > 0 ? (size_t)length : 0;
        }
    }
    return ERR_UNSUPPORTED;
}
