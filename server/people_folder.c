/* people_folder.c: two levels of names, sorted so that every run sees the same order. */
#include "server/people_folder.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/file.h"
#include "core/base/mem.h"

#define LIST_LIMIT_BYTES ((size_t)64 << 20)

/* Names in the arena, growing by doubling; what is outgrown stays there until the arena dies. */
struct names {
    const char **list;
    int n, room;
};

/* Why the arena gave nothing, never "no error". */
static enum err spent(const struct arena *mem)
{
    enum err why = arena_why(mem);

    return why == ERR_NONE ? ERR_NOMEM : why;
}

static enum err names_add(struct names *names, const char *name, struct arena *mem)
{
    if (names->n == names->room) {
        int room = names->room == 0 ? 64 : 2 * names->room;
        const char **list = ARENA_ARRAY(mem, const char *, room);
        if (list == NULL) {
            return spent(mem);
        }
        for (int i = 0; i < names->n; i++) {
            list[i] = names->list[i];
        }
        names->list = list;
        names->room = room;
    }
    names->list[names->n] = arena_copy_text(mem, name);
    return names->list[names->n++] == NULL ? spent(mem) : ERR_NONE;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool names_hold(const struct names *names, const char *name)
{
    return names->n > 0 && bsearch(&name, names->list, (size_t)names->n, sizeof *names->list, by_name) != NULL;
}

/* Reads a list of people, one a line. */
static enum err read_list(const char *path, struct arena *mem, struct names *ret, struct err_note *note)
{
    unsigned char *bytes = NULL;
    size_t n_bytes = 0;
    enum err err = file_read(path, LIST_LIMIT_BYTES, &bytes, &n_bytes, note);

    for (char *line = (char *)bytes; err == ERR_NONE && *line != '\0';) {
        size_t len = strcspn(line, "\n");
        size_t word = strcspn(line, " \t\r\n");
        char *next = line + len + (line[len] == '\n');
        line[word] = '\0';
        if (word > 0) {
            err = names_add(ret, line, mem);
        }
        line = next;
    }
    mem_free(bytes);
    if (err == ERR_NONE && ret->n > 0) {
        qsort(ret->list, (size_t)ret->n, sizeof *ret->list, by_name);
    }
    return err;
}

/* The names in one folder that are folders, or that are files; sorted. */
static enum err read_folder(const char *path, bool folders, struct arena *mem, struct names *ret, struct err_note *note)
{
    DIR *folder = opendir(path);
    enum err err = ERR_NONE;

    if (folder == NULL) {
        int saved = errno;
        return ERR_SAY(note, err_from_errno(saved), "cannot read %s: %s", path, strerror(saved));
    }
    for (;;) {
        char full[PATH_MAX];
        struct stat about;
        const struct dirent *entry = readdir(folder);
        if (entry == NULL || err != ERR_NONE) {
            break;
        }
        if (entry->d_name[0] == '.' || snprintf(full, sizeof full, "%s/%s", path, entry->d_name) >= (int)sizeof full ||
            stat(full, &about) != 0) {
            continue;
        }
        if (folders ? S_ISDIR(about.st_mode) : S_ISREG(about.st_mode)) {
            err = names_add(ret, entry->d_name, mem);
        }
    }
    (void)closedir(folder);
    if (err == ERR_NONE && ret->n > 0) {
        qsort(ret->list, (size_t)ret->n, sizeof *ret->list, by_name);
    }
    return err;
}

/* Adds the photos of one person to paths; person numbers follow in owner. */
static enum err add_person(const char *folder, const char *name, struct arena *mem, struct names *paths,
                           struct err_note *note)
{
    char of_person[PATH_MAX];
    char path[PATH_MAX];
    struct names photos = {0};

    if (snprintf(of_person, sizeof of_person, "%s/%s", folder, name) >= (int)sizeof of_person) {
        return ERR_SAY(note, ERR_MISUSE, "the path of %s is too long", name);
    }
    enum err err = read_folder(of_person, false, mem, &photos, note);
    for (int i = 0; i < photos.n && err == ERR_NONE; i++) {
        if (snprintf(path, sizeof path, "%s/%s", of_person, photos.list[i]) < (int)sizeof path) {
            err = names_add(paths, path, mem);
        }
    }
    return err;
}

enum err people_folder_read(const char *folder, const char *only, const char *except, struct arena *mem,
                            struct people_folder *ret, struct err_note *note)
{
    struct names found = {0};
    struct names chosen = {0};
    struct names left_out = {0};
    struct names people = {0};
    struct names paths = {0};
    enum err err = read_folder(folder, true, mem, &found, note);

    if (err == ERR_NONE && only != NULL) {
        err = read_list(only, mem, &chosen, note);
    }
    if (err == ERR_NONE && except != NULL) {
        err = read_list(except, mem, &left_out, note);
    }
    int *first = err != ERR_NONE ? NULL : ARENA_ARRAY(mem, int, found.n + 1);
    if (first == NULL) {
        return err != ERR_NONE ? err : spent(mem);
    }
    for (int i = 0; i < found.n && err == ERR_NONE; i++) {
        bool taken = (only == NULL || names_hold(&chosen, found.list[i])) && !names_hold(&left_out, found.list[i]);
        int before = paths.n;
        if (taken) {
            err = add_person(folder, found.list[i], mem, &paths, note);
        }
        if (err == ERR_NONE && paths.n > before) {
            err = names_add(&people, found.list[i], mem);
            first[people.n] = paths.n;
        }
    }
    if (err == ERR_NONE && people.n == 0) {
        err = ERR_SAY(note, ERR_FORMAT, "%s holds no folder with photos%s", folder,
                      only != NULL || except != NULL ? " of the people asked for" : "");
    }
    int *person = err != ERR_NONE ? NULL : ARENA_ARRAY(mem, int, paths.n);
    if (person == NULL) {
        return err != ERR_NONE ? err : spent(mem);
    }
    for (int p = 0; p < people.n; p++) {
        for (int i = first[p]; i < first[p + 1]; i++) {
            person[i] = p;
        }
    }
    *ret = (struct people_folder){people.n, people.list, paths.n, paths.list, person};
    return ERR_NONE;
}
