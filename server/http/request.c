/* request.c: targets, ids and texts of a request. */
#include "server/http/request.h"

#include <string.h>

#include "core/base/random.h"
#include "core/base/utf8.h"

static const char *const method_texts[METHOD_COUNT] = {
    [METHOD_OTHER] = "?", [METHOD_GET] = "GET",     [METHOD_POST] = "POST",
    [METHOD_PUT] = "PUT", [METHOD_PATCH] = "PATCH", [METHOD_DELETE] = "DELETE",
};

enum method method_parse(const char *text)
{
    if (strcmp(text, "HEAD") == 0) {
        return METHOD_GET;
    }
    for (int i = METHOD_GET; i < METHOD_COUNT; i++) {
        if (strcmp(text, method_texts[i]) == 0) {
            return (enum method)i;
        }
    }
    return METHOD_OTHER;
}

const char *method_text(enum method method)
{
    return method_texts[method];
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

bool text_is_uuid(const char *text)
{
    for (int i = 0; i < RANDOM_UUID_TEXT - 1; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text[i] != '-' : hex_digit(text[i]) < 0) {
            return false;
        }
    }
    return text[RANDOM_UUID_TEXT - 1] == '\0';
}

/* Decodes percent escapes, and a plus as a space where plus_is_space. */
static enum err decode(const char *text, size_t n_bytes, bool plus_is_space, struct arena *mem, const char **ret,
                       struct err_note *note)
{
    char *out = ARENA_ARRAY(mem, char, n_bytes + 1);
    size_t used = 0;

    if (out == NULL) {
        return arena_why(mem);
    }
    for (size_t i = 0; i < n_bytes; i++) {
        if (text[i] == '%') {
            int high = i + 1 < n_bytes ? hex_digit(text[i + 1]) : -1;
            int low = i + 2 < n_bytes ? hex_digit(text[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return ERR_SAY(note, ERR_FORMAT, "an escape of the address is not two hexadecimal digits");
            }
            out[used++] = (char)(high << 4 | low);
            i += 2;
        } else {
            out[used++] = plus_is_space && text[i] == '+' ? ' ' : text[i];
        }
    }
    if (!utf8_is_text(out, used)) {
        return ERR_SAY(note, ERR_FORMAT, "a part of the address is not UTF-8");
    }
    *ret = out;
    return ERR_NONE;
}

enum err request_parse_pairs(const char *text, size_t n_bytes, struct arena *mem, struct query_pair *ret,
                             int *ret_count, struct err_note *note)
{
    const char *end = text + n_bytes;
    int count = 0;

    while (text < end) {
        const char *and = memchr(text, '&', (size_t)(end - text));
        const char *stop = and == NULL ? end : and;
        const char *equals = memchr(text, '=', (size_t)(stop - text));
        const char *name_end = equals == NULL ? stop : equals;
        const char *value = equals == NULL ? stop : equals + 1;
        if (stop > text) {
            if (count == REQUEST_MAX_PAIRS) {
                return ERR_SAY(note, ERR_LIMIT, "more than %d parameters", REQUEST_MAX_PAIRS);
            }
            enum err err = decode(text, (size_t)(name_end - text), true, mem, &ret[count].name, note);
            if (err == ERR_NONE) {
                err = decode(value, (size_t)(stop - value), true, mem, &ret[count].value, note);
            }
            if (err != ERR_NONE) {
                return err;
            }
            count++;
        }
        text = and == NULL ? end : and+1;
    }
    *ret_count = count;
    return ERR_NONE;
}

enum err request_parse_target(const char *target, struct arena *mem, struct request *ret, struct err_note *note)
{
    struct request parsed = *ret;
    const char *question = strchr(target, '?');
    const char *end = question == NULL ? target + strlen(target) : question;

    if (*target != '/') {
        return ERR_SAY(note, ERR_FORMAT, "the address does not begin with a slash");
    }
    parsed.n_segments = 0;
    parsed.n_query = 0;
    for (const char *at = target; at < end;) {
        const char *start = at + 1;
        const char *slash = memchr(start, '/', (size_t)(end - start));
        const char *stop = slash == NULL ? end : slash;
        /* One slash at the end is a habit of callers and means nothing. */
        if (stop > start || stop < end) {
            if (parsed.n_segments == REQUEST_MAX_SEGMENTS) {
                return ERR_SAY(note, ERR_LIMIT, "the address has more than %d parts", REQUEST_MAX_SEGMENTS);
            }
            enum err err = decode(start, (size_t)(stop - start), false, mem, &parsed.segments[parsed.n_segments], note);
            if (err != ERR_NONE) {
                return err;
            }
            parsed.n_segments++;
        }
        at = stop;
    }
    if (question != NULL) {
        enum err err =
            request_parse_pairs(question + 1, strlen(question + 1), mem, parsed.query, &parsed.n_query, note);
        if (err != ERR_NONE) {
            return err;
        }
    }
    *ret = parsed;
    return ERR_NONE;
}

void request_set_id(struct request *request, const char *sent)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-";
    size_t length = sent == NULL ? 0 : strnlen(sent, REQUEST_ID_BYTES);

    if (length == 0 || length >= REQUEST_ID_BYTES || strspn(sent, allowed) != length) {
        random_uuid(request->id);
        return;
    }
    memcpy(request->id, sent, length + 1);
}
