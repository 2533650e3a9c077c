/* backup.c: rows and models into a folder that gets its name when it is whole. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/point.h"
#include "server/gallery/backup_private.h"
#include "server/store/audit_rows.h"
#include "server/store/backup.h"

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

    enum err err = backup_path(path, making->folder, name, making->note);
    if (err == ERR_NONE) {
        err = backup_file_measure(path, &n_bytes, sha256, making->note);
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
    char inside[NAME_MAX + sizeof BACKUP_MODELS + 1];
    char from[PATH_MAX];
    char to[PATH_MAX];

    (void)snprintf(inside, sizeof inside, BACKUP_MODELS "/%.*s", NAME_MAX, name);
    enum err err = backup_path(from, making->data, inside, making->note);
    if (err == ERR_NONE) {
        err = backup_path(to, making->folder, inside, making->note);
    }
    if (err == ERR_NONE) {
        err = backup_file_copy(from, to, making->note);
    }
    return err == ERR_NONE ? list_add(making, inside) : err;
}

static enum err list_write(struct making *making, int64_t at_ms)
{
    char path[PATH_MAX];
    char at[CLOCK_TEXT_BYTES];

    clock_text(at_ms, at);
    json_t *list = json_pack("{s:i, s:s, s:I, s:i, s:O}", "format", BACKUP_FORMAT, "made_at", at, "made_at_ms",
                             (json_int_t)at_ms, "schema", store_schema(), "files", making->files);
    size_t n_bytes = list == NULL ? 0 : json_dumpb(list, NULL, 0, JSON_INDENT(1));
    char *text = n_bytes == 0 ? NULL : mem_new(n_bytes, 1);
    enum err err = text == NULL ? ERR_NOMEM : backup_path(path, making->folder, BACKUP_LIST, making->note);
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

    enum err err = backup_path(path, making->folder, BACKUP_MODELS, making->note);
    if (err == ERR_NONE) {
        err = folder_make(path, making->note);
    }
    if (err == ERR_NONE) { /* the rows first: every model that they name has its file already */
        err = backup_path(path, making->folder, BACKUP_DATABASE, making->note);
    }
    if (err == ERR_NONE) {
        err = store_backup(store, path, making->note);
    }
    if (err == ERR_NONE) {
        err = list_add(making, BACKUP_DATABASE);
    }
    if (err == ERR_NONE) {
        err = backup_path(path, making->data, BACKUP_MODELS, making->note);
    }
    if (err == ERR_NONE) {
        err = backup_folder_each(path, model_copy, making);
    }
    point_reached("backup.copied");
    if (err == ERR_NONE) {
        err = list_write(making, at_ms);
    }
    if (err == ERR_NONE) {
        err = backup_path(path, making->folder, BACKUP_MODELS, making->note);
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

    enum err err = backup_path(path, folder, name, making->note);
    if (err == ERR_NONE && rename(making->folder, path) != 0) {
        err = ERR_SAY(making->note, err_from_errno(errno), "the backup %s cannot be named", path);
    }
    return err == ERR_NONE ? folder_sync(folder, making->note) : err;
}

static enum err leftover_remove(void *context, const char *name)
{
    char path[PATH_MAX];

    if (backup_path(path, context, name, NULL) == ERR_NONE) {
        backup_folder_remove(path);
    }
    return ERR_NONE;
}

enum err backup_make(struct store *store, const char *data, const char *actor, struct backup_info *ret,
                     struct err_note *note)
{
    struct making making = {.data = data, .files = json_array(), .note = note};
    struct backup_info info = {.at_ms = clock_unix_ms()};
    char backups[PATH_MAX];
    char hidden[sizeof BACKUP_HIDDEN + BACKUP_NAME_TEXT];
    char objects[96];

    backup_name_make(info.at_ms, info.name);
    enum err err = making.files == NULL ? ERR_NOMEM : backup_path(backups, data, "backups", note);
    (void)snprintf(hidden, sizeof hidden, BACKUP_HIDDEN "%s", info.name);
    if (err == ERR_NONE) {
        err = backup_path(making.folder, backups, hidden, note);
    }
    if (err == ERR_NONE) { /* of a daemon that was killed: one backup is made at a time */
        err = backup_folder_each_named(backups, BACKUP_HIDDEN, leftover_remove, backups);
    }
    if (err == ERR_NONE) {
        err = folder_make(making.folder, note);
    }
    if (err == ERR_NONE) {
        err = content_make(&making, store, info.at_ms);
        err = err == ERR_NONE ? name_give(&making, backups, info.name) : err;
        point_reached("backup.named");
        if (err != ERR_NONE) {
            backup_folder_remove(making.folder);
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
