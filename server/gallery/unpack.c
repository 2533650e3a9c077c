/* unpack.c: libarchive, and nothing of it outside of this file. */
#include "server/gallery/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "server/store/store.h"

#define READ_BYTES ((size_t)128 << 10)
#define RATIO_FROM_BYTES ((int64_t)64 << 20)
#define NAME_BYTES 1024 /* longest path that is shown */

struct unpack_source {
    struct archive *archive;
    struct unpack_limits limits;
    locale_t utf8;               /* 0: the system has none */
    struct archive_entry *entry; /* the present one; the library's */
    int64_t number;
    int64_t unpacked_bytes;
    bool at_content;             /* of a file that nobody has read yet */
    const char *whole, *content; /* what it is called in sentences: "archive", "photos" */
};

struct unpack_limits unpack_limits_default(void)
{
    return (struct unpack_limits){
        .entries = 1000000, .entry_bytes = (size_t)16 << 20, .total_bytes = (int64_t)256 << 30, .ratio = 100};
}

static enum err library_failed(struct unpack_source *source, struct err_note *note)
{
    if (archive_errno(source->archive) == ENOMEM) {
        return ERR_NOMEM;
    }
    const char *words = archive_error_string(source->archive);
    return ERR_SAY(note, ERR_FORMAT, "the archive is damaged behind its entry %lld: %s", (long long)source->number,
                   words == NULL ? "no reason is known" : words);
}

static int64_t count(const char *bytes, size_t n_bytes, const char *what)
{
    const char *end = bytes + n_bytes;
    int64_t n = 0;

    for (const char *at = bytes; (at = memmem(at, (size_t)(end - at), what, 4)) != NULL; at += 4) {
        n++;
    }
    return n;
}

/*
 * The library reads a zip's whole directory into memory, some 150 bytes for each of its entries, before it gives the first; so
 * these are counted before it sees them.  Every entry begins with the same four bytes, wherever the directory lies and whatever
 * is said of it elsewhere; photos hold those once in 4 GB.
 */
static enum err directory_check(int fd, const struct unpack_limits *limits, struct err_note *note)
{
    static const char entry[] = "PK\1\2";
    static const char end[] = "PK\5\6";
    char *buffer = mem_new(READ_BYTES, 1);
    const off_t size = lseek(fd, 0, SEEK_END);
    off_t at = size < (off_t)READ_BYTES ? 0 : size - (off_t)READ_BYTES; /* the end stands in the last 64 KB */
    int64_t n = 0;

    if (buffer == NULL) {
        return ERR_NOMEM;
    }
    ssize_t got = pread(fd, buffer, READ_BYTES, at);
    bool is_zip = got > 0 && count(buffer, (size_t)got, end) > 0;
    for (at = 0; is_zip && got > 0 && n <= limits->entries; at += got < 4 ? got : got - 3) { /* one may lie across */
        got = pread(fd, buffer, READ_BYTES, at);
        n += got > 0 ? count(buffer, (size_t)got, entry) : 0;
    }
    mem_free(buffer);
    return n > limits->entries
               ? ERR_SAY(note, ERR_LIMIT, "the archive has more than %lld entries", (long long)limits->entries)
           : got < 0 ? ERR_SAY(note, ERR_IO, "the archive cannot be read: %s", strerror(errno))
                     : ERR_NONE;
}

/* A source over nothing yet; NULL without memory. */
static struct unpack_source *source_new(const struct unpack_limits *limits, const char *whole, const char *content)
{
    struct unpack_source *source = MEM_NEW(struct unpack_source);

    if (source == NULL) {
        return NULL;
    }
    *source = (struct unpack_source){.archive = archive_read_new(),
                                     .limits = *limits,
                                     .utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0),
                                     .whole = whole,
                                     .content = content};
    if (source->archive == NULL) {
        unpack_close(source);
        return NULL;
    }
    return source;
}

