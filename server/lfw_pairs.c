/* lfw_pairs.c: the lists, line by line. */
#include "server/lfw_pairs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/mem.h"

#define LIST_LIMIT_BYTES ((size_t)64 << 20)
#define MOST_PHOTO_NUMBER 9999

struct lfw_slot {
    const char *path;
    int photo;
};

/* Why the arena gave nothing, never "no error". */
static enum err spent(const struct arena *mem)
{
    enum err why = arena_why(mem);

    return why == ERR_NONE ? ERR_NOMEM : why;
}

enum err lfw_photos_init(struct lfw_photos *photos, const char *folder, int most, struct arena *mem)
{
    *photos = (struct lfw_photos){.folder = folder, .n_slots = 2 * most, .room = most};
    photos->paths = ARENA_ARRAY(mem, const char *, most);
    photos->slots = photos->paths == NULL ? NULL : ARENA_ARRAY(mem, struct lfw_slot, photos->n_slots);
    return photos->slots == NULL ? spent(mem) : ERR_NONE;
}

/* Open addressing; the table is at most half full. */
static enum err photo_number(struct lfw_photos *photos, const char *name, long i, struct arena *mem, int *ret)
{
    const char *path = arena_format(mem, "%s/%s/%s_%04ld.jpg", photos->folder, name, name, i);

    if (path == NULL) {
        return spent(mem);
    }
    uint32_t at = hash_crc32c(0, path, strlen(path)) % (uint32_t)photos->n_slots;
    while (photos->slots[at].path != NULL) {
        if (strcmp(photos->slots[at].path, path) == 0) {
            *ret = photos->slots[at].photo;
            return ERR_NONE;
        }
        at = (at + 1) % (uint32_t)photos->n_slots;
    }
    if (photos->n == photos->room) {
        return ERR_LIMIT;
    }
    photos->slots[at] = (struct lfw_slot){path, photos->n};
    photos->paths[photos->n] = path;
    *ret = photos->n++;
    return ERR_NONE;
}

/* Cuts a line into at most room words, in place; returns how many it has. */
static int words_of(char *line, char **ret, int room)
{
    int n = 0;

    while (*line != '\0') {
        line += strspn(line, " \t\r");
        if (*line == '\0') {
            break;
        }
        if (n < room) {
            ret[n] = line;
        }
        n++;
        line += strcspn(line, " \t\r");
        if (*line != '\0') {
            *line++ = '\0';
        }
    }
    return n;
}

static bool read_number(const char *word, long *ret)
{
    char *end = NULL;

    *ret = strtol(word, &end, 10);
    return end != word && *end == '\0' && *ret >= 0 && *ret <= MOST_PHOTO_NUMBER;
}

static enum err read_pair(char *line, struct lfw_photos *photos, struct arena *mem, struct lfw_pairs *ret)
{
    char *word[4];
    int n = words_of(line, word, 4);
    long first;
    long second;

    if ((n != 3 && n != 4) || !read_number(word[1], &first) || !read_number(word[n - 1], &second)) {
        return ERR_FORMAT;
    }
    enum err err = photo_number(photos, word[0], first, mem, &ret->photo[ret->n][0]);
    if (err == ERR_NONE) {
        err = photo_number(photos, n == 3 ? word[0] : word[2], second, mem, &ret->photo[ret->n][1]);
    }
    ret->same[ret->n] = n == 3;
    ret->n += err == ERR_NONE;
    return err;
}

/* The first line: how many pairs of each kind, or folds and how many of each kind in each. */
static bool read_head(char *line, struct lfw_pairs *ret, long *ret_room)
{
    char *word[2];
    int n = words_of(line, word, 2);
    long folds = 1;
    long each = 0;

    if (n == 1) {
        if (!read_number(word[0], &each)) {
            return false;
        }
    } else if (n != 2 || !read_number(word[0], &folds) || !read_number(word[1], &each)) {
        return false;
    }
    ret->folds = (int)folds;
    *ret_room = 2 * folds * each;
    return *ret_room > 0;
}

static enum err read_text(char *text, struct lfw_photos *photos, struct arena *mem, struct lfw_pairs *ret,
                          const char *path, struct err_note *note)
{
    long room = 0;

    for (int number = 1; *text != '\0'; number++) {
        size_t len = strcspn(text, "\n");
        char *next = text + len + (text[len] == '\n');
        enum err err = ERR_NONE;
        text[len] = '\0';
        if (number == 1) {
            err = read_head(text, ret, &room) ? ERR_NONE : ERR_FORMAT;
            ret->photo = err != ERR_NONE ? NULL : arena_alloc(mem, (size_t)room, sizeof *ret->photo);
            ret->same = ret->photo == NULL ? NULL : ARENA_ARRAY(mem, bool, room);
            err = err == ERR_NONE && ret->same == NULL ? spent(mem) : err;
        } else if (text[strspn(text, " \t\r")] != '\0') {
            err = ret->n < room ? read_pair(text, photos, mem, ret) : ERR_FORMAT;
        }
        if (err == ERR_FORMAT) {
            return ERR_SAY(note, err, "%s: line %d is not what a list of pairs says", path, number);
        }
        if (err != ERR_NONE) {
            return ERR_SAY(note, err, "%s: too many photos", path);
        }
        text = next;
    }
    return ret->n == room ? ERR_NONE
                          : ERR_SAY(note, ERR_FORMAT, "%s: %ld pairs are announced, %d are there", path, room, ret->n);
}

enum err lfw_pairs_read(const char *path, struct lfw_photos *photos, struct arena *mem, struct lfw_pairs *ret,
                        struct err_note *note)
{
    struct lfw_pairs pairs = {0};
    unsigned char *bytes = NULL;
    size_t n_bytes = 0;
    enum err err = file_read(path, LIST_LIMIT_BYTES, &bytes, &n_bytes, note);

    if (err == ERR_NONE) {
        err = read_text((char *)bytes, photos, mem, &pairs, path, note);
    }
    mem_free(bytes);
    if (err == ERR_NONE) {
        *ret = pairs;
    }
    return err;
}
