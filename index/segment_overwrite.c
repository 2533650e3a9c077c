/* segment_overwrite.c: what is removed from a segment's file, and the end of the file. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/point.h"
#include "index/segment_file.h"
#include "index/segment_file_private.h"

enum {
    CHUNK = SEGMENT_FILE_CHUNK,
    AT_ONCE = 65536 /* bytes of zeros */
};

/* Some bytes of a file, with the whole chunks that they lie in. */
struct place {
    size_t first, last;   /* chunks */
    size_t offset, bytes; /* in the file */
    uint8_t *chunks;      /* room of the caller */
    uint8_t *at;          /* the bytes, in there */
};

/* Through read and not through the map: a page that nobody has searched costs more to map than to copy. */
static enum err place_read(const struct segment_file *file, size_t offset, size_t bytes, uint8_t *room,
                           struct place *ret, struct err_note *note)
{
    const size_t begin = file->layout.ids;
    struct place place = {.first = (offset - begin) / CHUNK,
                          .last = (offset + bytes - 1 - begin) / CHUNK,
                          .offset = offset,
                          .bytes = bytes,
                          .chunks = room};

    place.at = room + (offset - begin - place.first * CHUNK);
    *ret = place;
    return segment_file_read(file, room, (place.last - place.first + 1) * CHUNK, begin + place.first * CHUNK, note);
}

/* Writes the bytes, and the sums of their chunks.  What is not written yet gets its sum then. */
static enum err place_write(struct segment_file *file, const struct place *place, struct err_note *note)
{
    const size_t n = place->last - place->first + 1;

    hash_crc32c_each(place->chunks, CHUNK, n, &file->sums[place->first]);
    enum err err = segment_file_put(file, place->at, place->bytes, place->offset, note);
    return err == ERR_NONE ? segment_file_put(file, &file->sums[place->first], n * sizeof *file->sums,
                                              file->layout.sums + place->first * sizeof *file->sums, note)
                           : err;
}

/* The floats of the rows that died in one block, one after another: mostly it is one. */
static enum err wipe_floats(struct segment_file *file, size_t block, unsigned died, uint8_t *room,
                            struct err_note *note)
{
    const size_t row_bytes = file->dim * sizeof(float);
    enum err err = ERR_NONE;

    for (unsigned left = died; left != 0 && err == ERR_NONE; left &= left - 1) {
        const size_t row = block * SCAN_ROWS + (size_t)__builtin_ctz(left);
        struct place floats;
        err = place_read(file, file->layout.floats + row * row_bytes, row_bytes, room, &floats, note);
        if (err == ERR_NONE) {
            memset(floats.at, 0, row_bytes);
            err = place_write(file, &floats, note);
        }
    }
    return err;
}

/* The ids and live bits. */
static enum err wipe_names(struct segment_file *file, size_t block, unsigned died, uint8_t *room, struct err_note *note)
{
    static const int64_t no_id = -1;
    uint16_t live = 0;
    struct place place;

    enum err err = place_read(file, file->layout.ids + block * SCAN_ROWS * sizeof no_id, SCAN_ROWS * sizeof no_id, room,
                              &place, note);
    for (unsigned left = died; left != 0 && err == ERR_NONE; left &= left - 1) {
        memcpy(place.at + (size_t)__builtin_ctz(left) * sizeof no_id, &no_id, sizeof no_id);
    }
    if (err == ERR_NONE) {
        err = place_write(file, &place, note);
    }
    if (err == ERR_NONE) {
        err = place_read(file, file->layout.live + block * sizeof live, sizeof live, room, &place, note);
    }
    if (err == ERR_NONE) {
        memcpy(&live, place.at, sizeof live);
        live &= (uint16_t)~died;
        memcpy(place.at, &live, sizeof live);
        err = place_write(file, &place, note);
    }
    return err;
}

/* Both codes are interleaved with those of other rows. */
static enum err wipe_codes(struct segment_file *file, const struct codes *codes, size_t block, unsigned died,
                           uint8_t *room, struct err_note *note)
{
    const size_t int8_bytes = codes_int8_bytes(codes);
    const size_t bits_bytes = codes_bits_bytes(codes);
    struct place int8 = {0};
    struct place bits = {0};

    enum err err = place_read(file, file->layout.int8 + block * int8_bytes, int8_bytes, room, &int8, note);
    if (err == ERR_NONE && bits_bytes > 0) {
        uint8_t *behind = room + (int8.last - int8.first + 1) * CHUNK;
        err = place_read(file, file->layout.bits + block * bits_bytes, bits_bytes, behind, &bits, note);
    }
    for (unsigned left = died; left != 0 && err == ERR_NONE; left &= left - 1) {
        codes_wipe(codes, (size_t)__builtin_ctz(left), int8.at, bits.at);
    }
    if (err == ERR_NONE) {
        err = place_write(file, &int8, note);
    }
    return err == ERR_NONE && bits_bytes > 0 ? place_write(file, &bits, note) : err;
}

