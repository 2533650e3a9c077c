/* segment_overwrite.c: what is removed from a segment's file, and the end of the file. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/point.h"
#include "index/segment.h"
#include "index/segment_file.h"
#include "index/segment_file_private.h"

enum {
    CHUNK = SEGMENT_FILE_CHUNK,
    AT_ONCE = 65536, /* bytes of zeros */
    MOST_PLACES = 6,
    /* Of ids, all codes of a block, and the floats of a row; with what begins and ends amid a chunk. */
    MOST_CHUNKS = (SCAN_ROWS * 8 + SCAN_HIGH_BLOCK_BYTES(CODES_MAX_DIM / SCAN_INT8_GROUP) +
                   SCAN_LOW_BLOCK_BYTES(CODES_MAX_DIM / SCAN_INT8_GROUP) + SCAN_BITS_BLOCK_BYTES(SCAN_BITS_MAX_PLANES) +
                   SCAN_ROWS * SCAN_SIGNS_MAX_BYTES + CODES_MAX_DIM * 4) /
                      CHUNK +
                  2 * MOST_PLACES
};

/* Some bytes of a file, with the whole chunks that they lie in. */
struct place {
    size_t first, n;      /* chunks */
    size_t offset, bytes; /* in the file */
    uint8_t *at;          /* in the room */
};

/* What is read, changed and written together: no two places share a chunk. */
struct places {
    size_t n, n_chunks;
    struct place place[MOST_PLACES];
    _Alignas(MEM_ALIGN) uint8_t chunks[MOST_CHUNKS * CHUNK];
};

/* Through read and not through the map: a page that nobody has searched costs more to map than to copy. */
static enum err places_read(const struct segment_file *file, size_t offset, size_t bytes, struct places *places,
                            uint8_t **ret, struct err_note *note)
{
    const size_t begin = file->layout.ids;
    const size_t first = (offset - begin) / CHUNK;
    uint8_t *room = places->chunks + places->n_chunks * CHUNK;
    struct place *place = &places->place[places->n++];

    *place = (struct place){.first = first,
                            .n = (offset + bytes - 1 - begin) / CHUNK - first + 1,
                            .offset = offset,
                            .bytes = bytes,
                            .at = room + (offset - begin - first * CHUNK)};
    places->n_chunks += place->n;
    assert(places->n <= MOST_PLACES && places->n_chunks <= MOST_CHUNKS);
    *ret = place->at;
    return segment_file_read(file, room, place->n * CHUNK, begin + first * CHUNK, note);
}

/* Writes the bytes, and then the sums of their chunks, which are neighbours.  What is not written yet gets its sum then. */
static enum err places_write(struct segment_file *file, const struct places *places, struct err_note *note)
{
    uint32_t made[MOST_CHUNKS];
    const uint32_t *next = made;
    size_t first = SIZE_MAX;
    size_t last = 0;
    enum err err = ERR_NONE;

    hash_crc32c_each(places->chunks, CHUNK, places->n_chunks, made);
    for (size_t i = 0; i < places->n && err == ERR_NONE; i++) {
        const struct place *place = &places->place[i];
        for (size_t chunk = place->first; chunk < place->first + place->n; chunk++) {
            const size_t sum = segment_file_sum_of(&file->layout, chunk);
            file->sums[sum] = *next++;
            first = sum < first ? sum : first;
            last = sum > last ? sum : last;
        }
        err = segment_file_put(file, place->at, place->bytes, place->offset, note);
        if (i == 0) {
            point_reached("index.wipe.half");
        }
    }
    return err == ERR_NONE ? segment_file_put(file, &file->sums[first], (last - first + 1) * sizeof *file->sums,
                                              file->layout.sums + first * sizeof *file->sums, note)
                           : err;
}

static enum err wipe_floats(const struct segment_file *file, size_t row, struct places *places, struct err_note *note)
{
    const size_t row_bytes = file->dim * sizeof(float);
    uint8_t *floats = NULL;

