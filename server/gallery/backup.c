/* backup.c: rows and models into a folder, and back. */
#include "server/gallery/backup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/point.h"
#include "server/store/audit_rows.h"
#include "server/store/backup.h"
#include "server/store/embedding_rows.h"

#define FORMAT 1
#define DATABASE "arcfaced.db"
#define MODELS "models"
#define LIST "backup.json"
#define HIDDEN ".making-"   /* a backup on its way; its name follows */
#define RESTORING ".coming" /* a restored folder on its way */
#define COPY_BYTES ((size_t)1 << 20)
#define LIST_BYTES ((size_t)1 << 20)
#define FILE_LIMIT_BYTES ((size_t)1 << 46)
#define BACKUPS_MOST 10000

/* ---- Paths and folders -------------------------------------------------------------------------------------------- */

static enum err path_join(char ret[PATH_MAX], const char *folder, const char *name, struct err_note *note)
{
    if (snprintf(ret, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX) {
        return ERR_SAY(note, ERR_MISUSE, "the path %s/%s is too long", folder, name);
    }
    return ERR_NONE;
}

/* Calls for every entry whose name begins so; with NULL for every one that is not hidden. */
static enum err folder_each_named(const char *folder, const char *front,
                                  enum err (*call)(void *context, const char *name), void *context)
{
    DIR *dir = opendir(folder);
    enum err err = ERR_NONE;

    if (dir == NULL) {
        return errno == ENOENT ? ERR_NONE : err_from_errno(errno);
    }
    for (struct dirent *entry; err == ERR_NONE && (entry = readdir(dir)) != NULL;) {
        if (front == NULL ? entry->d_name[0] != '.' : strncmp(entry->d_name, front, strlen(front)) == 0) {
            err = call(context, entry->d_name);
        }
    }
    (void)closedir(dir);
    return err;
}

static enum err folder_each(const char *folder, enum err (*call)(void *context, const char *name), void *context)
{
    return folder_each_named(folder, NULL, call, context);
}

/* Removes one of our own folders: files, and models/ with files. */
static void folder_remove(const char *folder)
{
    char path[PATH_MAX];
    DIR *dir = opendir(folder);

    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            path_join(path, folder, entry->d_name, NULL) != ERR_NONE) {
            continue;
        }
        if (unlink(path) != 0 && strcmp(entry->d_name, MODELS) == 0) {
            folder_remove(path);
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
        (void)rmdir(folder);
    }
}

/* ---- Files -------------------------------------------------------------------------------------------------------- */

static enum err stream_copy(int from, int to, unsigned char *room)
{
    for (;;) {
        ssize_t n = read(from, room, COPY_BYTES);
        if (n == 0) {
            return fsync(to) == 0 ? ERR_NONE : err_from_errno(errno);
        }
        if (n < 0) {
            return err_from_errno(errno);
        }
        for (ssize_t done = 0; done < n;) {
            ssize_t written = write(to, room + done, (size_t)(n - done));
            if (written < 0) {
                return err_from_errno(errno);
            }
            done += written;
        }
    }
}

static enum err file_copy(const char *from, const char *to, struct err_note *note)
{
    unsigned char *room = mem_new(COPY_BYTES, 1);
    int source = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int target = source < 0 ? -1 : open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    enum err err = room == NULL ? ERR_NOMEM : target < 0 ? err_from_errno(errno) : stream_copy(source, target, room);

    if (target >= 0) {
        (void)close(target);
    }
    if (source >= 0) {
        (void)close(source);
    }
    mem_free_wiped(room);
    return err == ERR_NONE ? ERR_NONE : ERR_SAY(note, err, "%s cannot be copied to %s", from, to);
}

static enum err file_measure(const char *path, int64_t *ret_bytes, char ret_sha256[HASH_SHA256_TEXT],
                             struct err_note *note)
{
    const unsigned char *content = NULL;
    size_t n_bytes = 0;
    unsigned char digest[HASH_SHA256_BYTES];