static enum err wipe_block(struct segment_file *file, const struct codes *codes, size_t block, unsigned died,
                           uint8_t *room, struct err_note *note)
{
    enum err err = wipe_floats(file, block, died, room, note);

    point_reached("index.wipe.half");
    if (err == ERR_NONE) {
        err = wipe_names(file, block, died, room, note);
    }
    return err == ERR_NONE ? wipe_codes(file, codes, block, died, room, note) : err;
}

enum err segment_file_wipe(struct segment_file *file, const struct codes *codes, const uint16_t *died,
                           struct err_note *note)
{
    _Alignas(MEM_ALIGN) uint8_t room[SEGMENT_FILE_BLOCK_BYTES + 4 * CHUNK]; /* whole chunks of both codes */
    enum err err = ERR_NONE;

    for (size_t block = 0; block < file->capacity / SCAN_ROWS && err == ERR_NONE && !file->left; block++) {
        if (died[block] != 0) {
            point_reached("index.wipe.begun");
            err = wipe_block(file, codes, block, died[block], room, note);
            file->unsynced = true;
        }
    }
    mem_wipe(room, codes_int8_bytes(codes) + codes_bits_bytes(codes) + 4 * (size_t)CHUNK);
    return err;
}

bool segment_file_wants_flush(const struct segment_file *file)
{
    return file->sealed && file->unsynced && !file->left && file->path != NULL;
}

enum err segment_file_flush_begin(struct segment_file *file, int *ret, struct err_note *note)
{
    int fd = fcntl(file->fd, F_DUPFD_CLOEXEC, 0);

    if (fd < 0) {
        return segment_file_sync(file, note);
    }
    file->unsynced = false;
    *ret = fd;
    return ERR_NONE;
}

enum err segment_file_flush_end(int fd, struct err_note *note)
{
    point_reached("segment.complete");
    enum err err = fdatasync(fd) == 0 ? ERR_NONE : segment_file_errno(note, "flush", "a segment");
    (void)close(fd);
    return err;
}

void segment_file_unlink(struct segment_file *file)
{
    if (file->path != NULL && !file->left) {
        (void)unlink(file->path);
        mem_free(file->path);
        file->path = NULL;
    }
}

static enum err overwrite(int fd, const char *path, struct err_note *note)
{
    static const uint8_t zeros[AT_ONCE];
    const struct segment_file file = {.fd = fd, .path = (char *)(uintptr_t)path};
    struct stat about;

    if (fstat(fd, &about) != 0) {
        return segment_file_errno(note, "examine", path);
    }
    enum err err = ERR_NONE;
    for (off_t at = 0; at < about.st_size && err == ERR_NONE; at += AT_ONCE) {
        size_t n = about.st_size - at < AT_ONCE ? (size_t)(about.st_size - at) : AT_ONCE;
        err = segment_file_put(&file, zeros, n, (size_t)at, note);
    }
    if (err == ERR_NONE && fdatasync(fd) != 0) {
        err = segment_file_errno(note, "flush", path);
    }
    return err;
}

enum err segment_file_destroy_path(const char *path, struct err_note *note)
{
    enum err err = ERR_NONE;
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);

    if (fd < 0 && errno == ENOENT) {
        return ERR_NONE;
    }
    if (fd >= 0) {
        err = overwrite(fd, path, note);
        (void)close(fd);
    }
    return unlink(path) == 0 || errno == ENOENT ? err : segment_file_errno(note, "remove", path);
}

void segment_file_close(struct segment_file *file)
{
    if (file == NULL) {
        return;
    }
    if (file->map != NULL) {
        (void)munmap((void *)(uintptr_t)file->map, file->layout.end);
    }
    if (file->fd >= 0) {
        if (file->path == NULL) {
            (void)overwrite(file->fd, "a retired segment", NULL); /* a disk that refuses has at least no name for it */
        }
        (void)close(file->fd);
    }
    mem_free(file->path);
    mem_free(file->sums);
    mem_free(file);
}
