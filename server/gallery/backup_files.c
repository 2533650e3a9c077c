/* backup_files.c: the folders and files of backups. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "server/gallery/backup_private.h"

#define COPY_BYTES ((size_t)1 << 20)
#define FILE_LIMIT_BYTES ((size_t)1 << 46)

/* ---- Paths and folders -------------------------------------------------------------------------------------------- */

enum err backup_path(char ret[PATH_MAX], const char *folder, const char *name, struct err_note *note)
{
    if (snprintf(ret, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX) {
        return ERR_SAY(note, ERR_MISUSE, "the path %s/%s is too long", folder, name);
    }
    return ERR_NONE;
}

/* Calls for every entry whose name begins so; with NULL for every one that is not hidden. */
enum err backup_folder_each_named(const char *folder, const char *front,
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

enum err backup_folder_each(const char *folder, enum err (*call)(void *context, const char *name), void *context)
{
    return backup_folder_each_named(folder, NULL, call, context);
}

/* Removes one of our own folders: files, and models/ with files. */
void backup_folder_remove(const char *folder)
{
    char path[PATH_MAX];
    DIR *dir = opendir(folder);

    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            backup_path(path, folder, entry->d_name, NULL) != ERR_NONE) {
            continue;
        }
        if (unlink(path) != 0 && strcmp(entry->d_name, BACKUP_MODELS) == 0) {
            backup_folder_remove(path);
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

enum err backup_file_copy(const char *from, const char *to, struct err_note *note)
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

enum err backup_file_measure(const char *path, int64_t *ret_bytes, char ret_sha256[HASH_SHA256_TEXT],
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
