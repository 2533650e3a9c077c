/* data_folder.c: a lock file. */
#include "server/data_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "core/base/file.h"

enum err data_folder_take(const char *path, struct data_folder *ret, struct err_note *note)
{
    char lock[PATH_MAX];

    if (snprintf(lock, sizeof lock, "%s/lock", path) >= (int)sizeof lock) {
        return ERR_SAY(note, ERR_MISUSE, "the path of the data folder is too long");
    }
    enum err err = folder_make(path, note);
    if (err != ERR_NONE) {
        return err;
    }
    int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        int why = errno;
        return ERR_SAY(note, err_from_errno(why), "cannot open %s: %s", lock, strerror(why));
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int why = errno;
        (void)close(fd);
        return why == EWOULDBLOCK
                   ? ERR_SAY(note, ERR_BUSY, "another arcfaced works on the data folder %s; stop it first", path)
                   : ERR_SAY(note, err_from_errno(why), "cannot lock %s: %s", lock, strerror(why));
    }
    ret->fd = fd;
    return ERR_NONE;
}

void data_folder_give_back(struct data_folder *folder)
{
    (void)close(folder->fd);
    folder->fd = -1;
}
