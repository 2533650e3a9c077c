/* segment.c: rows and their codes. */
#include "index/segment.h"

#include <assert.h>
#include <string.h>

#include "core/base/mem.h"
#include "index/accelerator.h"
#include "index/faiss_index.h"
#include "index/segment_file.h"

enum err segment_new(const struct codes *codes, size_t capacity, struct segment **ret, struct err_note *note)
{
    struct segment *segment = MEM_NEW(struct segment);
    const size_t n_blocks = capacity / SCAN_ROWS;
    enum err err = ERR_NOMEM;

    assert(capacity > 0 && capacity % SCAN_ROWS == 0 && capacity <= SEGMENT_MAX_ROWS);
    if (segment != NULL) {
        segment->codes = codes;
        segment->capacity = capacity;
        segment->at.high = mem_new_huge(n_blocks, codes_high_bytes(codes));
        segment->at.low = mem_new_huge(n_blocks, codes_low_bytes(codes));
        segment->at.bits = mem_new_huge(segment_bits_blocks(capacity), codes_bits_bytes(codes));
        segment->at.signs = mem_new_huge(capacity, codes_sign_bytes(codes));
        segment->ids = MEM_ARRAY(int64_t, capacity);
        segment->live[0] = MEM_ARRAY(uint16_t, n_blocks);
        segment->live[1] = MEM_ARRAY(uint16_t, n_blocks);
        if (segment->at.high != NULL && segment->at.low != NULL && segment->at.bits != NULL &&
            segment->at.signs != NULL && segment->ids != NULL && segment->live[0] != NULL && segment->live[1] != NULL) {
            memset(segment->live[0], 0xFF, n_blocks * sizeof(uint16_t));
            err = faiss_index_new((int)codes->dim, &segment->faiss, note);
        }
        if (err == ERR_NONE) {
            err = faiss_index_reserve(segment->faiss, capacity, note);
        }
    }
    if (err != ERR_NONE) {
        segment_free(segment);
        return ERR_SAY(note, err, "no memory for %zu more vectors of %zu dimensions", capacity, codes->dim);
    }
    segment->floats = faiss_index_row(segment->faiss, 0);
    *ret = segment;
    return ERR_NONE;
}

/* Maps are read-only: whoever writes there by mistake is stopped by the processor. */
static void point_into(struct segment *segment, const struct segment_file *file)
{
    uint8_t *map = (uint8_t *)(uintptr_t)file->map;

    segment->ids = (int64_t *)(void *)(map + file->layout.ids);
    segment->at = (struct codes_at){.high = map + file->layout.high,
                                    .low = map + file->layout.low,
                                    .bits = map + file->layout.bits,
                                    .signs = map + file->layout.signs};
    segment->floats = (float *)(void *)(map + file->layout.floats);
}

static void clear(struct segment *segment, uint16_t *masks, size_t row)
{
    masks[row / SCAN_ROWS] &= (uint16_t) ~(1U << (row % SCAN_ROWS));
    segment->dead++;
}

static enum err segment_of(const struct codes *codes, struct segment_file *file, struct segment **ret,
                           struct err_note *note)
{
    struct segment *segment = MEM_NEW(struct segment);
    const size_t n_blocks = file->capacity / SCAN_ROWS;

    if (segment != NULL) {
        segment->codes = codes;
        segment->capacity = file->capacity;
        segment->rows = file->rows;
        segment->live[0] = MEM_ARRAY(uint16_t, n_blocks);
        segment->live[1] = MEM_ARRAY(uint16_t, n_blocks);
    }
    if (segment == NULL || segment->live[0] == NULL || segment->live[1] == NULL) {
        segment_free(segment);
        return ERR_SAY(note, ERR_NOMEM, "no memory for a segment");
    }
    segment->file = file;
    segment->mapped = true;
    point_into(segment, file);
    *ret = segment;
    return ERR_NONE;
}

enum err segment_of_file(const struct codes *codes, struct segment_file *take_file, struct segment **ret,
                         struct err_note *note)
{
    struct segment *segment = NULL;

    enum err err = segment_of(codes, take_file, &segment, note);
    if (err != ERR_NONE) {
        segment_file_close(take_file);
        return err;
    }
    memset(segment->live[0], 0xFF, segment->capacity / SCAN_ROWS * sizeof(uint16_t));
    for (size_t row = 0; row < segment->rows; row++) {
        if (segment->ids[row] == SEGMENT_NO_ID) {
            clear(segment, segment->live[0], row);
        }
    }
    *ret = segment;
    return ERR_NONE;
}

enum err segment_to_file(struct segment *segment, struct segment **ret, struct err_note *note)
{
    struct segment_file *file = segment->file;
    struct segment *mapped = NULL;

