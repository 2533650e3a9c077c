/*
 * index_load.c: an index takes over what files hold.
 *
 * Every byte is checked before one is believed, which is most of the work and what threads share; then the files are taken one
 * after another, as the folder lists them.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cpu.h"
#include "core/base/mem.h"
#include "core/base/pool.h"
#include "index/index_private.h"
#include "index/segment_file.h"

/* A file of the folder, and what opening it gave. */
struct candidate {
    char *path;
    bool ready; /* it has its last name */
    struct segment_file *file;
    uint8_t rotation[CODES_MAX_ROTATION_BYTES];
    enum err err;
    struct err_note note;
};

struct loading {
    struct index *index;
    const struct index_files *files;
    struct candidate *candidates;
    size_t n_candidates;
    struct index_load_report report;
    bool has_signs;
    uint8_t rotation[CODES_MAX_ROTATION_BYTES]; /* of the first file that was taken */
    enum err err;
    struct err_note *note;
};

/* ---- Opening ------------------------------------------------------------------------------------------------------ */

static void gather(void *context, const char *path, bool ready)
{
    struct loading *loading = context;

    if (loading->err != ERR_NONE) {
        return;
    }
    struct candidate *more = mem_resize(loading->candidates, loading->n_candidates + 1, sizeof *more);
    char *copy = more == NULL ? NULL : mem_copy_text(path);
    loading->candidates = more != NULL ? more : loading->candidates;
    if (copy == NULL) {
        loading->err = ERR_SAY(loading->note, ERR_NOMEM, "no memory for the names of an index's files");
        return;
    }
    loading->candidates[loading->n_candidates++] = (struct candidate){.path = copy, .ready = ready};
}

static void open_one(void *context, int i)
{
    const struct loading *loading = context;
    struct candidate *candidate = &loading->candidates[i];

    candidate->err = candidate->ready
                         ? segment_file_open(candidate->path, &loading->index->codes, loading->files->owner,
                                             &candidate->file, candidate->rotation, &candidate->note)
                         : ERR_SAY(&candidate->note, ERR_CORRUPT, "%s was never finished", candidate->path);
}

/* On all processors; where threads are not to be had, on this one. */
static void open_all(struct loading *loading)
{
    struct pool *pool = NULL;
    const int n = (int)loading->n_candidates;

    if (n > 1 && pool_new(cpu_count() < n ? cpu_count() : n, &pool) != ERR_NONE) {
        pool = NULL;
    }
    pool_run(pool, n, open_one, loading);
    pool_free(pool);
}

/* ---- Taking ------------------------------------------------------------------------------------------------------- */

/* The ids of a segment, at the rows that it has; none of them if one is there already.  No view has the map yet. */
static enum err claim_rows(struct index *index, const struct segment *segment, size_t slot, struct err_note *note)
{
    struct id_map larger;
    bool room = id_map_has_room(&index->map, segment->rows);
    if (!room && id_map_copy(&index->map, segment->rows, &larger)) {
        id_map_release(&index->map);
        index->map = larger;
        room = true;
    }
    bool fine = room;
    for (size_t row = 0; row < segment->rows && fine; row++) {
        size_t known;
        if (!segment_is_live(segment, row)) {
            continue;
        }
        fine = segment->ids[row] >= 0 && !id_map_find(&index->map, segment->ids[row], &known);
        if (fine) {
            id_map_put(&index->map, segment->ids[row], index_location(slot, row));
        }
    }
    for (size_t row = 0; row < segment->rows && !fine; row++) {
        size_t at;
        if (segment_is_live(segment, row) && id_map_find(&index->map, segment->ids[row], &at) &&
            at == index_location(slot, row)) {
            id_map_remove(&index->map, segment->ids[row]);
        }
    }
    return fine   ? ERR_NONE
           : room ? ERR_SAY(note, ERR_CORRUPT, "%s holds an id that is none, or is there already", segment->file->path)
                  : ERR_SAY(note, ERR_NOMEM, "no memory for the ids of a segment");
}

static enum err take_segment(struct loading *loading, struct segment_file *take_file, struct err_note *note)
{
    struct index *index = loading->index;
    struct segment *segment = NULL;

