/* log.c: JSON lines built on the stack, without allocation, so that running out of memory can still be reported. */
#include "server/daemon/log.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/utf8.h"

#define LINE_BYTES 4096
#define TAIL_BYTES 2 /* what closes every line */

static atomic_int threshold = LOG_LEVEL_INFO;
static atomic_int sink = STDERR_FILENO;

static const char *const level_words[] = {"debug", "info", "warn", "error"};

struct line {
    char text[LINE_BYTES];
    size_t used;
    bool full;
};

static void put(struct line *line, const char *bytes, size_t n_bytes)
{
    if (line->full || n_bytes > LINE_BYTES - TAIL_BYTES - line->used) {
        line->full = true;
        return;
    }
    memcpy(line->text + line->used, bytes, n_bytes);
    line->used += n_bytes;
}

static void put_text(struct line *line, const char *text)
{
    char escaped[8];

    if (text == NULL) {
        put(line, "null", 4);
        return;
    }
    put(line, "\"", 1);
    const unsigned char *c = (const unsigned char *)text;
    for (size_t left = strlen(text), length = 1; left > 0; c += length, left -= length) {
        length = 1;
        if (*c == '"' || *c == '\\') {
            escaped[0] = '\\';
            escaped[1] = (char)*c;
            put(line, escaped, 2);
        } else if (*c < 0x20 || *c == 0x7F) {
            put(line, escaped, (size_t)snprintf(escaped, sizeof(escaped), "\\u%04x", *c));
        } else if (*c < 0x80) {
            put(line, (const char *)c, 1);
        } else if ((length = utf8_character(c, left)) > 0) {
            put(line, (const char *)c, length);
        } else {
            put(line, "\\ufffd", 6);
            length = 1;
        }
    }
    put(line, "\"", 1);
}

static void put_number(struct line *line, const char *format, double value)
{
    char text[64];

    if (!isfinite(value)) {
        put(line, "null", 4);
        return;
    }
    int length = snprintf(text, sizeof(text), format, value);
    put(line, text, length > 0 && (size_t)length < sizeof(text) ? (size_t)length : 0);
}

/* Writes the value of one conversion, which format holds alone. */
static void put_value(struct line *line, const char *format, va_list *values)
{
    char text[32];
    int length = 0;
    size_t last = strlen(format) - 1;

    switch (format[last]) {
    case 's': put_text(line, va_arg(*values, const char *)); return;
    case 'f':
    case 'g': put_number(line, format, va_arg(*values, double)); return;
    case 'd':
        length = format[last - 1] == 'l' ? snprintf(text, sizeof(text), "%ld", va_arg(*values, long))
                                         : snprintf(text, sizeof(text), "%d", va_arg(*values, int));
        break;
    default: /* u */
        length = format[last - 1] == 'z'   ? snprintf(text, sizeof(text), "%zu", va_arg(*values, size_t))
                 : format[last - 1] == 'l' ? snprintf(text, sizeof(text), "%lu", va_arg(*values, unsigned long))
                                           : snprintf(text, sizeof(text), "%u", va_arg(*values, unsigned));
        break;
    }
    put(line, text, (size_t)length);
}

static void put_fields(struct line *line, const char *fields, va_list *values)
{
    char format[16];

    while (*fields != '\0') {
        size_t key = strcspn(fields, "=");
        const char *conversion = fields + key + (fields[key] == '=' ? 1 : 0);
        size_t length = strcspn(conversion, " ");
        size_t before = line->used;
        put(line, ",\"", 2);
        put(line, fields, key);
        put(line, "\":", 2);
        (void)snprintf(format, sizeof(format), "%.*s", (int)length, conversion);
        if (format[0] == '%' && format[1] != '\0') {
            put_value(line, format, values);
        } else {
            line->full = true; /* a format that the header does not allow: nothing behind it can be read */
        }
        if (line->full) {
            line->used = before;
            return;
        }
        fields = conversion + length;
        fields += *fields == ' ' ? 1 : 0;
    }
}

void log_set_level(const char *word)
{
    atomic_store(&threshold, LOG_LEVEL_INFO);
    for (int i = LOG_LEVEL_DEBUG; i <= LOG_LEVEL_ERROR; i++) {
        if (strcmp(word, level_words[i]) == 0) {
            atomic_store(&threshold, i);
        }
    }
}

void log_set_file(int fd)
{
    atomic_store(&sink, fd);
}

void log_event(enum log_level level, const char *event, const char *fields, ...)
{
    struct line line = {.used = 0};
    char now[CLOCK_TEXT_BYTES];
    va_list values;

    if ((int)level < atomic_load_explicit(&threshold, memory_order_relaxed)) {
        return;
    }
    clock_text(clock_unix_ms(), now);
    int length = snprintf(line.text, sizeof(line.text), "{\"time\":\"%s\",\"level\":\"%s\",\"event\":\"%s\"", now,
                          level_words[level], event);
    line.used = (size_t)length;
    va_start(values, fields);
    put_fields(&line, fields, &values);
    va_end(values);
    line.text[line.used++] = '}';
    line.text[line.used++] = '\n';
    for (size_t done = 0; done < line.used;) {
        ssize_t n = write(atomic_load(&sink), line.text + done, line.used - done);
        if (n < 0 && errno != EINTR) {
            return; /* nobody is left to be told */
        }
        done += n > 0 ? (size_t)n : 0;
    }
}