    enum err err = file_map(path, FILE_LIMIT_BYTES, &content, &n_bytes, note);
    if (err != ERR_NONE) {
        return err;
    }
    hash_sha256(content, n_bytes, digest);
    file_unmap(content, n_bytes);
    hash_text(digest, ret_sha256);
    *ret_bytes = (int64_t)n_bytes;
    return ERR_NONE;
}

/* ---- Making ------------------------------------------------------------------------------------------------------- */

struct making {
    const char *data;
    char folder[PATH_MAX];
    json_t *files;
    int64_t n_bytes, n_files;
    struct err_note *note;
};

/* Adds a file that lies in the folder to the list. */
static enum err list_add(struct making *making, const char *name)
{
    char path[PATH_MAX];
    char sha256[HASH_SHA256_TEXT];
    int64_t n_bytes = 0;

    enum err err = path_join(path, making->folder, name, making->note);
    if (err == ERR_NONE) {
        err = file_measure(path, &n_bytes, sha256, making->note);
    }
    if (err != ERR_NONE) {
        return err;
    }
    making->n_bytes += n_bytes;
    making->n_files++;
    json_t *file = json_pack("{s:s, s:I, s:s}", "name", name, "bytes", (json_int_t)n_bytes, "sha256", sha256);
    return json_array_append_new(making->files, file) == 0 ? ERR_NONE : ERR_NOMEM;
}

static enum err model_copy(void *context, const char *name)
{
    struct making *making = context;
    char inside[NAME_MAX + sizeof MODELS + 1];
    char from[PATH_MAX];
    char to[PATH_MAX];

    (void)snprintf(inside, sizeof inside, MODELS "/%.*s", NAME_MAX, name);
    enum err err = path_join(from, making->data, inside, making->note);
    if (err == ERR_NONE) {
        err = path_join(to, making->folder, inside, making->note);
    }
    if (err == ERR_NONE) {
        err = file_copy(from, to, making->note);
    }
    return err == ERR_NONE ? list_add(making, inside) : err;
}

static enum err list_write(struct making *making, int64_t at_ms)
{
    char path[PATH_MAX];
    char at[CLOCK_TEXT_BYTES];

    clock_text(at_ms, at);
    json_t *list = json_pack("{s:i, s:s, s:I, s:i, s:O}", "format", FORMAT, "made_at", at, "made_at_ms",
                             (json_int_t)at_ms, "schema", store_schema(), "files", making->files);
    size_t n_bytes = list == NULL ? 0 : json_dumpb(list, NULL, 0, JSON_INDENT(1));
    char *text = n_bytes == 0 ? NULL : mem_new(n_bytes, 1);
    enum err err = text == NULL ? ERR_NOMEM : path_join(path, making->folder, LIST, making->note);
    if (err == ERR_NONE) {
        (void)json_dumpb(list, text, n_bytes, JSON_INDENT(1));
        err = file_write(path, text, n_bytes, making->note);
    }
    mem_free(text);
    json_decref(list);
    return err;
}

static enum err content_make(struct making *making, struct store *store, int64_t at_ms)
{
    char path[PATH_MAX];

    enum err err = path_join(path, making->folder, MODELS, making->note);
    if (err == ERR_NONE) {
        err = folder_make(path, making->note);
    }
    if (err == ERR_NONE) { /* the rows first: every model that they name has its file already */
        err = path_join(path, making->folder, DATABASE, making->note);
    }
    if (err == ERR_NONE) {
        err = store_backup(store, path, making->note);
    }
    if (err == ERR_NONE) {
        err = list_add(making, DATABASE);
    }
    if (err == ERR_NONE) {
        err = path_join(path, making->data, MODELS, making->note);
    }
    if (err == ERR_NONE) {
        err = folder_each(path, model_copy, making);
    }
    point_reached("backup.copied");
    if (err == ERR_NONE) {
        err = list_write(making, at_ms);
    }
    if (err == ERR_NONE) {
        err = path_join(path, making->folder, MODELS, making->note);
    }
    if (err == ERR_NONE) {
        err = folder_sync(path, making->note);
    }
    return err == ERR_NONE ? folder_sync(making->folder, making->note) : err;
}

