/* checkpoint.c: framed, checksummed files of a training run's state. */
#include "core/train/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/bytes.h"
#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/size.h"

#define MAGIC "AFCHKPT1"
#define VERSION 1U
#define HEADER_BYTES ((size_t)8 + 4 + 4 + 8 + HASH_SHA256_BYTES)
#define ENTRY_BYTES ((size_t)CHECKPOINT_NAME_BYTES + 8)
#define KEPT 2
#define MOST_FILES 64
#define MOST_BYTES ((size_t)8 << 30)

/* ---- Names ------------------------------------------------------------------------------------------------------- */

static int path_of(char path[PATH_MAX], const char *folder, uint64_t step)
{
    return snprintf(path, PATH_MAX, "%s/checkpoint-%012" PRIu64, folder, step);
}

static int falling_step(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x < y) - (x > y);
}

/* The steps of the checkpoints in a folder, newest first. */
static enum err list_steps(const char *folder, uint64_t steps[MOST_FILES], int *ret_count, struct err_note *note)
{
    DIR *listing = opendir(folder);
    int count = 0;

    if (listing == NULL) {
        int saved = errno;
        return ERR_SAY(note, err_from_errno(saved), "cannot list %s: %s", folder, strerror(saved));
    }
    for (struct dirent *entry = readdir(listing); entry != NULL && count < MOST_FILES; entry = readdir(listing)) {
        static const char front[] = "checkpoint-";
        char *end = NULL;
        if (strncmp(entry->d_name, front, sizeof front - 1) != 0) {
            continue;
        }
        uint64_t step = strtoull(entry->d_name + sizeof front - 1, &end, 10);
        if (*end == '\0') { /* not a temporary file of a write that was cut off */
            steps[count++] = step;
        }
    }
    (void)closedir(listing);
    qsort(steps, (size_t)count, sizeof *steps, falling_step);
    *ret_count = count;
    return ERR_NONE;
}

static enum err remove_from(const char *folder, int first, struct err_note *note)
{
    uint64_t steps[MOST_FILES];
    char path[PATH_MAX];
    int count = 0;
    enum err err = list_steps(folder, steps, &count, note);

    for (int i = first; err == ERR_NONE && i < count; i++) {
        (void)path_of(path, folder, steps[i]);
        err = file_remove(path, note);
    }
    return err;
}

enum err checkpoint_clear(const char *folder, struct err_note *note)
{
    return remove_from(folder, 0, note);
}

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

static unsigned char *put(unsigned char *at, const void *bytes, size_t n_bytes)
{
    if (n_bytes > 0) {
        memcpy(at, bytes, n_bytes);
    }
    return at + n_bytes;
}

static unsigned char *put_le(unsigned char *at, uint64_t value, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++) {
        *at++ = (unsigned char)(value >> (8 * i));
    }
    return at;
}

static enum err check_blocks(const struct checkpoint_block *blocks, int n_blocks, size_t *ret_bytes)
{
    size_t bytes = HEADER_BYTES + HASH_SHA256_BYTES;

    if (n_blocks < 1 || n_blocks > CHECKPOINT_MOST_BLOCKS) {
        return ERR_MISUSE;
    }
    for (int i = 0; i < n_blocks; i++) {
        size_t len = strlen(blocks[i].name);
        if (len < 1 || len >= CHECKPOINT_NAME_BYTES || !size_add(bytes, ENTRY_BYTES, &bytes) ||
            !size_add(bytes, blocks[i].n_bytes, &bytes) || bytes > MOST_BYTES) {
            return ERR_MISUSE;
        }
    }
    *ret_bytes = bytes;
    return ERR_NONE;
}