    enum err err = places_read(file, file->layout.floats + row * row_bytes, row_bytes, places, &floats, note);
    if (err == ERR_NONE) {
        memset(floats, 0, row_bytes);
    }
    return err;
}

static enum err wipe_ids(const struct segment_file *file, size_t block, unsigned died, struct places *places,
                         struct err_note *note)
{
    static const int64_t no_id = SEGMENT_NO_ID;
    const size_t block_bytes = SCAN_ROWS * sizeof no_id;
    uint8_t *ids = NULL;

    enum err err = places_read(file, file->layout.ids + block * block_bytes, block_bytes, places, &ids, note);
    for (unsigned left = died; left != 0 && err == ERR_NONE; left &= left - 1) {
        memcpy(ids + (size_t)__builtin_ctz(left) * sizeof no_id, &no_id, sizeof no_id);
    }
    return err;
}

/* They are interleaved with those of other rows, but for signs. */
static enum err wipe_codes(const struct segment_file *file, const struct codes *codes, size_t block, unsigned died,
                           struct places *places, struct err_note *note)
{
    const size_t high_bytes = codes_high_bytes(codes);
    const size_t low_bytes = codes_low_bytes(codes);
    const size_t bits_bytes = codes_bits_bytes(codes);
    struct codes_at at = {NULL};
    uint8_t *signs = NULL;

    enum err err = places_read(file, file->layout.high + block * high_bytes, high_bytes, places, &at.high, note);
    if (err == ERR_NONE) {
        err = places_read(file, file->layout.low + block * low_bytes, low_bytes, places, &at.low, note);
    }
    if (err == ERR_NONE && bits_bytes > 0) {
        const size_t bits_block = block / (SCAN_BITS_ROWS / SCAN_ROWS);
        err = places_read(file, file->layout.bits + bits_block * bits_bytes, bits_bytes, places, &at.bits, note);
    }
    const size_t sign_bytes = codes_sign_bytes(codes);
    const size_t first = (size_t)__builtin_ctz(died); /* there is one */
    if (err == ERR_NONE && sign_bytes > 0) {
        const size_t n = 32 - (size_t)__builtin_clz(died) - first;
        err = places_read(file, file->layout.signs + (block * SCAN_ROWS + first) * sign_bytes, n * sign_bytes, places,
                          &signs, note);
    }
    for (unsigned left = died; left != 0 && err == ERR_NONE; left &= left - 1) {
        const size_t row = (size_t)__builtin_ctz(left);
        at.signs = signs == NULL ? NULL : signs + (row - first) * sign_bytes;
        codes_wipe(codes, block * SCAN_ROWS + row, &at);
    }
    return err;
}

/* Mostly it is one row.  The floats of more are done one after another: they may share a chunk. */
static enum err wipe_block(struct segment_file *file, const struct codes *codes, size_t block, unsigned died,
                           struct places *places, struct err_note *note)
{
    enum err err = ERR_NONE;

    for (unsigned left = died; left != 0 && err == ERR_NONE; left &= left - 1) {
        const bool last = (left & (left - 1)) == 0;
        err = wipe_floats(file, block * SCAN_ROWS + (size_t)__builtin_ctz(left), places, note);
        if (err == ERR_NONE && last) {
            err = wipe_ids(file, block, died, places, note);
        }
        if (err == ERR_NONE && last) {
            err = wipe_codes(file, codes, block, died, places, note);
        }
        if (err == ERR_NONE) {
            err = places_write(file, places, note);
        }
        mem_wipe(places->chunks, places->n_chunks * CHUNK);
        places->n = places->n_chunks = 0;
    }
    return err;
}

enum err segment_file_wipe(struct segment_file *file, const struct codes *codes, const uint16_t *died, size_t block,
                           size_t end, struct err_note *note)
{
    struct places places;
    enum err err = ERR_NONE;

    places.n = places.n_chunks = 0; /* the rest is written before it is read */
    for (; block < end && err == ERR_NONE && !file->left; block++) {
        if (died[block] != 0) {
            point_reached("index.wipe.begun");
            err = wipe_block(file, codes, block, died[block], &places, note);
            file->unsynced = true;
        }
    }
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
