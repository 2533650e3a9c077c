/* check.c: what comes from outside is checked here, in one place. */
#include <jansson.h>
#include <string.h>

#include "core/base/utf8.h"
#include "server/store/store.h"

enum err store_name_check(const char *what, const char *name, struct err_note *note)
{
    const unsigned char *text = (const unsigned char *)name;

    if (name == NULL || name[0] == '\0') {
        return ERR_SAY(note, ERR_MISUSE, "%s is empty", what);
    }
    size_t len = strlen(name);
    if (len > STORE_NAME_BYTES) {
        return ERR_SAY(note, ERR_MISUSE, "%s is %zu bytes long, more than %d", what, len, STORE_NAME_BYTES);
    }
    for (size_t i = 0; i < len;) {
        size_t bytes = utf8_character(text + i, len - i);
        if (bytes == 0) {
            return ERR_SAY(note, ERR_FORMAT, "%s is not valid UTF-8 at byte %zu", what, i);
        }
        /* C0, DEL and C1 (U+0080 to U+009F). */
        if (text[i] < 0x20 || text[i] == 0x7F || (text[i] == 0xC2 && text[i + 1] < 0xA0)) {
            return ERR_SAY(note, ERR_MISUSE, "%s has a control character at byte %zu", what, i);
        }
        i += bytes;
    }
    return ERR_NONE;
}

enum err store_json_check(const char *what, const char *json, struct err_note *note)
{
    json_error_t error;
    size_t len = json == NULL ? 0 : strlen(json);

    if (len > STORE_JSON_BYTES) {
        return ERR_SAY(note, ERR_MISUSE, "%s are %zu bytes long, more than %d", what, len, STORE_JSON_BYTES);
    }
    json_t *value = json_loadb(json == NULL ? "" : json, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (value == NULL) {
        return ERR_SAY(note, ERR_FORMAT, "%s are not JSON: %s at byte %d", what, error.text, error.position);
    }
    bool is_object = json_is_object(value);
    json_decref(value);
    return is_object ? ERR_NONE : ERR_SAY(note, ERR_MISUSE, "%s are not a JSON object", what);
}