    enum err err = segment_of_file(&index->codes, take_file, &segment, note);
    if (err != ERR_NONE) {
        return err;
    }
    struct segment **slots = mem_resize(index->slots, index->n_slots + 1, sizeof(struct segment *));
    if (slots == NULL) {
        segment_free(segment);
        return ERR_SAY(note, ERR_NOMEM, "no memory for one more segment");
    }
    index->slots = slots;
    err = claim_rows(index, segment, index->n_slots, note);
    if (err != ERR_NONE) {
        segment_free(segment);
        return err;
    }
    index->slots[index->n_slots++] = segment;
    loading->report.n_taken++;
    loading->report.n_vectors += (int64_t)(segment->rows - segment->dead);
    return ERR_NONE;
}

/* Whether the file goes with the rows and with those taken before. */
static enum err check_candidate(const struct loading *loading, const struct candidate *candidate, struct err_note *note)
{
    if (!loading->files->accept(loading->files->context, &candidate->file->moment)) {
        return ERR_SAY(note, ERR_CONFLICT, "%s is of a past that the rows do not have", candidate->path);
    }
    if (loading->has_signs &&
        memcmp(candidate->rotation, loading->rotation, codes_rotation_bytes(&loading->index->codes)) != 0) {
        return ERR_SAY(note, ERR_CONFLICT, "%s has another rotation than the other files", candidate->path);
    }
    return ERR_NONE;
}

static enum err take_file(struct loading *loading, struct candidate *candidate, struct err_note *note)
{
    enum err err = check_candidate(loading, candidate, note);

    if (err != ERR_NONE) {
        return err;
    }
    if (!loading->has_signs) {
        memcpy(loading->rotation, candidate->rotation, sizeof loading->rotation);
        codes_rotation_take(&loading->index->codes, candidate->rotation);
        loading->has_signs = true;
    }
    struct segment_file *file = candidate->file;
    candidate->file = NULL;
    return take_segment(loading, file, note);
}

/* A file that is of no use is counted and destroyed. */
static void take_candidate(struct loading *loading, struct candidate *candidate)
{
    if (candidate->err == ERR_NONE) {
        candidate->err = take_file(loading, candidate, &candidate->note);
    }
    segment_file_close(candidate->file);
    candidate->file = NULL;
    if (candidate->err == ERR_NOMEM) {
        loading->err = ERR_SAY(loading->note, candidate->err, "%s", candidate->note.text);
    } else if (candidate->err != ERR_NONE) {
        if (loading->report.n_refused++ == 0) {
            (void)snprintf(loading->report.reason, sizeof loading->report.reason, "%s", candidate->note.text);
        }
        if (!loading->files->look_only) {
            loading->err = segment_file_destroy_path(candidate->path, loading->note);
        }
    }
}

static enum err take_folder(struct loading *loading, const char *folder, struct err_note *note)
{
    enum err err = index_each_file(folder, gather, loading, note);

    if (err == ERR_NONE && loading->err == ERR_NONE) {
        open_all(loading);
    }
    for (size_t i = 0; i < loading->n_candidates; i++) {
        struct candidate *candidate = &loading->candidates[i];
        if (err == ERR_NONE && loading->err == ERR_NONE) {
            take_candidate(loading, candidate);
        }
        segment_file_close(candidate->file);
        mem_free(candidate->path);
    }
    mem_free(loading->candidates);
    return err != ERR_NONE ? err : loading->err;
}

static void forget_all(struct index *index)
{
    for (size_t slot = 0; slot < index->n_slots; slot++) {
        segment_free(index->slots[slot]);
    }
    index->n_slots = 0;
    id_map_release(&index->map);
}

enum err index_load(struct index *index, const struct index_files *files, struct index_load_report *ret,
                    struct err_note *note)
{
    struct loading loading = {.index = index, .files = files, .note = note};

    if (index->n_slots > 0 || index->keeps_files) {
        return ERR_SAY(note, ERR_MISUSE, "files are taken by an empty index only");
    }
    char *folder = mem_copy_text(files->folder);
    enum err err = folder == NULL ? ERR_SAY(note, ERR_NOMEM, "no memory for a path") : ERR_NONE;
    if (err == ERR_NONE && access(folder, F_OK) == 0) {
        err = take_folder(&loading, folder, note);
    }
    if (err == ERR_NONE && !views_reserve(&index->views, index->n_slots)) {
        err = ERR_SAY(note, ERR_NOMEM, "no memory for a view");
    }
    if (err != ERR_NONE) {
        forget_all(index);
        mem_free(folder);
        return err;
    }
    index->files = *files;
    index->files.folder = folder;
    index->keeps_files = !files->look_only;
    index_show(index);
    *ret = loading.report;
    return ERR_NONE;
}
