/* metadata_filter.c: one walk over the text of a JSON object. */
#include "server/store/metadata_filter.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "server/store/filter_rows.h"

struct member {
    const char *name;
    size_t n_name;
    const json_t *value; /* plain, or a list of plain ones */
};

struct metadata_filter {
    json_t *object; /* what the members point into */
    size_t n;
    struct member members[STORE_FILTER_MEMBERS];
};

/* ---- Making one --------------------------------------------------------------------------------------------------- */

static bool is_plain(const json_t *value)
{
    return json_is_string(value) || json_is_number(value) || json_is_boolean(value) || json_is_null(value);
}

static enum err take(struct metadata_filter *filter, const char *name, const json_t *value, struct err_note *note)
{
    bool fine = is_plain(value) || json_is_array(value);

    for (size_t i = 0; i < json_array_size(value); i++) {
        fine = fine && is_plain(json_array_get(value, i));
    }
    if (!fine) {
        return ERR_SAY(note, ERR_MISUSE,
                       "the filter's \"%.100s\" is no text, number, true, false or null, nor a list of such", name);
    }
    filter->members[filter->n++] = (struct member){.name = name, .n_name = strlen(name), .value = value};
    return ERR_NONE;
}

enum err metadata_filter_new(const char *text, struct metadata_filter **ret, struct err_note *note)
{
    const char *name = NULL;
    json_t *value = NULL;

    enum err err = store_json_check("filter", text, note);
    if (err != ERR_NONE) {
        return err;
    }
    struct metadata_filter *filter = MEM_NEW(struct metadata_filter);
    if (filter != NULL) {
        filter->object = json_loads(text, 0, NULL);
    }
    if (filter == NULL || filter->object == NULL) {
        metadata_filter_free(filter);
        return ERR_SAY(note, ERR_NOMEM, "no memory for a filter");
    }
    if (json_object_size(filter->object) > STORE_FILTER_MEMBERS) {
        err = ERR_SAY(note, ERR_MISUSE, "a filter of %zu members; at most %d", json_object_size(filter->object),
                      STORE_FILTER_MEMBERS);
        metadata_filter_free(filter);
        return err;
    }
    json_object_foreach(filter->object, name, value)
    {
        err = err == ERR_NONE ? take(filter, name, value, note) : err;
    }
    if (err != ERR_NONE) {
        metadata_filter_free(filter);
        return err;
    }
    *ret = filter;
    return ERR_NONE;
}

void metadata_filter_free(struct metadata_filter *filter)
{
    if (filter != NULL) {
        json_decref(filter->object);
        mem_free(filter);
    }
}

/* ---- Walking ------------------------------------------------------------------------------------------------------ */

static const char *skip_space(const char *at)
{
    while (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r') {
        at++;
    }
    return at;
}

/* From behind the opening quote to the closing one; NULL if there is none. */
static const char *end_of_text(const char *at)
{
    while (*at != '"') {
        if (*at == '\\') {
            at++;
        }
        if (*at == '\0') {
            return NULL;
        }
        at++;
    }
    return at;
}

/* Behind the value that begins here; NULL if it does not end. */
static const char *skip_value(const char *at)
{
    int depth = 0;

    for (;;) {
        at += strcspn(at, "\"[]{},");
        switch (*at) {
        case '"':
            at = end_of_text(at + 1);
            if (at == NULL) {
                return NULL;
            }
            break;
        case '[':
        case '{': depth++; break;
        case ']':
        case '}':
            if (depth == 0) {
                return at; /* the end of what it lies in */
            }
            depth--;
            break;
        case ',':
            if (depth == 0) {
                return at;
            }
            break;
        default: return NULL;
        }
        at++;
    }
}

/* ---- Comparing ---------------------------------------------------------------------------------------------------- */

/* Four hexadecimal digits; -1 if they are none. */
static long hex_of(const char *at)
{
    long code = 0;

    for (int i = 0; i < 4; i++) {
        const char c = at[i];
        const int digit = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                 : -1;
        if (digit < 0) {
            return -1;
        }
        code = code * 16 + digit;
    }
    return code;
}

