/*
 * checkpoint.h: the state of a training run on disk, so that it goes on exactly where it stopped.
 *
 * A checkpoint is a few named blocks of bytes (weights, optimiser state, the run's own counters) under a header with magic,
 * version, the hash of what is being trained on what, the step, and a SHA-256 over everything.  It is written beside
 * the last one and renamed, and the last two are kept: one that is damaged or half written is passed over for the one before.
 *
 * File: "AFCHKPT1" · u32 version · u32 blocks · u64 step · 32 bytes run hash · per block: 32 bytes name (zero padded), u64 length · the
 * blocks' bytes in order · 32 bytes SHA-256 of all before.  Little-endian; floats as they lie in memory (IEEE 754).
 * One thread per folder.
 */
#ifndef CORE_TRAIN_CHECKPOINT_H
#define CORE_TRAIN_CHECKPOINT_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/arena.h"
#include "core/base/err.h"
#include "core/base/hash.h"

#define CHECKPOINT_MOST_BLOCKS 16
#define CHECKPOINT_NAME_BYTES 32

struct checkpoint_block {
    const char *name; /* 1 .. 31 bytes */
    void *bytes;
    size_t n_bytes;
};

/*
 * Writes the checkpoint of a step into a folder that exists, then removes all but the last two.
 * Errors: ERR_MISUSE a name or the number of blocks; ERR_NO_SPACE, ERR_DENIED, ERR_IO (those before are untouched); ERR_NOMEM.
 */
MUST_CHECK enum err checkpoint_save(const char *folder, const unsigned char run_hash[HASH_SHA256_BYTES], uint64_t step,
                                    const struct checkpoint_block *blocks, int n_blocks, struct err_note *note);

/*
 * Reads the newest checkpoint that is whole and belongs to this run into the caller's blocks, whose names and lengths must be
 * those of the file.
 * Errors: ERR_NOT_FOUND there is none; ERR_CORRUPT there are some, but none whole; ERR_CONFLICT a whole one belongs to another
 *         run (other data, options or network) or holds other blocks; ERR_NOMEM, ERR_IO.  The caller's blocks are then untouched.
 */
MUST_CHECK enum err checkpoint_load(const char *folder, const unsigned char run_hash[HASH_SHA256_BYTES],
                                    struct checkpoint_block *blocks, int n_blocks, uint64_t *ret_step,
                                    struct err_note *note);

/* Removes all checkpoints of a folder. */
MUST_CHECK enum err checkpoint_clear(const char *folder, struct err_note *note);

#endif