enum err checkpoint_save(const char *folder, const unsigned char run_hash[HASH_SHA256_BYTES], uint64_t step,
                         const struct checkpoint_block *blocks, int n_blocks, struct err_note *note)
{
    char path[PATH_MAX];
    size_t bytes = 0;
    enum err err = check_blocks(blocks, n_blocks, &bytes);

    if (err != ERR_NONE || path_of(path, folder, step) >= PATH_MAX) {
        return ERR_SAY(note, ERR_MISUSE, "the blocks or the folder of a checkpoint are not valid");
    }
    unsigned char *file = mem_new(bytes, 1);
    if (file == NULL) {
        return ERR_SAY(note, ERR_NOMEM, "no memory for a checkpoint of %zu bytes", bytes);
    }
    unsigned char *at = put(file, MAGIC, 8);
    at = put_le(at, VERSION, 4);
    at = put_le(at, (uint64_t)n_blocks, 4);
    at = put_le(at, step, 8);
    at = put(at, run_hash, HASH_SHA256_BYTES);
    for (int i = 0; i < n_blocks; i++) {
        (void)put(at, blocks[i].name, strlen(blocks[i].name)); /* the rest of the name's place is zero already */
        at = put_le(at + CHECKPOINT_NAME_BYTES, blocks[i].n_bytes, 8);
    }
    for (int i = 0; i < n_blocks; i++) {
        at = put(at, blocks[i].bytes, blocks[i].n_bytes);
    }
    hash_sha256(file, (size_t)(at - file), at);
    err = file_write(path, file, bytes, note);
    mem_free(file);
    if (err == ERR_NONE) {
        err = remove_from(folder, KEPT, note);
    }
    return err;
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

/* Whether a file is a whole checkpoint: its own length and checksum. */
static bool is_whole(const unsigned char *file, size_t bytes)
{
    unsigned char sum[HASH_SHA256_BYTES];

    if (bytes < HEADER_BYTES + HASH_SHA256_BYTES || memcmp(file, MAGIC, 8) != 0) {
        return false;
    }
    hash_sha256(file, bytes - HASH_SHA256_BYTES, sum);
    return memcmp(sum, file + bytes - HASH_SHA256_BYTES, HASH_SHA256_BYTES) == 0;
}

/* Copies a whole file's blocks to the caller, if it is of this run and holds just these. */
static enum err take_blocks(const unsigned char *file, size_t bytes, const unsigned char run_hash[HASH_SHA256_BYTES],
                            struct checkpoint_block *blocks, int n_blocks, uint64_t *ret_step, struct err_note *note)
{
    struct bytes reader = bytes_over(file + 8, bytes - 8 - HASH_SHA256_BYTES);
    uint32_t version = bytes_u32le(&reader);
    uint32_t count = bytes_u32le(&reader);
    uint64_t step = bytes_u64le(&reader);
    const unsigned char *hash = bytes_take(&reader, HASH_SHA256_BYTES);

    if (version != VERSION) {
        return ERR_SAY(note, ERR_CONFLICT, "the checkpoint has format %" PRIu32 ", this program reads %u", version,
                       VERSION);
    }
    if (hash == NULL || memcmp(hash, run_hash, HASH_SHA256_BYTES) != 0) {
        return ERR_SAY(note, ERR_CONFLICT, "the checkpoint belongs to a run on other data or with other options");
    }
    bool fits = count == (uint32_t)n_blocks;
    for (int i = 0; fits && i < n_blocks; i++) {
        const unsigned char *name = bytes_take(&reader, CHECKPOINT_NAME_BYTES);
        uint64_t len = bytes_u64le(&reader);
        fits = name != NULL && strncmp((const char *)name, blocks[i].name, CHECKPOINT_NAME_BYTES) == 0 &&
               len == blocks[i].n_bytes;
    }
    const unsigned char *content[CHECKPOINT_MOST_BLOCKS];
    for (int i = 0; fits && i < n_blocks; i++) {
        content[i] = bytes_take(&reader, blocks[i].n_bytes);
        fits = content[i] != NULL;
    }
    if (!fits || reader.left != 0) {
        return ERR_SAY(note, ERR_CONFLICT, "the checkpoint holds other blocks than this run");
    }
    for (int i = 0; i < n_blocks; i++) {
        (void)put(blocks[i].bytes, content[i], blocks[i].n_bytes);
    }
    *ret_step = step;
    return ERR_NONE;
}

enum err checkpoint_load(const char *folder, const unsigned char run_hash[HASH_SHA256_BYTES],
                         struct checkpoint_block *blocks, int n_blocks, uint64_t *ret_step, struct err_note *note)
{
    uint64_t steps[MOST_FILES];
    char path[PATH_MAX];
    size_t unused = 0;
    int count = 0;

    if (check_blocks(blocks, n_blocks, &unused) != ERR_NONE) {
        return ERR_SAY(note, ERR_MISUSE, "the blocks of a checkpoint are not valid");
    }
    enum err err = list_steps(folder, steps, &count, note);
    if (err != ERR_NONE) {
        return err;
    }
    for (int i = 0; i < count; i++) {
        unsigned char *file = NULL;
        size_t bytes = 0;
        (void)path_of(path, folder, steps[i]);
        err = file_read(path, MOST_BYTES, &file, &bytes, note);
        if (err != ERR_NONE) {
            return err;
        }
        bool whole = is_whole(file, bytes);
        if (whole) {
            err = take_blocks(file, bytes, run_hash, blocks, n_blocks, ret_step, note);
        }
        mem_free(file);
        if (whole) {
            return err;
        }
    }
    if (count == 0) {
        return ERR_SAY(note, ERR_NOT_FOUND, "there is no checkpoint in %s", folder);
    }
    return ERR_SAY(note, ERR_CORRUPT, "none of the %d checkpoints in %s is whole", count, folder);
}
