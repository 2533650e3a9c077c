/* remains.c: many short pieces, looked for at every byte of every file. */
#include "server/gallery/remains.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/mem.h"

#define FILE_LIMIT_BYTES ((size_t)1 << 30)
#define READ_BYTES ((size_t)4 << 20)
#define FILTER_BITS 20    /* 128 KB, which stays in the processor's cache */
#define DIFFERENT_LEAST 8 /* a piece with fewer different bytes is padding, not somebody's */
#define VECTOR_LEAST 16
#define VECTOR_MOST 65536
#define DEPTH_MOST 8 /* of folders */

struct piece {
    const unsigned char *bytes;
    int thing;
    int next;        /* of the same slot; -1 ends */
    int64_t seen_in; /* the last file that has it, by number */
};

struct thing {
    char *name;
    unsigned char *bytes;
    size_t n_bytes;
    int64_t n_pieces;

    /* in the file at hand */
    int64_t n_seen, offset;
};

struct remains {
    struct thing *things;
    int n_things, room_things;
    struct piece *pieces;
    int n_pieces, room_pieces;

    int64_t n_files; /* looked at, over all scans */

    int *slots; /* 1 << FILTER_BITS, by the first eight bytes of a piece; -1 is empty.  Made by the first scan. */
    int n_slotted;
    unsigned char *filter;
};

/* ---- What to look for --------------------------------------------------------------------------------------------- */

enum err remains_new(struct remains **ret)
{
    struct remains *remains = MEM_NEW(struct remains);

    if (remains == NULL) {
        return ERR_NOMEM;
    }
    *ret = remains;
    return ERR_NONE;
}

void remains_free(struct remains *remains)
{
    if (remains == NULL) {
        return;
    }
    for (int i = 0; i < remains->n_things; i++) {
        mem_free(remains->things[i].name);
        mem_free_wiped(remains->things[i].bytes);
    }
    mem_free(remains->things);
    mem_free(remains->pieces);
    mem_free(remains->slots);
    mem_free(remains->filter);
    mem_free(remains);
}

int remains_count(const struct remains *remains)
{
    return remains->n_things;
}

static bool is_telling(const unsigned char *bytes)
{
    bool seen[256] = {false};
    int different = 0;

    for (int i = 0; i < REMAINS_PIECE; i++) {
        different += !seen[bytes[i]];
        seen[bytes[i]] = true;
    }
    return different >= DIFFERENT_LEAST;
}

static enum err piece_add(struct remains *remains, int thing, const unsigned char *bytes)
{
    if (remains->n_pieces == remains->room_pieces) {
        int room = remains->room_pieces == 0 ? 1024 : 2 * remains->room_pieces;
        struct piece *more = mem_resize(remains->pieces, (size_t)room, sizeof *more);
        if (more == NULL) {
            return ERR_NOMEM;
        }
        remains->pieces = more;
        remains->room_pieces = room;
    }
    remains->pieces[remains->n_pieces++] = (struct piece){.bytes = bytes, .thing = thing, .next = -1};
    remains->things[thing].n_pieces++;
    return ERR_NONE;
}

enum err remains_add(struct remains *remains, const char *name, const void *bytes, size_t n_bytes)
{
    if (n_bytes < REMAINS_PIECE) {
        return ERR_NONE;
    }
    if (remains->n_things == remains->room_things) {
        int room = remains->room_things == 0 ? 16 : 2 * remains->room_things;
        struct thing *more = mem_resize(remains->things, (size_t)room, sizeof *more);
        if (more == NULL) {
            return ERR_NOMEM;
        }
        remains->things = more;
        remains->room_things = room;
    }
    struct thing thing = {.name = mem_copy_text(name), .bytes = mem_new(n_bytes, 1), .n_bytes = n_bytes};
    if (thing.name == NULL || thing.bytes == NULL) {
        mem_free(thing.name);
        mem_free(thing.bytes);
        return ERR_NOMEM;
    }
    memcpy(thing.bytes, bytes, n_bytes);
    remains->things[remains->n_things] = thing;
    enum err err = ERR_NONE;
    for (size_t at = 0; err == ERR_NONE && at + REMAINS_PIECE <= n_bytes; at += REMAINS_PIECE) {
        if (is_telling(thing.bytes + at)) {
            err = piece_add(remains, remains->n_things, thing.bytes + at);
        }
    }
    remains->n_things++;
    return err;
}

