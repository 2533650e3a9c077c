/*
 * index_files.c: an index that keeps its full segments as files.
 *
 * A file is written in short turns under the lock of changes, so that what is removed meanwhile is overwritten in the file like
 * anywhere else: either it was written before and is overwritten now, or it is zeros in memory when its turn comes.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/point.h"
#include "index/index_private.h"
#include "index/segment_file.h"

/* ---- The folder -------------------------------------------------------------------------------------------------- */

static bool ends_with(const char *name, const char *end)
{
    const size_t n = strlen(name);
    const size_t n_end = strlen(end);

    return n > n_end && strcmp(name + n - n_end, end) == 0;
}

enum err index_each_file(const char *folder, void (*visit)(void *context, const char *path, bool ready), void *context,
                         struct err_note *note)
{
    DIR *entries = opendir(folder);
    char path[PATH_MAX];

    if (entries == NULL) {
        return ERR_SAY(note, err_from_errno(errno), "cannot read the folder %s: %s", folder, strerror(errno));
    }
    for (const struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
        const bool ready = ends_with(entry->d_name, SEGMENT_FILE_SUFFIX);
        if ((ready || ends_with(entry->d_name, SEGMENT_FILE_SUFFIX SEGMENT_FILE_UNREADY)) &&
            snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) < (int)sizeof path) {
            visit(context, path, ready);
        }
    }
    (void)closedir(entries);
    return ERR_NONE;
}

struct destroying {
    enum err err;
    struct err_note *note;
};

static void destroy_one(void *context, const char *path, bool ready)
{
    struct destroying *destroying = context;
    (void)ready;
    enum err err = segment_file_destroy_path(path, destroying->note);
    destroying->err = destroying->err == ERR_NONE ? err : destroying->err;
}

enum err index_files_destroy(const char *folder, struct err_note *note)
{
    struct destroying destroying = {.note = note};

    if (access(folder, F_OK) != 0 && errno == ENOENT) {
        return ERR_NONE;
    }
    enum err err = index_each_file(folder, destroy_one, &destroying, note);
    if (err != ERR_NONE || destroying.err != ERR_NONE) {
        return err != ERR_NONE ? err : destroying.err;
    }
    return rmdir(folder) == 0 ? ERR_NONE
                              : ERR_SAY(note, err_from_errno(errno), "cannot remove %s: %s", folder, strerror(errno));
}

/* ---- Comparing --------------------------------------------------------------------------------------------------- */

/* With changing held.  Shapes: seen [n_slots, SEGMENT_MAX_ROWS] bits. */
static void find_missing(struct index *index, const int64_t *ids, size_t n, uint8_t *seen, int64_t *ret_missing,
                         size_t *ret_n_missing)
{
    size_t n_missing = 0;

    for (size_t i = 0; i < n; i++) {
        size_t location;
        if (id_map_find(&index->map, ids[i], &location)) {
            seen[location / 8] |= (uint8_t)(1U << location % 8);
        } else {
            ret_missing[n_missing++] = ids[i];
        }
    }
    *ret_n_missing = n_missing;
}

static size_t find_unseen(const struct index *index, const uint8_t *seen, int64_t *ret)
{
    size_t n = 0;

    for (size_t slot = 0; slot < index->n_slots; slot++) {
        const struct segment *segment = index->slots[slot];
        for (size_t row = 0; segment != NULL && row < segment->rows; row++) {
            size_t location = index_location(slot, row);
            if (segment_is_live(segment, row) && (seen[location / 8] >> location % 8 & 1U) == 0) {
                ret[n++] = segment->ids[row];
            }
        }
    }
    return n;
}

enum err index_reconcile(struct index *index, const int64_t *ids, size_t n, int64_t *ret_missing, size_t *ret_n_missing,
                         struct err_note *note)
{
    size_t n_missing = 0;
    size_t n_gone = 0;

