/* segment_file.c: a segment on the disk. */
#include "index/segment_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/bytes.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/point.h"
#include "core/base/random.h"
#include "index/segment.h"
#include "index/segment_file_private.h"

enum {
    CHUNK = SEGMENT_FILE_CHUNK,
    N_PARTS = sizeof((struct segment_layout *)0)->parts / sizeof(struct segment_part),
    CHUNKS_AT_ONCE = 4,
    TURN = 64 * CHUNK, /* bytes written at once: a change waits for no more than this */
    VERSION = 7,
    GROUP = 1024, /* rows whose sums stand together */
    FRONT =
        8 + 4 * 4 + 8 + INDEX_OWNER_BYTES + (int)sizeof(struct index_moment) + 4 /* of the header, up to the signs */
};

static const unsigned char magic[8] = {'A', 'F', 'S', 'E', 'G', '\r', '\n', 0x1A};

enum err segment_file_errno(struct err_note *note, const char *doing, const char *path)
{
    int saved = errno;
    return ERR_SAY(note, err_from_errno(saved), "cannot %s %s: %s", doing, path, strerror(saved));
}

/* ---- Where things stand ------------------------------------------------------------------------------------------ */

static size_t chunks(size_t bytes)
{
    return (bytes + CHUNK - 1) / CHUNK * CHUNK;
}

static struct segment_layout layout_of(const struct codes *codes, size_t capacity)
{
    const size_t n_blocks = capacity / SCAN_ROWS;
    struct segment_layout at = {.ids = CHUNK};

    at.bits = at.ids + chunks(capacity * sizeof(int64_t));
    at.signs = at.bits + chunks(segment_bits_blocks(capacity) * codes_bits_bytes(codes));
    at.high = at.signs + chunks(capacity * codes_sign_bytes(codes));
    at.low = at.high + chunks(n_blocks * codes_high_bytes(codes));
    at.floats = at.low + chunks(n_blocks * codes_low_bytes(codes));
    at.sums = at.floats + chunks(capacity * codes->dim * sizeof(float));
    at.n_chunks = (at.sums - at.ids) / CHUNK;
    at.end = at.sums + at.n_chunks * sizeof(uint32_t);
    const size_t begins[] = {at.ids, at.bits, at.signs, at.high, at.low, at.floats, at.sums};
    const size_t group_bytes[] = {GROUP * sizeof(int64_t),
                                  GROUP / SCAN_BITS_ROWS * codes_bits_bytes(codes),
                                  GROUP * codes_sign_bytes(codes),
                                  GROUP / SCAN_ROWS * codes_high_bytes(codes),
                                  GROUP / SCAN_ROWS * codes_low_bytes(codes),
                                  GROUP * codes->dim * sizeof(float)};
    for (size_t i = 0; i < N_PARTS; i++) {
        at.parts[i] = (struct segment_part){.first = (begins[i] - at.ids) / CHUNK,
                                            .n = (begins[i + 1] - begins[i]) / CHUNK,
                                            .group_bytes = group_bytes[i]};
    }
    return at;
}

/* How many chunks of a part begin before a group of rows; the last group may be short. */
static size_t chunks_before(const struct segment_part *part, size_t group)
{
    const size_t n = (group * part->group_bytes + CHUNK - 1) / CHUNK;

    return n < part->n ? n : part->n;
}

/* By groups of rows, and in a group by parts. */
size_t segment_file_sum_of(const struct segment_layout *layout, size_t chunk)
{
    size_t own = N_PARTS - 1;

    while (chunk < layout->parts[own].first || layout->parts[own].n == 0) {
        own--;
    }
    const size_t in_part = chunk - layout->parts[own].first;
    const size_t group = in_part * CHUNK / layout->parts[own].group_bytes;
    size_t sum = in_part;
    for (size_t i = 0; i < N_PARTS; i++) {
        sum += i == own ? 0 : chunks_before(&layout->parts[i], group + (i < own));
    }
    return sum;
}

enum err segment_file_read(const struct segment_file *file, void *ret, size_t bytes, size_t offset,
                           struct err_note *note)
{
    unsigned char *at = ret;

    while (bytes > 0) {
        ssize_t n = pread(file->fd, at, bytes, (off_t)offset);
        if (n == 0) {
            return ERR_SAY(note, ERR_CORRUPT, "%s has become shorter", file->path);
        }
        if (n < 0 && errno != EINTR) {
            return segment_file_errno(note, "read", file->path);
        }
        if (n > 0) {
            at += n;
            offset += (size_t)n;
            bytes -= (size_t)n;
        }
    }
    return ERR_NONE;
}

enum err segment_file_put(const struct segment_file *file, const void *from, size_t bytes, size_t offset,
                          struct err_note *note)
{
    const unsigned char *at = from;

