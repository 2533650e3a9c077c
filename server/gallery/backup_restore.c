/* backup_restore.c: a backup becomes a data folder, after everything in it was checked. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/point.h"
#include "server/gallery/backup_private.h"
#include "server/store/audit_rows.h"
#include "server/store/backup.h"
#include "server/store/embedding_rows.h"

#define RESTORING ".coming" /* a restored folder on its way */

/* A name of the list, which comes from outside: the database, or a file right in models/. */
static bool name_is_ours(const char *name)
{
    size_t front = strlen(BACKUP_MODELS "/");

    return name != NULL && (strcmp(name, BACKUP_DATABASE) == 0 ||
                            (strncmp(name, BACKUP_MODELS "/", front) == 0 && name[front] != '\0' &&
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
        return ERR_SAY(note, ERR_CORRUPT, BACKUP_LIST " lists a file that no backup has");
    }
    enum err err = backup_path(source, from, name, note);
    if (err == ERR_NONE) {
        err = backup_path(target, to, name, note);
    }
    if (err == ERR_NONE) {
        err = backup_file_copy(source, target, note);
    }
    if (err == ERR_NONE) {
        err = backup_file_measure(target, &n_bytes, sha256, note);
    }
    if (err == ERR_NONE && strcmp(sha256, expected) != 0) {
        err = ERR_SAY(note, ERR_CORRUPT, "%s is damaged: its SHA-256 is not the one in " BACKUP_LIST, source);
    }
    return err;
}

/* Everything that a daemon would stumble over later is looked at now. */
static enum err rows_verify(const char *folder, struct restore_report *report, struct err_note *note)
{
    char path[PATH_MAX];
    struct store *store = NULL;

    enum err err = backup_path(path, folder, BACKUP_DATABASE, note);
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
    static const char *const names[] = {BACKUP_MODELS,
                                        BACKUP_DATABASE}; /* the database last: with it the folder is whole */
    char from[PATH_MAX];
    char to[PATH_MAX];

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        enum err err = backup_path(from, coming, names[i], note);
        if (err == ERR_NONE) {
            err = backup_path(to, data, names[i], note);
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

    if (strcmp(name, "lock") == 0 || (refusing->interrupted && strcmp(name, BACKUP_MODELS) == 0)) {
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

    backup_folder_remove(coming); /* of a restore that was killed */
    enum err err = backup_path(models, coming, BACKUP_MODELS, note);
    if (err == ERR_NONE) {
        err = folder_make(models, note);
    }
    json_array_foreach(json_object_get(list, "files"), i, file)
    {
        const char *name = json_string_value(json_object_get(file, "name"));
        has_rows = has_rows || (name != NULL && strcmp(name, BACKUP_DATABASE) == 0);
        if (err == ERR_NONE) {
            err = file_restore(from, coming, file, note);
        }
    }
    if (err == ERR_NONE && !has_rows) { /* an empty database would be made, and called verified */
        err = ERR_SAY(note, ERR_CORRUPT, BACKUP_LIST " lists no " BACKUP_DATABASE);
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

    enum err err = backup_list_read(from, &list, &report.backup, note);
    if (err != ERR_NONE) {
        return err;
    }
    err = folder_make(data, note);
    if (err == ERR_NONE) {
        err = backup_path(coming, data, RESTORING, note);
    }
    if (err == ERR_NONE) {
        err = backup_path(models, data, BACKUP_MODELS, note);
    }
    struct refusing refusing = {.interrupted = err == ERR_NONE && file_exists(coming), .note = note};
    if (err == ERR_NONE) {
        err = backup_folder_each(data, entry_refuse, &refusing);
    }
    if (err == ERR_NONE) {
        if (refusing.interrupted) {
            backup_folder_remove(models);
        }
        err = restore_into(coming, from, data, list, &report, note);
        backup_folder_remove(coming);
    }
    json_decref(list);
    if (err == ERR_NONE) {
        *ret = report;
    }
    return err;
}