/* ---- From files --------------------------------------------------------------------------------------------------- */

static enum err add_floats(struct remains *remains, const char *name, const float *values, size_t n)
{
    unsigned char *bytes = mem_new(n, 4);

    if (bytes == NULL) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        for (int b = 0; b < 4; b++) {
            bytes[4 * i + (size_t)b] = (unsigned char)(bits >> (8 * b));
        }
    }
    enum err err = remains_add(remains, name, bytes, n * 4);
    mem_free_wiped(bytes);
    return err;
}

/* As it was sent, and as the daemon keeps it if that had another length. */
static enum err add_vector(struct remains *remains, const char *name, const json_t *array)
{
    size_t n = json_array_size(array);
    double square = 0;

    if (n < VECTOR_LEAST || n > VECTOR_MOST) {
        return ERR_NONE;
    }
    float *values = MEM_ARRAY(float, n);
    if (values == NULL) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        values[i] = (float)json_number_value(json_array_get(array, i));
        square += (double)values[i] * (double)values[i];
    }
    enum err err = add_floats(remains, name, values, n);
    bool other = false;
    for (size_t i = 0; square > 0 && i < n; i++) {
        float unit = (float)((double)values[i] / sqrt(square));
        other = other || unit != values[i];
        values[i] = unit;
    }
    if (err == ERR_NONE && other) {
        err = add_floats(remains, name, values, n);
    }
    mem_free_wiped(values);
    return err;
}

static enum err add_crop(struct remains *remains, const char *name, const json_t *text)
{
    size_t len = json_string_length(text);
    size_t n_bytes = 0;
    unsigned char *bytes = mem_new(len + 1, 1);

    if (bytes == NULL) {
        return ERR_NOMEM;
    }
    enum err err = ERR_NONE;
    if (sodium_base642bin(bytes, len, json_string_value(text), len, NULL, &n_bytes, NULL,
                          sodium_base64_VARIANT_ORIGINAL) == 0) {
        err = remains_add(remains, name, bytes, n_bytes);
    }
    mem_free_wiped(bytes);
    return err;
}

/* The documents are an operator's own, and jansson has refused deep ones. */
static enum err add_json(struct remains *remains, const char *name, const char *member, const json_t *value)
{
    enum err err = ERR_NONE;

    if (json_is_array(value) && json_is_number(json_array_get(value, 0))) {
        return member == NULL || strcmp(member, "embedding") == 0 ? add_vector(remains, name, value) : ERR_NONE;
    }
    if (json_is_string(value)) {
        return member != NULL && strcmp(member, "crop") == 0 ? add_crop(remains, name, value) : ERR_NONE;
    }
    for (size_t i = 0; err == ERR_NONE && i < json_array_size(value); i++) {
        err = add_json(remains, name, NULL, json_array_get(value, i));
    }
    const char *key = NULL;
    json_t *below = NULL;
    json_object_foreach((json_t *)(uintptr_t)value, key, below)
    {
        err = err == ERR_NONE ? add_json(remains, name, key, below) : err;
    }
    return err;
}

/* Whether it was JSON from its first byte to its last. */
static enum err add_documents(struct remains *remains, const char *name, const char *text, size_t n_bytes, bool *ret)
{
    enum err err = ERR_NONE;
    size_t at = 0;

    while (err == ERR_NONE && at < n_bytes) {
        json_error_t error;
        char line[PATH_MAX];
        while (at < n_bytes && strchr(" \t\r\n", text[at]) != NULL && text[at] != '\0') {
            at++;
        }
        if (at == n_bytes) {
            break;
        }
        json_t *document = json_loadb(text + at, n_bytes - at, JSON_DISABLE_EOF_CHECK, &error);
        if (document == NULL || error.position <= 0) {
            json_decref(document);
            *ret = false;
            return ERR_NONE;
        }
        at += (size_t)error.position;
        const json_t *id = json_object_get(document, "id");
        (void)snprintf(line, sizeof line, json_is_string(id) ? "%s, face %s" : "%s", name, json_string_value(id));
        err = add_json(remains, line, NULL, document);
        json_decref(document);
    }
    *ret = true;
    return err;
}

/*
 * A JPEG without what many have alike, the tables of its coding, the frame, the colour profile: else one photo would be found
 * in another.  What is kept: EXIF with its thumbnail, comments, and everything from the first scan on.
 */
