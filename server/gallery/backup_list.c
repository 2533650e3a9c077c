/* backup_list.c: which backups there are, and what each says of itself. */
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/mem.h"
#include "server/gallery/backup_private.h"
#include "server/store/backup.h"

#define LIST_BYTES ((size_t)1 << 20)
#define BACKUPS_MOST 10000

void backup_name_make(int64_t at_ms, char ret[BACKUP_NAME_TEXT])
{
    char text[CLOCK_TEXT_BYTES];

    clock_text(at_ms, text);
    for (char *c = text; *c != '\0'; c++) {
        *c = *c == ':' ? '-' : *c;
    }
    (void)snprintf(ret, BACKUP_NAME_TEXT, "%.*s", BACKUP_NAME_TEXT - 1, text);
}

enum err backup_list_read(const char *folder, json_t **ret, struct backup_info *ret_info, struct err_note *note)
{
    char path[PATH_MAX];
    unsigned char *text = NULL;
    size_t n_bytes = 0;
    size_t i = 0;
    json_t *file = NULL;

    enum err err = backup_path(path, folder, BACKUP_LIST, note);
    if (err == ERR_NONE) {
        err = file_read(path, LIST_BYTES, &text, &n_bytes, note);
    }
    if (err != ERR_NONE) {
        return err;
    }
    json_t *list = json_loadb((const char *)text, n_bytes, JSON_REJECT_DUPLICATES, NULL);
    mem_free(text);
    if (!json_is_array(json_object_get(list, "files"))) {
        json_decref(list);
        return ERR_SAY(note, ERR_CORRUPT, "%s is damaged", path);
    }
    if (json_integer_value(json_object_get(list, "format")) > BACKUP_FORMAT) {
        json_decref(list);
        return ERR_SAY(note, ERR_UNSUPPORTED, "%s was written by a newer arcfaced", path);
    }
    struct backup_info info = {.at_ms = json_integer_value(json_object_get(list, "made_at_ms"))};
    backup_name_make(info.at_ms, info.name);
    json_array_foreach(json_object_get(list, "files"), i, file)
    {
        info.n_bytes += json_integer_value(json_object_get(file, "bytes"));
        info.n_files++;
    }
    *ret_info = info;
    *ret = list;
    return ERR_NONE;
}

struct listing {
    const char *folder;
    struct arena *mem;
    struct backup_info *list;
    int count, room;
};

static enum err listing_add(void *context, const char *name)
{
    struct listing *listing = context;
    char path[PATH_MAX];
    json_t *list = NULL;
    struct backup_info info;

    if (backup_path(path, listing->folder, name, NULL) != ERR_NONE ||
        backup_list_read(path, &list, &info, NULL) != ERR_NONE) {
        return ERR_NONE;
    }
    json_decref(list);
    if (listing->count == BACKUPS_MOST) {
        return ERR_LIMIT;
    }
    if (listing->count == listing->room) {
        int room = listing->room == 0 ? 16 : 2 * listing->room;
        struct backup_info *more = ARENA_ARRAY(listing->mem, struct backup_info, room);
        if (more == NULL) {
            return arena_why(listing->mem);
        }
        if (listing->count > 0) {
            memcpy(more, listing->list, (size_t)listing->count * sizeof *more);
        }
        listing->list = more;
        listing->room = room;
    }
    listing->list[listing->count++] = info;
    return ERR_NONE;
}

static int by_time(const void *a, const void *b)
{
    int64_t one = ((const struct backup_info *)a)->at_ms;
    int64_t two = ((const struct backup_info *)b)->at_ms;
    return (one > two) - (one < two);
}

enum err backup_list(const char *data, struct arena *mem, struct backup_info **ret, int *ret_count)
{
    char folder[PATH_MAX];
    struct listing listing = {.folder = folder, .mem = mem};

    enum err err = backup_path(folder, data, "backups", NULL);
    if (err == ERR_NONE) {
        err = backup_folder_each(folder, listing_add, &listing);
    }
    if (err != ERR_NONE) {
        return err;
    }
    if (listing.count > 0) {
        qsort(listing.list, (size_t)listing.count, sizeof *listing.list, by_time);
    }
    *ret = listing.list;
    *ret_count = listing.count;
    return ERR_NONE;
}

struct naming {
    const char *folder;
    const struct receipt *receipt;
    struct arena *mem;
    const char *names[BACKUPS_MOST];
    int count;
};

static enum err naming_add(void *context, const char *name)
{
    struct naming *naming = context;
    const char *shown = strncmp(name, BACKUP_HIDDEN, strlen(BACKUP_HIDDEN)) == 0 ? name + strlen(BACKUP_HIDDEN) : name;

    for (int i = 0; i < naming->count; i++) {
        if (strcmp(naming->names[i], shown) == 0) {
            return ERR_NONE;
        }
    }
    if (naming->count == BACKUPS_MOST) {
        return ERR_LIMIT;
    }
    const char *copy = arena_copy_text(naming->mem, shown);
    if (copy == NULL) {
        return arena_why(naming->mem);
    }
    naming->names[naming->count++] = copy;
    return ERR_NONE;
}

/* One with a name is complete, so its rows can be asked. */
static enum err naming_add_holding(void *context, const char *name)
{
    const struct naming *naming = context;
    char folder[PATH_MAX];
    char path[PATH_MAX];

    if (backup_path(folder, naming->folder, name, NULL) == ERR_NONE &&
        backup_path(path, folder, BACKUP_DATABASE, NULL) == ERR_NONE && !store_backup_holds(path, naming->receipt)) {
        return ERR_NONE;
    }
    return naming_add(context, name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b); /* names are times */
}

enum err backup_names_holding(const char *data, const struct receipt *receipt, struct arena *mem, const char ***ret,
                              int *ret_count)
{
    char folder[PATH_MAX];
    struct naming *naming = ARENA_NEW(mem, struct naming);

    if (naming == NULL) {
        return arena_why(mem);
    }
    naming->folder = folder;
    naming->receipt = receipt;
    naming->mem = mem;
    enum err err = backup_path(folder, data, "backups", NULL);
    /* Hidden ones first: one that gets its name meanwhile is seen then, or twice. */
    if (err == ERR_NONE) {
        err = backup_folder_each_named(folder, BACKUP_HIDDEN, naming_add, naming);
    }
    if (err == ERR_NONE) {
        err = backup_folder_each(folder, naming_add_holding, naming);
    }
    if (err != ERR_NONE) {
        return err;
    }
    qsort(naming->names, (size_t)naming->count, sizeof *naming->names, by_name);
    *ret = naming->names;
    *ret_count = naming->count;
    return ERR_NONE;
}