enum err unpack_open(const char *path, const struct unpack_limits *limits, struct unpack_source **ret,
                     struct err_note *note)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return ERR_SAY(note, err_from_errno(errno), "the archive cannot be opened: %s", strerror(errno));
    }
    enum err err = directory_check(fd, limits, note);
    (void)close(fd);
    if (err != ERR_NONE) {
        return err;
    }
    struct unpack_source *source = source_new(limits, "archive", "photos");
    if (source == NULL) {
        return ERR_NOMEM;
    }
    int rc = archive_read_support_filter_gzip(source->archive);
    rc = rc == ARCHIVE_OK ? archive_read_support_format_tar(source->archive) : rc;
    rc = rc == ARCHIVE_OK ? archive_read_support_format_zip(source->archive) : rc;
    rc = rc == ARCHIVE_OK ? archive_read_open_filename(source->archive, path, READ_BYTES) : rc;
    if (rc != ARCHIVE_OK) {
        err = archive_errno(source->archive) == ENOMEM ? ERR_NOMEM : ERR_UNSUPPORTED;
        unpack_close(source);
        return ERR_SAY(note, err,
                       "the file is no tar, tar.gz or zip, and no NDJSON (packed by gzip or not) that begins with {");
    }
    *ret = source;
    return ERR_NONE;
}

void unpack_close(struct unpack_source *source)
{
    if (source != NULL) {
        (void)archive_read_free(source->archive);
        if (source->utf8 != (locale_t)0) {
            freelocale(source->utf8);
        }
        mem_free(source);
    }
}

int64_t unpack_position(const struct unpack_source *source)
{
    return archive_filter_bytes(source->archive, -1);
}

/* ---- Paths -------------------------------------------------------------------------------------------------------- */

static enum err refuse(struct unpack_item *item, const char *outcome, const char *sentence)
{
    item->what = UNPACK_REFUSED;
    item->outcome = outcome;
    item->sentence = sentence;
    return ERR_NONE;
}

/*
 * Reads the next header.  The library turns names that an archive says are UTF-8 (zips with a letter beyond ASCII) into those of
 * the thread's locale, and gives none where that has no such letter; a daemon's has none.  Names that say nothing stay as they are.
 */
static int header_read(struct unpack_source *source, const char **ret_path)
{
    locale_t before = source->utf8 == (locale_t)0 ? (locale_t)0 : uselocale(source->utf8);
    int rc = archive_read_next_header(source->archive, &source->entry);

    if (rc >= ARCHIVE_WARN && rc != ARCHIVE_EOF) {
        const char *path = archive_entry_pathname_utf8(source->entry);
        *ret_path = path == NULL ? archive_entry_pathname(source->entry) : path;
    }
    if (before != (locale_t)0) {
        (void)uselocale(before);
    }
    return rc;
}

/* A copy to show: cut, and what is neither printable nor UTF-8 is a question mark. */
static const char *name_to_show(const char *path, struct arena *mem)
{
    char *shown = arena_format(mem, "%.*s", NAME_BYTES - 1, path);
    if (shown != NULL && store_name_check("", shown[0] == '\0' ? "?" : shown, NULL) != ERR_NONE) {
        for (char *c = shown; *c != '\0'; c++) {
            if ((unsigned char)*c < ' ' || (unsigned char)*c > '~') {
                *c = '?';
            }
        }
    }
    return shown;
}

/* Whether the path climbs, begins at the root, or speaks of drives. */
static bool path_is_hostile(const char *path)
{
    if (path[0] == '/' || path[0] == '\\' || strchr(path, '\\') != NULL || (path[0] != '\0' && path[1] == ':')) {
        return true;
    }
    for (const char *part = path; part != NULL;) {
        size_t len = strcspn(part, "/");
        if (len == 2 && part[0] == '.' && part[1] == '.') {
            return true;
        }
        part = part[len] == '/' ? part + len + 1 : NULL;
    }
    return false;
}

/* The folder right above the file; NULL if there is none.  *ret_err tells an arena that is spent. */
static const char *folder_above(const char *path, struct arena *mem, enum err *ret_err)
{
    const char *slash = strrchr(path, '/');
    const char *end = slash;

    while (end != NULL && end > path && end[-1] == '/') {
        end--;
    }
    const char *begin = end;
    while (begin != NULL && begin > path && begin[-1] != '/') {
        begin--;
    }
    if (begin == end || (end - begin == 1 && *begin == '.')) {
        return NULL;
    }
    const char *folder = arena_format(mem, "%.*s", (int)(end - begin), begin);
    *ret_err = folder == NULL ? arena_why(mem) : ERR_NONE;
    return folder;
}

/* Hidden files and what desktops leave in folders. */
static bool is_chaff(const char *path)
{
    const char *base = strrchr(path, '/');

    base = base == NULL ? path : base + 1;
    return base[0] == '.' || strcmp(base, "Thumbs.db") == 0 || strcmp(base, "desktop.ini") == 0 ||
           strncmp(path, "__MACOSX/", 9) == 0;
}