static size_t jpeg_strip(unsigned char *bytes, size_t n_bytes)
{
    size_t kept = 0;
    size_t at = 2;

    while (at + 4 <= n_bytes && bytes[at] == 0xFF && bytes[at + 1] != 0xDA) {
        size_t len = 2 + ((size_t)bytes[at + 2] << 8 | bytes[at + 3]);
        if (at + len > n_bytes) {
            break;
        }
        if (bytes[at + 1] == 0xE1 || bytes[at + 1] == 0xED || bytes[at + 1] == 0xFE) {
            memmove(bytes + kept, bytes + at, len);
            kept += len;
        }
        at += len;
    }
    memmove(bytes + kept, bytes + at, n_bytes - at);
    return kept + n_bytes - at;
}

enum err remains_add_file(struct remains *remains, const char *path, struct err_note *note)
{
    unsigned char *content = NULL;
    size_t n_bytes = 0;
    bool json = false;
    const int before = remains->n_pieces;

    enum err err = file_read(path, FILE_LIMIT_BYTES, &content, &n_bytes, note);
    if (err != ERR_NONE) {
        return err;
    }
    if (n_bytes > 0 && (content[0] == '{' || content[0] == '[')) {
        err = add_documents(remains, path, (const char *)content, n_bytes, &json);
    }
    if (err == ERR_NONE && !json) {
        bool jpeg = n_bytes > 4 && content[0] == 0xFF && content[1] == 0xD8;
        err = remains_add(remains, path, content, jpeg ? jpeg_strip(content, n_bytes) : n_bytes);
    }
    mem_wipe(content, n_bytes);
    mem_free(content);
    if (err == ERR_NONE && remains->n_pieces == before) {
        err = ERR_SAY(note, ERR_FORMAT, "%s holds nothing to look for: no embedding, no crop, no %d bytes", path,
                      REMAINS_PIECE);
    }
    return err;
}

/* ---- Looking ------------------------------------------------------------------------------------------------------ */

static uint32_t slot_of(const unsigned char *bytes)
{
    uint64_t word;

    memcpy(&word, bytes, sizeof word);
    return (uint32_t)((word * 0x9E3779B97F4A7C15ULL) >> (64 - FILTER_BITS));
}

static enum err slots_make(struct remains *remains)
{
    const size_t n_slots = (size_t)1 << FILTER_BITS;

    if (remains->slots == NULL) {
        remains->slots = MEM_ARRAY(int, n_slots);
        remains->filter = mem_new(n_slots / 8, 1);
        if (remains->slots == NULL || remains->filter == NULL) {
            return ERR_NOMEM;
        }
        memset(remains->slots, 0xFF, n_slots * sizeof(int));
    }
    for (; remains->n_slotted < remains->n_pieces; remains->n_slotted++) {
        struct piece *piece = &remains->pieces[remains->n_slotted];
        uint32_t slot = slot_of(piece->bytes);
        piece->next = remains->slots[slot];
        remains->slots[slot] = remains->n_slotted;
        remains->filter[slot / 8] |= (unsigned char)(1U << (slot % 8));
    }
    return ERR_NONE;
}

/* All pieces that begin within these bytes and end within them too; each counts once in a file. */
static void look(struct remains *remains, const unsigned char *bytes, size_t n_bytes, int64_t at)
{
    for (size_t i = 0; i + REMAINS_PIECE <= n_bytes; i++) {
        uint32_t slot = slot_of(bytes + i);
        if ((remains->filter[slot / 8] & (1U << (slot % 8))) == 0) {
            continue;
        }
        for (int p = remains->slots[slot]; p >= 0; p = remains->pieces[p].next) {
            struct piece *piece = &remains->pieces[p];
            if (piece->seen_in != remains->n_files && memcmp(piece->bytes, bytes + i, REMAINS_PIECE) == 0) {
                struct thing *thing = &remains->things[piece->thing];
                piece->seen_in = remains->n_files;
                thing->offset = thing->n_seen == 0 ? at + (int64_t)i : thing->offset;
                thing->n_seen++;
            }
        }
    }
}

struct scan {
    struct remains *remains;
    remains_tell *tell;
    void *context;
    unsigned char *room;
    struct remains_summary summary;
    struct err_note *note;
};

