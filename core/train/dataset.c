/* dataset.c: a file of crops and labels, written once and mapped; and how a run chooses among them. */
#include "core/train/dataset.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/bytes.h"
#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/random.h"
#include "core/image/decode.h"

#define MAGIC "AFDATA01"
#define ENTRY_BYTES ((size_t)40)
#define FOOTER_BYTES ((size_t)24)
#define MOST_BYTES ((size_t)64 << 30)
#define MOST_CROP_BYTES ((size_t)4 << 20)

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

struct dataset_writer {
    FILE *file;
    char path[PATH_MAX];
    char temporary[PATH_MAX];
    unsigned char *table;
    size_t table_room; /* entries */
    size_t count;
    uint64_t offset; /* of the next crop */
    int side;
    int people; /* largest label + 1 */
};

static void put_le(unsigned char *at, uint64_t value, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++) {
        at[i] = (unsigned char)(value >> (8 * i));
    }
}

static enum err write_failed(const struct dataset_writer *writer, struct err_note *note)
{
    int saved = errno;
    return ERR_SAY(note, err_from_errno(saved), "cannot write %s: %s", writer->temporary, strerror(saved));
}

enum err dataset_create(const char *path, int side, struct dataset_writer **ret, struct err_note *note)
{
    struct dataset_writer *writer = MEM_NEW(struct dataset_writer);
    enum err err;

    if (writer == NULL) {
        return ERR_NOMEM;
    }
    writer->side = side;
    writer->offset = sizeof MAGIC - 1;
    if (snprintf(writer->path, PATH_MAX, "%s", path) >= PATH_MAX ||
        snprintf(writer->temporary, PATH_MAX, "%s.tmp", path) >= PATH_MAX) {
        mem_free(writer);
        return ERR_SAY(note, ERR_MISUSE, "the path of the data set is too long");
    }
    writer->file = fopen(writer->temporary, "wbe");
    if (writer->file == NULL) {
        err = write_failed(writer, note);
        mem_free(writer);
        return err;
    }
    if (fwrite(MAGIC, sizeof MAGIC - 1, 1, writer->file) != 1) {
        err = write_failed(writer, note);
        dataset_abandon(writer);
        return err;
    }
    *ret = writer;
    return ERR_NONE;
}

enum err dataset_add(struct dataset_writer *writer, const void *crop, size_t n_bytes, int label, int64_t id,
                     struct err_note *note)
{
    if (label < 0 || label == INT_MAX || n_bytes == 0 || n_bytes > MOST_CROP_BYTES) {
        return ERR_SAY(note, ERR_MISUSE, "a crop of %zu bytes with label %d does not belong in a data set", n_bytes,
                       label);
    }
    if (writer->count == writer->table_room) {
        size_t room = writer->table_room == 0 ? 1024 : 2 * writer->table_room;
        unsigned char *table = mem_resize(writer->table, room, ENTRY_BYTES);
        if (table == NULL) {
            return ERR_NOMEM;
        }
        writer->table = table;
        writer->table_room = room;
    }
    if (fwrite(crop, 1, n_bytes, writer->file) != n_bytes) {
        return write_failed(writer, note);
    }
    unsigned char *entry = writer->table + writer->count * ENTRY_BYTES;
    put_le(entry, (uint64_t)label, 4);
    put_le(entry + 4, hash_crc32c(0, crop, n_bytes), 4);
    put_le(entry + 8, (uint64_t)id, 8);
    put_le(entry + 16, writer->offset, 8);
    put_le(entry + 24, n_bytes, 8);
    writer->count++;
    writer->offset += n_bytes;
    writer->people = label + 1 > writer->people ? label + 1 : writer->people;
    return ERR_NONE;
}

static enum err check_labels(const struct dataset_writer *writer, struct err_note *note)
{
    int missing = -1;

    if (writer->count == 0) {
        return ERR_SAY(note, ERR_MISUSE, "the data set holds no crops");
    }
    if ((size_t)writer->people > writer->count) {
        return ERR_SAY(note, ERR_MISUSE, "the data set has %d labels and only %zu crops", writer->people,
                       writer->count);
    }
    unsigned char *seen = mem_new((size_t)writer->people, 1);
    if (seen == NULL) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < writer->count; i++) {
        struct bytes entry = bytes_over(writer->table + i * ENTRY_BYTES, ENTRY_BYTES);
        seen[bytes_u32le(&entry)] = 1;
    }
    for (int p = 0; p < writer->people && missing < 0; p++) {
        missing = seen[p] == 0 ? p : -1;
    }
    mem_free(seen);
    return missing < 0 ? ERR_NONE : ERR_SAY(note, ERR_MISUSE, "label %d has no crop", missing);
}

/* The table, and behind it the footer with the hash over both. */
static enum err write_end(struct dataset_writer *writer, struct err_note *note)
{
    size_t table_bytes = writer->count * ENTRY_BYTES;
    unsigned char *end = mem_resize(writer->table, table_bytes + FOOTER_BYTES + HASH_SHA256_BYTES, 1);

