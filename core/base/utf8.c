/* utf8.c: RFC 3629's table of well-formed bytes. */
#include "core/base/utf8.h"

#include <string.h>

size_t utf8_character(const void *bytes, size_t n_bytes)
{
    const unsigned char *at = bytes;

    if (n_bytes == 0) {
        return 0;
    }
    unsigned char lead = at[0];
    if (lead < 0x80U) {
        return 1;
    }
    size_t length = lead >= 0xF0U ? 4 : lead >= 0xE0U ? 3 : 2;
    if (lead < 0xC2U || lead > 0xF4U || length > n_bytes) {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xC0U) != 0x80U) {
            return 0;
        }
    }
    bool overlong = (lead == 0xE0U && at[1] < 0xA0U) || (lead == 0xF0U && at[1] < 0x90U);
    bool no_character = (lead == 0xEDU && at[1] > 0x9FU) || (lead == 0xF4U && at[1] > 0x8FU);
    return overlong || no_character ? 0 : length;
}

bool utf8_is_text(const void *bytes, size_t n_bytes)
{
    const unsigned char *at = bytes;

    for (size_t i = 0; i < n_bytes;) {
        size_t length = utf8_character(at + i, n_bytes - i);
        if (length == 0 || at[i] == 0) {
            return false;
        }
        i += length;
    }
    return true;
}

void utf8_mend(char *text)
{
    for (size_t left = strlen(text); left > 0;) {
        size_t length = utf8_character(text, left);
        if (length == 0) {
            *text = '?';
            length = 1;
        }
        text += length;
        left -= length;
    }
}
