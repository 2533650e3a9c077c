/*
 * dataset.h: crops and labels, frozen in one file, for a training run that may outlive its caller.
 *
 * The file holds each crop as it was encoded (any format that image_decode reads), its label, an id of the caller's (a face's row,
 * for reports) and a CRC-32C; it knows no names.  It is written once and then only mapped.
 *
 * File: "AFDATA01" · the crops' bytes · the table, 40 bytes a crop: u32 label, u32 CRC-32C, i64 id, u64 offset, u64 length, u64 zero ·
 * u64 table offset · u64 crops · u32 people · u32 side · 32 bytes SHA-256 of the table and these four.  Little-endian.
 */
#ifndef CORE_TRAIN_DATASET_H
#define CORE_TRAIN_DATASET_H

#include <stdint.h>

#include "core/base/hash.h"
#include "core/image/image.h"

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

struct dataset_writer;

/* Begins a file (under a temporary name until dataset_finish).  Errors: ERR_DENIED, ERR_NOT_FOUND, ERR_NO_SPACE, ERR_IO, ERR_NOMEM. */
MUST_CHECK enum err dataset_create(const char *path, int side, struct dataset_writer **ret, struct err_note *note);

/* Adds an encoded crop of side × side (not decoded here).  label ≥ 0.  Errors: ERR_MISUSE, ERR_NO_SPACE, ERR_IO, ERR_NOMEM. */
MUST_CHECK enum err dataset_add(struct dataset_writer *writer, const void *crop, size_t n_bytes, int label, int64_t id,
                                struct err_note *note);

/* Writes the table, syncs and renames.  Labels must be 0 .. people-1, each with at least one crop.  The writer is gone afterwards, also on
 * error.  Errors: ERR_MISUSE no crops, or a label without one; ERR_NO_SPACE, ERR_IO. */
MUST_CHECK enum err dataset_finish(struct dataset_writer *take, struct err_note *note);

/* Gives up: removes the temporary file.  NULL does nothing. */
void dataset_abandon(struct dataset_writer *take);

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

struct dataset;

/* Errors: ERR_NOT_FOUND; ERR_CORRUPT not a whole data set; ERR_NOMEM, ERR_IO. */
MUST_CHECK enum err dataset_open(const char *path, struct dataset **ret, struct err_note *note);
void dataset_close(struct dataset *dataset);

int dataset_count(const struct dataset *dataset);
int dataset_people(const struct dataset *dataset);
int dataset_side(const struct dataset *dataset);
int dataset_label(const struct dataset *dataset, int i);
int64_t dataset_id(const struct dataset *dataset, int i);
const unsigned char *dataset_hash(const struct dataset *dataset); /* HASH_SHA256_BYTES: what it is, for checkpoints */

/* Crop i as it is encoded.  It may be damaged: only dataset_crop looks. */
const unsigned char *dataset_bytes(const struct dataset *dataset, int i, size_t *ret_bytes);

/*
 * Decodes crop i.  Any thread.
 * Owns: *ret is carved from mem.  Errors: ERR_CORRUPT the bytes changed, or are not a crop of this side; ERR_LIMIT, ERR_NOMEM.
 */
MUST_CHECK enum err dataset_crop(const struct dataset *dataset, int i, struct arena *mem, struct image *ret,
                                 struct err_note *note);

/* ---- Choosing ---------------------------------------------------------------------------------------------------- */

/*
 * Splits people into those to train on and those held out: held_out[p] is set for about share of the people with at least
 * least_photos photos (only they can be measured).  Returns how many were held out.  A function of the seed.
 * Shapes: label [n]; held_out [people].
 */
int split_people(const int *label, int n, int people, double share, int least_photos, uint64_t seed,
                 unsigned char *held_out);

/*
 * The order of an epoch: every chosen item once, shuffled; or, balanced, as many draws as there are items, people taking turns in
 * shuffled rounds and each person's photos in shuffled order.  A function of (seed, epoch).
 * Shapes: label [n] of the chosen items; ret [n] positions among them.
 * Errors: ERR_LIMIT, ERR_NOMEM.
 */
MUST_CHECK enum err epoch_order(const int *label, int n, int people, int balanced, uint64_t seed, long epoch,
                                struct arena *mem, int *ret);

#endif
