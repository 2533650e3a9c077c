/* freeze.c: one walk over the crops, counted or written. */
#include "server/gallery/freeze.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/train/dataset.h"
#include "server/gallery/gallery_private.h"
#include "server/store/filter_rows.h"
#include "server/store/training_rows.h"

/* Photos a person are counted up to here; medians beyond do not matter to anybody. */
#define MOST_COUNTED 1024

/* The faces that a filter lets pass. */
struct passing {
    bool filtered; /* else everybody passes */
    int64_t *ids;  /* [n] rising; of the heap */
    size_t n;
};

struct walk {
    int side;
    int64_t last_subject; /* 0: none yet */
    int64_t photos;       /* of that subject */
    int64_t with_photos[MOST_COUNTED + 1];
    const struct passing *passing;
    struct freezable *found;

    /* when writing; writer NULL: only counting */
    struct dataset_writer *writer;
    FILE *people;
    const struct long_work *work;
    int64_t total;
    struct err_note *note;
};

static void end_person(struct walk *walk)
{
    if (walk->last_subject != 0) {
        walk->with_photos[walk->photos < MOST_COUNTED ? walk->photos : MOST_COUNTED]++;
    }
}

static enum err write_crop(struct walk *walk, const struct training_crop *crop, bool is_new)
{
    const struct freezable *found = walk->found;

    if (cancel_asked(walk->work->cancel)) {
        return ERR_SAY(walk->note, ERR_CANCELLED, "cancelled while the crops were copied");
    }
    if (is_new && fprintf(walk->people, "%s\"%s\"", found->n_people > 1 ? ",\n" : "[\n", crop->subject_uuid) < 0) {
        return ERR_SAY(walk->note, ERR_NO_SPACE, "the list of people cannot be written");
    }
    long_work_progress(walk->work, found->n_photos, walk->total, "crops");
    return dataset_add(walk->writer, crop->bytes, crop->n_bytes, (int)found->n_people - 1, crop->face_id, walk->note);
}

static int compare_ids(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static enum err find_passing(struct store *store, int64_t collection_id, const char *filter, struct passing *ret,
                             struct err_note *note)
{
    if (filter == NULL) {
        return ERR_NONE;
    }
    enum err err = store_filter_faces(store, collection_id, filter, &ret->ids, &ret->n, note);
    ret->filtered = err == ERR_NONE;
    if (err == ERR_NONE && ret->n > 0) {
        qsort(ret->ids, ret->n, sizeof *ret->ids, compare_ids);
    }
    return err;
}

static bool passes(const struct passing *passing, int64_t face_id)
{
    return !passing->filtered ||
           (passing->n > 0 && bsearch(&face_id, passing->ids, passing->n, sizeof face_id, compare_ids) != NULL);
}

static enum err visit(void *context, const struct training_crop *crop)
{
    struct walk *walk = context;
    struct freezable *found = walk->found;
    bool is_new = crop->subject_id != walk->last_subject;

    if (!passes(walk->passing, crop->face_id)) {
        return ERR_NONE;
    }
    if (crop->side_px != walk->side) {
        found->n_other_side++;
        return ERR_NONE;
    }
    if (found->n_photos == INT_MAX) {
        return ERR_SAY(walk->note, ERR_LIMIT, "more than %d crops cannot be trained on at once", INT_MAX);
    }
    if (is_new) {
        end_person(walk);
        walk->last_subject = crop->subject_id;
        walk->photos = 0;
        found->n_people++;
    }
    walk->photos++;
    found->n_photos++;
    return walk->writer == NULL ? ERR_NONE : write_crop(walk, crop, is_new);
}

static int64_t median_of(const struct walk *walk)
{
    int64_t below = 0;
    int64_t photos = 0;

    while (photos < MOST_COUNTED && 2 * (below + walk->with_photos[photos]) < walk->found->n_people) {
        below += walk->with_photos[photos++];
    }
    return photos;
}

static enum err judge(const struct freezable *found, int side, struct gallery_fault *fault)
{
    if (found->n_photos == 0 && found->n_without_crop > 0) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_NO_CROPS, ERR_CONFLICT),
                       "collection \"%s\" keeps no crops: its %lld faces cannot be trained on; enroll with keep=crop",
                       found->collection, (long long)found->n_without_crop);
    }
    if (found->n_photos == 0 && found->n_other_side > 0) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_OTHER_CROPS, ERR_CONFLICT),
                       "all %lld crops of collection \"%s\" have another size than the %d pixels of its model",
                       (long long)found->n_other_side, found->collection, side);
    }
    if (found->n_people < FREEZE_LEAST_PEOPLE || found->n_photos < FREEZE_LEAST_PHOTOS * found->n_people) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_TOO_FEW, ERR_CONFLICT),
                       "collection \"%s\" has %lld people with %lld crops that can be used (%lld faces have none): "
                       "at least %d people with %d crops each in the mean are needed",
                       found->collection, (long long)found->n_people, (long long)found->n_photos,
                       (long long)found->n_without_crop, FREEZE_LEAST_PEOPLE, FREEZE_LEAST_PHOTOS);
    }
    return ERR_NONE;
}

/* passing is the caller's to release, whatever is returned. */
static enum err look(struct gallery_worker *worker, const char *collection, const char *filter, struct freezable *found,
                     struct passing *passing, struct gallery_fault *fault)
{
    struct store *store = worker->gallery->store;
    struct collection_row row = {0};
    int64_t faces = 0;

