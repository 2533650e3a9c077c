/*
 * backup_private.h: what making, listing and restoring backups share: where things lie in the folder of one, and its files.
 */
#ifndef SERVER_GALLERY_BACKUP_PRIVATE_H
#define SERVER_GALLERY_BACKUP_PRIVATE_H

#include <jansson.h>
#include <limits.h>

#include "core/base/hash.h"
#include "server/gallery/backup.h"

#define BACKUP_FORMAT 1
#define BACKUP_DATABASE "arcfaced.db"
#define BACKUP_MODELS "models"
#define BACKUP_LIST "backup.json"
#define BACKUP_HIDDEN ".making-" /* a backup on its way; its name follows */

/* Joins a folder and a name.  Errors: ERR_MISUSE it is too long. */
MUST_CHECK enum err backup_path(char ret[PATH_MAX], const char *folder, const char *name, struct err_note *note);

/* Calls for every entry that is not hidden, or whose name begins so, until one fails.  A folder that is not there has none. */
MUST_CHECK enum err backup_folder_each(const char *folder, enum err (*call)(void *context, const char *name),
                                       void *context);
MUST_CHECK enum err backup_folder_each_named(const char *folder, const char *front,
                                             enum err (*call)(void *context, const char *name), void *context);

/* Removes one of our own folders: files, and models/ with files. */
void backup_folder_remove(const char *folder);

/* Makes a file that is not there yet, and flushes it. */
MUST_CHECK enum err backup_file_copy(const char *from, const char *to, struct err_note *note);
MUST_CHECK enum err backup_file_measure(const char *path, int64_t *ret_bytes, char ret_sha256[HASH_SHA256_TEXT],
                                        struct err_note *note);

/* The name of a backup of that moment. */
void backup_name_make(int64_t at_ms, char ret[BACKUP_NAME_TEXT]);

/* Reads what a backup says of itself.  Owns: json_decref.  Errors: ERR_CORRUPT, ERR_UNSUPPORTED a newer one, ERR_NOT_FOUND, ERR_IO. */
MUST_CHECK enum err backup_list_read(const char *folder, json_t **ret, struct backup_info *ret_info,
                                     struct err_note *note);

#endif