/* Gives the complete backup its name. */
static enum err name_give(const struct making *making, const char *folder, const char *name)
{
    char path[PATH_MAX];

    enum err err = path_join(path, folder, name, making->note);
    if (err == ERR_NONE && rename(making->folder, path) != 0) {
        err = ERR_SAY(making->note, err_from_errno(errno), "the backup %s cannot be named", path);
    }
    return err == ERR_NONE ? folder_sync(folder, making->note) : err;
}

static void name_make(int64_t at_ms, char ret[BACKUP_NAME_TEXT])
{
    char text[CLOCK_TEXT_BYTES];

    clock_text(at_ms, text);
    for (char *c = text; *c != '\0'; c++) {
        *c = *c == ':' ? '-' : *c;
    }
    (void)snprintf(ret, BACKUP_NAME_TEXT, "%.*s", BACKUP_NAME_TEXT - 1, text);
}

static enum err leftover_remove(void *context, const char *name)
{
    char path[PATH_MAX];

    if (path_join(path, context, name, NULL) == ERR_NONE) {
        folder_remove(path);
    }
    return ERR_NONE;
}

enum err backup_make(struct store *store, const char *data, const char *actor, struct backup_info *ret,
                     struct err_note *note)
{
    struct making making = {.data = data, .files = json_array(), .note = note};
    struct backup_info info = {.at_ms = clock_unix_ms()};
    char backups[PATH_MAX];
    char hidden[sizeof HIDDEN + BACKUP_NAME_TEXT];
    char objects[96];

    name_make(info.at_ms, info.name);
    enum err err = making.files == NULL ? ERR_NOMEM : path_join(backups, data, "backups", note);
    (void)snprintf(hidden, sizeof hidden, HIDDEN "%s", info.name);
    if (err == ERR_NONE) {
        err = path_join(making.folder, backups, hidden, note);
    }
    if (err == ERR_NONE) { /* of a daemon that was killed: one backup is made at a time */
        err = folder_each_named(backups, HIDDEN, leftover_remove, backups);
    }
    if (err == ERR_NONE) {
        err = folder_make(making.folder, note);
    }
    if (err == ERR_NONE) {
        err = content_make(&making, store, info.at_ms);
        err = err == ERR_NONE ? name_give(&making, backups, info.name) : err;
        point_reached("backup.named");
        if (err != ERR_NONE) {
            folder_remove(making.folder);
        }
    }
    json_decref(making.files);
    if (err != ERR_NONE) {
        return err;
    }
    info.n_bytes = making.n_bytes;
    info.n_files = making.n_files;
    *ret = info;
    (void)snprintf(objects, sizeof objects, "{\"backup\":\"%s\",\"bytes\":%lld}", info.name, (long long)info.n_bytes);
    return store_audit_add(store, actor, "backup.make", objects, NULL, note);
}

/* ---- Reading lists ------------------------------------------------------------------------------------------------ */

static enum err list_read(const char *folder, json_t **ret, struct backup_info *ret_info, struct err_note *note)
{
    char path[PATH_MAX];
    unsigned char *text = NULL;
    size_t n_bytes = 0;
    size_t i = 0;
    json_t *file = NULL;

    enum err err = path_join(path, folder, LIST, note);
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
    if (json_integer_value(json_object_get(list, "format")) > FORMAT) {
        json_decref(list);
        return ERR_SAY(note, ERR_UNSUPPORTED, "%s was written by a newer arcfaced", path);
    }
    struct backup_info info = {.at_ms = json_integer_value(json_object_get(list, "made_at_ms"))};
    name_make(info.at_ms, info.name);
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

