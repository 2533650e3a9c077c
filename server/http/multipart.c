/* multipart.c: a scan for boundaries. */
#include "server/http/multipart.h"

#include <string.h>
#include <strings.h>

#include "core/base/utf8.h"

#define MAX_BOUNDARY 70 /* RFC 2046 */
#define MAX_PART_HEAD 4096

/* Finds "name=" among the parameters behind the first semicolon of a header and returns its value without quotes, in place;
 * a backslash inside quotes protects the next character and stays. */
static const char *header_parameter(const char *at, const char *end, const char *name, size_t *ret_bytes)
{
    size_t name_bytes = strlen(name);

    while (at < end && (at = memchr(at, ';', (size_t)(end - at))) != NULL) {
        at++;
        while (at < end && (*at == ' ' || *at == '\t')) {
            at++;
        }
        bool found = (size_t)(end - at) > name_bytes && strncasecmp(at, name, name_bytes) == 0 && at[name_bytes] == '=';
        const char *equals = memchr(at, '=', (size_t)(end - at));
        if (equals == NULL) {
            return NULL;
        }
        const char *value = equals + 1;
        const char *stop = value;
        if (value < end && *value == '"') {
            stop = ++value;
            while (stop < end && *stop != '"') {
                stop += *stop == '\\' && stop + 1 < end ? 2 : 1;
            }
        } else {
            while (stop < end && *stop != ';' && *stop != ' ' && *stop != '\t') {
                stop++;
            }
        }
        if (stop > end || (stop == end && value > equals + 1)) {
            return NULL; /* a quote that never closes */
        }
        if (found) {
            *ret_bytes = (size_t)(stop - value);
            return value;
        }
        at = stop;
    }
    return NULL;
}

/* Finds the part's name in its head, the lines from head to end. */
static enum err part_name(const char *head, const char *end, struct arena *mem, const char **ret, struct err_note *note)
{
    static const char disposition[] = "content-disposition:";

    while (head < end) {
        const char *stop = memmem(head, (size_t)(end - head), "\r\n", 2);
        stop = stop == NULL ? end : stop;
        if ((size_t)(stop - head) > sizeof(disposition) - 1 &&
            strncasecmp(head, disposition, sizeof(disposition) - 1) == 0) {
            size_t n_bytes = 0;
            const char *value = header_parameter(head, stop, "name", &n_bytes);
            if (value == NULL || n_bytes == 0 || !utf8_is_text(value, n_bytes)) {
                break;
            }
            char *copy = ARENA_ARRAY(mem, char, n_bytes + 1);
            if (copy == NULL) {
                return arena_why(mem);
            }
            memcpy(copy, value, n_bytes);
            *ret = copy;
            return ERR_NONE;
        }
        head = stop + 2;
    }
    return ERR_SAY(note, ERR_FORMAT, "a part of the multipart body has no name");
}

enum err multipart_parse(const char *content_type, const void *body, size_t n_bytes, struct arena *mem,
                         struct part *ret_parts, int *ret_count, struct err_note *note)
{
    char mark[MAX_BOUNDARY + 5] = "\r\n--";
    size_t boundary_bytes = 0;
    const char *boundary =
        header_parameter(content_type, content_type + strlen(content_type), "boundary", &boundary_bytes);
    const char *at = body;
    const char *end = at + n_bytes;
    int count = 0;

    if (boundary == NULL || boundary_bytes == 0 || boundary_bytes > MAX_BOUNDARY) {
        return ERR_SAY(note, ERR_FORMAT, "the content type names no boundary of 1 to %d characters", MAX_BOUNDARY);
    }
    memcpy(mark + 4, boundary, boundary_bytes);
    size_t mark_bytes = boundary_bytes + 4;

    /* The first boundary may stand at the very beginning, without the line end before it. */
    if (n_bytes >= mark_bytes - 2 && memcmp(at, mark + 2, mark_bytes - 2) == 0) {
        at += mark_bytes - 2;
    } else {
        const char *first = n_bytes == 0 ? NULL : memmem(at, n_bytes, mark, mark_bytes);
        if (first == NULL) {
            return ERR_SAY(note, ERR_FORMAT, "the boundary is not found in the multipart body");
        }
        at = first + mark_bytes;
    }
    for (;;) {
        if (end - at >= 2 && at[0] == '-' && at[1] == '-') {
            *ret_count = count;
            return ERR_NONE;
        }
        while (at < end && (*at == ' ' || *at == '\t')) {
            at++;
        }
        if (end - at < 2 || at[0] != '\r' || at[1] != '\n') {
            return ERR_SAY(note, ERR_FORMAT, "a boundary of the multipart body is not followed by a line end");
        }
        /* The head begins behind this line end; a part without any header has its blank line right here. */
        size_t window = (size_t)(end - at) < MAX_PART_HEAD ? (size_t)(end - at) : MAX_PART_HEAD;
        const char *blank = memmem(at, window, "\r\n\r\n", 4);
        if (blank == NULL) {
            return ERR_SAY(note, ERR_FORMAT, "the head of a part of the multipart body does not end");
        }
        const char *content = blank + 4;
        /* An empty part's closing mark may share the blank line's second line end. */
        const char *stop = memmem(blank + 2, (size_t)(end - blank - 2), mark, mark_bytes);
        if (stop == NULL) {
            return ERR_SAY(note, ERR_FORMAT, "the multipart body ends in the middle of a part");
        }
        if (count == MULTIPART_MAX_PARTS) {
            return ERR_SAY(note, ERR_LIMIT, "the multipart body has more than %d parts", MULTIPART_MAX_PARTS);
        }
        struct part *part = &ret_parts[count];
        enum err err = part_name(at + 2, blank, mem, &part->name, note);
        if (err != ERR_NONE) {
            return err;
        }
        part->bytes = (const unsigned char *)content;
        part->n_bytes = stop > content ? (size_t)(stop - content) : 0;
        count++;
        at = stop + mark_bytes;
    }
}
