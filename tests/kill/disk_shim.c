/*
 * disk_shim.c: a disk that loses what was not synchronised, for LD_PRELOAD.
 *
 * DISK_ROOT     the folder that lies on this disk
 * DISK_SHADOW   an empty folder: gets what the disk would still hold if the power went now.  inodes/KEY is a file's content as of
 *               its last fsync, folders/KEY the names in a folder as of its last fsync, root the key of DISK_ROOT.
 *               tests/kill/power.py makes a folder of it, as strictly as POSIX allows: a new name is gone unless its folder was
 *               synchronised, a renamed file has its old name.
 * DISK_FAIL_SYNC  N: the Nth fsync or fdatasync below DISK_ROOT fails with EIO, once
 * DISK_LIES     1: fsync says that it did and did nothing, to see that the test sees it
 *
 * Written through memory maps is not seen (SQLite's -shm, which is made anew after a crash).
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MOST 4096
#define RANGES_MOST 512

struct range {
    off_t begin, end;
};

struct file {
    char key[48];
    bool known; /* its shadow is whole but for the ranges */
    bool all;   /* too many ranges */
    int n;
    struct range ranges[RANGES_MOST];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct file *files[FILES_MOST];
static int n_files;
static const char *root, *shadow;
static size_t root_len;
static long fail_at, n_syncs;
static bool lies;

static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_write)(int, const void *, size_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_ftruncate)(int, off_t);