    if (end == NULL) {
        return ERR_NOMEM;
    }
    writer->table = end;
    put_le(end + table_bytes, writer->offset, 8);
    put_le(end + table_bytes + 8, writer->count, 8);
    put_le(end + table_bytes + 16, (uint64_t)writer->people, 4);
    put_le(end + table_bytes + 20, (uint64_t)writer->side, 4);
    hash_sha256(end, table_bytes + FOOTER_BYTES, end + table_bytes + FOOTER_BYTES);
    size_t bytes = table_bytes + FOOTER_BYTES + HASH_SHA256_BYTES;
    if (fwrite(end, 1, bytes, writer->file) != bytes || fflush(writer->file) != 0 || fsync(fileno(writer->file)) != 0) {
        return write_failed(writer, note);
    }
    return ERR_NONE;
}

enum err dataset_finish(struct dataset_writer *take, struct err_note *note)
{
    enum err err = check_labels(take, note);

    if (err == ERR_NONE) {
        err = write_end(take, note);
    }
    if (err == ERR_NONE && rename(take->temporary, take->path) != 0) {
        err = write_failed(take, note);
    }
    if (err != ERR_NONE) {
        dataset_abandon(take);
        return err;
    }
    (void)fclose(take->file); /* synced already */
    mem_free(take->table);
    mem_free(take);
    return ERR_NONE;
}