    index_lock_changing(index);
    uint8_t *seen = mem_new(index->n_slots + 1, SEGMENT_MAX_ROWS / 8);
    int64_t *gone = MEM_ARRAY(int64_t, index->map.count + 1);
    bool room = seen != NULL && gone != NULL;
    if (room) {
        find_missing(index, ids, n, seen, ret_missing, &n_missing);
        n_gone = find_unseen(index, seen, gone);
    }
    index_unlock_changing(index);
    enum err err = room ? index_remove(index, gone, n_gone, NULL, note)
                        : ERR_SAY(note, ERR_NOMEM, "no memory to compare %zu ids", n);
    mem_free(seen);
    mem_free(gone);
    if (err == ERR_NONE) {
        *ret_n_missing = n_missing;
    }
    return err;
}

enum err index_check_codes(struct index *index, struct err_note *note)
{
    uint8_t *room = mem_new(1, segment_wrong_codes_room(&index->codes));
    enum err err = room == NULL ? ERR_SAY(note, ERR_NOMEM, "no memory to compare codes") : ERR_NONE;

    index_lock_changing(index);
    for (size_t slot = 0; slot < index->n_slots && err == ERR_NONE; slot++) {
        const struct segment *segment = index->slots[slot];
        size_t row = segment == NULL ? 0 : segment_wrong_codes(segment, room);
        if (segment != NULL && row < segment->capacity) {
            err = ERR_SAY(note, ERR_CORRUPT, "codes from row %zu on of %s are not those of its vectors", row,
                          segment->file == NULL ? "a segment in memory" : segment->file->path);
        }
    }
    index_unlock_changing(index);
    mem_free_wiped(room);
    return err;
}

/* ---- Saving ------------------------------------------------------------------------------------------------------ */

/* index_flush will not see it any more, and a name that was taken away comes back with lost power. */
static void flush_before_leaving(struct segment_file *file)
{
    if (segment_file_wants_flush(file) && segment_file_sync(file, NULL) != ERR_NONE) {
        segment_file_unlink(file);
    }
}

void index_retire_file(struct index *index, struct segment *segment)
{
    struct segment_file *file = segment == NULL ? NULL : segment->file;

    if (file != NULL) {
        flush_before_leaving(file);
        segment_file_unlink(file);
        point_reached("rewrite.retired");
        segment->file = NULL;
        file->next = index->retired;
        index->retired = file;
    }
}

static void overwrite_retired(struct index *index)
{
    index_lock_changing(index);
    struct segment_file *file = index->retired;
    index->retired = NULL;
    index_unlock_changing(index);
    while (file != NULL) {
        struct segment_file *next = file->next;
        segment_file_close(file);
        file = next;
    }
}

bool index_is_rewritten(const struct index *index, size_t slot)
{
    for (size_t i = 0; i < index->rewrite.n; i++) {
        if (index->rewrite.slots[i] == slot) {
            return true;
        }
    }
    return false;
}

/* With changing held: a full segment that has no file, or NULL. */
static struct segment *next_to_save(const struct index *index)
{
    for (size_t slot = 0; slot < index->n_slots && index->keeps_files; slot++) {
        struct segment *segment = index->slots[slot];
        if (segment != NULL && segment->file == NULL && segment->rows > segment->dead &&
            (slot != index->tail || segment->rows == index->segment_rows) && !index_is_rewritten(index, slot)) {
            return segment;
        }
    }
    return NULL;
}

bool index_wants_saving(struct index *index)
{
    index_lock_changing(index);
    bool wants = index->retired != NULL || next_to_save(index) != NULL;
    index_unlock_changing(index);
    return wants;
}

/* One turn after another.  Nobody else touches the file but whoever removes, and that under the same lock. */
static enum err write_file(struct index *index, struct segment *segment, struct segment_file *file,
                           struct err_note *note)
{
    enum err err = ERR_NONE;
    bool done = false;

    while (err == ERR_NONE && !done) {
        index_lock_changing(index);
        err = index->keeps_files ? segment_file_write(file, segment, &done, note) : ERR_CANCELLED;
        if (err == ERR_NONE && done) {
            err = segment_file_finish(file, segment, index->files.owner, note);
            file->unsynced =
                false; /* by the flush below; what is removed from now on is flushed before the file has its name */
        }
        index_unlock_changing(index);
        (void)sched_yield();
    }
    return err == ERR_NONE ? segment_file_flush(file, note) : err;
}

