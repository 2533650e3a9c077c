/* also.c: embedding → neighbours under other names; photo → rows under other names. */
#include "server/gallery/also.h"

#include <string.h>

#include "core/base/clock.h"
#include "core/kernel/scan.h"
#include "server/gallery/decision.h"
#include "server/gallery/gallery_private.h"
#include "server/store/embedding_rows.h"
#include "server/store/face_rows.h"

#define FIRST_LOOK 16 /* enough but for subjects who have so many faces of their own */

/* One face on its way. */
struct asking {
    struct gallery_worker *worker;
    const struct pair *pair;
    const struct also_probe *probe;
    const float *vector;
    struct arena *mem;
    struct also *also;
};

bool also_matches(const struct also *also, float threshold)
{
    return also->n > 0 && also->faces[0].has_cosine && also->faces[0].cosine >= threshold;
}

void also_say(const struct also *also, struct err_note *note)
{
    (void)ERR_SAY(note, ERR_EXISTS, "subject %s has this face already: face %s, cosine %.3f", also->faces[0].subject_id,
                  also->faces[0].face_id, (double)also->faces[0].cosine);
}

enum err also_threshold(struct gallery_worker *worker, const struct collection_row *collection, const struct pair *pair,
                        float *ret, struct gallery_fault *fault)
{
    static const struct threshold_wish nothing = {0};
    struct collection_settings settings = {0};
    struct calibration calibration;
    struct threshold_used used = {0};
    float margin = 0;

    enum err err = settings_read(collection, &settings, fault);
    if (err == ERR_NONE) {
        models_calibration(worker->gallery->models, pair->model, &calibration);
        err = decision_threshold(&nothing, &settings.threshold, &calibration, &worker->gallery->policy, &used, &margin,
                                 fault);
    }
    if (err == ERR_NONE) {
        *ret = used.cosine;
    }
    return err;
}

static struct also_face *entry_of(struct also *also, const char *subject_id)
{
    for (int i = 0; i < also->n; i++) {
        if (strcmp(also->faces[i].subject_id, subject_id) == 0) {
            return &also->faces[i];
        }
    }
    return NULL;
}

/* Of each other subject the first face that comes counts.  The name is compared too: somebody may have made the subject's row
 * since it was looked for. */
static void entry_add(const struct asking *asking, const struct face_row *row, bool has_cosine, float cosine)
{
    struct also *also = asking->also;
    const struct also_probe *probe = asking->probe;
    bool own = row->subject_id == probe->subject_id ||
               (probe->subject_name != NULL && strcmp(row->subject_name, probe->subject_name) == 0);

    if (row->id == 0 || own || also->n == ALSO_MOST || entry_of(also, row->subject_uuid) != NULL) {
        return;
    }
    also->faces[also->n++] = (struct also_face){.row_id = row->id,
                                                .subject_id = row->subject_uuid,
                                                .subject_name = row->subject_name,
                                                .face_id = row->uuid,
                                                .has_cosine = has_cosine,
                                                .cosine = cosine};
}

/* Leaves out the subject's own, and of a subject all but the nearest, before whole rows are read. */
static int foreign(const struct asking *asking, const struct index_hit *hits, const int64_t *owners, int n,
                   struct index_hit *ret)
{
    int64_t seen[ALSO_MOST];
    int kept = 0;

    for (int i = 0; i < n && kept < ALSO_MOST; i++) {
        bool pass = owners[i] == 0 || owners[i] == asking->probe->subject_id;
        for (int k = 0; k < kept && !pass; k++) {
            pass = seen[k] == owners[i];
        }
        if (!pass) {
            seen[kept] = owners[i];
            ret[kept++] = hits[i];
        }
    }
    return kept;
}

static enum err take_hits(const struct asking *asking, const struct index_hit *hits, int n, struct err_note *note)
{
    struct store *store = asking->worker->gallery->store;
    struct index_hit others[ALSO_MOST];
    int64_t ids[ALSO_LOOK];
    int64_t owners[ALSO_LOOK];
    struct face_row *rows = NULL;

    for (int i = 0; i < n; i++) {
        ids[i] = hits[i].id;
    }
    enum err err = n == 0 ? ERR_NONE : store_face_subjects(store, ids, n, owners, note);
    int n_others = err == ERR_NONE ? foreign(asking, hits, owners, n, others) : 0;
    if (err != ERR_NONE || n_others == 0) {
        return err;
    }
    for (int i = 0; i < n_others; i++) {
        ids[i] = others[i].id;
    }
    err = store_face_get_many(store, ids, n_others, asking->mem, &rows, note);
    for (int i = 0; i < n_others && err == ERR_NONE; i++) {
        entry_add(asking, &rows[i], true, others[i].cosine);
    }
    return err;
}

