/* taught_data.c: crops are made on all threads in groups, and written in order; embeddings are kept in one file. */
#include "server/taught_data.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/image/encode.h"

/* Photos whose crops are held in memory at once. */
#define GROUP 256

struct group {
    unsigned char *bytes[GROUP];
    size_t n_bytes[GROUP];
    unsigned char state[GROUP];
};

static enum err encode(void *context, int thread, int i, const struct image *crop, struct arena *mem,
                       struct err_note *note)
{
    struct group *group = context;
    unsigned char *bytes = NULL;
    size_t n_bytes = 0;
    enum err err = image_encode(crop, IMAGE_JPEG, TAUGHT_QUALITY, mem, &bytes, &n_bytes);

    (void)thread;
    if (err != ERR_NONE) {
        return ERR_SAY(note, err, "a crop cannot be encoded");
    }
    group->bytes[i] = mem_copy(bytes, n_bytes);
    group->n_bytes[i] = n_bytes;
    return group->bytes[i] == NULL ? ERR_NOMEM : ERR_NONE;
}

struct writing {
    struct dataset_writer *writer;
    int people; /* with a crop so far: the next label */
    int64_t photos;
    struct group *group;
};

/* Labels are given in the order in which people turn out to have a crop. */
static enum err write_group(struct writing *w, const struct people_folder *folder, struct crop_source *source, int from,
                            int *label, struct err_note *note)
{
    source->paths = folder->paths + from;
    source->n = folder->n - from < GROUP ? folder->n - from : GROUP;
    enum err err = crop_files(source, encode, w->group, NULL, w->group->state, note);

    for (int i = 0; i < source->n; i++) {
        int person = folder->person[from + i];
        if (err == ERR_NONE && w->group->state[i] == CROP_SEEN) {
            label[person] = label[person] >= 0 ? label[person] : w->people++;
            err = dataset_add(w->writer, w->group->bytes[i], w->group->n_bytes[i], label[person], w->photos + from + i,
                              note);
        }
        mem_free(w->group->bytes[i]);
        w->group->bytes[i] = NULL;
    }
    return err;
}

static enum err write_source(struct writing *w, const struct taught_source *from, int side, int threads,
                             struct arena *mem, struct err_note *note)
{
    struct crop_source source = {
        .detector = from->detector, .side = side, .detect_side = from->detect_side, .threads = threads};
    struct people_folder folder;
    struct progress progress = {0};
    enum err err = people_folder_read(from->folder, from->only, from->except, mem, &folder, note);
    int *label = err != ERR_NONE ? NULL : ARENA_ARRAY(mem, int, folder.people);

    if (label == NULL) {
        return err != ERR_NONE ? err : arena_why(mem);
    }
    for (int p = 0; p < folder.people; p++) {
        label[p] = -1;
    }
    progress_start(&progress, "cropping", 0, folder.n);
    for (int i = 0; i < folder.n && err == ERR_NONE; i += GROUP) {
        err = write_group(w, &folder, &source, i, label, note);
        atomic_store(&progress.done, i);
        progress_show(&progress, "");
    }
    progress_end(&progress);
    w->photos += folder.n;
    return err;
}

enum err taught_data_write(const struct taught_source *sources, int n_sources, int side, int threads, const char *path,
                           struct arena *mem, struct err_note *note)
{
    struct writing w = {.group = MEM_NEW(struct group)};
    enum err err = w.group == NULL ? ERR_NOMEM : dataset_create(path, side, &w.writer, note);

    for (int i = 0; i < n_sources && err == ERR_NONE; i++) {
        err = write_source(&w, &sources[i], side, threads, mem, note);
    }
    mem_free(w.group);
    if (err != ERR_NONE) {
        dataset_abandon(w.writer);
        return err;
    }
    return dataset_finish(w.writer, note);
}

/* ---- The teacher -------------------------------------------------------------------------------------------------- */

static enum err read_kept(const char *path, size_t n_bytes, float *ret, struct err_note *note)
{
    unsigned char *bytes = NULL;
    size_t got = 0;
    enum err err = file_read(path, n_bytes, &bytes, &got, note);

    if (err == ERR_NONE && got != n_bytes) {
        err = ERR_SAY(note, ERR_CORRUPT, "%.200s has %zu bytes, not %zu: remove it", path, got, n_bytes);
    }
    if (err == ERR_NONE) {
        memcpy(ret, bytes, n_bytes);
    }
    mem_free(bytes);
    return err;
}

enum err taught_embeddings(const struct dataset *dataset, const struct model *teacher, int threads, const char *folder,
                           struct arena *mem, float **ret, struct err_note *note)
{
    int count = dataset_count(dataset);
    size_t floats = (size_t)count * (size_t)teacher->dim;
    struct crop_source source = {.dataset = dataset, .n = count, .side = dataset_side(dataset), .threads = threads};
    struct progress progress = {0};
    char hash[HASH_SHA256_TEXT];
    char path[PATH_MAX];
    float *u = ARENA_ARRAY(mem, float, floats);
    unsigned char *state = ARENA_ARRAY(mem, unsigned char, count);

    if (u == NULL || state == NULL) {
        return arena_why(mem);
    }
    hash_text(dataset_hash(dataset), hash);
    if (snprintf(path, sizeof path, "%s/taught-%.16s-%.16s", folder, hash, teacher->version) >= (int)sizeof path) {
        return ERR_SAY(note, ERR_MISUSE, "the path of the folder is too long");
    }
    *ret = u;
    if (file_exists(path)) {
        return read_kept(path, floats * sizeof *u, u, note);
    }
    progress_start(&progress, "teacher", 0, count);
    enum err err = embed_crops(&source, teacher, false, &progress, u, state, note);
    progress_end(&progress);
    return err != ERR_NONE ? err : file_write(path, u, floats * sizeof *u, note);
}
