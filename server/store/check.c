/* check.c: what comes from outside is checked here, in one place. */
#include <jansson.h>
#include <string.h>

#include "server/store/store.h"

/* Length of the character at text, 0 if it is not UTF-8 (overlong forms, surrogates and values past U+10FFFF are not). */
static int character_bytes(const unsigned char *text)
{
    unsigned char lead = text[0];
    int more = lead < 0x80                    ? 0
               : lead >= 0xC2 && lead <= 0xDF ? 1
               : (lead & 0xF0) == 0xE0        ? 2
               : lead >= 0xF0 && lead <= 0xF4 ? 3
                                              : -1;

    if (more < 0) {
        return 0;
    }
    for (int i = 1; i <= more; i++) {
        if ((text[i] & 0xC0) != 0x80) { /* the terminating zero ends it too */
            return 0;
        }
    }
    if ((lead == 0xE0 && text[1] < 0xA0) || (lead == 0xED && text[1] > 0x9F) || (lead == 0xF0 && text[1] < 0x90) ||
        (lead == 0xF4 && text[1] > 0x8F)) {
        return 0;
    }
    return more + 1;
}

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
        int bytes = character_bytes(text + i);
        if (bytes == 0) {
            return ERR_SAY(note, ERR_FORMAT, "%s is not valid UTF-8 at byte %zu", what, i);
        }
        /* C0, DEL and C1 (U+0080 to U+009F). */
        if (text[i] < 0x20 || text[i] == 0x7F || (text[i] == 0xC2 && text[i + 1] < 0xA0)) {
            return ERR_SAY(note, ERR_MISUSE, "%s has a control character at byte %zu", what, i);
        }
        i += (size_t)bytes;
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
