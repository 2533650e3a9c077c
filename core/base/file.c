/* file.c: whole files, read with a limit and written atomically. */
#include "core/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/mem.h"

static enum err say_errno(struct err_note *note, const char *doing, const char *path)
{
    int saved = errno;
    return ERR_SAY(note, err_from_errno(saved), "cannot %s %s: %s", doing, path, strerror(saved));
}

/* Opens a regular file for reading and finds its length, within the limit. */
static enum err open_for_reading(const char *path, size_t limit_bytes, int *ret_fd, size_t *ret_bytes,
                                 struct err_note *note)
{
    struct stat about;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO would wait for its writer */

    if (fd < 0) {
        return say_errno(note, "open", path);
    }
    enum err err = ERR_NONE;
    if (fstat(fd, &about) != 0) {
        err = say_errno(note, "examine", path);
    } else if (!S_ISREG(about.st_mode)) {
        err = ERR_SAY(note, ERR_FORMAT, "%s is not a regular file", path);
    } else if ((unsigned long long)about.st_size > limit_bytes) {
        err = ERR_SAY(note, ERR_LIMIT, "%s has %lld bytes, the limit is %zu", path, (long long)about.st_size,
                      limit_bytes);
    }
    if (err != ERR_NONE) {
        (void)close(fd);
        return err;
    }
    *ret_fd = fd;
    *ret_bytes = (size_t)about.st_size;
    return ERR_NONE;
}

enum err file_read(const char *path, size_t limit_bytes, unsigned char **ret, size_t *ret_bytes, struct err_note *note)
{
    int fd = -1;
    size_t bytes = 0;
    size_t done = 0;
    enum err err = open_for_reading(path, limit_bytes, &fd, &bytes, note);

    if (err != ERR_NONE) {
        return err;
    }
    unsigned char *content = mem_new(bytes + 1, 1);
    if (content == NULL) {
        err = ERR_SAY(note, ERR_NOMEM, "no memory for the %zu bytes of %s", bytes, path);
        goto close_file;
    }
    while (done < bytes) {
        ssize_t n = read(fd, content + done, bytes - done);
        if (n > 0) {
            done += (size_t)n;
        } else if (n == 0) {
            err = ERR_SAY(note, ERR_IO, "%s became shorter while it was read", path);
            goto free_content;
        } else if (errno != EINTR) {
            err = say_errno(note, "read", path);
            goto free_content;
        }
    }
    *ret = content;
    *ret_bytes = bytes;
    goto close_file;
free_content:
    mem_free(content);
close_file:
    (void)close(fd);
    return err;
}

enum err file_map(const char *path, size_t limit_bytes, const unsigned char **ret, size_t *ret_bytes,
                  struct err_note *note)
{
    int fd = -1;
    size_t bytes = 0;
    enum err err = open_for_reading(path, limit_bytes, &fd, &bytes, note);

    if (err != ERR_NONE) {
        return err;
    }
    if (bytes == 0) {
        (void)close(fd);
        return ERR_SAY(note, ERR_FORMAT, "%s is empty", path);
    }
    void *mapped = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (mapped == MAP_FAILED) {
        err = say_errno(note, "map", path);
    } else {
        *ret = mapped;
        *ret_bytes = bytes;
    }
    (void)close(fd);
    return err;
}

void file_unmap(const unsigned char *mapped, size_t bytes)
{
    if (mapped != NULL) {
        (void)munmap((void *)(uintptr_t)mapped, bytes);
    }
}

/* The folder of a path, in a buffer of PATH_MAX: "." if there is none. */
static void folder_of(const char *path, char *folder)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);

    if (len == 0) {
        (void)snprintf(folder, PATH_MAX, ".");
    } else {
        (void)snprintf(folder, PATH_MAX, "%.*s", (int)len, path);
    }
}

static enum err write_all(int fd, const unsigned char *content, size_t bytes)
{
    size_t done = 0;

    while (done < bytes) {
        ssize_t n = write(fd, content + done, bytes - done);
        if (n >= 0) {
            done += (size_t)n;
        } else if (errno != EINTR) {
            return ERR_IO;
        }
    }
    return fsync(fd) == 0 ? ERR_NONE : ERR_IO;
}

enum err file_write(const char *path, const void *content, size_t bytes, struct err_note *note)
{
    static atomic_uint counter; /* two threads that write the same file must not share a temporary one */
    char temporary[PATH_MAX];
    char folder[PATH_MAX];

    if (snprintf(temporary, sizeof temporary, "%s.%ld.%u.tmp", path, (long)getpid(), atomic_fetch_add(&counter, 1)) >=
        (int)sizeof temporary) {
        return ERR_SAY(note, ERR_MISUSE, "the path of a file to write is too long");
    }
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return say_errno(note, "create", temporary);
    }
    enum err err = ERR_NONE;
    if (write_all(fd, content, bytes) != ERR_NONE) {
        err = say_errno(note, "write", temporary);
    }
    if (close(fd) != 0 && err == ERR_NONE) {
        err = say_errno(note, "close", temporary);
    }
    if (err == ERR_NONE && rename(temporary, path) != 0) {
        err = say_errno(note, "rename to", path);
    }
    if (err != ERR_NONE) {
        (void)unlink(temporary);
        return err;
    }
    folder_of(path, folder);
    return folder_sync(folder, note);
}

enum err folder_make(const char *path, struct err_note *note)
{
    char part[PATH_MAX];
    size_t len = strlen(path);

    if (len == 0 || len >= sizeof part) {
        return ERR_SAY(note, ERR_MISUSE, "a folder's path is empty or too long");
    }
    memcpy(part, path, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (part[i] != '/' && part[i] != '\0') {
            continue;
        }
        char kept = part[i];
        part[i] = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST && errno != EISDIR) {
            return say_errno(note, "make the folder", part);
        }
        part[i] = kept;
    }
    struct stat about;
    if (stat(path, &about) != 0) {
        return say_errno(note, "examine", path);
    }
    if (!S_ISDIR(about.st_mode)) {
        return ERR_SAY(note, ERR_EXISTS, "%s exists and is not a folder", path);
    }
    return ERR_NONE;
}

enum err file_remove(const char *path, struct err_note *note)
{
    if (unlink(path) != 0 && errno != ENOENT) {
        return say_errno(note, "remove", path);
    }
    return ERR_NONE;
}

enum err folder_sync(const char *path, struct err_note *note)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        return say_errno(note, "open", path);
    }
    enum err err = fsync(fd) == 0 ? ERR_NONE : say_errno(note, "sync", path);
    (void)close(fd);
    return err;
}

bool file_exists(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0;
}

const char *file_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}