    while (bytes > 0) {
        ssize_t n = pwrite(file->fd, at, bytes, (off_t)offset);
        if (n < 0 && errno != EINTR) {
            return segment_file_errno(note, "write", file->path == NULL ? "a retired segment" : file->path);
        }
        if (n > 0) {
            at += n;
            offset += (size_t)n;
            bytes -= (size_t)n;
        }
    }
    return ERR_NONE;
}

static struct segment_file *file_new(const struct codes *codes, size_t capacity, size_t rows, const char *path)
{
    struct segment_file *file = MEM_NEW(struct segment_file);

    if (file != NULL) {
        file->fd = -1;
        file->dim = codes->dim;
        file->capacity = capacity;
        file->rows = rows;
        file->layout = layout_of(codes, capacity);
        file->written = file->layout.ids;
        file->sums = MEM_ARRAY(uint32_t, file->layout.n_chunks);
        file->path = mem_copy_text(path);
        if (file->sums == NULL || file->path == NULL) {
            segment_file_close(file);
            return NULL;
        }
    }
    return file;
}

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

enum err segment_file_create(const char *folder, const struct segment *segment, const struct index_moment *moment,
                             struct segment_file **ret, struct err_note *note)
{
    char path[PATH_MAX];
    uint64_t name;

    random_bytes(&name, sizeof name);
    if (snprintf(path, sizeof path, "%s/%016llx" SEGMENT_FILE_SUFFIX SEGMENT_FILE_UNREADY, folder,
                 (unsigned long long)name) >= (int)sizeof path) {
        return ERR_SAY(note, ERR_MISUSE, "the path of a segment's file is too long");
    }
    struct segment_file *file = file_new(segment->codes, segment->capacity, segment->rows, path);
    if (file == NULL) {
        return ERR_SAY(note, ERR_NOMEM, "no memory to write a segment");
    }
    file->moment = *moment;
    file->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    /* With its whole length at once: what is overwritten before it is written lies in it, and a full disk says so now. */
    int failed = file->fd < 0 ? errno : posix_fallocate(file->fd, 0, (off_t)file->layout.end);
    if (failed != 0) {
        errno = failed;
        enum err err = segment_file_errno(note, "make", path);
        segment_file_unlink(file);
        segment_file_close(file);
        return err;
    }
    *ret = file;
    return ERR_NONE;
}

/* Copies what the segment holds of [at, at + CHUNK), zeros behind its end. */
static void copy_chunk(const struct segment_file *file, const struct segment *segment, size_t at, uint8_t *ret)
{
    const struct segment_layout *layout = &file->layout;
    const size_t n_blocks = file->capacity / SCAN_ROWS;
    const struct part_of_file {
        size_t begin, bytes;
        const void *from;
    } parts[] = {
        {layout->ids, file->capacity * sizeof(int64_t), segment->ids},
        {layout->bits, segment_bits_blocks(file->capacity) * codes_bits_bytes(segment->codes), segment->at.bits},
        {layout->signs, file->capacity * codes_sign_bytes(segment->codes), segment->at.signs},
        {layout->high, n_blocks * codes_high_bytes(segment->codes), segment->at.high},
        {layout->low, n_blocks * codes_low_bytes(segment->codes), segment->at.low},
        {layout->floats, file->capacity * file->dim * sizeof(float), segment->floats},
    };
    size_t n = 0;

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (at >= parts[i].begin && at < parts[i].begin + parts[i].bytes) {
            size_t left = parts[i].begin + parts[i].bytes - at;
            n = left < CHUNK ? left : CHUNK;
            memcpy(ret, (const uint8_t *)parts[i].from + (at - parts[i].begin), n);
        }
    }
    memset(ret + n, 0, CHUNK - n);
}

enum err segment_file_write(struct segment_file *file, const struct segment *segment, bool *ret_done,
                            struct err_note *note)
{
    uint8_t chunks[CHUNKS_AT_ONCE * CHUNK];
    uint32_t sums[CHUNKS_AT_ONCE];
    const size_t left = file->layout.sums - file->written;
    const size_t end = file->written + (left < TURN ? left : TURN);
    enum err err = ERR_NONE;

    while (file->written < end && err == ERR_NONE) {
        const size_t n = end - file->written < sizeof chunks ? end - file->written : sizeof chunks;
        for (size_t at = 0; at < n; at += CHUNK) {
            copy_chunk(file, segment, file->written + at, chunks + at);
        }
        hash_crc32c_each(chunks, CHUNK, n / CHUNK, sums);
        for (size_t i = 0; i < n / CHUNK; i++) {
            file->sums[segment_file_sum_of(&file->layout, (file->written - file->layout.ids) / CHUNK + i)] = sums[i];
        }
        err = segment_file_put(file, chunks, n, file->written, note);
        file->written += n;
    }
    mem_wipe(chunks, sizeof chunks);
    *ret_done = file->written >= file->layout.sums;
    point_reached("segment.written");
    return err;
}

