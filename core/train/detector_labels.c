/* detector_labels.c: the text file of labels. */
#include "core/train/detector_labels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"

static const char first_line[] = "arcfaced faces 1";

#define LIMIT_BYTES ((size_t)1 << 30)
#define LINE_BYTES 400 /* a face's line at most */

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

struct lines {
    char *next; /* NULL: no more */
    long number;
    struct err_note *note;
};

static char *take_line(struct lines *lines)
{
    char *line = lines->next;
    char *end = line == NULL ? NULL : strchr(line, '\n');

    lines->next = NULL;
    lines->number++;
    if (end == NULL) {
        return NULL; /* what has no end was not written whole */
    }
    *end = '\0';
    lines->next = end + 1;
    return line;
}

static enum err wrong(struct lines *lines, const char *what)
{
    return ERR_SAY(lines->note, ERR_FORMAT, "line %ld of the labels: %s", lines->number, what);
}

static bool read_numbers(const char *text, float *ret, int count)
{
    for (int i = 0; i < count; i++) {
        char *end = NULL;
        ret[i] = strtof(text, &end);
        if (end == text || !(ret[i] > -1e6F && ret[i] < 1e6F)) {
            return false;
        }
        text = end;
    }
    return *text == '\0';
}

static enum err read_trap(struct lines *lines, const char *numbers, bool hidden, struct detector_trap *ret)
{
    ret->hidden = hidden;
    return read_numbers(numbers, ret->box, 4) ? ERR_NONE : wrong(lines, "a trap has a box of four numbers");
}

static enum err read_face(struct lines *lines, const char *line, struct labelled_face *ret)
{
    float number[15];

    ret->unsure = strncmp(line, "unsure ", 7) == 0;
    if ((!ret->unsure && strncmp(line, "face ", 5) != 0) || !read_numbers(line + (ret->unsure ? 7 : 5), number, 15)) {
        return wrong(lines, "'face' or 'unsure' with a score, a box and five points, or 'trap' with a box is expected");
    }
    ret->face.score = number[0];
    memcpy(ret->face.box, number + 1, sizeof ret->face.box);
    memcpy(ret->face.point, number + 5, sizeof ret->face.point);
    return ERR_NONE;
}

/* A line of a photo: a face or a trap. */
static enum err read_place(struct lines *lines, struct labelled_photo *photo)
{
    static const struct {
        const char *word;
        bool hidden;
    } traps[] = {{"trap ", false}, {"hidden-trap ", true}};
    const char *line = take_line(lines);

    if (line == NULL) {
        return wrong(lines, "a face is missing");
    }
    for (int i = 0; i < 2; i++) {
        size_t length = strlen(traps[i].word);
        if (strncmp(line, traps[i].word, length) == 0) {
            return read_trap(lines, line + length, traps[i].hidden, &photo->traps[photo->n_traps++]);
        }
    }
    return read_face(lines, line, &photo->faces[photo->n_faces++]);
}

static enum err read_photo(struct lines *lines, const char *line, struct arena *mem, struct labelled_photo *ret)
{
    char *end = NULL;
    long count = strncmp(line, "photo ", 6) == 0 ? strtol(line + 6, &end, 10) : -1;

    if (count < 0 || count > 1000 || end == NULL || *end != ' ' || end[1] == '\0') {
        return wrong(lines, "'photo', a count of faces and a path are expected");
    }
    ret->path = arena_copy_text(mem, end + 1);
    ret->faces = ARENA_ARRAY(mem, struct labelled_face, count + 1);
    ret->traps = ARENA_ARRAY(mem, struct detector_trap, count + 1);
    if (ret->path == NULL || ret->faces == NULL || ret->traps == NULL) {
        return arena_why(mem);
    }
    for (long i = 0; i < count; i++) {
        enum err err = read_place(lines, ret);
        if (err != ERR_NONE) {
            return err;
        }
    }
    return ERR_NONE;
}

/* The last photo of a file that was cut off may be half there: it is left out. */
static enum err read_all(struct lines *lines, struct arena *mem, struct detector_labels *ret)
{
    struct detector_labels labels = {.photos = NULL};
    int room = 0;

    for (const char *at = lines->next; (at = strstr(at, "photo ")) != NULL; at += 6) {
        room++;
    }
    labels.photos = ARENA_ARRAY(mem, struct labelled_photo, room + 1);
    if (labels.photos == NULL) {
        return arena_why(mem);
    }
    const char *line = take_line(lines);
    if (line == NULL || strcmp(line, first_line) != 0) {
        return wrong(lines, "this is no file of faces");
    }
    while ((line = take_line(lines)) != NULL && !labels.whole) {
        if (strcmp(line, "end") == 0) {
            labels.whole = true;
            continue;
        }
        struct labelled_photo *photo = &labels.photos[labels.n_photos];
        enum err err = read_photo(lines, line, mem, photo);
        if (err == ERR_FORMAT && lines->next == NULL) {
            break;
        }
        if (err != ERR_NONE) {
            return err;
        }
        labels.n_photos++;
        labels.n_traps += photo->n_traps;
    }
    *ret = labels;
    return ERR_NONE;
}