    enum err err = file->map == NULL ? segment_file_map(file, note) : ERR_NONE;
    if (err == ERR_NONE) {
        err = segment_of(segment->codes, file, &mapped, note);
    }
    if (err == ERR_NONE) {
        memcpy(mapped->live[0], segment->live[segment->now], segment->capacity / SCAN_ROWS * sizeof(uint16_t));
        mapped->dead = segment->dead;
        mapped->removed_ns = segment->removed_ns;
        segment->file = NULL;
        *ret = mapped;
    }
    return err;
}

void segment_free(struct segment *segment)
{
    if (segment == NULL) {
        return;
    }
    accelerator_free(segment->accelerator);
    if (!segment->mapped) {
        faiss_index_free(segment->faiss);
        mem_free_wiped(segment->at.high);
        mem_free_wiped(segment->at.low);
        mem_free_wiped(segment->at.bits);
        mem_free_wiped(segment->at.signs);
        mem_free(segment->ids);
    }
    segment_file_close(segment->file);
    mem_free(segment->live[0]);
    mem_free(segment->live[1]);
    mem_free(segment);
}

/* The blocks that a row lies in, and its own signs. */
static struct codes_at blocks_of(const struct segment *segment, size_t row)
{
    return (struct codes_at){.high = segment->at.high + row / SCAN_ROWS * codes_high_bytes(segment->codes),
                             .low = segment->at.low + row / SCAN_ROWS * codes_low_bytes(segment->codes),
                             .bits = segment->at.bits + row / SCAN_BITS_ROWS * codes_bits_bytes(segment->codes),
                             .signs = segment->at.signs + row * codes_sign_bytes(segment->codes)};
}

void segment_append(struct segment *segment, const int64_t *ids, const float *vectors, size_t n)
{
    const size_t dim = segment->codes->dim;
    const size_t first_block = segment->rows / SCAN_ROWS;

    assert(n <= segment->capacity - segment->rows);
    memcpy(segment->floats + segment->rows * dim, vectors, n * dim * sizeof *vectors);
    memcpy(segment->ids + segment->rows, ids, n * sizeof *ids);
    segment->rows += n;
    for (size_t block = first_block; block < segment->rows / SCAN_ROWS; block++) {
        codes_encode(segment->codes, segment->floats + block * SCAN_ROWS * dim, block * SCAN_ROWS, &segment->at);
    }
}

enum err segment_grow(const struct segment *segment, size_t capacity, struct segment **ret, struct err_note *note)
{
    struct segment *bigger = NULL;
    const size_t n_blocks = segment->rows / SCAN_ROWS; /* with codes */

    enum err err = segment_new(segment->codes, capacity, &bigger, note);
    if (err != ERR_NONE) {
        return err;
    }
    memcpy(bigger->floats, segment->floats, segment->rows * segment->codes->dim * sizeof(float));
    memcpy(bigger->ids, segment->ids, segment->rows * sizeof *segment->ids);
    memcpy(bigger->at.high, segment->at.high, n_blocks * codes_high_bytes(segment->codes));
    memcpy(bigger->at.low, segment->at.low, n_blocks * codes_low_bytes(segment->codes));
    memcpy(bigger->at.bits, segment->at.bits,
           segment_bits_blocks(n_blocks * SCAN_ROWS) * codes_bits_bytes(segment->codes));
    memcpy(bigger->at.signs, segment->at.signs, n_blocks * SCAN_ROWS * codes_sign_bytes(segment->codes));
    memcpy(bigger->live[0], segment->live[segment->now], segment->capacity / SCAN_ROWS * sizeof(uint16_t));
    bigger->rows = segment->rows;
    bigger->dead = segment->dead;
    *ret = bigger;
    return ERR_NONE;
}

static bool is_set(const uint16_t *masks, size_t row)
{
    return (masks[row / SCAN_ROWS] >> (row % SCAN_ROWS) & 1U) != 0;
}

bool segment_is_live(const struct segment *segment, size_t row)
{
    return is_set(segment->live[segment->now], row);
}

void segment_marks_begin(struct segment *segment)
{
    memcpy(segment->live[1 - segment->now], segment->live[segment->now],
           segment->capacity / SCAN_ROWS * sizeof(uint16_t));
    segment->marking = true;
    segment->marks = SIZE_MAX;
    segment->marks_end = 0;
}

bool segment_mark_dead(struct segment *segment, size_t row)
{
    const size_t block = row / SCAN_ROWS;

    if (!is_set(segment->live[1 - segment->now], row)) {
        return false;
    }
    clear(segment, segment->live[1 - segment->now], row);
    segment->marks = block < segment->marks ? block : segment->marks;
    segment->marks_end = block < segment->marks_end ? segment->marks_end : block + 1;
    return true;
}

void segment_marks_end(struct segment *segment)
{
    segment->now = 1 - segment->now;
}

