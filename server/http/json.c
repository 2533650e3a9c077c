/* json.c: the pass before the parser. */
#include "server/http/json.h"

#include <stdbool.h>

/* Counts nesting and commas outside of texts; whether it is JSON at all is the parser's to say. */
static enum err check_bounds(const char *text, size_t n_bytes, int max_depth, struct err_note *note)
{
    int depth = 0;
    int values = 0;
    bool in_text = false;

    for (size_t i = 0; i < n_bytes; i++) {
        char c = text[i];
        if (in_text) {
            i += c == '\\' ? 1 : 0;
            in_text = c != '"';
        } else if (c == '"') {
            in_text = true;
        } else if (c == '[' || c == '{') {
            if (++depth > max_depth) {
                return ERR_SAY(note, ERR_LIMIT, "the JSON is nested deeper than %d levels", max_depth);
            }
            values++;
        } else if (c == ']' || c == '}') {
            depth--;
        } else if (c == ',') {
            values++;
        }
        if (values > JSON_MAX_VALUES) {
            return ERR_SAY(note, ERR_LIMIT, "the JSON holds more than %d values", JSON_MAX_VALUES);
        }
    }
    return ERR_NONE;
}

static enum err read_any(const void *bytes, size_t n_bytes, int max_depth, bool object, json_t **ret,
                         struct err_note *note)
{
    json_error_t error;

    enum err err = check_bounds(bytes, n_bytes, max_depth, note);
    if (err != ERR_NONE) {
        return err;
    }
    json_t *document = json_loadb(bytes, n_bytes, JSON_REJECT_DUPLICATES, &error);
    if (document == NULL) {
        if (json_error_code(&error) == json_error_out_of_memory) {
            return ERR_NOMEM;
        }
        /* The library's own text quotes what was sent; only the place is repeated. */
        return ERR_SAY(note, ERR_FORMAT, "line %d, column %d is not valid JSON", error.line, error.column);
    }
    if (object ? !json_is_object(document) : !json_is_array(document)) {
        json_decref(document);
        return ERR_SAY(note, ERR_FORMAT, object ? "the JSON is not an object" : "the JSON is not an array");
    }
    *ret = document;
    return ERR_NONE;
}

enum err json_read(const void *bytes, size_t n_bytes, int max_depth, json_t **ret, struct err_note *note)
{
    return read_any(bytes, n_bytes, max_depth, true, ret, note);
}

enum err json_read_array(const void *bytes, size_t n_bytes, int max_depth, json_t **ret, struct err_note *note)
{
    return read_any(bytes, n_bytes, max_depth, false, ret, note);
}