    if (path_join(path, listing->folder, name, NULL) != ERR_NONE || list_read(path, &list, &info, NULL) != ERR_NONE) {
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

    enum err err = path_join(folder, data, "backups", NULL);
    if (err == ERR_NONE) {
        err = folder_each(folder, listing_add, &listing);
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
    struct arena *mem;
    const char *names[BACKUPS_MOST];
    int count;
};

static enum err naming_add(void *context, const char *name)
{
    struct naming *naming = context;
    const char *shown = strncmp(name, HIDDEN, strlen(HIDDEN)) == 0 ? name + strlen(HIDDEN) : name;

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

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b); /* names are times */
}

enum err backup_names(const char *data, struct arena *mem, const char ***ret, int *ret_count)
{
    char folder[PATH_MAX];
    struct naming *naming = ARENA_NEW(mem, struct naming);

    if (naming == NULL) {
        return arena_why(mem);
    }
    naming->mem = mem;
    enum err err = path_join(folder, data, "backups", NULL);
    /* Hidden ones first: one that gets its name meanwhile is seen then, or twice. */
    if (err == ERR_NONE) {
        err = folder_each_named(folder, HIDDEN, naming_add, naming);
    }
    if (err == ERR_NONE) {
        err = folder_each(folder, naming_add, naming);
    }
    if (err != ERR_NONE) {
        return err;
    }
    qsort(naming->names, (size_t)naming->count, sizeof *naming->names, by_name);
    *ret = naming->names;
    *ret_count = naming->count;
    return ERR_NONE;
}

/* ---- Restoring ---------------------------------------------------------------------------------------------------- */

/* A name of the list, which comes from outside: the database, or a file right in models/. */
static bool name_is_ours(const char *name)
{
    size_t front = strlen(MODELS "/");

    return name != NULL &&
           (strcmp(name, DATABASE) == 0 || (strncmp(name, MODELS "/", front) == 0 && name[front] != '\0' &&
                                            name[front] != '.' && strchr(name + front, '/') == NULL));
}

static enum err file_restore(const char *from, const char *to, const json_t *file, struct err_note *note)
{
    const char *name = json_string_value(json_object_get(file, "name"));
    const char *expected = json_string_value(json_object_get(file, "sha256"));
    char source[PATH_MAX];
    char target[PATH_MAX];
    char sha256[HASH_SHA256_TEXT];
    int64_t n_bytes = 0;

    if (!name_is_ours(name) || expected == NULL) {
        return ERR_SAY(note, ERR_CORRUPT, LIST " lists a file that no backup has");
    }
    enum err err = path_join(source, from, name, note);
    if (err == ERR_NONE) {
        err = path_join(target, to, name, note);
    }
    if (err == ERR_NONE) {
        err = file_copy(source, target, note);
    }
    if (err == ERR_NONE) {
        err = file_measure(target, &n_bytes, sha256, note);
    }
    if (err == ERR_NONE && strcmp(sha256, expected) != 0) {
        err = ERR_SAY(note, ERR_CORRUPT, "%s is damaged: its SHA-256 is not the one in " LIST, source);
    }
    return err;
}

/* Everything that a daemon would stumble over later is looked at now. */
static enum err rows_verify(const char *folder, struct restore_report *report, struct err_note *note)
{
    char path[PATH_MAX];
    struct store *store = NULL;