static void tell_file(struct scan *scan, const char *file)
{
    for (int i = 0; i < scan->remains->n_things; i++) {
        struct thing *thing = &scan->remains->things[i];
        if (thing->n_seen > 0) {
            scan->summary.n_found++;
            scan->tell(scan->context, &(struct remains_found){.file = file,
                                                              .name = thing->name,
                                                              .offset = thing->offset,
                                                              .n_pieces = thing->n_seen,
                                                              .n_pieces_of = thing->n_pieces});
        }
        thing->n_seen = 0;
    }
}

static enum err scan_file(struct scan *scan, int folder_fd, const char *name, const char *shown)
{
    int fd = openat(folder_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    size_t kept = 0;
    int64_t at = 0;

    if (fd < 0) {
        /* Gone since it was listed: then nothing lies in it. */
        return errno == ENOENT ? ERR_NONE : ERR_SAY(scan->note, err_from_errno(errno), "%s cannot be read", shown);
    }
    scan->remains->n_files++;
    for (;;) {
        ssize_t n = read(fd, scan->room + kept, READ_BYTES);
        if (n < 0) {
            (void)close(fd);
            return ERR_SAY(scan->note, err_from_errno(errno), "%s cannot be read", shown);
        }
        if (n == 0) {
            break;
        }
        look(scan->remains, scan->room, kept + (size_t)n, at);
        /* A piece may lie across two reads: the last bytes come again, one too few for a whole piece. */
        size_t have = kept + (size_t)n;
        size_t next = have < REMAINS_PIECE - 1 ? have : REMAINS_PIECE - 1;
        at += (int64_t)(have - next);
        memmove(scan->room, scan->room + have - next, next);
        kept = next;
    }
    scan->summary.n_files++;
    scan->summary.n_bytes += at + (int64_t)kept;
    (void)close(fd);
    tell_file(scan, shown);
    return ERR_NONE;
}

static enum err scan_folder(struct scan *scan, int parent_fd, const char *name, const char *shown, int depth);

static enum err scan_entry(struct scan *scan, int folder_fd, const char *name, const char *shown, int depth)
{
    struct stat status;

    if (fstatat(folder_fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno == ENOENT ? ERR_NONE : ERR_SAY(scan->note, err_from_errno(errno), "%s cannot be read", shown);
    }
    if (S_ISDIR(status.st_mode)) {
        return scan_folder(scan, folder_fd, name, shown, depth + 1);
    }
    return S_ISREG(status.st_mode) ? scan_file(scan, folder_fd, name, shown) : ERR_NONE;
}

static enum err scan_folder(struct scan *scan, int parent_fd, const char *name, const char *shown, int depth)
{
    char below[PATH_MAX];
    enum err err = ERR_NONE;
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (depth > 0 ? O_NOFOLLOW : 0));
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (dir == NULL || depth > DEPTH_MOST) {
        err = dir == NULL ? err_from_errno(errno) : ERR_LIMIT;
        (void)(dir == NULL ? (fd < 0 ? 0 : close(fd)) : closedir(dir));
        return ERR_SAY(scan->note, err, "the folder %s cannot be read", depth == 0 ? name : shown);
    }
    for (struct dirent *entry; err == ERR_NONE && (entry = readdir(dir)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        if (snprintf(below, sizeof below, "%s%s%s", shown, *shown == '\0' ? "" : "/", entry->d_name) >=
            (int)sizeof below) {
            err = ERR_SAY(scan->note, ERR_LIMIT, "a path below %s is too long", shown);
        } else {
            err = scan_entry(scan, fd, entry->d_name, below, depth);
        }
    }
    (void)closedir(dir);
    return err;
}

enum err remains_scan(struct remains *remains, const char *folder, remains_tell *tell, void *context,
                      struct remains_summary *ret, struct err_note *note)
{
    struct scan scan = {.remains = remains, .tell = tell, .context = context, .note = note};
    enum err err = slots_make(remains);

    scan.room = mem_new(READ_BYTES + REMAINS_PIECE, 1);
    if (scan.room == NULL) {
        err = ERR_NOMEM;
    }
    if (err == ERR_NONE) {
        err = scan_folder(&scan, AT_FDCWD, folder, "", 0);
    }
    mem_free_wiped(scan.room);
    if (err == ERR_NONE) {
        *ret = scan.summary;
    }
    return err;
}