    enum err err = find_collection(worker, collection, &row, fault);
    if (err == ERR_NONE) {
        *found = (struct freezable){.collection_id = row.id, .collection = row.name};
        err = store_model_get(store, row.model_id, worker->mem, &found->model, &fault->note);
    }
    if (err == ERR_NONE) {
        err = store_training_count(store, row.id, &faces, &found->n_without_crop, &fault->note);
    }
    if (err == ERR_NONE) {
        err = find_passing(store, row.id, filter, passing, &fault->note);
        err = err == ERR_MISUSE || err == ERR_FORMAT ? gallery_fail(fault, GALLERY_BAD_OPTION, ERR_MISUSE) : err;
    }
    return err;
}

static enum err count(struct gallery_worker *worker, const struct passing *passing, struct freezable *found,
                      struct gallery_fault *fault)
{
    struct walk *walk = ARENA_NEW(worker->mem, struct walk);

    if (walk == NULL) {
        return spent(worker->mem);
    }
    walk->side = found->model.side_px;
    walk->passing = passing;
    walk->found = found;
    walk->note = &fault->note;
    enum err err =
        store_training_each(worker->gallery->store, found->collection_id, TRAINING_COUNT, visit, walk, &fault->note);
    if (err == ERR_NONE) {
        end_person(walk);
        if (passing->filtered) {
            int64_t without = (int64_t)passing->n - found->n_photos - found->n_other_side;
            found->n_without_crop = without > 0 ? without : 0; /* a face may go between the two looks */
        }
        found->median_photos = median_of(walk);
        err = judge(found, walk->side, fault);
    }
    return err;
}

enum err gallery_freezable(struct gallery_worker *worker, const char *collection, const char *filter,
                           struct freezable *ret, struct gallery_fault *fault)
{
    struct freezable found = {0};
    struct passing passing = {0};

    enum err err = look(worker, collection, filter, &found, &passing, fault);
    if (err == ERR_NONE) {
        err = count(worker, &passing, &found, fault);
    }
    if (err == ERR_NONE) {
        *ret = found;
    }
    mem_free(passing.ids);
    return err;
}

/* ---- Writing -------------------------------------------------------------------------------------------------------- */

/* Walks and closes both files; the walk's writer is gone afterwards. */
static enum err write_all(struct gallery_worker *worker, struct walk *walk, struct gallery_fault *fault)
{
    enum err err = store_training_each(worker->gallery->store, walk->found->collection_id, TRAINING_CROPS, visit, walk,
                                       &fault->note);

    if (err == ERR_NONE) {
        end_person(walk);
        walk->found->median_photos = median_of(walk);
        err = judge(walk->found, walk->side, fault);
    }
    if (err == ERR_NONE && (fputs("\n]\n", walk->people) < 0 || fflush(walk->people) != 0)) {
        err = ERR_SAY(&fault->note, ERR_NO_SPACE, "the list of people cannot be written");
    }
    if (err == ERR_NONE) {
        err = dataset_finish(walk->writer, &fault->note);
    } else {
        dataset_abandon(walk->writer);
    }
    return err;
}

static enum err freeze_passing(struct gallery_worker *worker, const struct passing *passing, const char *folder,
                               const struct long_work *work, struct freezable *found, struct gallery_fault *fault)
{
    struct freezable counted = *found;
    struct walk *walk = ARENA_NEW(worker->mem, struct walk);
    const char *dataset = arena_format(worker->mem, "%s/%s", folder, FREEZE_DATASET);
    const char *people = arena_format(worker->mem, "%s/%s", folder, FREEZE_PEOPLE);

    if (walk == NULL || dataset == NULL || people == NULL) {
        return spent(worker->mem);
    }
    enum err err = count(worker, passing, &counted, fault);
    if (err == ERR_NONE) {
        found->n_without_crop = counted.n_without_crop;
        *walk = (struct walk){.side = found->model.side_px,
                              .passing = passing,
                              .found = found,
                              .work = work,
                              .total = counted.n_photos,
                              .note = &fault->note};
        err = dataset_create(dataset, walk->side, &walk->writer, &fault->note);
    }
    if (err != ERR_NONE) {
        return err;
    }
    walk->people = fopen(people, "we");
    if (walk->people == NULL) {
        dataset_abandon(walk->writer);
        return ERR_SAY(&fault->note, ERR_IO, "the list of people cannot be made in %s", folder);
    }
    err = write_all(worker, walk, fault);
    (void)fclose(walk->people);
    if (err != ERR_NONE) {
        (void)!file_remove(people, NULL); /* the first failure is the one to tell */
    }
    return err;
}

enum err gallery_freeze(struct gallery_worker *worker, const char *collection, const char *filter, const char *folder,
                        const struct long_work *work, struct freezable *ret, struct gallery_fault *fault)
{
    struct freezable found = {0};
    struct passing passing = {0};

    enum err err = look(worker, collection, filter, &found, &passing, fault);
    if (err == ERR_NONE) {
        err = freeze_passing(worker, &passing, folder, work, &found, fault);
    }
    if (err == ERR_NONE) {
        *ret = found;
    }
    mem_free(passing.ids);
    return err;
}