    enum err err = path_join(path, folder, DATABASE, note);
    if (err == ERR_NONE) {
        err = store_open(path, NULL, &store, note);
    }
    if (err != ERR_NONE) {
        return err;
    }
    err = store_check(store, note);
    if (err == ERR_NONE) {
        err = store_checksum_verify(store, NULL, NULL, NULL, note);
    }
    if (err == ERR_NONE) {
        err = store_audit_verify(store, &report->n_audit_rows, report->audit_hash, note);
    }
    enum err closed = store_close(store, err == ERR_NONE ? note : NULL);
    return err == ERR_NONE ? closed : err;
}

static enum err put_in_place(const char *coming, const char *data, struct err_note *note)
{
    static const char *const names[] = {MODELS, DATABASE}; /* the database last: with it the folder is whole */
    char from[PATH_MAX];
    char to[PATH_MAX];

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        enum err err = path_join(from, coming, names[i], note);
        if (err == ERR_NONE) {
            err = path_join(to, data, names[i], note);
        }
        if (err == ERR_NONE && rename(from, to) != 0) {
            err = ERR_SAY(note, err_from_errno(errno), "%s cannot be put in its place", to);
        }
        if (err == ERR_NONE) {
            err = folder_sync(data, note);
        }
        if (err != ERR_NONE) {
            return err;
        }
        point_reached("restore.placed");
    }
    return ERR_NONE;
}

struct refusing {
    bool
        interrupted; /* a restore into this folder was killed: the models that it had put in their place are not in the way */
    struct err_note *note;
};

static enum err entry_refuse(void *context, const char *name)
{
    const struct refusing *refusing = context;

    if (strcmp(name, "lock") == 0 || (refusing->interrupted && strcmp(name, MODELS) == 0)) {
        return ERR_NONE;
    }
    return ERR_SAY(refusing->note, ERR_EXISTS, "the data folder is not empty (it holds %.64s): nothing is overwritten",
                   name);
}

static enum err restore_into(const char *coming, const char *from, const char *data, const json_t *list,
                             struct restore_report *report, struct err_note *note)
{
    char models[PATH_MAX];
    size_t i = 0;
    json_t *file = NULL;
    bool has_rows = false;

    folder_remove(coming); /* of a restore that was killed */
    enum err err = path_join(models, coming, MODELS, note);
    if (err == ERR_NONE) {
        err = folder_make(models, note);
    }
    json_array_foreach(json_object_get(list, "files"), i, file)
    {
        const char *name = json_string_value(json_object_get(file, "name"));
        has_rows = has_rows || (name != NULL && strcmp(name, DATABASE) == 0);
        if (err == ERR_NONE) {
            err = file_restore(from, coming, file, note);
        }
    }
    if (err == ERR_NONE && !has_rows) { /* an empty database would be made, and called verified */
        err = ERR_SAY(note, ERR_CORRUPT, LIST " lists no " DATABASE);
    }
    point_reached("restore.copied");
    if (err == ERR_NONE) {
        err = rows_verify(coming, report, note);
    }
    if (err == ERR_NONE) {
        err = folder_sync(models, note);
    }
    return err == ERR_NONE ? put_in_place(coming, data, note) : err;
}

enum err backup_restore(const char *from, const char *data, struct restore_report *ret, struct err_note *note)
{
    struct restore_report report = {0};
    char coming[PATH_MAX];
    char models[PATH_MAX];
    json_t *list = NULL;

    enum err err = list_read(from, &list, &report.backup, note);
    if (err != ERR_NONE) {
        return err;
    }
    err = folder_make(data, note);
    if (err == ERR_NONE) {
        err = path_join(coming, data, RESTORING, note);
    }
    if (err == ERR_NONE) {
        err = path_join(models, data, MODELS, note);
    }
    struct refusing refusing = {.interrupted = err == ERR_NONE && file_exists(coming), .note = note};
    if (err == ERR_NONE) {
        err = folder_each(data, entry_refuse, &refusing);
    }
    if (err == ERR_NONE) {
        if (refusing.interrupted) {
            folder_remove(models);
        }
        err = restore_into(coming, from, data, list, &report, note);
        folder_remove(coming);
    }
    json_decref(list);
    if (err == ERR_NONE) {
        *ret = report;
    }
    return err;
}