__attribute__((constructor)) static void begin(void)
{
    real_pwrite = (ssize_t(*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite64");
    real_write = (ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    real_fsync = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    real_ftruncate = (int (*)(int, off_t))dlsym(RTLD_NEXT, "ftruncate64");
    root = getenv("DISK_ROOT");
    shadow = getenv("DISK_SHADOW");
    root_len = root == NULL ? 0 : strlen(root);
    lies = getenv("DISK_LIES") != NULL;
    const char *n = getenv("DISK_FAIL_SYNC");
    fail_at = n == NULL ? 0 : atol(n);
}

/* Whether this lies on our disk. */
static bool is_ours(int fd)
{
    char link[40];
    char path[PATH_MAX];

    if (root == NULL) {
        return false;
    }
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < (ssize_t)root_len || strncmp(path, root, root_len) != 0 ||
        (n > (ssize_t)root_len && path[root_len] != '/')) {
        return false;
    }
    path[n] = '\0';
    size_t len = strlen(path);
    return len < 4 || strcmp(path + len - 4, "-shm") != 0;
}

/* Numbers of files are used again; with the time of their birth they are not. */
static void key_of(int fd, const char *name, char ret[48])
{
    struct statx status = {0};

    (void)statx(fd, name, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_INO | STATX_BTIME, &status);
    snprintf(ret, 48, "%llu-%llu", (unsigned long long)status.stx_ino,
             (unsigned long long)status.stx_btime.tv_sec * 1000000000ULL + status.stx_btime.tv_nsec);
}

static struct file *file_of(int fd)
{
    char key[48];

    key_of(fd, "", key);
    for (int i = n_files - 1; i >= 0; i--) {
        if (strcmp(files[i]->key, key) == 0) {
            return files[i];
        }
    }
    if (n_files == FILES_MOST) {
        return NULL;
    }
    struct file *file = calloc(1, sizeof *file);
    char path[PATH_MAX];
    snprintf(file->key, sizeof file->key, "%s", key);
    snprintf(path, sizeof path, "%s/inodes/%s", shadow, key);
    file->known = access(path, F_OK) == 0;
    files[n_files++] = file;
    return file;
}

static void note_write(int fd, off_t begin_at, off_t end_at)
{
    if (shadow == NULL || !is_ours(fd)) {
        return;
    }
    pthread_mutex_lock(&lock);
    struct file *file = file_of(fd);
    if (file != NULL && !file->all) {
        if (file->n > 0 && file->ranges[file->n - 1].end == begin_at) {
            file->ranges[file->n - 1].end = end_at;
        } else if (file->n == RANGES_MOST) {
            file->all = true;
        } else {
            file->ranges[file->n++] = (struct range){begin_at, end_at};
        }
    }
    pthread_mutex_unlock(&lock);
}

static void copy_range(int from, int to, off_t at, off_t end)
{
    static char room[1 << 20];

    while (at < end) {
        size_t want = end - at < (off_t)sizeof room ? (size_t)(end - at) : sizeof room;
        ssize_t n = pread(from, room, want, at);
        if (n <= 0 || real_pwrite(to, room, (size_t)n, at) != n) {
            return;
        }
        at += n;
    }
}

/* The caller may have opened it for writing only. */
static int open_again(int fd)
{
    char link[40];

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return open(link, O_RDONLY | O_CLOEXEC);
}

static void keep_file(int fd)
{
    char path[PATH_MAX];
    struct stat status;
    struct file *file = file_of(fd);

    if (file == NULL || fstat(fd, &status) != 0) {
        return;
    }
    snprintf(path, sizeof path, "%s/inodes/%s", shadow, file->key);
    int to = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    /* Opening the database a second time and closing it would drop SQLite's locks; it is opened for reading and writing. */
    bool readable = (fcntl(fd, F_GETFL) & O_ACCMODE) != O_WRONLY;
    int from = readable ? fd : open_again(fd);
    if (!file->known || file->all) {
        copy_range(from, to, 0, status.st_size);
    } else {
        for (int i = 0; i < file->n; i++) {
            copy_range(from, to, file->ranges[i].begin, file->ranges[i].end);
        }
    }
    (void)real_ftruncate(to, status.st_size);
    close(to);
    if (!readable) {
        close(from);
    }
    file->known = true;
    file->all = false;
    file->n = 0;
}

static void keep_folder(int fd)
{
    char key[48];
    char path[PATH_MAX];
    char coming[PATH_MAX];

    key_of(fd, "", key);
    snprintf(path, sizeof path, "%s/folders/%s", shadow, key);
    snprintf(coming, sizeof coming, "%s/coming", shadow);
    int again = open_again(fd);
    DIR *dir = again < 0 ? NULL : fdopendir(again);
    FILE *out = fopen(coming, "w");
    for (struct dirent *entry; dir != NULL && out != NULL && (entry = readdir(dir)) != NULL;) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            key_of(dirfd(dir), entry->d_name, key);
            fprintf(out, "%s %c %s\n", key, entry->d_type == DT_DIR ? 'd' : 'f', entry->d_name);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    if (out != NULL) {
        fclose(out);
        rename(coming, path);
    }
}

static int sync_it(int fd, int (*real)(int))
{
    struct stat status;

    if (!is_ours(fd)) {
        return real(fd);
    }
    pthread_mutex_lock(&lock);
    bool fails = ++n_syncs == fail_at;
    if (!fails && !lies && shadow != NULL && fstat(fd, &status) == 0) {
        if (S_ISDIR(status.st_mode)) {
            keep_folder(fd);
        } else {
            keep_file(fd);
        }
    }
    pthread_mutex_unlock(&lock);
    if (fails) {
        errno = EIO;
        return -1;
    }
    return 0; /* the real disk need not know: only the shadow counts */
}

int fsync(int fd)
{
    return sync_it(fd, real_fsync);
}

int fdatasync(int fd)
{
    return sync_it(fd, real_fdatasync);
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off_t at)
{
    ssize_t done = real_pwrite(fd, bytes, n, at);

    if (done > 0) {
        note_write(fd, at, at + done);
    }
    return done;
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at)
{
    return pwrite64(fd, bytes, n, at);
}

ssize_t write(int fd, const void *bytes, size_t n)
{
    ssize_t done = real_write(fd, bytes, n);

    if (done > 0 && root != NULL) {
        int saved = errno;
        off_t end = lseek(fd, 0, SEEK_CUR);
        if (end >= done) {
            note_write(fd, end - done, end);
        }
        errno = saved;
    }
    return done;
}
