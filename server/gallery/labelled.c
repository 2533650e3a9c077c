/* labelled.c: rows become a matrix with labels. */
#include "server/gallery/labelled.h"

#include <limits.h>
#include <string.h>

#include "core/base/mem.h"
#include "server/store/collection_rows.h"
#include "server/store/embedding_rows.h"

struct loading {
    struct labelled *to;
    int room, people_room;
    uint64_t share; /* one of so many people */
    size_t most_bytes;
    int64_t last_subject; /* 0: none yet */
    struct err_note *note;
};

void labelled_release(struct labelled *labelled)
{
    mem_free_wiped(labelled->u);
    mem_free(labelled->person);
    mem_free(labelled->face_ids);
    mem_free(labelled->subject_ids);
    *labelled = (struct labelled){0};
}

/* Spreads row ids, which are consecutive, evenly (splitmix64's last step). */
static uint64_t spread(int64_t id)
{
    uint64_t x = (uint64_t)id + 0x9E3779B97F4A7C15U;

    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9U;
    x = (x ^ x >> 27) * 0x94D049BB133111EBU;
    return x ^ x >> 31;
}

static enum err grow(struct loading *loading)
{
    struct labelled *to = loading->to;
    int room = loading->room == 0 ? 256 : loading->room > INT_MAX / 2 ? INT_MAX : 2 * loading->room;
    size_t row_bytes = (size_t)to->dim * sizeof(float) + sizeof(int) + sizeof(int64_t);

    if (to->n == INT_MAX || (size_t)room > loading->most_bytes / row_bytes) {
        return ERR_SAY(loading->note, ERR_LIMIT,
                       "the embeddings of more than %d faces do not fit into the %zu MiB that "
                       "this may use",
                       to->n, loading->most_bytes >> 20);
    }
    float *u = mem_resize(to->u, (size_t)room, (size_t)to->dim * sizeof(float));
    if (u != NULL) {
        to->u = u;
    }
    int *person = mem_resize(to->person, (size_t)room, sizeof *person);
    if (person != NULL) {
        to->person = person;
    }
    int64_t *face_ids = mem_resize(to->face_ids, (size_t)room, sizeof *face_ids);
    if (face_ids != NULL) {
        to->face_ids = face_ids;
    }
    if (u == NULL || person == NULL || face_ids == NULL) {
        return ERR_NOMEM;
    }
    loading->room = room;
    return ERR_NONE;
}

static enum err next_person(struct loading *loading, int64_t subject_id)
{
    struct labelled *to = loading->to;

    if (to->people == loading->people_room) {
        int room = loading->people_room == 0 ? 64 : 2 * loading->people_room;
        int64_t *ids = mem_resize(to->subject_ids, (size_t)room, sizeof *ids);
        if (ids == NULL) {
            return ERR_NOMEM;
        }
        to->subject_ids = ids;
        loading->people_room = room;
    }
    to->subject_ids[to->people++] = subject_id;
    loading->last_subject = subject_id;
    return ERR_NONE;
}

static enum err visit(void *context, int64_t face_id, int64_t subject_id, const float *vector, int dim)
{
    struct loading *loading = context;
    struct labelled *to = loading->to;
    enum err err = ERR_NONE;

    if (loading->share > 1 && spread(subject_id) % loading->share != 0) {
        return ERR_NONE;
    }
    if (to->n == 0) {
        to->dim = dim;
    }
    if (dim != to->dim) {
        return ERR_SAY(loading->note, ERR_CORRUPT, "face %lld has an embedding of %d numbers, others have %d",
                       (long long)face_id, dim, to->dim);
    }
    if (to->n == loading->room) {
        err = grow(loading);
    }
    if (err == ERR_NONE && (to->people == 0 || subject_id != loading->last_subject)) {
        err = next_person(loading, subject_id);
    }
    if (err != ERR_NONE) {
        return err;
    }
    memcpy(to->u + (size_t)to->n * (size_t)dim, vector, (size_t)dim * sizeof *vector);
    to->person[to->n] = to->people - 1;
    to->face_ids[to->n++] = face_id;
    return ERR_NONE;
}

enum err labelled_load(struct store *store, int64_t collection_id, int64_t model_id, int64_t most_faces,
                       size_t most_bytes, struct labelled *ret, struct err_note *note)
{
    struct labelled labelled = {0};
    struct collection_counts counts = {0};
    struct loading loading = {.to = &labelled, .most_bytes = most_bytes, .note = note};

    enum err err = store_collection_count(store, collection_id, &counts, note);
    if (err == ERR_NONE) {
        loading.share = most_faces > 0 ? (uint64_t)((counts.n_faces + most_faces - 1) / most_faces) : 1;
        err = store_labelled_each(store, collection_id, model_id, visit, &loading, note);
    }
    if (err != ERR_NONE) {
        labelled_release(&labelled);
        return err;
    }
    *ret = labelled;
    return ERR_NONE;
}