static void wipe(struct segment *segment, size_t row)
{
    const size_t block = row / SCAN_ROWS;

    segment->ids[row] = SEGMENT_NO_ID;
    mem_wipe(segment->floats + row * segment->codes->dim, segment->codes->dim * sizeof(float));
    if (block < segment->rows / SCAN_ROWS) {
        const struct codes_at blocks = blocks_of(segment, row);
        codes_wipe(segment->codes, row, &blocks);
    }
}

/* The other live bits are the writer's own and of no more use: they become those of the rows that died. */
enum err segment_wipe_marked(struct segment *segment, struct err_note *note)
{
    const uint16_t *now = segment->live[segment->now];
    uint16_t *died = segment->live[1 - segment->now];
    enum err err = ERR_NONE;

    for (size_t block = segment->marks; block < segment->marks_end; block++) {
        died[block] &= (uint16_t)~now[block];
        for (unsigned left = segment->mapped ? 0 : died[block]; left != 0; left &= left - 1) {
            wipe(segment, block * SCAN_ROWS + (size_t)__builtin_ctz(left));
        }
    }
    segment->marking = false;
    if (segment->file != NULL) {
        err = segment_file_wipe(segment->file, segment->codes, died, segment->marks, segment->marks_end, note);
        if (err != ERR_NONE) {
            segment_file_unlink(segment->file);
        }
    }
    return err;
}

void segment_kill(struct segment *segment, size_t row)
{
    clear(segment, segment->live[segment->now], row);
    wipe(segment, row);
}

/* Of 64 rows. */
static size_t bytes_of_64(const struct codes *codes)
{
    return SCAN_BITS_ROWS / SCAN_ROWS * (codes_high_bytes(codes) + codes_low_bytes(codes)) + codes_bits_bytes(codes) +
           SCAN_BITS_ROWS * codes_sign_bytes(codes);
}

static struct codes_at at_of_64(const struct codes *codes, uint8_t *room)
{
    uint8_t *low = room + SCAN_BITS_ROWS / SCAN_ROWS * codes_high_bytes(codes);
    uint8_t *bits = low + SCAN_BITS_ROWS / SCAN_ROWS * codes_low_bytes(codes);

    return (struct codes_at){.high = room, .low = low, .bits = bits, .signs = bits + codes_bits_bytes(codes)};
}

static void wipe_of_64(const struct codes *codes, const struct codes_at *at, size_t row)
{
    const struct codes_at blocks = {.high = at->high + row / SCAN_ROWS * codes_high_bytes(codes),
                                    .low = at->low + row / SCAN_ROWS * codes_low_bytes(codes),
                                    .bits = at->bits,
                                    .signs = at->signs + row * codes_sign_bytes(codes)};
    codes_wipe(codes, row, &blocks);
}

size_t segment_wrong_codes_room(const struct codes *codes)
{
    return 2 * bytes_of_64(codes);
}

size_t segment_wrong_codes(const struct segment *segment, uint8_t *room)
{
    const struct codes *codes = segment->codes;
    const size_t bytes = bytes_of_64(codes);
    const size_t whole = segment->rows / SCAN_ROWS * SCAN_ROWS; /* with codes */
    const struct codes_at made = at_of_64(codes, room);
    const struct codes_at there = at_of_64(codes, room + bytes);

    for (size_t first = 0; first < whole; first += SCAN_BITS_ROWS) {
        const size_t n = whole - first < SCAN_BITS_ROWS ? whole - first : SCAN_BITS_ROWS;
        const struct codes_at blocks = blocks_of(segment, first);
        memset(room, 0, 2 * bytes);
        memcpy(there.high, blocks.high, n / SCAN_ROWS * codes_high_bytes(codes));
        memcpy(there.low, blocks.low, n / SCAN_ROWS * codes_low_bytes(codes));
        memcpy(there.bits, blocks.bits, codes_bits_bytes(codes));
        memcpy(there.signs, blocks.signs, n * codes_sign_bytes(codes));
        for (size_t row = 0; row < n; row += SCAN_ROWS) {
            codes_encode(codes, segment->floats + (first + row) * codes->dim, row, &made);
        }
        for (size_t row = 0; row < n; row++) {
            if (!segment_is_live(segment, first + row)) { /* what those have means nothing */
                wipe_of_64(codes, &made, row);
                wipe_of_64(codes, &there, row);
            }
        }
        if (memcmp(room, room + bytes, bytes) != 0) {
            return first;
        }
    }
    return segment->capacity;
}

size_t segment_bytes(const struct segment *segment)
{
    const size_t n_blocks = segment->capacity / SCAN_ROWS;
    const size_t own = n_blocks * (codes_high_bytes(segment->codes) + codes_low_bytes(segment->codes)) +
                       segment_bits_blocks(segment->capacity) * codes_bits_bytes(segment->codes) +
                       segment->capacity * (codes_sign_bytes(segment->codes) + segment->codes->dim * sizeof(float) +
                                            sizeof *segment->ids);

    return sizeof *segment + (segment->mapped ? 0 : own) + 2 * n_blocks * sizeof(uint16_t);
}