static enum err item_judge(struct archive_entry *entry, const char *path, struct arena *mem, struct unpack_item *item)
{
    enum err err = ERR_NONE;

    if (path == NULL) {
        return refuse(item, "bad_name", "the archive says that its path is UTF-8, and it is not");
    }
    if (path_is_hostile(path)) {
        return refuse(item, "bad_path", "the path is absolute, climbs with .. or holds a backslash");
    }
    if (archive_entry_hardlink(entry) != NULL || archive_entry_filetype(entry) == AE_IFLNK) {
        return refuse(item, "link", "links are not followed");
    }
    if (archive_entry_filetype(entry) == AE_IFDIR || is_chaff(path)) {
        item->what = UNPACK_PASSED;
        return ERR_NONE;
    }
    if (archive_entry_filetype(entry) != AE_IFREG) {
        return refuse(item, "special_file", "it is a device, a pipe or a socket");
    }
    item->folder = folder_above(path, mem, &err);
    if (item->folder == NULL) {
        return err != ERR_NONE ? err
                               : refuse(item, "no_folder", "it lies in no folder whose name could be the subject's");
    }
    if (store_name_check("the folder's name", item->folder, NULL) != ERR_NONE) {
        return refuse(item, "bad_name", "the folder's name is not 1 to 255 bytes of UTF-8 without control characters");
    }
    item->what = UNPACK_FILE;
    return ERR_NONE;
}

/* ---- Content ------------------------------------------------------------------------------------------------------ */

static enum err bomb_check(struct unpack_source *source, struct err_note *note)
{
    int64_t packed = archive_filter_bytes(source->archive, -1);
    int64_t unpacked = archive_filter_bytes(source->archive, 0);

    /* A zip is unpacked by its format, a tar.gz by its filter; the larger count is the truth. */
    unpacked = unpacked > source->unpacked_bytes ? unpacked : source->unpacked_bytes;
    if (unpacked > source->limits.total_bytes) {
        return ERR_SAY(note, ERR_LIMIT, "the %s unpacks to more than %lld bytes", source->whole,
                       (long long)source->limits.total_bytes);
    }
    if (unpacked > RATIO_FROM_BYTES && unpacked / source->limits.ratio > packed) {
        return ERR_SAY(note, ERR_LIMIT, "the %s unpacks to more than %d times its size: no %s do that", source->whole,
                       source->limits.ratio, source->content);
    }
    return ERR_NONE;
}

/* Reads the present entry to its end; bytes beyond room are counted and thrown away. */
static enum err drain(struct unpack_source *source, unsigned char *ret, size_t room, size_t *ret_bytes,
                      bool *ret_damaged, struct err_note *note)
{
    size_t n_bytes = 0;

    source->at_content = false;
    for (;;) {
        const void *block = NULL;
        size_t block_bytes = 0;
        la_int64_t at = 0;
        int rc = archive_read_data_block(source->archive, &block, &block_bytes, &at);
        if (rc == ARCHIVE_EOF) {
            break;
        }
        if (rc == ARCHIVE_FATAL) {
            return library_failed(source, note);
        }
        if (rc != ARCHIVE_OK) { /* a checksum, an encrypted entry, a method of packing that is not known */
            *ret_damaged = true;
            break;
        }
        source->unpacked_bytes += (int64_t)block_bytes;
        enum err err = bomb_check(source, note);
        if (err != ERR_NONE) {
            return err;
        }
        /* Blocks of sparse files come with gaps, which no photo has: they count as damage. */
        if ((uint64_t)at != n_bytes) {
            *ret_damaged = true;
        }
        if (ret != NULL && n_bytes < room) {
            memcpy(ret + n_bytes, block, block_bytes < room - n_bytes ? block_bytes : room - n_bytes);
        }
        n_bytes += block_bytes;
    }
    *ret_bytes = n_bytes;
    return ERR_NONE;
}

enum err unpack_next(struct unpack_source *source, struct arena *mem, struct unpack_item *ret, struct err_note *note)
{
    enum err err = ERR_NONE;
    size_t passed_bytes = 0;
    bool damaged = false;

