/* err.c: notes and names of errors. */
#include "core/base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/utf8.h"

/* A name that "%.60s" cut in the middle of a character, or a file name in another encoding, would make the whole sentence
 * unfit for JSON.  What was cut at the end is dropped, what is broken inside becomes a question mark. */
static void make_printable(char *text)
{
    size_t len = strlen(text);
    size_t tail = len;

    while (tail > 0 && len - tail < 3 && ((unsigned char)text[tail - 1] & 0xC0U) == 0x80U) {
        tail--;
    }
    if (tail > 0 && (unsigned char)text[tail - 1] >= 0xC0U && utf8_character(text + tail - 1, len - tail + 1) == 0) {
        text[tail - 1] = '\0';
    }
    utf8_mend(text);
}

enum err err_say(struct err_note *note, enum err code, const char *file, int line, const char *format, ...)
{
    va_list args;

    if (note == NULL || note->text[0] != '\0') {
        return code;
    }
    va_start(args, format);
    (void)vsnprintf(note->text, sizeof note->text, format, args);
    va_end(args);
    make_printable(note->text);
    note->file = file;
    note->line = line;
    return code;
}

void err_prefix(struct err_note *note, const char *format, ...)
{
    char front[sizeof note->text];
    char whole[2 * sizeof note->text];
    va_list args;

    if (note == NULL || note->text[0] == '\0') {
        return;
    }
    va_start(args, format);
    (void)vsnprintf(front, sizeof front, format, args);
    va_end(args);
    (void)snprintf(whole, sizeof whole, "%s%s", front, note->text);
    memcpy(note->text, whole, sizeof note->text - 1);
    note->text[sizeof note->text - 1] = '\0';
    make_printable(note->text);
}

const char *err_word(enum err code)
{
    switch (code) {
    case ERR_NONE: return "none";
    case ERR_NOMEM: return "out_of_memory";
    case ERR_LIMIT: return "limit";
    case ERR_FORMAT: return "format";
    case ERR_UNSUPPORTED: return "unsupported";
    case ERR_NOT_FOUND: return "not_found";
    case ERR_EXISTS: return "exists";
    case ERR_CONFLICT: return "conflict";
    case ERR_DENIED: return "denied";
    case ERR_BUSY: return "busy";
    case ERR_TIMEOUT: return "timeout";
    case ERR_CANCELLED: return "cancelled";
    case ERR_IO: return "io";
    case ERR_NO_SPACE: return "no_space";
    case ERR_CORRUPT: return "corrupt";
    case ERR_MISUSE: return "misuse";
    case ERR_FOREIGN: return "foreign";
    }
    return "unknown";
}

enum err err_from_errno(int system_errno)
{
    switch (system_errno) {
    case ENOENT:
    case ENOTDIR: return ERR_NOT_FOUND;
    case EEXIST: return ERR_EXISTS;
    case ENOSPC:
    case EDQUOT: return ERR_NO_SPACE;
    case ENOMEM: return ERR_NOMEM;
    case EACCES:
    case EPERM:
    case EROFS: return ERR_DENIED;
    default: return ERR_IO;
    }
}