enum err detector_labels_read(const char *path, struct arena *mem, struct detector_labels *ret, struct err_note *note)
{
    unsigned char *bytes = NULL;
    size_t n_bytes = 0;
    enum err err = file_read(path, LIMIT_BYTES, &bytes, &n_bytes, note);

    if (err == ERR_NONE) {
        struct lines lines = {.next = (char *)bytes, .note = note};
        err = strlen((char *)bytes) == n_bytes ? read_all(&lines, mem, ret)
                                               : ERR_SAY(note, ERR_FORMAT, "the labels are no text");
    }
    mem_free(bytes);
    return err;
}

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

struct text {
    char *bytes;
    size_t used, room;
};

/* Always leaves room for a line. */
static bool make_room(struct text *text, size_t more)
{
    if (text->room - text->used > more + LINE_BYTES) {
        return true;
    }
    size_t room = 2 * text->room + more + LINE_BYTES + 4096;
    char *bytes = mem_resize(text->bytes, room, 1);
    if (bytes == NULL) {
        return false;
    }
    text->bytes = bytes;
    text->room = room;
    return true;
}

static void write_face(struct text *text, const struct labelled_face *face)
{
    const struct face *f = &face->face;
    char *to = text->bytes + text->used;
    size_t left = text->room - text->used;
    int len = snprintf(to, left, "%s %.3f %.2f %.2f %.2f %.2f", face->unsure ? "unsure" : "face", (double)f->score,
                       (double)f->box[0], (double)f->box[1], (double)f->box[2], (double)f->box[3]);

    for (int i = 0; i < 5; i++) {
        len += snprintf(to + len, left - (size_t)len, " %.2f %.2f", (double)f->point[i][0], (double)f->point[i][1]);
    }
    len += snprintf(to + len, left - (size_t)len, "\n");
    text->used += (size_t)len;
}

static void write_trap(struct text *text, const struct detector_trap *trap)
{
    int len = snprintf(text->bytes + text->used, text->room - text->used, "%s %.2f %.2f %.2f %.2f\n",
                       trap->hidden ? "hidden-trap" : "trap", (double)trap->box[0], (double)trap->box[1],
                       (double)trap->box[2], (double)trap->box[3]);

    text->used += (size_t)len;
}

static enum err write_photo(struct text *text, const struct labelled_photo *photo, struct err_note *note)
{
    if (strchr(photo->path, '\n') != NULL) {
        return ERR_SAY(note, ERR_FORMAT, "a path with a line break cannot be labelled");
    }
    if (!make_room(text, strlen(photo->path))) {
        return ERR_NOMEM;
    }
    text->used += (size_t)snprintf(text->bytes + text->used, text->room - text->used, "photo %d %s\n",
                                   photo->n_faces + photo->n_traps, photo->path);
    for (int i = 0; i < photo->n_faces; i++) {
        if (!make_room(text, 0)) {
            return ERR_NOMEM;
        }
        write_face(text, &photo->faces[i]);
    }
    for (int i = 0; i < photo->n_traps; i++) {
        if (!make_room(text, 0)) {
            return ERR_NOMEM;
        }
        write_trap(text, &photo->traps[i]);
    }
    return ERR_NONE;
}

enum err detector_labels_write(const struct detector_labels *labels, const char *path, struct err_note *note)
{
    struct text text = {.bytes = NULL};
    enum err err = make_room(&text, 0) ? ERR_NONE : ERR_NOMEM;

    if (err == ERR_NONE) {
        text.used = (size_t)snprintf(text.bytes, text.room, "%s\n", first_line);
    }
    for (int i = 0; i < labels->n_photos && err == ERR_NONE; i++) {
        err = write_photo(&text, &labels->photos[i], note);
    }
    if (err == ERR_NONE && labels->whole) {
        err = make_room(&text, 0) ? ERR_NONE : ERR_NOMEM;
        if (err == ERR_NONE) {
            text.used += (size_t)snprintf(text.bytes + text.used, text.room - text.used, "end\n");
        }
    }
    if (err == ERR_NONE) {
        err = file_write(path, text.bytes, text.used, note);
    }
    mem_free(text.bytes);
    return err;
}

float box_overlap(const float a[4], const float b[4])
{
    float width = fminf(a[2], b[2]) - fmaxf(a[0], b[0]);
    float height = fminf(a[3], b[3]) - fmaxf(a[1], b[1]);
    float common = width > 0 && height > 0 ? width * height : 0;
    float both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common;

    return both > 0 ? common / both : 0;
}