static unsigned char *put(unsigned char *at, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) {
        *at++ = (unsigned char)(value >> (8 * i));
    }
    return at;
}

static uint32_t header_sum(const unsigned char header[CHUNK])
{
    return hash_crc32c(0, header, CHUNK - 4);
}

enum err segment_file_finish(struct segment_file *file, const struct segment *segment,
                             const unsigned char owner[INDEX_OWNER_BYTES], struct err_note *note)
{
    unsigned char header[CHUNK] = {0};
    unsigned char *at = header;

    memcpy(at, magic, sizeof magic);
    at = put(at + sizeof magic, VERSION, 4);
    at = put(at, file->dim, 4);
    at = put(at, file->rows, 4);
    at = put(at, file->capacity, 4);
    at = put(at, file->layout.end, 8);
    memcpy(at, owner, INDEX_OWNER_BYTES);
    at += INDEX_OWNER_BYTES;
    memcpy(at, &file->moment, sizeof file->moment);
    at = put(at + sizeof file->moment, codes_rotation_bytes(segment->codes), 4);
    assert(at - header == FRONT);
    codes_rotation_pack(segment->codes, at);
    (void)put(header + CHUNK - 4, header_sum(header), 4);
    enum err err =
        segment_file_put(file, file->sums, file->layout.n_chunks * sizeof *file->sums, file->layout.sums, note);
    return err == ERR_NONE ? segment_file_put(file, header, CHUNK, 0, note) : err;
}

enum err segment_file_flush(const struct segment_file *file, struct err_note *note)
{
    point_reached("segment.complete");
    return fdatasync(file->fd) == 0 ? ERR_NONE : segment_file_errno(note, "flush", file->path);
}

enum err segment_file_sync(struct segment_file *file, struct err_note *note)
{
    file->unsynced = false;
    return segment_file_flush(file, note);
}

enum err segment_file_seal(struct segment_file *file, struct err_note *note)
{
    char *path = mem_copy_text(file->path);

    if (path == NULL) {
        return ERR_SAY(note, ERR_NOMEM, "no memory to write a segment");
    }
    path[strlen(path) - strlen(SEGMENT_FILE_UNREADY)] = '\0';
    if (rename(file->path, path) != 0) {
        enum err err = segment_file_errno(note, "rename", file->path);
        mem_free(path);
        return err;
    }
    point_reached("segment.named");
    mem_free(file->path);
    file->path = path;
    file->sealed = true;
    return ERR_NONE;
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

/* Believes nothing but the length of what it is given. */
static enum err read_header(const unsigned char header[CHUNK], const struct codes *codes, const char *path,
                            const unsigned char owner[INDEX_OWNER_BYTES], struct segment_file **ret,
                            uint8_t *ret_rotation, struct err_note *note)
{
    struct bytes bytes = bytes_over(header, CHUNK);
    const unsigned char *start = bytes_take(&bytes, sizeof magic);
    const uint32_t version = bytes_u32le(&bytes);

    if (start == NULL || memcmp(start, magic, sizeof magic) != 0) {
        return ERR_SAY(note, ERR_FORMAT, "%s is no file of a segment", path);
    }
    if (version != VERSION) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "%s has version %u of its format, this program reads %d", path,
                       (unsigned)version, VERSION);
    }
    struct bytes end = bytes_over(header + CHUNK - 4, 4);
    if (bytes_u32le(&end) != header_sum(header)) {
        return ERR_SAY(note, ERR_CORRUPT, "the header of %s does not agree with its checksum", path);
    }
    const size_t dim = bytes_u32le(&bytes);
    const size_t rows = bytes_u32le(&bytes);
    const size_t capacity = bytes_u32le(&bytes);
    const uint64_t length = bytes_u64le(&bytes);
    const unsigned char *whose = bytes_take(&bytes, INDEX_OWNER_BYTES);
    const unsigned char *moment = bytes_take(&bytes, sizeof(struct index_moment));
    const size_t n_rotation = bytes_u32le(&bytes);
    if (dim != codes->dim || whose == NULL || moment == NULL || memcmp(whose, owner, INDEX_OWNER_BYTES) != 0) {
        return ERR_SAY(note, ERR_CONFLICT, "%s belongs to another model, collection or database", path);
    }
    const unsigned char *rotation = n_rotation == codes_rotation_bytes(codes) ? bytes_take(&bytes, n_rotation) : NULL;
    if (rotation == NULL || capacity == 0 || capacity > SEGMENT_MAX_ROWS || capacity % SCAN_ROWS != 0 ||
        rows > capacity || length != layout_of(codes, capacity).end) {
        return ERR_SAY(note, ERR_CORRUPT, "the header of %s contradicts itself", path);
    }
    struct segment_file *file = file_new(codes, capacity, rows, path);
    if (file == NULL) {
        return ERR_SAY(note, ERR_NOMEM, "no memory to read a segment");
    }
    memcpy(&file->moment, moment, sizeof file->moment);
    memcpy(ret_rotation, rotation, n_rotation);
    file->sealed = true;
    *ret = file;
    return ERR_NONE;
}

