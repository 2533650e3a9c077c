/* sweep.c: zeros where no row is.  Offsets are those of the database file's format: https://sqlite.org/fileformat2.html. */
#include "server/store/sweep_private.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/point.h"

#define LOG_HEADER 32
#define FRAME_HEADER 24
#define FILE_HEADER 100
#define PAGE_BYTES_MOST 65536
#define PENDING_BYTE 0x40000000 /* the page that holds it is never used */

static uint32_t big32(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint32_t big16(const unsigned char *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

/* ---- What was written --------------------------------------------------------------------------------------------- */

static enum err list_put(struct page_list *list, uint32_t page)
{
    if (list->n == list->room) {
        size_t room = list->room == 0 ? 256 : 2 * list->room;
        uint32_t *more = mem_resize(list->pages, room, sizeof *more);
        if (more == NULL) {
            return ERR_NOMEM;
        }
        list->pages = more;
        list->room = room;
    }
    list->pages[list->n++] = page;
    return ERR_NONE;
}

static int by_number(const void *a, const void *b)
{
    uint32_t one = *(const uint32_t *)a;
    uint32_t two = *(const uint32_t *)b;
    return (one > two) - (one < two);
}

static void list_settle(struct page_list *list)
{
    size_t kept = 0;

    if (list->n > 1) {
        qsort(list->pages, list->n, sizeof *list->pages, by_number);
    }
    for (size_t i = 0; i < list->n; i++) {
        if (kept == 0 || list->pages[kept - 1] != list->pages[i]) {
            list->pages[kept++] = list->pages[i];
        }
    }
    list->n = kept;
}

void page_list_release(struct page_list *list)
{
    mem_free(list->pages);
    *list = (struct page_list){0};
}

/* Frames of an earlier log may lie behind; they carry other salts.  Frames that were never committed do no harm. */
static enum err frames_read(int fd, struct page_list *list)
{
    unsigned char header[LOG_HEADER];
    unsigned char frame[FRAME_HEADER];
    enum err err = ERR_NONE;

    if (pread(fd, header, sizeof header, 0) != (ssize_t)sizeof header) {
        return ERR_NONE; /* an empty log */
    }
    off_t step = (off_t)FRAME_HEADER + (off_t)big32(header + 8);
    for (off_t at = LOG_HEADER; err == ERR_NONE; at += step) {
        ssize_t n = pread(fd, frame, sizeof frame, at);
        if (n < 0) {
            return ERR_IO;
        }
        if (n != (ssize_t)sizeof frame || memcmp(frame + 8, header + 16, 8) != 0) {
            break;
        }
        err = list_put(list, big32(frame));
    }
    return err;
}

enum err log_pages(const char *database_path, struct page_list *ret)
{
    char path[PATH_MAX];
    struct page_list list = {0};

    if (snprintf(path, sizeof path, "%s-wal", database_path) >= (int)sizeof path) {
        return ERR_IO;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        *ret = list;
        return errno == ENOENT ? ERR_NONE : ERR_IO;
    }
    enum err err = frames_read(fd, &list);
    (void)close(fd);
    if (err != ERR_NONE) {
        page_list_release(&list);
        return err;
    }
    list_settle(&list);
    *ret = list;
    return ERR_NONE;
}

/* ---- One page ----------------------------------------------------------------------------------------------------- */

/* Pages that say whose the other pages are: the second one, and from there on one for as many as fit into it. */
static bool is_map(uint32_t number, size_t page_bytes)
{
    uint32_t period = (uint32_t)(page_bytes / 5) + 1;
    uint32_t pending = (uint32_t)(PENDING_BYTE / page_bytes) + 1;
    uint32_t map = (number - 2) / period * period + 2;

    if (map == pending) {
        map++;
    }
    return number >= 2 && number == map;
}

bool page_gap(const unsigned char *page, size_t page_bytes, uint32_t number, bool has_maps, size_t *ret_from,
              size_t *ret_to)
{
    const unsigned char *header = page + (number == 1 ? FILE_HEADER : 0);
    bool inner = header[0] == 2 || header[0] == 5;

    if ((!inner && header[0] != 10 && header[0] != 13) || (has_maps && is_map(number, page_bytes))) {
        return false;
    }
    size_t from = (size_t)(header - page) + (inner ? 12 : 8) + 2 * (size_t)big16(header + 3);
    size_t to = big16(header + 5) == 0 ? 65536 : big16(header + 5);
    if (from >= to || to > page_bytes) {
        return false;
    }
    /* A damaged page may say that content begins behind where it does: then nothing of it is touched. */
    for (const unsigned char *cell = header + (inner ? 12 : 8); cell < page + from; cell += 2) {
        if (big16(cell) < to) {
            return false;
        }
    }
    if (big16(header + 1) != 0 && big16(header + 1) < to) { /* the first free piece between rows */
        return false;
    }
    *ret_from = from;
    *ret_to = to;
    return true;
}

/* ---- The file ----------------------------------------------------------------------------------------------------- */

/* The library's own handle: closing a second one would drop the locks that the process has on the file. */
struct sweep {
    sqlite3_file *file;
    unsigned char *page;
    size_t page_bytes;
    bool has_maps;
    int64_t n_bytes;
};

static enum err sweep_one(struct sweep *sweep, uint32_t number)
{
    sqlite3_int64 at = (sqlite3_int64)(number - 1) * (sqlite3_int64)sweep->page_bytes;
    size_t from = 0;
    size_t to = 0;
    int64_t n = 0;

    int rc = sweep->file->pMethods->xRead(sweep->file, sweep->page, (int)sweep->page_bytes, at);
    if (rc == SQLITE_IOERR_SHORT_READ) {
        return ERR_NONE; /* the file has become shorter */
    }
    if (rc != SQLITE_OK) {
        return ERR_IO;
    }
    if (!page_gap(sweep->page, sweep->page_bytes, number, sweep->has_maps, &from, &to)) {
        return ERR_NONE;
    }
    for (size_t i = from; i < to; i++) {
        n += sweep->page[i] != 0;
    }
    if (n == 0) {
        return ERR_NONE;
    }
    memset(sweep->page + from, 0, to - from);
    rc = sweep->file->pMethods->xWrite(sweep->file, sweep->page + from, (int)(to - from), at + (sqlite3_int64)from);
    sweep->n_bytes += n;
    return rc == SQLITE_OK ? ERR_NONE : (rc & 0xFF) == SQLITE_FULL ? ERR_NO_SPACE : ERR_IO;
}

static enum err sweep_file(struct sweep *sweep, const struct page_list *list, uint32_t n_pages)
{
    enum err err = ERR_NONE;

    /* A page of content chained over pages begins with the number of the next one: its first byte is no type as long as that is
     * below 2^25, which is half a terabyte. */
    if (n_pages >= 1U << 25) {
        return ERR_NONE;
    }
    if (list != NULL) {
        for (size_t i = 0; err == ERR_NONE && i < list->n; i++) {
            err = list->pages[i] >= 1 && list->pages[i] <= n_pages ? sweep_one(sweep, list->pages[i]) : ERR_NONE;
        }
    } else {
        for (uint32_t number = 1; err == ERR_NONE && number <= n_pages; number++) {
            err = sweep_one(sweep, number);
        }
    }
    point_reached("scrub.swept");
    if (err == ERR_NONE && sweep->n_bytes > 0 &&
        sweep->file->pMethods->xSync(sweep->file, SQLITE_SYNC_NORMAL) != SQLITE_OK) {
        err = ERR_IO;
    }
    return err;
}

enum err sweep_pages(sqlite3 *handle, const struct page_list *list, int64_t *ret_bytes, struct err_note *note)
{
    struct sweep sweep = {0};
    unsigned char header[FILE_HEADER];
    sqlite3_int64 file_bytes = 0;

    if (list != NULL && list->n == 0) {
        *ret_bytes = 0;
        return ERR_NONE;
    }
    int rc = sqlite3_file_control(handle, "main", SQLITE_FCNTL_FILE_POINTER, &sweep.file);
    if (rc != SQLITE_OK || sweep.file == NULL || sweep.file->pMethods == NULL ||
        sweep.file->pMethods->xFileSize(sweep.file, &file_bytes) != SQLITE_OK ||
        sweep.file->pMethods->xRead(sweep.file, header, sizeof header, 0) != SQLITE_OK) {
        return ERR_SAY(note, ERR_IO, "the database file cannot be swept");
    }
    sweep.page_bytes = big16(header + 16) == 1 ? PAGE_BYTES_MOST : big16(header + 16);
    sweep.has_maps = big32(header + 52) != 0;
    if (header[20] != 0 || sweep.page_bytes < 512) { /* reserved space: not by us */
        *ret_bytes = 0;
        return ERR_NONE;
    }
    sweep.page = mem_new(sweep.page_bytes, 1);
    if (sweep.page == NULL) {
        return ERR_NOMEM;
    }
    enum err err = sweep_file(&sweep, list, (uint32_t)(file_bytes / (sqlite3_int64)sweep.page_bytes));
    mem_free_wiped(sweep.page);
    if (err == ERR_NONE) {
        *ret_bytes = sweep.n_bytes;
    }
    return err == ERR_NONE ? ERR_NONE : ERR_SAY(note, err, "the unused space of the database file cannot be cleared");
}

/* ---- Looking only ------------------------------------------------------------------------------------------------- */

struct unused {
    const unsigned char *file;
    size_t page_bytes;
    uint32_t n_pages;
    int64_t n_bytes;
};

static void count_range(struct unused *unused, uint32_t number, size_t from, size_t to)
{
    const unsigned char *page = unused->file + (size_t)(number - 1) * unused->page_bytes;

    for (size_t i = from; i < to; i++) {
        unused->n_bytes += page[i] != 0;
    }
}

/* The list of free pages: a chain of pages that name others.  False: it is no such chain. */
static bool count_free(struct unused *unused, uint32_t trunk, uint32_t n_free)
{
    while (trunk != 0) {
        if (trunk > unused->n_pages || n_free == 0) {
            return false;
        }
        const unsigned char *page = unused->file + (size_t)(trunk - 1) * unused->page_bytes;
        uint32_t n = big32(page + 4);
        n_free--;
        if (n > n_free || 8 + 4 * (size_t)n > unused->page_bytes) {
            return false;
        }
        n_free -= n;
        for (size_t at = 8 + 4 * (size_t)n; at + 4 <= unused->page_bytes; at += 4) {
            unused->n_bytes +=
                big32(page + at) > unused->n_pages; /* numbers of pages used again stay; they tell nothing */
        }
        for (uint32_t i = 0; i < n; i++) {
            uint32_t leaf = big32(page + 8 + 4 * (size_t)i);
            if (leaf == 0 || leaf > unused->n_pages) {
                return false;
            }
            count_range(unused, leaf, 0, unused->page_bytes);
        }
        trunk = big32(page);
    }
    return true;
}

enum err store_unused_bytes(const char *path, int64_t *ret, struct err_note *note)
{
    struct unused unused = {0};
    size_t file_bytes = 0;
    enum err err = file_map(path, SIZE_MAX / 2, &unused.file, &file_bytes, note);

    if (err != ERR_NONE) {
        return err;
    }
    if (file_bytes >= FILE_HEADER && memcmp(unused.file, "SQLite format 3", 16) == 0) {
        unused.page_bytes = big16(unused.file + 16) == 1 ? PAGE_BYTES_MOST : big16(unused.file + 16);
    }
    bool good = unused.page_bytes >= 512 && file_bytes % unused.page_bytes == 0;
    if (good) {
        bool has_maps = big32(unused.file + 52) != 0;
        unused.n_pages = (uint32_t)(file_bytes / unused.page_bytes);
        for (uint32_t number = 1; number <= unused.n_pages; number++) {
            size_t from = 0;
            size_t to = 0;
            if (page_gap(unused.file + (size_t)(number - 1) * unused.page_bytes, unused.page_bytes, number, has_maps,
                         &from, &to)) {
                count_range(&unused, number, from, to);
            }
        }
        good = count_free(&unused, big32(unused.file + 32), big32(unused.file + 36));
    }
    file_unmap(unused.file, file_bytes);
    if (!good) {
        return ERR_SAY(note, ERR_FORMAT, "%s is no whole database file", path);
    }
    *ret = unused.n_bytes;
    return ERR_NONE;
}
