/* freeze_negatives.c: one direction for each person of a collection of whom a frozen data set holds no crop. */
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/train/dataset.h"
#include "core/train/purify.h"
#include "server/gallery/freeze.h"
#include "server/gallery/gallery_private.h"
#include "server/gallery/labelled.h"

#define MOST_FACES 20000 /* above it a share of the people is taken: each of them costs every step a row */
#define MOST_BYTES ((size_t)512 << 20)
#define MOST_PHOTOS 64 /* a person: every pair of them is looked at */
#define SCRATCH_BYTES ((size_t)16 << 20)

struct negatives {
    const struct labelled *all;
    int64_t *taught; /* [n_taught] faces of the data set, rising */
    int n_taught;
    float *rows; /* [n, dim] */
    int n;
    struct arena *scratch;
    const struct long_work *work;
    struct err_note *note;
};

static int compare_ids(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static enum err read_taught(struct negatives *negatives, const char *path)
{
    struct dataset *dataset = NULL;
    enum err err = dataset_open(path, &dataset, negatives->note);

    if (err != ERR_NONE) {
        return err;
    }
    negatives->n_taught = dataset_count(dataset);
    negatives->taught = MEM_ARRAY(int64_t, negatives->n_taught);
    for (int i = 0; negatives->taught != NULL && i < negatives->n_taught; i++) {
        negatives->taught[i] = dataset_id(dataset, i);
    }
    dataset_close(dataset);
    if (negatives->taught == NULL) {
        return ERR_NOMEM;
    }
    qsort(negatives->taught, (size_t)negatives->n_taught, sizeof *negatives->taught, compare_ids);
    return ERR_NONE;
}

static bool is_taught(const struct negatives *negatives, int64_t face_id)
{
    return bsearch(&face_id, negatives->taught, (size_t)negatives->n_taught, sizeof face_id, compare_ids) != NULL;
}

/* The person of faces first .. end-1. */
static enum err add_person(struct negatives *negatives, int first, int end)
{
    const struct labelled *all = negatives->all;
    size_t dim = (size_t)all->dim;
    int photos = end - first < MOST_PHOTOS ? end - first : MOST_PHOTOS;

    for (int i = first; i < end; i++) {
        if (is_taught(negatives, all->face_ids[i])) {
            return ERR_NONE;
        }
    }
    arena_reset_wiped(negatives->scratch);
    enum err err = purify_center(all->u + (size_t)first * dim, photos, all->dim, negatives->scratch,
                                 negatives->rows + (size_t)negatives->n * dim);
    if (err == ERR_NOT_FOUND) { /* photos that cancel out: nobody to keep away from */
        return ERR_NONE;
    }
    negatives->n += err == ERR_NONE;
    return err;
}

static enum err add_people(struct negatives *negatives)
{
    const struct labelled *all = negatives->all;
    enum err err = ERR_NONE;

    negatives->rows = MEM_ARRAY(float, (size_t)all->people *(size_t)all->dim);
    if (negatives->rows == NULL) {
        return ERR_NOMEM;
    }
    for (int first = 0, end; first < all->n && err == ERR_NONE; first = end) {
        for (end = first + 1; end < all->n && all->person[end] == all->person[first]; end++) {
        }
        err = cancel_asked(negatives->work->cancel)
                  ? ERR_SAY(negatives->note, ERR_CANCELLED, "cancelled while people without crops were looked at")
                  : add_person(negatives, first, end);
    }
    return err;
}

static enum err write_rows(const struct negatives *negatives, const char *path)
{
    size_t bytes = (size_t)negatives->n * (size_t)negatives->all->dim * sizeof(float);

    return negatives->n == 0 ? file_remove(path, negatives->note)
                             : file_write(path, negatives->rows, bytes, negatives->note);
}

enum err gallery_freeze_negatives(struct gallery_worker *worker, const struct freezable *found, const char *folder,
                                  const struct long_work *work, int *ret_count, struct gallery_fault *fault)
{
    const char *dataset = arena_format(worker->mem, "%s/%s", folder, FREEZE_DATASET);
    const char *path = arena_format(worker->mem, "%s/%s", folder, FREEZE_NEGATIVES);
    struct labelled all = {0};
    struct negatives negatives = {.all = &all, .scratch = arena_new(SCRATCH_BYTES), .work = work, .note = &fault->note};

    if (dataset == NULL || path == NULL || negatives.scratch == NULL) {
        arena_free(negatives.scratch);
        return negatives.scratch == NULL ? ERR_NOMEM : spent(worker->mem);
    }
    enum err err = read_taught(&negatives, dataset);
    if (err == ERR_NONE) {
        err = labelled_load(worker->gallery->store, found->collection_id, found->model.id, MOST_FACES, MOST_BYTES, &all,
                            &fault->note);
    }
    if (err == ERR_NONE) {
        err = add_people(&negatives);
    }
    if (err == ERR_NONE) {
        err = write_rows(&negatives, path);
    }
    if (err == ERR_NONE) {
        *ret_count = negatives.n;
    }
    mem_free_wiped(negatives.rows);
    mem_free(negatives.taught);
    arena_free(negatives.scratch);
    labelled_release(&all);
    return err;
}