/*
 * Whether all of the map could be made present, the system's copy as it is: then nothing is copied to be checked, and the first
 * searches find their codes.  If the disk cannot be read, this says so and no signal comes of it.
 */
static bool populate(const struct segment_file *file)
{
#ifdef MADV_POPULATE_READ
    return madvise((void *)(uintptr_t)file->map, file->layout.end, MADV_POPULATE_READ) == 0;
#else
    return false;
#endif
}

static enum err check_sums(struct segment_file *file, struct err_note *note)
{
    enum {
        AT_ONCE = 64
    };
    const bool present = populate(file);
    uint8_t *buffer = mem_new(present ? 0 : AT_ONCE, CHUNK);
    uint32_t sums[AT_ONCE];
    enum err err = buffer == NULL ? ERR_SAY(note, ERR_NOMEM, "no memory to read a segment") : ERR_NONE;

    if (err == ERR_NONE) {
        err = segment_file_read(file, file->sums, file->layout.n_chunks * sizeof *file->sums, file->layout.sums, note);
    }
    for (size_t chunk = 0; chunk < file->layout.n_chunks && err == ERR_NONE; chunk += AT_ONCE) {
        const size_t at = file->layout.ids + chunk * CHUNK;
        const size_t left = file->layout.n_chunks - chunk;
        const size_t n = left < AT_ONCE ? left : AT_ONCE;
        if (!present) {
            err = segment_file_read(file, buffer, n * CHUNK, at, note);
        }
        hash_crc32c_each(present ? file->map + at : buffer, CHUNK, err == ERR_NONE ? n : 0, sums);
        for (size_t i = 0; i < n && err == ERR_NONE; i++) {
            if (sums[i] != file->sums[segment_file_sum_of(&file->layout, chunk + i)]) {
                err = ERR_SAY(note, ERR_CORRUPT, "%s is damaged at byte %zu: the checksum does not agree", file->path,
                              at + i * CHUNK);
            }
        }
    }
    mem_free_wiped(buffer);
    /* Searches read all codes and few of the floats. */
    (void)madvise((void *)(uintptr_t)(file->map + file->layout.floats), file->layout.sums - file->layout.floats,
                  MADV_DONTNEED);
    return err;
}

enum err segment_file_map(struct segment_file *file, struct err_note *note)
{
    void *mapped = mmap(NULL, file->layout.end, PROT_READ, MAP_SHARED, file->fd, 0);

    if (mapped == MAP_FAILED) {
        return segment_file_errno(note, "map", file->path);
    }
    file->map = mapped;
    return ERR_NONE;
}

enum err segment_file_open(const char *path, const struct codes *codes, const unsigned char owner[INDEX_OWNER_BYTES],
                           struct segment_file **ret, uint8_t *ret_rotation, struct err_note *note)
{
    struct segment_file *file = NULL;
    unsigned char header[CHUNK];
    struct stat about;
    enum err err = ERR_NONE;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);

    if (fd < 0 || fstat(fd, &about) != 0) {
        err = segment_file_errno(note, "open", path);
    } else if (!S_ISREG(about.st_mode) || pread(fd, header, sizeof header, 0) != (ssize_t)sizeof header) {
        err = ERR_SAY(note, ERR_FORMAT, "%s is too short to be a segment", path);
    } else {
        err = read_header(header, codes, path, owner, &file, ret_rotation, note);
    }
    if (file != NULL && err == ERR_NONE && (unsigned long long)about.st_size != file->layout.end) {
        err = ERR_SAY(note, ERR_CORRUPT, "%s has %lld bytes and should have %zu", path, (long long)about.st_size,
                      file->layout.end);
    }
    if (file == NULL) {
        if (fd >= 0) {
            (void)close(fd);
        }
        return err;
    }
    file->fd = fd;
    if (err == ERR_NONE) {
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED);
        err = segment_file_map(file, note);
    }
    if (err == ERR_NONE) {
        err = check_sums(file, note);
    }
    if (err != ERR_NONE) {
        segment_file_close(file);
        return err;
    }
    *ret = file;
    return ERR_NONE;
}