void dataset_abandon(struct dataset_writer *take)
{
    if (take != NULL) {
        (void)fclose(take->file);
        (void)unlink(take->temporary);
        mem_free(take->table);
        mem_free(take);
    }
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

struct entry {
    int label;
    uint32_t crc;
    int64_t id;
    uint64_t offset;
    uint64_t n_bytes;
};

struct dataset {
    const unsigned char *file;
    size_t bytes;
    size_t table_at;
    int count;
    int people;
    int side;
    unsigned char hash[HASH_SHA256_BYTES];
};

static struct entry entry_of(const struct dataset *dataset, int i)
{
    struct bytes reader = bytes_over(dataset->file + dataset->table_at + (size_t)i * ENTRY_BYTES, ENTRY_BYTES);
    struct entry entry = {.label = (int)bytes_u32le(&reader)};

    entry.crc = bytes_u32le(&reader);
    entry.id = (int64_t)bytes_u64le(&reader);
    entry.offset = bytes_u64le(&reader);
    entry.n_bytes = bytes_u64le(&reader);
    return entry;
}

/* Checks the end of the file against its hash, and every entry against the file. */
static bool read_table(struct dataset *dataset)
{
    size_t head = sizeof MAGIC - 1;
    size_t tail = FOOTER_BYTES + HASH_SHA256_BYTES;

    if (dataset->bytes < head + tail || memcmp(dataset->file, MAGIC, head) != 0) {
        return false;
    }
    struct bytes footer = bytes_over(dataset->file + dataset->bytes - tail, FOOTER_BYTES);
    uint64_t table_at = bytes_u64le(&footer);
    uint64_t count = bytes_u64le(&footer);
    uint32_t people = bytes_u32le(&footer);
    uint32_t side = bytes_u32le(&footer);
    if (table_at < head || table_at > dataset->bytes - tail || count > INT_MAX || people > INT_MAX || side > 4096 ||
        (dataset->bytes - tail - table_at) != count * ENTRY_BYTES) {
        return false;
    }
    unsigned char hash[HASH_SHA256_BYTES];
    hash_sha256(dataset->file + table_at, (size_t)count * ENTRY_BYTES + FOOTER_BYTES, hash);
    if (memcmp(hash, dataset->file + dataset->bytes - HASH_SHA256_BYTES, HASH_SHA256_BYTES) != 0) {
        return false;
    }
    memcpy(dataset->hash, hash, sizeof hash);
    dataset->table_at = (size_t)table_at;
    dataset->count = (int)count;
    dataset->people = (int)people;
    dataset->side = (int)side;
    for (int i = 0; i < dataset->count; i++) {
        struct entry entry = entry_of(dataset, i);
        if (entry.label < 0 || entry.label >= dataset->people || entry.offset < head || entry.offset > table_at ||
            entry.n_bytes > table_at - entry.offset) {
            return false;
        }
    }
    return true;
}

enum err dataset_open(const char *path, struct dataset **ret, struct err_note *note)
{
    struct dataset *dataset = MEM_NEW(struct dataset);

    if (dataset == NULL) {
        return ERR_NOMEM;
    }
    enum err err = file_map(path, MOST_BYTES, &dataset->file, &dataset->bytes, note);
    if (err == ERR_NONE && !read_table(dataset)) {
        err = ERR_SAY(note, ERR_CORRUPT, "%s is not a whole data set", path);
    }
    if (err != ERR_NONE) {
        dataset_close(dataset);
        return err;
    }
    *ret = dataset;
    return ERR_NONE;
}

void dataset_close(struct dataset *dataset)
{
    if (dataset != NULL) {
        file_unmap(dataset->file, dataset->bytes);
        mem_free(dataset);
    }
}

int dataset_count(const struct dataset *dataset)
{
    return dataset->count;
}

int dataset_people(const struct dataset *dataset)
{
    return dataset->people;
}

int dataset_side(const struct dataset *dataset)
{
    return dataset->side;
}

int dataset_label(const struct dataset *dataset, int i)
{
    return entry_of(dataset, i).label;
}

int64_t dataset_id(const struct dataset *dataset, int i)
{
    return entry_of(dataset, i).id;
}

const unsigned char *dataset_hash(const struct dataset *dataset)
{
    return dataset->hash;
}

const unsigned char *dataset_bytes(const struct dataset *dataset, int i, size_t *ret_bytes)
{
    struct entry entry = entry_of(dataset, i);

    *ret_bytes = (size_t)entry.n_bytes;
    return dataset->file + entry.offset;
}

enum err dataset_crop(const struct dataset *dataset, int i, struct arena *mem, struct image *ret, struct err_note *note)
{
    struct entry entry = entry_of(dataset, i);
    struct image_limits limits = image_limits_default();
    struct image crop;

    if (hash_crc32c(0, dataset->file + entry.offset, (size_t)entry.n_bytes) != entry.crc) {
        return ERR_SAY(note, ERR_CORRUPT, "crop %d (id %" PRId64 ") of the data set is damaged", i, entry.id);
    }
    enum err err = image_decode(dataset->file + entry.offset, (size_t)entry.n_bytes, &limits, mem, &crop, note);
    if (err != ERR_NONE) {
        err_prefix(note, "crop %d (id %" PRId64 ") of the data set: ", i, entry.id);
        return err == ERR_LIMIT || err == ERR_NOMEM ? err : ERR_CORRUPT;
    }
    if (crop.width != dataset->side || crop.height != dataset->side) {
        return ERR_SAY(note, ERR_CORRUPT, "crop %d (id %" PRId64 ") is %d × %d, the data set's side is %d", i, entry.id,
                       crop.width, crop.height, dataset->side);
    }
    *ret = crop;
    return ERR_NONE;
}

/* ---- Choosing ---------------------------------------------------------------------------------------------------- */

/* Fisher and Yates. */
static void shuffle(int *list, int n, struct random *random)
{
    for (int i = n - 1; i > 0; i--) {
        int j = (int)random_below(random, (uint64_t)i + 1);
        int kept = list[i];
        list[i] = list[j];
        list[j] = kept;
    }
}

int split_people(const int *label, int n, int people, double share, int least_photos, uint64_t seed,
                 unsigned char *held_out)
{
    struct random random = random_seeded(seed, 0);
    int able = 0;
    int chosen = 0;

    memset(held_out, 0, (size_t)people);
    for (int i = 0; i < n; i++) { /* counts up to least_photos in place */
        held_out[label[i]] += held_out[label[i]] < least_photos ? 1 : 0;
    }
    for (int p = 0; p < people; p++) {
        held_out[p] = held_out[p] >= least_photos;
        able += held_out[p];
    }
    int wanted = (int)(share * able + .5);
    for (int p = 0; p < people; p++) {
        if (held_out[p] == 0) {
            continue;
        }
        /* selection sampling: (still wanted) of (still to come) */
        held_out[p] = random_below(&random, (uint64_t)able) < (uint64_t)(wanted - chosen);
        chosen += held_out[p];
        able--;
    }
    return chosen;
}

static enum err balanced_order(const int *label, int n, int people, struct random *random, struct arena *mem, int *ret)
{
    int *first = ARENA_ARRAY(mem, int, people + 1);
    int *photos = first == NULL ? NULL : ARENA_ARRAY(mem, int, n);
    int *turn = photos == NULL ? NULL : ARENA_ARRAY(mem, int, people);
    int *taken = turn == NULL ? NULL : ARENA_ARRAY(mem, int, people);
    int present = 0;
    int done = 0;

    if (taken == NULL) {
        return arena_why(mem);
    }
    for (int i = 0; i < n; i++) {
        first[label[i] + 1]++;
    }
    for (int p = 0; p < people; p++) {
        if (first[p + 1] > 0) {
            turn[present++] = p;
        }
        first[p + 1] += first[p];
    }
    for (int i = 0; i < n; i++) {
        photos[first[label[i]] + taken[label[i]]++] = i;
    }
    for (int p = 0; p < people; p++) {
        shuffle(photos + first[p], first[p + 1] - first[p], random);
        taken[p] = 0;
    }
    while (done < n) {
        shuffle(turn, present, random);
        for (int k = 0; k < present && done < n; k++) {
            int p = turn[k];
            int own = first[p + 1] - first[p];
            ret[done++] = photos[first[p] + taken[p]++ % own];
        }
    }
    return ERR_NONE;
}

enum err epoch_order(const int *label, int n, int people, int balanced, uint64_t seed, long epoch, struct arena *mem,
                     int *ret)
{
    struct random random = random_seeded(seed, (uint64_t)epoch + 1);

    if (balanced != 0) {
        return balanced_order(label, n, people, &random, mem, ret);
    }
    for (int i = 0; i < n; i++) {
        ret[i] = i;
    }
    shuffle(ret, n, &random);
    return ERR_NONE;
}