static enum err look_further(const struct asking *asking, float threshold, struct err_note *note)
{
    struct index_hit hits[ALSO_LOOK];
    int n = 0;

    enum err err = index_search(asking->pair->index, asking->vector, ALSO_LOOK, threshold, hits, &n, note);
    return err == ERR_NONE ? take_hits(asking, hits, n, note) : err;
}

/* ---- The same photo ----------------------------------------------------------------------------------------------- */

static enum err cosine_of(const struct asking *asking, const struct face_row *row, bool *ret_has, float *ret,
                          struct err_note *note)
{
    const struct model *model = asking->pair->model;
    float *vector = ARENA_ARRAY(asking->mem, float, model->dim);

    if (vector == NULL) {
        return spent(asking->mem);
    }
    enum err err =
        store_embedding_get(asking->worker->gallery->store, row->id, model->row_id, vector, model->dim, NULL, note);
    *ret_has = err == ERR_NONE;
    if (err == ERR_NONE) {
        *ret = scan_best()->dot(asking->vector, vector, (size_t)model->dim);
    }
    return err == ERR_NOT_FOUND ? ERR_NONE : err;
}

static enum err take_photo(const struct asking *asking, int64_t collection_id, struct err_note *note)
{
    struct face_row *rows = NULL;
    int n = 0;

    if (asking->probe->photo_sha256 == NULL) {
        return ERR_NONE;
    }
    enum err err = store_face_list_photo(asking->worker->gallery->store, collection_id, asking->probe->photo_sha256,
                                         asking->mem, &rows, &n, note);
    for (int i = 0; i < n && err == ERR_NONE; i++) {
        struct also_face *there = entry_of(asking->also, rows[i].subject_uuid);
        if (there != NULL) {
            there->same_photo |= there->row_id == rows[i].id;
            continue;
        }
        bool has = false;
        float cosine = 0;
        int before = asking->also->n;
        err = cosine_of(asking, &rows[i], &has, &cosine, note);
        if (err == ERR_NONE) {
            entry_add(asking, &rows[i], has, cosine);
        }
        if (asking->also->n > before) {
            asking->also->faces[before].same_photo = true;
        }
    }
    return err;
}

/* ---- All ---------------------------------------------------------------------------------------------------------- */

enum err also_find(struct gallery_worker *worker, const struct pair *pair, int64_t collection_id, float threshold,
                   const struct also_probe *probes, const float *vectors, int n, struct arena *mem, struct also *ret,
                   struct err_note *note)
{
    const struct index_ask ask = {.k = FIRST_LOOK, .min_cosine = threshold};
    struct index_hit *hits = arena_alloc(mem, (size_t)n * FIRST_LOOK, sizeof *hits);
    struct also *found = ARENA_ARRAY(mem, struct also, n);
    int *counts = ARENA_ARRAY(mem, int, n);

    if (hits == NULL || found == NULL || counts == NULL) {
        return spent(mem);
    }
    int64_t begin = clock_monotonic_ns();
    enum err err = index_search_many(pair->index, vectors, (size_t)n, &ask, hits, counts, note);
    int64_t searched = clock_monotonic_ns();
    worker->times.search_ns += searched - begin;
    for (int i = 0; i < n && err == ERR_NONE; i++) {
        const struct asking asking = {.worker = worker,
                                      .pair = pair,
                                      .probe = &probes[i],
                                      .vector = vectors + (size_t)i * (size_t)pair->model->dim,
                                      .mem = mem,
                                      .also = &found[i]};
        found[i].asked = true;
        err = take_hits(&asking, hits + (size_t)i * FIRST_LOOK, counts[i], note);
        if (err == ERR_NONE && counts[i] == FIRST_LOOK && found[i].n == 0) {
            err = look_further(&asking, threshold, note);
        }
        if (err == ERR_NONE) {
            err = take_photo(&asking, collection_id, note);
        }
    }
    worker->times.rows_ns += clock_monotonic_ns() - searched;
    if (err == ERR_NONE) {
        memcpy(ret, found, (size_t)n * sizeof *ret);
    }
    return err;
}