    if (source->at_content) { /* not by the library's own skipping, which would unpack a bomb in one go */
        err = drain(source, NULL, 0, &passed_bytes, &damaged, note);
        if (err != ERR_NONE) {
            return err;
        }
    }
    const char *path = NULL;
    int rc = header_read(source, &path);
    if (rc == ARCHIVE_EOF) {
        return ERR_NOT_FOUND;
    }
    if (rc < ARCHIVE_WARN) {
        return library_failed(source, note);
    }
    source->at_content = true;
    if (++source->number > source->limits.entries) {
        return ERR_SAY(note, ERR_LIMIT, "the archive has more than %lld entries", (long long)source->limits.entries);
    }
    err = bomb_check(source, note);
    if (err != ERR_NONE) {
        return err;
    }
    struct unpack_item item = {.number = source->number, .name = name_to_show(path == NULL ? "?" : path, mem)};
    if (item.name == NULL) {
        return arena_why(mem);
    }
    err = item_judge(source->entry, path, mem, &item);
    if (err == ERR_NONE) {
        *ret = item;
    }
    return err;
}

enum err unpack_read(struct unpack_source *source, struct arena *mem, struct unpack_item *item,
                     const unsigned char **ret, size_t *ret_bytes, struct err_note *note)
{
    static const char too_long[] = "it is longer than a photo may be";
    size_t n_bytes = 0;
    bool damaged = false;

    /* The header's word for the length may be a lie; it saves room for honest archives only. */
    la_int64_t claimed = archive_entry_size_is_set(source->entry) ? archive_entry_size(source->entry)
                                                                  : (la_int64_t)source->limits.entry_bytes;
    if (claimed < 0 || (uint64_t)claimed > source->limits.entry_bytes) {
        return refuse(item, "too_large", too_long);
    }
    size_t room = claimed == 0 ? 1 : (size_t)claimed;
    unsigned char *content = arena_alloc(mem, room, 1);
    if (content == NULL) {
        return arena_why(mem);
    }
    enum err err = drain(source, content, room, &n_bytes, &damaged, note);
    if (err != ERR_NONE) {
        return err;
    }
    if (damaged) {
        return refuse(item, "damaged",
                      "the archive does not give its content: damaged, encrypted or packed in an unknown way");
    }
    if (n_bytes == 0) {
        return refuse(item, "empty", "it is empty");
    }
    if (n_bytes > room) {
        return refuse(item, "too_large", "it is longer than the archive says");
    }
    *ret = content;
    *ret_bytes = n_bytes;
    return ERR_NONE;
}

/* ---- A text -------------------------------------------------------------------------------------------------------- */

enum err unpack_text_open(const char *path, const struct unpack_limits *limits, struct unpack_source **ret,
                          struct err_note *note)
{
    struct unpack_source *source = source_new(limits, "file", "lines");

    if (source == NULL) {
        return ERR_NOMEM;
    }
    int rc = archive_read_support_filter_gzip(source->archive);
    rc = rc == ARCHIVE_OK ? archive_read_support_format_raw(source->archive) : rc;
    rc = rc == ARCHIVE_OK ? archive_read_support_format_empty(source->archive) : rc;
    rc = rc == ARCHIVE_OK ? archive_read_open_filename(source->archive, path, READ_BYTES) : rc;
    if (rc == ARCHIVE_OK) {
        rc = archive_read_next_header(source->archive, &source->entry);
        source->at_content = rc == ARCHIVE_OK;
        rc = rc == ARCHIVE_EOF ? ARCHIVE_OK : rc; /* an empty text has none */
    }
    if (rc != ARCHIVE_OK) {
        enum err err = archive_errno(source->archive) == ENOMEM ? ERR_NOMEM : ERR_UNSUPPORTED;
        unpack_close(source);
        return ERR_SAY(note, err, "the file cannot be read as a text, packed by gzip or not");
    }
    *ret = source;
    return ERR_NONE;
}

enum err unpack_text_read(struct unpack_source *source, char *ret, size_t room, size_t *ret_bytes,
                          struct err_note *note)
{
    la_ssize_t n = !source->at_content ? 0 : archive_read_data(source->archive, ret, room);

    if (n < 0) {
        const char *words = archive_error_string(source->archive);
        return archive_errno(source->archive) == ENOMEM
                   ? ERR_NOMEM
                   : ERR_SAY(note, ERR_FORMAT, "the file is damaged behind its first %lld bytes, unpacked: %s",
                             (long long)source->unpacked_bytes, words == NULL ? "no reason is known" : words);
    }
    source->unpacked_bytes += n;
    enum err err = bomb_check(source, note);
    if (err == ERR_NONE) {
        *ret_bytes = (size_t)n;
    }
    return err;
}