/* With changing held: a saved segment gives way to one that is read from its file; *ret is the old one, to be freed when the
 * lock is given back, because overwriting its memory takes a while.  Without memory nothing changes. */
static void map_saved(struct index *index, struct segment *segment, struct segment **ret)
{
    struct segment *mapped = NULL;

    if (!views_reserve(&index->views, index->n_slots) || segment_to_file(segment, &mapped, NULL) != ERR_NONE) {
        return;
    }
    for (size_t slot = 0; slot < index->n_slots; slot++) {
        index->slots[slot] = index->slots[slot] == segment ? mapped : index->slots[slot];
    }
    /* The rows are the same, and what was or is being made of them goes with them. */
    mapped->accelerator = segment->accelerator;
    index->building = index->building == segment ? mapped : index->building;
    index_show(index);
    views_wait(&index->views);
    segment->accelerator = NULL;
    *ret = segment;
}

static enum err save_one(struct index *index, struct segment *segment, struct err_note *note)
{
    struct segment_file *file = NULL;
    struct segment *outlived = NULL;
    struct index_moment moment = {{0}};

    enum err err = index->files.now(index->files.context, &moment, note);
    if (err == ERR_NONE) {
        err = folder_make(index->files.folder, note);
    }
    if (err == ERR_NONE) {
        err = segment_file_create(index->files.folder, segment, &moment, &file, note);
    }
    if (err == ERR_NONE) {
        index_lock_changing(index);
        segment->file = file;
        index_unlock_changing(index);
        point_reached("index.file.begun");
        err = write_file(index, segment, file, note);
    }
    point_reached("index.file.written");
    index_lock_changing(index);
    segment->saving = false;
    if (err == ERR_NONE) {
        err = !index->keeps_files ? ERR_CANCELLED : file->unsynced ? segment_file_sync(file, note) : ERR_NONE;
    }
    if (err == ERR_NONE) {
        err = segment_file_seal(file, note);
    }
    if (err != ERR_NONE) {
        segment->file = NULL;
    } else if (index->files.map_saved) {
        map_saved(index, segment, &outlived);
    }
    index_unlock_changing(index);
    segment_free(outlived);
    if (err == ERR_NONE) {
        point_reached("index.file.named");
        return folder_sync(index->files.folder, note);
    }
    if (file != NULL) {
        segment_file_unlink(file);
        segment_file_close(file);
    }
    return err;
}

enum err index_save(struct index *index, struct err_note *note)
{
    enum err err = ERR_NONE;
    struct segment *segment = NULL;

    int failed = pthread_mutex_lock(&index->saving);
    assert(failed == 0);
    (void)failed;
    overwrite_retired(index);
    do {
        index_lock_changing(index);
        segment = next_to_save(index);
        if (segment != NULL) {
            segment->saving = true;
        }
        index_unlock_changing(index);
        if (segment != NULL) {
            err = save_one(index, segment, note);
        }
    } while (err == ERR_NONE && segment != NULL);
    (void)pthread_mutex_unlock(&index->saving);
    return err == ERR_CANCELLED ? ERR_NONE : err;
}

void index_close_files(struct index *index, bool remove)
{
    index_lock_changing(index);
    index->keeps_files = false;
    for (size_t slot = 0; slot < index->n_slots; slot++) {
        struct segment_file *file = index->slots[slot] == NULL ? NULL : index->slots[slot]->file;
        if (file == NULL) {
            continue;
        }
        flush_before_leaving(file);
        if (remove) {
            segment_file_unlink(file);
        } else if (file->sealed) {
            file->left = true;
        }
    }
    index_unlock_changing(index);
}

void index_files_release(struct index *index)
{
    overwrite_retired(index);
    mem_free((char *)(uintptr_t)index->files.folder);
}
