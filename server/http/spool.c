/* spool.c: a body that goes to a file. */
#include "server/http/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/random.h"

static bool folder_of(const char *data, char ret[PATH_MAX])
{
    return snprintf(ret, PATH_MAX, "%s/uploads", data) < PATH_MAX - RANDOM_UUID_TEXT - 1;
}

enum err spool_begin(struct spool *spool, const char *data)
{
    char folder[PATH_MAX];
    char name[RANDOM_UUID_TEXT];

    if (!folder_of(data, folder)) {
        return ERR_MISUSE;
    }
    enum err err = folder_make(folder, NULL);
    if (err != ERR_NONE) {
        return err;
    }
    random_uuid(name);
    (void)snprintf(spool->path, sizeof spool->path, "%.*s/%s", (int)(PATH_MAX - sizeof name - 1), folder, name);
    spool->fd = open(spool->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (spool->fd < 0) {
        return err_from_errno(errno);
    }
    spool->begun = true;
    spool->bytes = 0;
    return ERR_NONE;
}

void spool_hash(struct spool *spool)
{
    (void)crypto_generichash_init(&spool->state, NULL, 0, SPOOL_HASH_BYTES);
    spool->hashes = true;
}

enum err spool_write(struct spool *spool, const void *bytes, size_t n_bytes)
{
    const char *at = bytes;

    if (spool->hashes) {
        (void)crypto_generichash_update(&spool->state, bytes, n_bytes);
    }
    while (n_bytes > 0) {
        ssize_t written = write(spool->fd, at, n_bytes);
        if (written < 0 && errno != EINTR) {
            return err_from_errno(errno);
        }
        if (written > 0) {
            at += written;
            n_bytes -= (size_t)written;
            spool->bytes += written;
        }
    }
    return ERR_NONE;
}

enum err spool_close(struct spool *spool)
{
    int fd = spool->fd;

    if (spool->hashes) {
        (void)crypto_generichash_final(&spool->state, spool->hash, SPOOL_HASH_BYTES);
    }
    spool->fd = -1;
    return close(fd) == 0 ? ERR_NONE : err_from_errno(errno);
}

void spool_drop(struct spool *spool)
{
    if (!spool->begun) {
        return;
    }
    spool->begun = false;
    if (spool->fd >= 0) {
        (void)close(spool->fd);
    }
    (void)unlink(spool->path);
}

void spool_tidy(const char *data)
{
    char folder[PATH_MAX];
    DIR *dir = folder_of(data, folder) ? opendir(folder) : NULL;

    if (dir == NULL) {
        return;
    }
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] != '.') {
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
        }
    }
    (void)closedir(dir);
}