static size_t put_utf8(long code, char ret[4])
{
    if (code < 0x80) {
        ret[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        ret[0] = (char)(0xC0 | code >> 6);
        ret[1] = (char)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        ret[0] = (char)(0xE0 | code >> 12);
        ret[1] = (char)(0x80 | (code >> 6 & 0x3F));
        ret[2] = (char)(0x80 | (code & 0x3F));
        return 3;
    }
    ret[0] = (char)(0xF0 | code >> 18);
    ret[1] = (char)(0x80 | (code >> 12 & 0x3F));
    ret[2] = (char)(0x80 | (code >> 6 & 0x3F));
    ret[3] = (char)(0x80 | (code & 0x3F));
    return 4;
}

/* What an escape stands for, *at being behind its backslash and left behind its end; 0 bytes if it is none. */
static size_t unescape(const char **at, char ret[4])
{
    static const char letters[] = "\"\\/bfnrt";
    static const char meant[] = "\"\\/\b\f\n\r\t";
    const char *letter = **at == '\0' ? NULL : strchr(letters, **at);

    if (letter != NULL) {
        (*at)++;
        ret[0] = meant[letter - letters];
        return 1;
    }
    long code = **at == 'u' ? hex_of(*at + 1) : -1;
    if (code < 0) {
        return 0;
    }
    *at += 5;
    if (code >= 0xD800 && code < 0xDC00) {
        const long low = (*at)[0] == '\\' && (*at)[1] == 'u' ? hex_of(*at + 2) : -1;
        if (low < 0xDC00 || low >= 0xE000) {
            return 0;
        }
        *at += 6;
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    return put_utf8(code, ret);
}

/* Whether the text between the quotes, at .. end, is this one. */
static bool is_text(const char *at, const char *end, const char *wanted, size_t n_wanted)
{
    if (memchr(at, '\\', (size_t)(end - at)) == NULL) {
        return (size_t)(end - at) == n_wanted && memcmp(at, wanted, n_wanted) == 0;
    }
    while (at < end) {
        char some[4] = {*at};
        size_t n = 1;
        if (*at++ == '\\') {
            n = unescape(&at, some);
        }
        if (n == 0 || n > n_wanted || memcmp(some, wanted, n) != 0) {
            return false;
        }
        wanted += n;
        n_wanted -= n;
    }
    return n_wanted == 0;
}

static bool is_same_number(int64_t integer, double real)
{
    return real >= -0x1p63 && real < 0x1p63 && (double)(int64_t)real == real && (int64_t)real == integer;
}

static bool is_number(const char *at, const json_t *wanted)
{
    const size_t n_digits = strspn(at + (*at == '-'), "0123456789");
    const char after = at[n_digits + (*at == '-')];
    bool whole = after != '.' && after != 'e' && after != 'E';

    errno = 0;
    const int64_t integer = whole ? strtoll(at, NULL, 10) : 0;
    whole = whole && errno == 0;
    const double real = whole ? 0 : strtod(at, NULL);
    if (json_is_integer(wanted)) {
        const int64_t value = json_integer_value(wanted);
        return whole ? integer == value : is_same_number(value, real);
    }
    return whole ? is_same_number(integer, json_real_value(wanted)) : real == json_real_value(wanted);
}

static bool is_value(const char *at, const json_t *wanted)
{
    switch (*at) {
    case '"': {
        const char *end = json_is_string(wanted) ? end_of_text(at + 1) : NULL;
        return end != NULL && is_text(at + 1, end, json_string_value(wanted), json_string_length(wanted));
    }
    case 't': return json_is_true(wanted);
    case 'f': return json_is_false(wanted);
    case 'n': return json_is_null(wanted);
    case '{':
    case '[': return false;
    default: return json_is_number(wanted) && is_number(at, wanted);
    }
}

static bool is_one_of(const char *at, const json_t *wanted)
{
    if (!json_is_array(wanted)) {
        return is_value(at, wanted);
    }
    for (size_t i = 0; i < json_array_size(wanted); i++) {
        if (is_value(at, json_array_get(wanted, i))) {
            return true;
        }
    }
    return false;
}

bool metadata_filter_passes(const struct metadata_filter *filter, const char *metadata)
{
    const char *at = skip_space(metadata);
    size_t n_met = 0;

    if (*at != '{') {
        return false;
    }
    at = skip_space(at + 1);
    while (*at == '"' && n_met < filter->n) {
        const char *name = at + 1;
        const char *end = end_of_text(name);
        const char *value = end == NULL ? NULL : skip_space(end + 1);
        if (value == NULL || *value != ':') {
            return false;
        }
        value = skip_space(value + 1);
        for (size_t i = 0; i < filter->n; i++) {
            const struct member *member = &filter->members[i];
            if (is_text(name, end, member->name, member->n_name)) { /* a name stands there once */
                if (!is_one_of(value, member->value)) {
                    return false;
                }
                n_met++;
                break;
            }
        }
        at = skip_value(value);
        if (at == NULL) {
            return false;
        }
        at = *at == ',' ? skip_space(at + 1) : at;
    }
    return n_met == filter->n;
}
